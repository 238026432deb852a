import assert from "node:assert/strict";
import { test } from "node:test";

import { isCode, isLink, isLocal, relayOf } from "../src/links.js";
import { settled, without, withWarning } from "../src/ui/warnings.js";
import {
  SHOWN_CHARS, count, deviceName, excerpt, guessName, heading, isGone, left, sentence, since, situation, title, warning, warningKinds, when, whole,
} from "../src/words.js";

test("long notes are cut at lines and characters, never in one", () => {
  assert.deepEqual(excerpt("short"), { shown: "short", more: false });
  assert.equal(excerpt("x".repeat(10 ** 6)).shown.length, SHOWN_CHARS);
  assert.equal(excerpt("\n".repeat(1000)).shown.length, 13);
  assert.deepEqual(excerpt("\n".repeat(13)), { shown: "\n".repeat(13), more: false });
  const cut = excerpt(`${"x".repeat(SHOWN_CHARS - 1)}🦊`);
  assert.deepEqual([cut.shown.length, cut.more], [SHOWN_CHARS - 1, true]);
});

test("labels are the first words", () => {
  assert.equal(title("\n  \nMilk\nbread"), "Milk");
  assert.equal(title("  "), "empty note");
  assert.equal(title("x".repeat(100)).length, 41);
});

test("a short first line with something below it is a heading", () => {
  assert.equal(heading("Milk\n\nbread"), "Milk");
  for (const text of ["", "Milk", "Milk\n", "\nbread", " \nbread", `${"x".repeat(61)}\nbread`, "x".repeat(1000)]) {
    assert.equal(heading(text), "", JSON.stringify(text));
  }
});

test("names are what every device can show", () => {
  assert.equal(deviceName("  a\tb\n "), "a b");
  assert.ok(new TextEncoder().encode(deviceName("🦊".repeat(40))).length <= 62);
  assert.equal(guessName("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36"), "Chrome on Linux");
  assert.equal(guessName("?"), "Browser");
});

test("time and numbers", () => {
  assert.deepEqual([left(0), left(59_000), left(61_000)], ["expired", "less than a minute left", "2 minutes left"]);
  assert.deepEqual([count(1, "note"), count(0, "note")], ["one note", "0 notes"]);
});

test("the state of the connection has a word", () => {
  const status = { connection: "online", storage: "ok", lastCursor: 5, maxCursor: 5, groupId: "g", stopped: null };
  const quiet = { onLine: true, tried: false, reading: false };
  const say = (over, seen = {}) => situation({ ...status, ...over }, { ...quiet, ...seen });
  assert.equal(say({}).label, "On-line");
  assert.equal(say({ maxCursor: 500 }, { reading: true }).detail, "5 of 500");
  assert.equal(say({ connection: "connecting" }).kind, "connecting");
  assert.equal(say({ connection: "connecting" }, { tried: true }).kind, "offline");
  assert.equal(say({ connection: "connecting" }, { onLine: false }).kind, "offline");
  assert.equal(say({ connection: "stopped", stopped: { message: "Removed." } }).detail, "Removed.");
  assert.equal(say({ connection: "off", groupId: null }).kind, "idle");
  assert.equal(say({ storage: "full" }).kind, "attention");
});

test("a device that is in its notebook no more says so, and keeps what it has", () => {
  const stopped = (code) => ({ connection: "stopped", storage: "ok", groupId: "g", stopped: { code, message: "m" } });
  for (const code of ["REMOVED", "DEVICE_REVOKED", "LEFT", "GROUP_DELETED", "DEVICE_EXPIRED"]) {
    assert.ok(isGone(stopped(code)), code);
    const { kind, label, detail } = situation(stopped(code), { onLine: false, tried: true, reading: false });
    assert.equal(kind, "attention");
    assert.notEqual(label, "Needs attention");
    assert.match(detail, /^[A-Z].*\. What it has stays here, and nothing new comes\.$/);
  }
  for (const code of ["RELAY_KEY_CHANGED", "UNAUTHENTICATED", "constructor"]) assert.ok(!isGone(stopped(code)), code);
  assert.ok(!isGone({ connection: "online", stopped: null }));
  // A relay may say that it was removed; only a verified rotation says it by itself.
  assert.match(situation(stopped("DEVICE_REVOKED"), { onLine: true }).detail, /^The relay says/);
});

/** Every event that is a warning, in every way that it can come. */
const EVENTS = [
  ["unknownDevice", { deviceId: "p" }],
  ["inviteMisused", {}],
  ["restoreWaits", {}],
  ...["missing", "altered", "reordered", "repeated"].map((how) => ["chainBroken", { sender: "p", cursor: 7, how, from: 1, to: 2 }]),
  ["forked", { witness: "p", cursor: 7 }],
  ...["unreadable", "notAMember", "afterRemoval"].map((why) => ["blobRefused", { cursor: 7, sender: "p", why }]),
  ["rotationRefused", { cursor: 7, sender: "p" }],
  ["rotationWithheld", { epoch: 3 }],
];

test("every warning is a plain sentence, with a button where something can be done", () => {
  const nameOf = (device) => ({ p: "Phone" })[device];
  const said = EVENTS.map(([kind, detail]) => [kind, warning(withWarning([], kind, detail)[0], nameOf)]);
  for (const [kind, [text]] of said) {
    assert.match(text, /^[A-Z].*\.$/, kind);
    assert.doesNotMatch(text, /undefined|null/, kind);
  }
  assert.equal(new Set(said.map(([, [text]]) => text)).size, EVENTS.length, "each says something else");
  assert.deepEqual(new Set(said.map(([kind]) => kind)), new Set(warningKinds));
  const doable = said.filter(([, [, action]]) => action).map(([kind, [, action]]) => [kind, action]);
  assert.deepEqual(doable, [["unknownDevice", "Remove it"], ["inviteMisused", "Change the key"], ["restoreWaits", "Send again"]]);
  const nameless = new Set(["inviteMisused", "restoreWaits", "rotationWithheld"]);
  const named = said.filter(([kind, [text]]) => !nameless.has(kind) && !text.includes("Phone"));
  assert.deepEqual(named.map(([, [text]]) => text).filter((text) => !text.includes("none of yours")), []);
});

test("a relay cannot fill the page with warnings", () => {
  let list = [];
  for (let n = 0; n < 100; n += 1) {
    for (const [kind, detail] of EVENTS) {
      list = withWarning(list, kind, { ...detail, ...Object.fromEntries(["deviceId", "sender", "witness"].filter((key) => detail[key]).map((key) => [key, `${n % 50}`])) });
    }
  }
  assert.ok(list.length <= 3 * warningKinds.length, `${list.length} warnings`);
  const keys = list.map(({ kind, device }) => `${kind} ${device}`);
  assert.equal(new Set(keys).size, keys.length, "one of a kind about a device");
  for (const kind of warningKinds) assert.ok(list.some((one) => one.kind === kind), `${kind} is not crowded out`);
});

test("warnings go when they are dismissed, and some with a new key", () => {
  const list = EVENTS.reduce((list, [kind, detail]) => withWarning(list, kind, detail), []);
  const kinds = (list) => list.map(({ kind }) => kind);
  assert.deepEqual(kinds(without(list, { kind: "forked", device: "p" })), kinds(list).filter((kind) => kind !== "forked"));
  assert.deepEqual(without(list, { kind: "forked", device: "q" }), list);
  assert.deepEqual(kinds(settled(list)), ["restoreWaits", "chainBroken", "forked", "blobRefused", "rotationRefused"]);
});

test("when something was", () => {
  const now = new Date(2026, 9, 12, 14, 5);
  assert.equal(when(new Date(2026, 9, 12, 9, 3), now), "09:03");
  assert.equal(when(new Date(2025, 0, 2, 9, 3), now), "2 Jan 2025");
  assert.equal(whole(now), "12 Oct 2026, 14:05");
  assert.equal(since(new Date(2026, 9, 12, 14, 4, 30), now), "just now");
  assert.equal(since(new Date(2026, 9, 12, 12, 0), now), "2 hours ago");
  assert.equal(since(new Date(2026, 9, 11, 14, 5), now), "1 day ago");
});

test("errors are sentences that say what to do", () => {
  assert.equal(sentence(new Error("no network")), "No network.");
  for (const full of [new DOMException("", "QuotaExceededError"), { code: "STORAGE_FULL", message: "x" }]) {
    assert.match(sentence(full), /no room for more/);
  }
  assert.match(sentence({ code: "INVITE_NOT_FOUND", message: "no invite under this code" }), /^No invite under this code\. Ask for a new one/);
});

test("the relay is where the page is", () => {
  assert.equal(relayOf("https://a.example/join?x#v1.a.b"), "https://a.example");
  assert.equal(relayOf("https://a.example/"), "https://a.example");
  assert.equal(relayOf("http://localhost:8080/my/relay/join"), "http://localhost:8080/my/relay");
  assert.equal(relayOf("https://a.example/rejoin/"), "https://a.example/rejoin");
  const here = ["http://localhost:8080", "http://127.0.0.1/join#x", "http://[::1]:80", "http://tauri.localhost"];
  assert.deepEqual(here.map(isLocal), [true, true, true, true]);
  const elsewhere = ["https://a.example", "https://localhost.example", "http://10.127.0.1", "http://[::2]", "https://notlocalhost"];
  assert.deepEqual(elsewhere.map(isLocal), [false, false, false, false, false]);
});

test("codes and links are told apart", () => {
  assert.ok(isCode("k7qm-2xrt 9f3h-w8nd") && isCode("OIL0OIL0OIL0OIL0"));
  assert.ok(!isCode("K7QM-2XRT-9F3H-W8N") && !isCode("UUUU-UUUU-UUUU-UUUU"));
  assert.ok(isLink("https://a.example/join#v1.A.b") && isLink("app://sync?invite=AA"));
  assert.ok(!isLink("https://a.example/join") && !isLink("javascript:alert(1)"));
});
