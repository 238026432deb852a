/** All tabs of one store are one device. One tab leads: it has the store's lock, and runs the device. The
 *  others ask it, over a BroadcastChannel, and one of them leads when it is gone.
 *
 *  A request stays here until it is answered. When another tab leads, it is asked again; pushes carry a
 *  token by which the device knows them, so that none is there twice. */

import { SyncError, closed, plain, syncError } from "./errors.js";
import { lockName } from "./storage.js";

/** Between attempts to lead. */
const RETRY_MS = 1000;

/** @typedef {import("./sync_client_wasm.js").Device} Device */
/** @typedef {{ op: string, args: any[], resolve: (value: any) => void, reject: (error: Error) => void, timer?: any }} Pending */
/** What a tab does in one stay: from joining the others to leaving them.
 *  @typedef {{ channel: BroadcastChannel, abort: AbortController, release?: () => void, over: boolean, ended?: Promise<void> }} Stay */

/** @typedef {object} Callbacks
 *  @property {(listener: (name: string, detail: any) => void, isNew: boolean) => Promise<Device>} open
 *    Opens the device; makes one only if this store has never been seen with one.
 *  @property {(name: string, detail: any) => void} event Something happened, in whichever tab.
 *  @property {(leads: boolean) => void} leader Whether this tab leads has changed.
 *  @property {() => void} newLeader There is another device to ask, here or elsewhere.
 *  @property {(error: SyncError) => void} lost The device cannot be used any more. */

export class Tabs {
  #name;
  #calls;
  #tab = crypto.randomUUID();
  /** @type {Stay | null} */
  #stay = null;
  /** @type {Device | null} only while this tab leads */
  #device = null;
  /** Names the leader that is known, and each time that a tab leads. @type {string | null} */
  #term = null;
  #nextId = 0;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** What the leader says about the device. @type {any} */
  status = null;
  /** Whether somebody has asked for a connection. @type {boolean | null} */
  wanted = null;

  /** @param {string} store @param {Callbacks} calls */
  constructor(store, calls) {
    this.#name = lockName(store);
    this.#calls = calls;
  }

  get leads() {
    return this.#device !== null;
  }

  /** Joins the other tabs. Rejects when it was our turn to lead and there is no device to be had. */
  async join() {
    const channel = new BroadcastChannel(this.#name);
    /** @type {Stay} */
    const stay = { channel, abort: new AbortController(), over: false };
    this.#stay = stay;
    channel.onmessage = ({ data }) => this.#heard(stay, data);
    const ready = new Promise((resolve, reject) => {
      this.#onReady = { resolve, reject };
    });
    stay.ended = this.#queue(stay);
    channel.postMessage({ kind: "hello" });
    await ready;
  }

  /** @type {{ resolve: (value?: any) => void, reject: (error: any) => void } | null} */
  #onReady = null;

  /** Leaves the others to themselves; what is pending waits for another `join`. `fast`: the page is
   *  about to stop, so there is no time to wait for anything. @param {boolean} [fast] */
  async leave(fast = false) {
    const stay = this.#stay;
    if (!stay) return;
    this.#stay = null;
    stay.over = true;
    const device = this.#device;
    this.#setDevice(null);
    this.#term = null;
    stay.channel.close();
    stay.abort.abort();
    const ended = device?.close();
    if (!fast) await ended;
    stay.release?.();
    if (!fast) await stay.ended;
  }

  /** Rejects everything that waits. @param {Error} error */
  failAll(error) {
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#pending.clear();
  }

  /** Has the device do something, wherever it is.
   *  @param {string} op @param {any[]} args @param {number} [timeoutMs] @returns {Promise<any>} */
  request(op, args, timeoutMs) {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      /** @type {Pending} */
      const pending = { op, args, resolve, reject };
      if (timeoutMs !== undefined) {
        pending.timer = setTimeout(() => {
          this.#pending.delete(id);
          reject(new SyncError("TIMED_OUT", "the relay did not answer in time"));
        }, timeoutMs);
      }
      this.#pending.set(id, pending);
      this.#dispatch(id, pending);
    });
  }

  /** @param {number} id @param {Pending} pending */
  #dispatch(id, { op, args }) {
    const device = this.#device;
    if (!device) {
      if (this.#term) this.#stay?.channel.postMessage({ kind: "ask", tab: this.#tab, id, op, args });
      return;
    }
    this.#perform(device, op, args, true).then(
      (value) => this.#settle(id, { value }),
      (thrown) => {
        const error = plain(thrown);
        // It was closed under this request, which is for the next leader then.
        if (error.code === "CLOSED" && device !== this.#device) return;
        this.#settle(id, { error });
      },
    );
  }

  /** @param {Device} device @param {string} op @param {any[]} args @param {boolean} own */
  async #perform(device, op, args, own) {
    if (op === "connect" || op === "disconnect") {
      this.wanted = op === "connect";
      this.#stay?.channel.postMessage({ kind: "wanted", wanted: this.wanted });
    }
    // @ts-ignore: the names of requests are the device's methods.
    return device[op](...args, ...(op === "push" ? [own] : []));
  }

  /** @param {number} id @param {{ value?: any, error?: any }} answer */
  #settle(id, { value, error }) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (error) pending.reject(syncError(error));
    else pending.resolve(value);
  }

  /** What another tab said. @param {Stay} stay @param {any} message */
  #heard(stay, message) {
    if (stay.over) return;
    const device = this.#device;
    switch (message.kind) {
      case "hello":
        if (device) this.#announce(stay);
        break;
      case "leader":
        if (device || message.term === this.#term) break;
        this.#term = message.term;
        this.wanted = message.wanted;
        this.#tell("statusChanged", message.status);
        this.#led();
        break;
      case "wanted":
        this.wanted = message.wanted;
        break;
      case "event":
        if (!device) this.#tell(message.name, message.detail);
        break;
      case "ask":
        if (device) this.#answer(stay, device, message);
        break;
      case "answer":
        if (message.tab === this.#tab) this.#settle(message.id, message);
        break;
    }
  }

  /** @param {Stay} stay @param {Device} device @param {any} message */
  async #answer(stay, device, { tab, id, op, args }) {
    let answer;
    try {
      answer = { value: await this.#perform(device, op, args, false) };
    } catch (thrown) {
      answer = { error: plain(thrown) };
      // The next leader is asked again.
      if (answer.error.code === "CLOSED" && device !== this.#device) return;
    }
    if (!stay.over) stay.channel.postMessage({ kind: "answer", tab, id, ...answer });
  }

  /** There is a leader: what waits is for it. */
  #led() {
    for (const [id, pending] of this.#pending) this.#dispatch(id, pending);
    this.#onReady?.resolve();
    this.#onReady = null;
    this.#calls.newLeader();
  }

  /** @param {string} name @param {any} detail */
  #tell(name, detail) {
    if (name === "statusChanged") this.status = detail;
    this.#calls.event(name, detail);
  }

  /** @param {Stay} stay */
  #announce(stay) {
    const { status, wanted } = this;
    stay.channel.postMessage({ kind: "leader", term: this.#term, status, wanted });
  }

  /** @param {Device | null} device */
  #setDevice(device) {
    const led = this.leads;
    this.#device = device;
    if (led !== this.leads) this.#calls.leader(this.leads);
  }

  /** Waits for the lock, leads, and waits again if that did not go well. @param {Stay} stay */
  async #queue(stay) {
    while (!stay.over) {
      try {
        await navigator.locks.request(this.#name, { signal: stay.abort.signal }, () => this.#lead(stay));
      } catch (error) {
        if (stay.over) return;
        if (this.#onReady) {
          this.#onReady.reject(error);
          this.#onReady = null;
          return;
        }
        // While we led, somebody took the lock from us: the store is theirs.
        if (!this.#device) this.#calls.event("error", plain(error));
      }
      if (stay.over) return;
      this.#drop();
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Leads until this tab leaves, or the device is lost to it. @param {Stay} stay */
  async #lead(stay) {
    const until = new Promise((resolve) => {
      stay.release = () => resolve(undefined);
    });
    const listener = (/** @type {string} */ name, /** @type {any} */ detail) => {
      if (stay.over) return;
      if (name === "lost") {
        this.#lose(stay, detail);
        return;
      }
      this.#tell(name, detail);
      stay.channel.postMessage({ kind: "event", name, detail });
    };
    const device = await this.#calls.open(listener, this.status === null);
    if (stay.over) {
      await device.close();
      return;
    }
    this.#term = crypto.randomUUID();
    this.status = device.status();
    this.#setDevice(device);
    this.#tell("statusChanged", this.status);
    this.#announce(stay);
    if (this.wanted) device.connect().catch(() => {});
    this.#led();
    await until;
  }

  /** Leads no longer. */
  #drop() {
    const device = this.#device;
    if (!device) return;
    this.#setDevice(null);
    this.#term = null;
    device.close();
  }

  /** Another tab has taken the store, which can only be when this one was stopped for a while; or the
   *  browser has dropped it. @param {Stay} stay @param {any} error */
  #lose(stay, error) {
    this.#drop();
    stay.release?.();
    if (error.code !== "CLOSED") this.#calls.lost(closed(error));
  }
}
