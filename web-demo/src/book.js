// The open notebook: the client, the notes and what is on the screen, held together.

import { Notebook } from "./data/notebook.js";
import { Traffic } from "./data/traffic.js";
import { DEVICE_CHARS, newId } from "./note.js";
import * as tabs from "./tabs.js";
import { askToRemove, showDevices } from "./ui/devices.js";
import { $, announce, focusHeading, show, toast } from "./ui/dom.js";
import { invitedAt, joinedBy, prepareInvites } from "./ui/invite.js";
import { MAX_BYTES, NoteList } from "./ui/notes.js";
import { noteFailure, showStatus } from "./ui/status.js";
import { Warnings } from "./ui/warnings.js";
import { isGone, sentence } from "./words.js";

/** For how long after an invite whoever joins is thought to come by it. */
const INVITED_MS = 15 * 60_000;
/** So many blobs that have not been read are no news, but a first sync. */
const MANY = 20;
/** Between two looks at what changes all the time. */
const CALM_MS = 100;
/** Between two attempts to store notes in a browser that had no room. */
const FULL_MS = 30_000;

/** The open notebook, or null. */
let open = null;

/** Shows the notebook of a device that is there. */
export async function openBook(sync) {
  // First of all: some of what they tell is told only once.
  const warnings = new Warnings(sync);
  await tabs.enter();
  const status = sync.status();
  const { book, fresh } = await Notebook.open(status.deviceId);
  open = new Book(sync, book, warnings, fresh && status.lastCursor > 0);
  await open.start();
}

/** Lets go of the notebook in this tab. */
export async function closeBook() {
  const book = open;
  open = null;
  await book?.stop();
  tabs.exit();
}

/** Another tab has changed something. */
export const heardChange = (ids) => open?.list.refresh(ids);

/** What the page's forms do. Wired once, whichever notebook is open. */
export function wireBook() {
  $("compose").addEventListener("submit", (event) => {
    event.preventDefault();
    open?.add();
  });
  $("new-note").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) open?.add();
  });
  $("attention-action").addEventListener("click", () => {
    if (open && isGone(open.sync.status())) $("leave").click();
    else open?.sync.connect().catch(() => {});
  });
  for (const change of ["online", "offline"]) addEventListener(change, () => open?.look());
}

class Book {
  #traffic;
  #warnings;
  #devices = [];
  /** What devices are called; also those that are gone. */
  #names = new Map();
  /** A removal was told, and so is the new key that comes of it. */
  #removal = false;
  #off = [];
  #looking = 0;
  #waiting = 0;
  #asking = false;
  #storage = "ok";
  /** Everything there was has been read once. */
  #complete = false;

  constructor(sync, notes, warnings, rebuild) {
    this.sync = sync;
    this.notes = notes;
    this.#warnings = warnings;
    this.dev = sync.status().deviceId.slice(0, DEVICE_CHARS);
    this.#traffic = new Traffic(sync, notes, {
      rebuild,
      heard: {
        changed: (ids) => this.#changed(ids),
        failed: (error) => this.#failed(error),
        progress: () => this.look(),
        read: () => this.#inSync(),
      },
    });
    this.list = new NoteList({
      newest: (limit) => this.notes.newest(limit),
      get: (ids) => this.notes.get(ids),
      busy: () => this.#traffic.reading && this.sync.status().maxCursor - this.sync.lastCursor > MANY,
      nameOf: (dev) => this.#nameOf(dev),
      onSave: (id, text) => this.#write({ id, text }),
      onDelete: (note) => this.#delete(note),
    });
  }

  async start() {
    this.#listen();
    prepareInvites(this.sync);
    show("book", "joined");
    this.#draw();
    await this.list.refresh();
    focusHeading("book");
    this.#askDevices();
    this.#traffic.push();
    this.#traffic.wake();
    if (!this.sync.status().leader) this.#inSync();
  }

  async stop() {
    this.#off.forEach((off) => off());
    this.#warnings.stop();
    clearTimeout(this.#waiting);
    await this.sync.close();
    this.notes.close();
  }

  #listen() {
    const on = (event, listener) => this.#off.push(this.sync.on(event, listener));
    on("statusChanged", ({ storage }) => {
      this.look();
      if (this.#storage === "full" && storage === "ok") this.#traffic.retry();
      this.#storage = storage;
      if (!this.sync.status().leader) this.#inSync();
    });
    on("connected", () => {
      this.#askDevices();
      this.#traffic.push();
      this.#traffic.wake();
    });
    on("disconnected", () => {
      noteFailure();
      this.look();
    });
    on("leaderChanged", ({ leader }) => leader && (this.#traffic.push(), this.#traffic.wake()));
    on("blobAvailable", () => this.#traffic.wake());
    on("pushAcked", ({ cursor }) => this.sync.status().leader && this.#traffic.acked(cursor));
    on("pushRenamed", ({ from, to }) => this.notes.renamed(from, to).catch((error) => this.#failed(error)));
    on("pushRejected", (push) => this.#refused(push).catch((error) => this.#failed(error)));
    on("presenceChanged", () => this.#askDevices());
    on("deviceRemoved", (removed) => this.#gone(removed));
    on("keyRotated", ({ by }) => this.#rotated(by));
    on("relayReset", () => toast("The relay has started over. Nothing on this device is lost."));
    on("deviceJoined", (device) => this.#joined(device).catch((error) => this.#failed(error)));
    on("relayFull", ({ message }) => toast(message));
    on("historyTruncated", () => toast("Some older notes expired at the relay before this device saw them."));
    on("error", (error) => toast(sentence(error)));
  }

  /** What a device is called that a note names. */
  #nameOf(dev) {
    return this.#names.get(dev) ?? (dev === this.dev ? this.sync.status().name : "");
  }

  #knows({ deviceId, name }) {
    if (name) this.#names.set(deviceId.slice(0, DEVICE_CHARS), name);
  }

  /** What a device is called, or else how its id begins. */
  #called(deviceId) {
    const dev = deviceId.slice(0, DEVICE_CHARS);
    return this.#nameOf(dev) || `device ${dev}`;
  }

  #failed(error) {
    toast(sentence(error));
    this.look();
  }

  /** Looks soon at how things stand; many calls are one look. */
  look() {
    if (this.#looking) return;
    this.#looking = setTimeout(() => {
      this.#looking = 0;
      this.#draw();
    }, CALM_MS);
  }

  #draw() {
    if (open !== this) return;
    const status = this.sync.status();
    if (this.notes.full) status.storage = "full";
    showStatus(status, this.#traffic.reading);
    this.#tryAgainWhenFull();
    showDevices(this.#devices, status, navigator.onLine && status.connection === "online", (id, name) => this.#remove(id, name));
    this.#warnings.show((id) => this.#called(id));
  }

  /** The client sees by itself when there is room again; for the notes, this does. */
  #tryAgainWhenFull() {
    if (!this.notes.full || this.#waiting) return;
    this.#waiting = setTimeout(() => {
      this.#waiting = 0;
      this.#traffic.push();
      this.#traffic.wake();
    }, FULL_MS);
  }

  async #askDevices() {
    if (this.#asking || this.sync.status().connection !== "online") return this.look();
    this.#asking = true;
    try {
      this.#devices = await this.sync.devices();
      this.#devices.forEach((device) => this.#knows(device));
      this.list.refresh();
    } catch {
      // Asked again when the connection is back.
    } finally {
      this.#asking = false;
      this.look();
    }
  }

  #changed(ids) {
    tabs.tell("changed", [...ids]);
    this.list.refresh(ids);
    if (ids.size > 0 && this.#complete) announce("Notes have changed.");
  }

  /** Everything there was is read: by this tab, or, as the cursors say, by the one that leads. */
  async #inSync() {
    const { connection, leader, lastCursor, maxCursor } = this.sync.status();
    if (connection !== "online" || this.#complete) return;
    if (!leader && lastCursor < maxCursor) return;
    this.#complete = true;
    await this.list.refresh();
    document.documentElement.dataset.sync = "done";
    performance.mark("in-sync");
    this.look();
  }

  async #refused({ blobId, code }) {
    const found = await this.notes.refusedBlob(blobId, code);
    if (!found && this.sync.status().leader) toast("The relay did not take a note, and will not. What is here stays.");
    this.#changed(new Set());
  }

  async #remove(deviceId, name) {
    if (!(await askToRemove(name))) return;
    try {
      await this.sync.removeDevice(deviceId);
      toast(`${name} is removed.`);
    } catch (error) {
      this.#failed(error);
    }
    this.#askDevices();
  }

  /** A device is gone: by another's hand, this one's, or its own. */
  #gone({ deviceId, by }) {
    this.#askDevices();
    const { deviceId: me } = this.sync.status();
    if (deviceId === me || by === me) return;
    this.#removal = by !== null;
    const name = this.#called(deviceId);
    toast(by ? `${name} was removed by ${this.#called(by)}.` : `${name} has left.`);
  }

  #rotated(by) {
    this.#askDevices();
    if (by !== this.sync.status().deviceId && !this.#removal) toast(`The notebook has a new key, from ${this.#called(by)}.`);
    this.#removal = false;
  }

  async #joined({ deviceId, name }) {
    this.#knows({ deviceId, name });
    this.#askDevices();
    if (!joinedBy(name)) toast(`${name || "A device"} has joined.`);
    if (Date.now() - invitedAt > INVITED_MS) return;
    await this.notes.pushAgain(this.sync.status().defaultTtl, Date.now());
    await this.#traffic.push();
  }

  async add() {
    const field = $("new-note");
    const text = field.value;
    field.focus();
    if (!text.trim()) return;
    // Emptied at once: whoever goes on typing writes the next note.
    field.value = "";
    if (!(await this.#write({ id: newId(), text }))) field.value = text + field.value;
  }

  async #delete(note) {
    if (!(await this.#write({ id: note.id, deleted: true }))) return;
    $("notes-title").focus();
    toast("Note deleted.", { action: "Undo", onAction: () => this.#write({ id: note.id, text: note.text }) });
  }

  /** Writes a version of a note here, then sends it. Gives whether it is kept. */
  async #write(note) {
    if (!note.deleted && new Blob([note.text]).size > MAX_BYTES) {
      toast("This note is too long. One note holds a megabyte.");
      return false;
    }
    const wasFull = this.notes.full;
    try {
      const written = await this.notes.write(note, this.dev);
      this.#changed(new Set(note.deleted ? [] : [written.id]));
    } catch (error) {
      this.#failed(error);
      return false;
    }
    this.#traffic.push();
    if (wasFull) this.#traffic.wake();
    this.look();
    return true;
  }
}
