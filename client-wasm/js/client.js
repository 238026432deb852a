/** The handle that an app holds. See `index.d.ts` for what everything does. */

import { bytes, cursor, hexToken, optionalText, text, token, whole } from "./arguments.js";
import { deriveCodeKeys } from "./argon2.js";
import { badArgument, closed, syncError } from "./errors.js";
import { Listeners } from "./listeners.js";
import { Receipts } from "./receipts.js";
import { checkBrowser, erase, exists, persist } from "./storage.js";
import { Tabs } from "./tabs.js";
import { device, invite, page, revocationOf } from "./values.js";
import { load } from "./wasm.js";

const STORE = "sync-relay";
const FLUSH_MS = 30_000;

export class SyncClient {
  #options;
  /** @type {Tabs} */
  #tabs;
  #listeners = new Listeners();
  #receipts = new Receipts();
  #persisted = false;
  /** @type {Error | null} why nothing works any more */
  #closed = null;
  /** The end of the last page that reached the app. @type {{ generation: number, cursor: number } | null} */
  #has = null;
  /** The invite that was tried last, and the name of that attempt. @type {{ invite: string, id: string } | null} */
  #claim = null;
  #leaveWindow = () => {};

  /** @param {any} options */
  constructor(options) {
    this.#options = options;
    this.#tabs = new Tabs(options.store, {
      open: (listener, isNew) => this.#open(listener, isNew),
      event: (name, detail) => this.#event(name, detail),
      leader: (leads) => {
        this.#listeners.tell("leaderChanged", { leader: leads });
        if (this.#tabs.status) this.#listeners.tell("statusChanged", this.status());
      },
      newLeader: () => this.#ask(),
      lost: (error) => {
        this.#listeners.tell("error", error);
        this.#end(error);
      },
    });
  }

  static async open(options = {}) {
    checkBrowser();
    const client = new SyncClient({
      name: optionalText(options.name, "name"),
      relay: optionalText(options.relay, "relay"),
      store: optionalText(options.store, "store") ?? STORE,
      accessToken: optionalText(options.accessToken, "accessToken"),
      autoConnect: options.autoConnect ?? true,
    });
    await client.#start();
    return client;
  }

  static async exists(store = STORE) {
    checkBrowser();
    return exists(store);
  }

  static async erase(store = STORE) {
    checkBrowser();
    return erase(store);
  }

  async #start() {
    try {
      await this.#tabs.join();
    } catch (error) {
      await this.#tabs.leave();
      throw syncError(error);
    }
    this.#watchWindow();
    if (this.#options.autoConnect && !this.#tabs.wanted) this.connect().catch(() => {});
    persist().then((persisted) => {
      this.#persisted = persisted;
      if (persisted && !this.#closed) this.#listeners.tell("statusChanged", this.status());
    });
  }

  async connect() {
    await this.#request("connect");
  }

  async disconnect() {
    await this.#request("disconnect");
  }

  async push(data, options = {}) {
    const ttl = options.ttl === undefined ? undefined : whole(options.ttl, "ttl");
    const blobId = await this.#request("push", [bytes(data), ttl, token()]);
    return this.#receipts.add(blobId);
  }

  async pull(afterCursor, limit = 0) {
    if (afterCursor === undefined) return this.pullSinceLastCursor(limit);
    return page(await this.#request("pull", [cursor(afterCursor), whole(limit, "limit")]));
  }

  async pullSinceLastCursor(limit = 0) {
    const args = [this.#has?.generation, this.#has?.cursor, whole(limit, "limit")];
    const read = await this.#request("read", args);
    // From here on the page is the app's: nothing is waited for any more.
    this.#has = { generation: read.generation, cursor: read.maxCursor };
    return page(read);
  }

  async connectAndPull() {
    await this.connect();
    return this.pullSinceLastCursor();
  }

  async ack(upTo) {
    await this.#request("ack", [cursor(upTo), this.#has?.generation]);
  }

  async flush(timeoutMs = FLUSH_MS) {
    await this.#request("flush", [], whole(timeoutMs, "timeoutMs"));
  }

  async flushAndDisconnect(timeoutMs = FLUSH_MS) {
    try {
      await this.flush(timeoutMs);
    } finally {
      await this.disconnect();
    }
  }

  async devices() {
    return (await this.#request("devices")).map(device);
  }

  async createInvite() {
    return invite(await this.#request("createInvite"));
  }

  async revokeInvite(made) {
    if (made === undefined) return this.#request("revokeInvite");
    const revocation = revocationOf(made);
    if (!revocation) throw badArgument("this is no invite of createInvite's");
    await this.#request("revokeInvite", [revocation]);
  }

  async join(linkOrCode) {
    const wanted = text(linkOrCode, "an invite").trim();
    // Whoever tries the same again means the same attempt: its answer may have been lost on the way.
    if (this.#claim?.invite !== wanted) this.#claim = { invite: wanted, id: hexToken() };
    await this.#request("join", [wanted, this.#options.relay, this.#claim.id]);
    this.#claim = null;
  }

  async removeDevice(deviceId, { keepHistory = true } = {}) {
    await this.#request("removeDevice", [text(deviceId, "a device's id"), Boolean(keepHistory)]);
  }

  async rotate({ keepHistory = true } = {}) {
    await this.#request("rotate", [Boolean(keepHistory)]);
  }

  async restore() {
    await this.#request("restore");
  }

  async leave() {
    await this.#request("leave");
  }

  async deleteGroup() {
    await this.#request("deleteGroup");
  }

  async trustRelay(key) {
    await this.#request("trustRelay", [text(key, "a key")]);
  }

  woke() {
    if (!this.#closed) this.#request("woke").catch(() => {});
  }

  status() {
    const { stopped, ...status } = this.#tabs.status;
    return {
      ...status,
      stopped: stopped && syncError(stopped),
      persisted: this.#persisted,
      leader: this.#tabs.leads,
    };
  }

  get lastCursor() {
    return this.#tabs.status.lastCursor;
  }

  on(event, listener) {
    return this.#listeners.add(event, listener);
  }

  async close() {
    if (this.#closed) return;
    await this.#end(closed());
  }

  /** @param {Error} error */
  async #end(error) {
    this.#closed = error;
    this.#leaveWindow();
    const left = this.#tabs.leave();
    this.#tabs.failAll(error);
    this.#receipts.failAll(error);
    await left;
  }

  /** @param {string} op @param {any[]} [args] @param {number} [timeoutMs] @returns {Promise<any>} */
  async #request(op, args = [], timeoutMs = undefined) {
    if (this.#closed) throw this.#closed;
    return this.#tabs.request(op, args, timeoutMs);
  }

  async #open(listener, isNew) {
    const { Device } = await load();
    const { store, name, relay, accessToken } = this.#options;
    return Device.open(store, name, relay, accessToken, isNew, listener, deriveCodeKeys);
  }

  #event(name, detail) {
    if (name === "pushAcked" || name === "pushRejected") this.#receipts.settle(detail);
    if (name === "pushRenamed") this.#receipts.rename(detail);
    if (name === "statusChanged") this.#listeners.tell(name, this.status());
    else if (name === "error") this.#listeners.tell(name, syncError(detail));
    else if (name === "disconnected") {
      this.#listeners.tell(name, { stopped: detail.stopped && syncError(detail.stopped) });
    } else this.#listeners.tell(name, detail);
  }

  /** Asks a new leader what became of pushes whose result the old one may not have told. */
  async #ask() {
    const open = this.#receipts.open();
    if (open.length === 0) return;
    const outcomes = await this.#request("outcomes", [open]).catch(() => []);
    for (const outcome of outcomes) this.#receipts.settle(outcome);
  }

  /** Follows what happens to the page. */
  #watchWindow() {
    const stop = new AbortController();
    this.#leaveWindow = () => stop.abort();
    const { signal } = stop;
    const on = (target, event, listener) => target?.addEventListener(event, listener, { signal });
    on(globalThis, "online", () => this.woke());
    on(globalThis.document, "visibilitychange", () => {
      if (document.visibilityState === "visible") this.woke();
    });
    // A page that is kept aside for the "back" button must let another tab lead.
    on(globalThis, "pagehide", () => this.#tabs.leave(true));
    on(globalThis, "pageshow", (event) => {
      if (event.persisted) this.#tabs.join().catch((error) => this.#event("error", error));
    });
  }
}
