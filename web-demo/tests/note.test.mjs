import assert from "node:assert/strict";
import { test } from "node:test";

import { newId, read, write } from "../src/note.js";

const at = new Date(1_760_000_000_000);
const blob = (text) => ({
  blobId: "b".repeat(32), sender: "SenderSenderSender", timestamp: at,
  data: typeof text === "string" ? new TextEncoder().encode(text) : text,
});
const note = { id: "0123456789abcdef0123456789abcdef", text: "Milk\nbread", ms: 1_759_999_999_999, n: 3, dev: "QmFz_-Y0", deleted: false };
const plain = (text) => ({ id: "b".repeat(32), text, ms: at.getTime(), n: 0, dev: "SenderSe", deleted: false });

test("a note is its text and one line", () => {
  assert.equal(write(note), "Milk\nbread\n-- \nsync-note 1 0123456789abcdef0123456789abcdef 1759999999999.3 QmFz_-Y0");
  assert.equal(write({ ...note, deleted: true }), "\n-- \nsync-note 1 0123456789abcdef0123456789abcdef 1759999999999.3 QmFz_-Y0 deleted");
});

test("what is written is read", () => {
  for (const text of ["", "x", "\n", "trailing\n\n", "-- \n", "\n-- \n", "🦊 \u0000 \uFEFF", "a\r\nb", write(note), "\n-- \nsync-note 1 half"]) {
    assert.deepEqual(read(blob(write({ ...note, text }))), { ...note, text });
  }
  assert.deepEqual(read(blob(write({ ...note, deleted: true }))), { ...note, text: "", deleted: true });
  assert.deepEqual(read(blob(`${write(note)}\n`)), note, "as an editor or a shell would save it");
});

test("text without a trailer is a note of its own", () => {
  for (const text of ["hello from ada", "", "sync-note 1", "\n-- \nKind regards"]) {
    assert.deepEqual(read(blob(text)), plain(text));
  }
});

test("a trailer that cannot be read is text, too", () => {
  const line = "sync-note 1 0123456789abcdef0123456789abcdef 1759999999999.3 QmFz_-Y0";
  assert.equal(read(blob(`x\n-- \n${line}`)).id, note.id, "the one that can");
  for (const bad of [
    line.replace("1 0", "2 0"), line.replace("abcdef ", "abcdeF "), line.replace("abcdef ", "abcde "), line.replace(".3", ""),
    line.replace(".3", ".03"), line.replace(".3", ".1000000"), line.replace("1759999999999", "9007199254740992"),
    line.replace("1759999999999", "-1"), line.replace("1759999999999", "1e3"), line.replace("Y0", "Y"), `${line} erased`,
    `${line}\nmore`, `${line} deleted\n\n`, ` ${line}`, `${line}${" ".repeat(200)}`,
  ]) {
    assert.deepEqual(read(blob(`x\n-- \n${bad}`)), plain(`x\n-- \n${bad}`), bad);
  }
});

test("bytes that are no text have a size", () => {
  assert.deepEqual(read(blob(new Uint8Array([0xff, 0xfe, 0]))), { ...plain(""), bytes: 3 });
});

test("random bytes never throw", () => {
  const bytes = new Uint8Array(64);
  for (let i = 0; i < 2000; i += 1) {
    crypto.getRandomValues(bytes);
    assert.equal(typeof read(blob(bytes)).text, "string");
  }
});

test("ids are new", () => {
  assert.match(newId(), /^[0-9a-f]{32}$/);
  assert.notEqual(newId(), newId());
});
