// The notes of this device, in IndexedDB. Everything that belongs together is one transaction, so a tab that is
// closed at any moment leaves a notebook that is whole.
//
// A note: `{ id, text, ms, n, dev, deleted, at, push?, blob?, refused?, bytes? }`. `at`: when the relay stored this
// version, 0 for not yet. `push`: 1 while it has to be handed to the client. `blob`: what it was handed over as.
//
// A place says where a note is shown and how it looks, without its text: one request reads the newest few hundred.

import { tick } from "../clock.js";
import { fades, merge } from "../merge.js";
import { noRoom } from "../words.js";

const NAME = "notebook";
/** Keys of the store "about". */
const DEVICE = "device";
const CLOCK = "clock";
/** Blobs remembered until the note is found that went out as one. */
const MAX_BLOBS = 1000;

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function remember(map, blob, what) {
  map.set(blob, what);
  if (map.size > MAX_BLOBS) map.delete(map.keys().next().value);
}

/** Newest first: keys come in ascending order. */
const keyOf = (note) => [-note.ms, -note.n, note.id];

const stateOf = (note) => (note.refused ? "refused" : note.at === 0 ? "waiting" : "sent");

/** Stores a note and its place, instead of what was there before. */
function put({ notes, places }, note, before) {
  notes.put(Object.fromEntries(Object.entries(note).filter(([, value]) => value !== undefined)));
  if (before) places.delete(keyOf(before));
  if (!note.deleted) places.put({ key: keyOf(note), id: note.id, dev: note.dev, state: stateOf(note) });
}

export class Notebook {
  #db;
  /** Whether the browser had no room for the last change. */
  full = false;

  /** The newest names of blobs that have gone out as others. */
  #renamed = new Map();
  /** Why blobs were refused. */
  #refused = new Map();

  constructor(db) {
    this.#db = db;
  }

  /** The notebook of a device; `fresh` when there was none, or another device's. */
  static async open(device) {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      const notes = request.result.createObjectStore("notes", { keyPath: "id" });
      notes.createIndex("push", "push");
      notes.createIndex("blob", "blob");
      notes.createIndex("at", "at");
      request.result.createObjectStore("places", { keyPath: "key" });
      request.result.createObjectStore("about");
    };
    const book = new Notebook(await done(request));
    // Another tab leaves the notebook: do not stand in its way.
    book.#db.onversionchange = () => book.close();
    const fresh = await book.#change(async ({ notes, places, about }) => {
      if ((await done(about.get(DEVICE))) === device) return false;
      notes.clear();
      places.clear();
      about.clear();
      about.put(device, DEVICE);
      return true;
    });
    return { book, fresh };
  }

  static async erase() {
    await done(indexedDB.deleteDatabase(NAME));
  }

  close() {
    this.#db.close();
  }

  /** Takes in what came from the relay, `[{ version, at }]`; gives the ids of notes that look different now. */
  take(arrived) {
    return this.#change(async (stores) => {
      const { notes, about } = stores;
      const changed = new Set();
      const ids = [...new Set(arrived.map(({ version }) => version.id))];
      const [found, ...all] = await Promise.all([done(about.get(CLOCK)), ...ids.map((id) => done(notes.get(id)))]);
      const before = new Map(ids.map((id, index) => [id, all[index]]));
      const held = new Map(before);
      const clock = found ?? { ms: 0, n: 0 };
      let last = clock;
      for (const { version, at } of arrived) {
        const stored = held.get(version.id);
        const kept = merge(stored, version, at);
        if (!kept) continue;
        held.set(version.id, kept);
        changed.add(version.id);
        if (kept.ms > last.ms || (kept.ms === last.ms && kept.n > last.n)) last = { ms: kept.ms, n: kept.n };
        // An own clock that had to be set right must not lead the way.
        if (stored && kept.ms < stored.ms && last.ms === stored.ms) last = { ms: kept.ms, n: kept.n };
      }
      for (const id of changed) put(stores, held.get(id), before.get(id));
      if (last !== clock) about.put(last, CLOCK);
      return changed;
    });
  }

  /** Writes or deletes a note, and remembers that it has to be pushed. */
  write({ id, text, deleted = false }, dev) {
    return this.#change(async (stores) => {
      const { notes, about } = stores;
      const [last, before] = await Promise.all([done(about.get(CLOCK)), done(notes.get(id))]);
      const clock = tick(last ?? { ms: 0, n: 0 }, Date.now());
      const note = { id, text: deleted ? "" : text, ...clock, dev, deleted, at: 0, push: 1 };
      put(stores, note, before);
      about.put(clock, CLOCK);
      return note;
    });
  }

  /** What has to be pushed, oldest first. */
  async toPush() {
    const found = await this.#read((notes) => done(notes.index("push").getAll()));
    return found.sort((a, b) => a.ms - b.ms || a.n - b.n);
  }

  /** The client has it durably now, as this blob. */
  pushed(pushed, blob) {
    return this.#update(pushed.id, (note) => {
      if (!sameTime(note, pushed)) return null;
      // It may have been renamed, or refused, before this was heard.
      const now = this.#newest(blob);
      return { ...note, push: undefined, blob: now, refused: this.#refused.get(now) };
    });
  }

  /** The relay will never take this version. */
  refused(id, code) {
    return this.#update(id, (note) => ({ ...note, push: undefined, refused: code }));
  }

  /** The relay will never take this blob. Gives whether it is a note's. */
  async refusedBlob(blob, code) {
    const id = await this.#read((notes) => done(notes.index("blob").getKey(blob)));
    remember(this.#refused, blob, code);
    // It may have been written anew meanwhile.
    if (id) await this.#update(id, (note) => (note.blob === blob ? { ...note, push: undefined, refused: code } : null));
    return id !== undefined;
  }

  /** What was handed over as one blob goes out as another. */
  async renamed(from, to) {
    remember(this.#renamed, from, to);
    const id = await this.#read((notes) => done(notes.index("blob").getKey(from)));
    if (id) await this.#update(id, (note) => (note.blob === from ? { ...note, blob: this.#newest(to) } : null));
  }

  /** As what a blob goes out by now. */
  #newest(blob) {
    while (this.#renamed.has(blob)) blob = this.#renamed.get(blob);
    return blob;
  }

  /** The outbox is empty: what was handed over is at the relay. Gives whether that was news. */
  async settle() {
    if ((await this.#read((notes) => done(notes.index("at").count(0)))) === 0) return false;
    return this.#change(async (stores) => {
      const waiting = await done(stores.notes.index("at").getAll(0));
      const there = waiting.filter((note) => !note.push && !note.refused);
      for (const note of there) put(stores, { ...note, at: Math.min(note.ms, Date.now()) }, note);
      return there.length > 0;
    });
  }

  /** Marks what a device that joins would not find at the relay. */
  pushAgain(ttl, now) {
    return this.#change(async ({ notes }) => {
      for (const note of await done(notes.getAll())) {
        if (note.bytes === undefined && !note.refused && fades(note.at, ttl, now)) notes.put({ ...note, push: 1 });
      }
    });
  }

  /** The places of the newest notes, `{ key, id, dev, state }`, and how many there are in all. */
  newest(limit) {
    return this.#read(async (_, places) => {
      const [found, total] = await Promise.all([done(places.getAll(null, limit)), done(places.count())]);
      return { places: found, total };
    });
  }

  /** Notes by their ids; what is not there any more is left out. */
  async get(ids) {
    const found = await this.#read((notes) => Promise.all(ids.map((id) => done(notes.get(id)))));
    return found.filter(Boolean);
  }

  #update(id, change) {
    return this.#change(async (stores) => {
      const note = await done(stores.notes.get(id));
      const next = note && change(note);
      if (next) put(stores, next, note);
    });
  }

  async #read(what) {
    const transaction = this.#db.transaction(["notes", "places"], "readonly");
    return what(transaction.objectStore("notes"), transaction.objectStore("places"));
  }

  /** One transaction: all of it is durable when this resolves, or none of it happens. */
  async #change(what) {
    const transaction = this.#db.transaction(["notes", "places", "about"], "readwrite", { durability: "strict" });
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new DOMException("aborted", "AbortError"));
    });
    try {
      const [notes, places, about] = ["notes", "places", "about"].map((name) => transaction.objectStore(name));
      const result = await what({ notes, places, about });
      await ended;
      this.full = false;
      return result;
    } catch (error) {
      this.full = noRoom(error);
      ended.catch(() => {});
      try {
        transaction.abort();
      } catch {
        // It has ended by itself.
      }
      throw error;
    }
  }
}

const sameTime = (a, b) => a.ms === b.ms && a.n === b.n && a.dev === b.dev;
