// Notes between the notebook and the client: what comes in is read by the tab that leads, what goes out is handed
// over by whichever tab gets to it first.

import { read, write } from "../note.js";

/** Blobs asked for at once. */
const PAGE = 200;
/** Errors after which it is useless to go on before something else happens. */
const LATER = new Set(["STORAGE_FULL", "OUTBOX_FULL", "NOT_CONNECTED", "UNREACHABLE", "TIMED_OUT", "CLOSED", "NO_GROUP"]);
/** Held by the tab that hands notes over. */
const PUSH_LOCK = "notebook:push";

export class Traffic {
  #sync;
  #book;
  #heard;
  #reading = null;
  #again = false;
  /** Cursors of own pushes that were acknowledged and not read back. */
  #acked = new Set();
  #rebuild;
  /** Notes were left for later. */
  #stuck = false;
  /** A page that was read and could not be stored yet: to ask for the next one would mean that it was. */
  #held = null;
  /** What the client has, by the note's id, while the notebook could not be told. */
  #handed = new Map();

  /** `heard.changed(ids)`, `heard.failed(error)`, `heard.progress()`, `heard.read()`: all there is was read. */
  constructor(sync, book, { rebuild, heard }) {
    this.#sync = sync;
    this.#book = book;
    this.#rebuild = rebuild;
    this.#heard = heard;
  }

  /** Whether notes are coming in. */
  get reading() {
    return this.#reading !== null;
  }

  /** There may be something to read. */
  wake() {
    this.#again = true;
    this.#reading ??= this.#run().finally(() => {
      this.#reading = null;
      this.#heard.progress();
    });
  }

  /** An own push is at the relay, at this cursor. */
  acked(cursor) {
    this.#acked.add(cursor);
    this.wake();
    this.retry();
  }

  async #run() {
    while (this.#again && this.#leads()) {
      this.#again = false;
      try {
        if (this.#rebuild) await this.#readAll();
        await this.#readNew();
        this.#heard.read();
        await this.#readBack();
        if (this.#sync.status().pendingPush === 0 && (await this.#book.settle())) this.#heard.changed(new Set());
      } catch (error) {
        if (LATER.has(error.code)) return;
        this.#heard.failed(error);
        return;
      }
    }
  }

  #leads() {
    const { leader, connection } = this.#sync.status();
    return leader && connection === "online";
  }

  /** What others have pushed since. Stored first, acknowledged after. */
  async #readNew() {
    for (;;) {
      this.#held ??= await this.#sync.pullSinceLastCursor(PAGE);
      const page = this.#held;
      await this.#take(page.blobs);
      this.#held = null;
      if (page.maxCursor > this.#sync.lastCursor) await this.#sync.ack(page.maxCursor);
      this.#heard.progress();
      if (!page.hasMore) return;
    }
  }

  /** Own notes, as the relay has stored them: its clock counts. */
  async #readBack() {
    while (this.#acked.size > 0) {
      const first = Math.min(...this.#acked);
      const page = await this.#sync.pull(first - 1, Math.min(this.#acked.size, PAGE));
      await this.#take(page.blobs);
      for (const cursor of this.#acked) if (cursor <= Math.max(page.maxCursor, first)) this.#acked.delete(cursor);
    }
  }

  /** The client has a group, and the notebook was lost: read everything that is still there. */
  async #readAll() {
    let page = { maxCursor: 0, hasMore: true };
    while (page.hasMore) {
      page = await this.#sync.pull(page.maxCursor, PAGE);
      await this.#take(page.blobs);
      this.#heard.progress();
    }
    this.#rebuild = false;
  }

  async #take(blobs) {
    if (blobs.length === 0) return;
    const arrived = blobs.map((blob) => ({ version: read(blob), at: blob.timestamp.getTime() }));
    const changed = await this.#book.take(arrived);
    if (changed.size > 0) this.#heard.changed(changed);
  }

  /** Hands over every note that has to be pushed. One tab at a time, so none goes twice. */
  async push() {
    this.#stuck = false;
    try {
      await navigator.locks.request(PUSH_LOCK, async () => {
        for (const note of await this.#book.toPush()) await this.#pushOne(note);
      });
    } catch (error) {
      // The notes stay marked: they go the next time.
      this.#stuck = true;
      if (!LATER.has(error.code) || error.code === "STORAGE_FULL") this.#heard.failed(error);
    }
  }

  /** There may be room for what was left for later. */
  retry() {
    if (this.#stuck) this.push();
  }

  async #pushOne(note) {
    try {
      const text = write(note);
      const handed = this.#handed.get(note.id);
      const blobId = handed?.text === text ? handed.blobId : (await this.#sync.push(text)).blobId;
      this.#handed.set(note.id, { text, blobId });
      await this.#book.pushed(note, blobId);
      this.#handed.delete(note.id);
    } catch (error) {
      if (error.code !== "TOO_LARGE") throw error;
      await this.#book.refused(note.id, error.code);
      this.#heard.changed(new Set([note.id]));
    }
  }
}
