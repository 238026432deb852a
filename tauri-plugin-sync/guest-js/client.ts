// The handle that a page holds.

import { invoke, type InvokeArgs, type InvokeOptions } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";

import { SyncError, syncError } from "./error";
import { lead } from "./leader";
import { Listeners } from "./listeners";
import { Receipts } from "./receipts";
import type {
  Cursor,
  DeviceInfo,
  InviteHandle,
  OpenOptions,
  Page,
  PushReceipt,
  Status,
  SyncEvents,
} from "./types";
import { bytes, device, type End, idOf, invite, page, type SentInvite } from "./values";

/** The one event by which the plugin tells everything. */
const EVENT = "sync://event";
const FLUSH_MS = 30_000;

type SentStatus = Omit<Status, "stopped" | "leader" | "storage" | "persisted"> & { revision: number; stopped: unknown };
type SentEvent = { name: keyof SyncEvents | "ended"; detail: never };

/** The app's device. It lives in the app, not in the page: all windows share it, and it goes on when a page is gone. */
export class SyncClient {
  #status!: SentStatus;
  /** The revision of the status that listeners know. */
  #told = 0;
  #listeners = new Listeners();
  #receipts = new Receipts();
  /** The end of the last page that reached the app. */
  #has: End | null = null;
  #leads = false;
  /** Whether `leave` is under way. */
  #leaving = false;
  #end = new AbortController();
  /** Why nothing works any more. */
  #closed: SyncError | null = null;

  private constructor() {}

  /** Uses the app's device, and makes it when there is none. Warnings that came before are told to who listens right
   *  after it. */
  static async open(options: OpenOptions = {}): Promise<SyncClient> {
    const client = new SyncClient();
    await client.#start(options);
    return client;
  }

  /** Whether there is a device already. Makes nothing. */
  static exists(): Promise<boolean> {
    return call("exists");
  }

  /** Erases the app's device, its keys and what it had not sent, and tells nobody. Needs `sync:allow-wipe`. */
  static erase(): Promise<void> {
    return call("wipe");
  }

  async #start(options: OpenOptions): Promise<void> {
    const { signal } = this.#end;
    // What comes before it is known how things stand is told afterwards.
    let early: { status: SentStatus; event: SentEvent }[] | null = [];
    const off = await listen<SentEvent & { status: SentStatus }>(EVENT, ({ payload: { status, ...event } }) => {
      if (early) early.push({ status, event });
      else this.#heard(status, event);
    });
    signal.addEventListener("abort", off, { once: true });
    try {
      const { status, missed } = await call<{ status: SentStatus; missed: SentEvent[] }>("open", { options });
      this.#status = status;
      this.#told = status.revision;
      await lead(() => this.#lead(), signal);
      addEventListener("online", () => this.woke(), { signal });
      const told = [...missed.map((event) => ({ status, event })), ...early];
      early = null;
      // Whoever opens it has to be able to listen first.
      setTimeout(() => told.forEach(({ status, event }) => this.#heard(status, event)));
    } catch (error) {
      this.#end.abort();
      throw error;
    }
  }

  /** Connects and stays connected. Resolves once the relay has let this device in, or at once without a group. */
  async connect(): Promise<void> {
    await this.#call("connect");
  }

  /** Closes the connection and stays away, until `connect` or the next start of the app. */
  async disconnect(): Promise<void> {
    await this.#call("disconnect");
  }

  /** Seals data for the group and stores it in the outbox; resolves once it is durable on this device.
   *  The first push of a device in no group makes one. At most 1 MiB, or what the relay allows.
   *  `ttl`: seconds that the relay keeps it; 0: for ever; default: what the relay does. */
  async push(data: Uint8Array | ArrayBuffer | string, { ttl }: { ttl?: number } = {}): Promise<PushReceipt> {
    const options = ttl === undefined ? undefined : { headers: { "sync-ttl": String(ttl) } };
    return this.#receipts.of(() => this.#call("push", bytes(data), options));
  }

  /** Without a cursor: the next blobs of other devices (`pullSinceLastCursor`).
   *  With one: any page of the log after it, own blobs included; moves nothing. `limit` 0: 100. */
  async pull(afterCursor?: Cursor, limit = 0): Promise<Page> {
    if (afterCursor === undefined) return this.pullSinceLastCursor(limit);
    return page(await this.#call("pull", { after: afterCursor, limit })).page;
  }

  /** The next blobs of other devices. Says that the app has what this gave before. */
  async pullSinceLastCursor(limit = 0): Promise<Page> {
    const read = page(await this.#call("pull", { has: this.#has, limit }));
    this.#has = read.end;
    return read.page;
  }

  async connectAndPull(): Promise<Page> {
    await this.connect();
    return this.pullSinceLastCursor();
  }

  /** Says that the app durably has everything up to this cursor, usually a page's `maxCursor`. */
  async ack(cursor: Cursor): Promise<void> {
    await this.#call("ack", { cursor, generation: this.#has?.generation });
  }

  /** Waits until everything pushed is durable at the relay. Rejects with TIMED_OUT, or RESTORE_WAITS. Default: 30 s. */
  async flush(timeoutMs = FLUSH_MS): Promise<void> {
    await this.#call("flush", { timeoutMs });
  }

  async flushAndDisconnect(timeoutMs = FLUSH_MS): Promise<void> {
    try {
      await this.flush(timeoutMs);
    } finally {
      await this.disconnect();
    }
  }

  /** The group's devices. */
  async devices(): Promise<DeviceInfo[]> {
    return (await this.#call<Parameters<typeof device>[0][]>("devices")).map(device);
  }

  /** Makes an invite, and the group if there is none. */
  async createInvite(): Promise<InviteHandle> {
    return invite(await this.#call<SentInvite>("create_invite"));
  }

  /** Takes an invite back that nobody has used; without one, the last of this device. */
  async revokeInvite(made?: InviteHandle): Promise<void> {
    await this.#call("revoke_invite", { id: made && idOf(made) });
  }

  /** Becomes a member by an invite's code, link or app URL. */
  async join(linkOrCode: string): Promise<void> {
    await this.#call("join", { invite: linkOrCode });
  }

  /** Removes a device for good: the group gets a new key without it. With `keepHistory: false`, devices that join later
   *  are not given the keys of what was pushed before. Needs `sync:allow-remove-device`. */
  async removeDevice(deviceId: string, { keepHistory = true } = {}): Promise<void> {
    await this.#call("remove_device", { deviceId, keepHistory });
  }

  /** Gives the group a new key without removing anybody. Needs `sync:allow-rotate`. */
  async rotate({ keepHistory = true } = {}): Promise<void> {
    await this.#call("rotate", { keepHistory });
  }

  /** Agrees to push again what the relay has lost, after `restoreWaits`. */
  async restore(): Promise<void> {
    await this.#call("restore");
  }

  /** Accepts another key of the relay from now on. Needs `sync:allow-trust-relay`. */
  async trustRelay(key: string): Promise<void> {
    await this.#call("trust_relay", { key });
  }

  /** Leaves the group for good: sends what is queued, tells the others and the relay, and erases the device here. Then
   *  the clients of all windows are closed. Needs `sync:allow-leave`. */
  async leave(): Promise<void> {
    if (this.#closed) throw this.#closed;
    this.#leaving = true;
    try {
      await call("leave");
    } finally {
      this.#leaving = false;
    }
    this.#close(closed());
  }

  /** Erases the group at the relay, with everything in it, for all its devices. What is stored on them stays.
   *  Needs `sync:allow-delete-group`. */
  async deleteGroup(): Promise<void> {
    await this.#call("delete_group");
  }

  /** Tells that the network or the window came back. Done by itself on `online`; a window's focus, the plugin sees. */
  woke(): void {
    if (!this.#closed) call("woke").catch(() => {});
  }

  status(): Status {
    const { revision: _, stopped, ...status } = this.#status;
    return { ...status, stopped: stopped ? syncError(stopped) : null, storage: "ok", persisted: true, leader: this.#leads };
  }

  get lastCursor(): Cursor {
    return this.#status.lastCursor;
  }

  /** Listens; gives a function that stops it. */
  on<K extends keyof SyncEvents>(event: K, listener: (detail: SyncEvents[K]) => void): () => void;
  /** Listens for every event. */
  on(event: "event", listener: (event: { name: keyof SyncEvents; detail: unknown }) => void): () => void;
  on(event: string, listener: (detail: never) => void): () => void {
    return this.#listeners.add(event, listener);
  }

  /** Lets go of the device in this page; another window may lead. The app keeps it, and stays connected. */
  async close(): Promise<void> {
    this.#close(closed());
  }

  #close(why: SyncError): void {
    if (this.#closed) return;
    this.#closed = why;
    this.#end.abort();
    this.#receipts.failAll(why);
  }

  /** The device has left its group or was erased, by another window unless this one leaves. */
  #gone(): void {
    const why = new SyncError("CLOSED", "this app's device has left the group, or was erased");
    if (!this.#leaving) this.#listeners.tell("error", why);
    this.#close(why);
  }

  /** Calls a command, and sees how things stand after it before anybody else does. */
  async #call<T>(command: string, args?: InvokeArgs, options?: InvokeOptions): Promise<T> {
    if (this.#closed) throw this.#closed;
    const reply = await call<T>(command, args, options);
    // It is done, whether or not this window may ask. Then events alone say how things stand.
    await call<SentStatus>("status").then((status) => this.#stand(status), () => {});
    return reply;
  }

  /** Replies and events overtake each other: the greater revision is the newer status. */
  #stand(status: SentStatus): void {
    if (status.revision > this.#status.revision && this.#isOf(status)) this.#status = status;
  }

  /** Whether it is about the device that was opened: a page may hear of the one before, or the one after. */
  #isOf({ deviceId }: SentStatus): boolean {
    return deviceId === this.#status.deviceId;
  }

  #heard(status: SentStatus, { name, detail }: SentEvent): void {
    if (this.#closed || !this.#isOf(status)) return;
    if (name === "ended") return this.#gone();
    this.#stand(status);
    if (this.#told < this.#status.revision) {
      this.#told = this.#status.revision;
      this.#listeners.tell("statusChanged", this.status());
    }
    if (name === "statusChanged") return;
    if (name === "pushAcked" || name === "pushRejected") this.#receipts.settle(detail);
    if (name === "pushRenamed") this.#receipts.rename(detail);
    if (name === "disconnected") {
      const { stopped } = detail as { stopped: unknown };
      return this.#listeners.tell(name, { stopped: stopped && syncError(stopped) });
    }
    this.#listeners.tell(name, detail);
  }

  #lead(): void {
    this.#leads = true;
    this.#listeners.tell("leaderChanged", { leader: true });
  }
}

function closed(): SyncError {
  return new SyncError("CLOSED", "this client was closed");
}

/** Calls a command of the plugin. */
async function call<T>(command: string, args?: InvokeArgs, options?: InvokeOptions): Promise<T> {
  try {
    return await invoke<T>(`plugin:sync|${command}`, args, options);
  } catch (thrown) {
    throw syncError(thrown);
  }
}
