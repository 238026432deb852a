// A note as a blob: UTF-8 text, then a line that says which note it is and how new.
//
//     Milk, bread
//     -- 
//     sync-note 1 0123456789abcdef0123456789abcdef 1760000000000.0 QmFzZTY0
//
// Text without such an end is a note of its own, whose id is its blob's. See README.md.

import { MAX_N } from "./clock.js";

const SEPARATOR = "\n-- \n";
const TRAILER = /^sync-note 1 ([0-9a-f]{32}) (0|[1-9][0-9]{0,15})\.(0|[1-9][0-9]{0,5}) ([A-Za-z0-9_-]{8})( deleted)?\n?$/;
/** No trailer is longer than this. */
const LONGEST = 100;

/** How much of a device id a note carries: enough to tell two devices apart. */
export const DEVICE_CHARS = 8;

/** The blob of a note. */
export function write({ id, text, ms, n, dev, deleted }) {
  return `${deleted ? "" : text}${SEPARATOR}sync-note 1 ${id} ${ms}.${n} ${dev}${deleted ? " deleted" : ""}`;
}

/** What a blob says. Never throws: what is no note is still a text, and what is no text has a size. */
export function read({ blobId, sender, timestamp, data }) {
  const at = timestamp.getTime();
  const plain = { id: blobId, text: "", ms: at, n: 0, dev: sender.slice(0, DEVICE_CHARS), deleted: false };
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return { ...plain, bytes: data.byteLength };
  }
  const start = text.lastIndexOf(SEPARATOR);
  const trailer = start < 0 ? "" : text.slice(start + SEPARATOR.length, start + SEPARATOR.length + LONGEST + 1);
  const found = TRAILER.exec(trailer);
  if (!found || text.length > start + SEPARATOR.length + trailer.length) return { ...plain, text };
  const [, id, ms, n, dev, deleted] = found;
  if (Number(ms) > Number.MAX_SAFE_INTEGER || Number(n) > MAX_N) return { ...plain, text };
  return {
    id,
    text: deleted ? "" : text.slice(0, start),
    ms: Number(ms),
    n: Number(n),
    dev,
    deleted: Boolean(deleted),
  };
}

/** A new note's id: 32 hexadecimal digits. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
