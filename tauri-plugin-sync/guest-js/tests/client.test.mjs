// The webview's side against a plugin that is played here.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";

const STATUS = { revision: 1, connection: "online", stopped: null, deviceId: "me", lastCursor: 0, pendingPush: 0 };

/** Plays the plugin: what it answers by command, and how it tells events. */
function play(answers = {}) {
  const calls = [];
  const heard = new Map();
  const ofWindow = new Map();
  let status = STATUS;
  const known = {
    open: () => ({ status, missed: [] }),
    status: () => status,
    ...answers,
  };
  globalThis.window = globalThis;
  globalThis.navigator ??= {};
  globalThis.addEventListener = (name, listener) => ofWindow.set(name, listener);
  globalThis.__TAURI_EVENT_PLUGIN_INTERNALS__ = { unregisterListener: () => {} };
  globalThis.__TAURI_INTERNALS__ = {
    transformCallback: (callback) => heard.set(heard.size, callback).size - 1,
    unregisterCallback: () => {},
    invoke: async (name, args, options) => {
      if (name.startsWith("plugin:event|")) return 0;
      const command = name.slice("plugin:sync|".length);
      calls.push({ command, args, options });
      return known[command](args);
    },
  };
  return {
    calls,
    fire: (name) => ofWindow.get(name)(),
    set: (change) => (status = { ...status, ...change }),
    tell: (name, detail = {}, at = status) => heard.forEach((callback) => callback({ payload: { name, detail, status: at } })),
  };
}

const { SyncClient, SyncError } = await import("../../dist-js/index.js");

/** A page as the plugin sends it. */
function sent(blobs, head) {
  const blobHeads = blobs.map((data, index) => ({ cursor: index + 1, blobId: "b", sender: "s", timestamp: 5, len: data.length }));
  const json = new TextEncoder().encode(JSON.stringify({ ...head, blobs: blobHeads }));
  const bytes = new Uint8Array([0, 0, json.length >> 8, json.length & 255, ...json, ...blobs.flat()]);
  return bytes;
}

test("a push that is acknowledged before its id is known has its cursor", async () => {
  const plugin = play({
    push: () => {
      plugin.set({ revision: 2, pendingPush: 0 });
      plugin.tell("pushAcked", { blobId: "b1", cursor: 7 });
      return "b1";
    },
  });
  const client = await SyncClient.open();
  const receipt = await client.push("text", { ttl: 60 });
  assert.equal(receipt.blobId, "b1");
  assert.equal(await receipt.acked(), 7);
  const { args, options } = plugin.calls.find(({ command }) => command === "push");
  assert.deepEqual([new TextDecoder().decode(args), options.headers], ["text", { "sync-ttl": "60" }]);
});

test("a push that is refused for good rejects with the code, also under another id", async () => {
  const plugin = play({ push: () => "b1" });
  const client = await SyncClient.open();
  const receipt = await client.push(new Uint8Array([1]));
  plugin.tell("pushRenamed", { from: "b1", to: "b2" });
  plugin.tell("pushRejected", { blobId: "b2", code: "TOO_LARGE" });
  await assert.rejects(receipt.acked(), { name: "SyncError", code: "TOO_LARGE" });
});

test("after a call the status is the newer one, and what is told late does not take it back", async () => {
  const plugin = play({ ack: () => plugin.set({ revision: 3, lastCursor: 9 }) && null });
  const client = await SyncClient.open();
  await client.ack(9);
  assert.equal(client.lastCursor, 9);
  plugin.tell("blobAvailable", { cursor: 9 }, { ...STATUS, revision: 2, lastCursor: 4 });
  assert.equal(client.lastCursor, 9);
  const { leader, persisted, stopped } = client.status();
  assert.deepEqual([leader, persisted, stopped], [true, true, null]);
});

test("each other status is told once, whichever way it came", async () => {
  const plugin = play({ ack: () => plugin.set({ revision: 2, lastCursor: 9 }) && null });
  const client = await SyncClient.open();
  const told = [];
  client.on("statusChanged", ({ lastCursor }) => told.push(lastCursor));
  plugin.tell("statusChanged");
  await client.ack(9);
  plugin.tell("connected");
  plugin.tell("statusChanged");
  assert.deepEqual(told, [9]);
});

test("pages come as bytes or as numbers, and the next call and the acknowledgement name the end of the last one", async () => {
  const pages = [sent([[104, 105], []], { generation: 2, maxCursor: 4, hasMore: true }), sent([], { generation: 2, maxCursor: 4, hasMore: false })];
  const plugin = play({ ack: () => null, pull: () => (pages.length === 2 ? pages.shift().buffer : [...pages.shift()]) });
  const client = await SyncClient.open();
  const first = await client.pull();
  assert.deepEqual(first.blobs.map((blob) => blob.text()), ["hi", ""]);
  assert.deepEqual([first.blobs[0].timestamp, first.maxCursor, first.hasMore], [new Date(5), 4, true]);
  assert.equal((await client.pull()).hasMore, false);
  const asked = plugin.calls.filter(({ command }) => command === "pull").map(({ args }) => args.has);
  assert.deepEqual(asked, [null, { generation: 2, cursor: 4 }]);
  await client.ack(4);
  assert.deepEqual(plugin.calls.find(({ command }) => command === "ack").args, { cursor: 4, generation: 2 });
});

test("the plugin hears that the network is back, until the client is closed", async () => {
  const plugin = play({ woke: () => null });
  const woke = () => plugin.calls.filter(({ command }) => command === "woke").length;
  const client = await SyncClient.open();
  plugin.fire("online");
  assert.equal(woke(), 1);
  await client.close();
  plugin.fire("online");
  assert.equal(woke(), 1);
});

test("what fails is an error with a code", async () => {
  const fail = (thrown) => () => Promise.reject(thrown);
  play({
    connect: fail({ code: "TOO_MANY_REQUESTS", message: "wait", retryAfterMs: 5000 }),
    leave: fail("sync.leave not allowed. Permissions associated with this command: sync:allow-leave"),
    rotate: fail("sync.rotate explicitly denied on origin local\n\nreferenced by: capability: main"),
    flush: fail("invalid args `timeoutMs` for command `flush`"),
  });
  const client = await SyncClient.open();
  await assert.rejects(client.connect(), { code: "TOO_MANY_REQUESTS", message: "wait", retryAfterMs: 5000 });
  await assert.rejects(client.leave(), { code: "NOT_ALLOWED" });
  await assert.rejects(client.rotate(), { code: "NOT_ALLOWED" });
  await assert.rejects(client.flush(), (error) => error instanceof SyncError && error.code === "BAD_ARGUMENT");
  await assert.rejects(client.push(1), { code: "BAD_ARGUMENT" });
  await client.close();
  await assert.rejects(client.ack(1), { code: "CLOSED" });
});

test("a page that knows the browser's client finds its methods and events here", async () => {
  const read = (path) => readFile(new URL(path, import.meta.url), "utf8");
  const [browser, own] = await Promise.all(["../../../client-wasm/js/index.d.ts", "../types.ts"].map(read));
  const block = (text, head) => text.slice(text.indexOf(head)).split("\n}")[0];
  const names = (text, pattern) => [...text.matchAll(pattern)].map(([, name]) => name).sort();
  const methods = names(block(browser, "export class SyncClient"), /^  (?!private|readonly)(?:static )?(\w+)[(<]/gm);
  assert.ok(methods.includes("trustRelay") && methods.includes("open"));
  assert.deepEqual(methods.filter((name) => !(name in SyncClient || name in SyncClient.prototype)), []);
  const events = (text) => names(block(text, "export interface SyncEvents"), /^  (\w+):/gm);
  assert.deepEqual(events(own), events(browser));
});

test("another key of the relay is trusted, and a group is deleted, by a command each", async () => {
  const plugin = play({ trust_relay: () => null, delete_group: () => null });
  const client = await SyncClient.open();
  await client.trustRelay("KEY");
  await client.deleteGroup();
  const asked = plugin.calls.filter(({ command }) => !["open", "status"].includes(command));
  assert.deepEqual(asked.map(({ command, args }) => [command, args]), [["trust_relay", { key: "KEY" }], ["delete_group", {}]]);
});

test("what is done is done in a window that may not ask how things stand", async () => {
  const refuse = () => Promise.reject("sync.status not allowed. Permissions associated with this command: sync:allow-status");
  const plugin = play({ push: () => "b1", status: refuse });
  const client = await SyncClient.open();
  const receipt = await client.push("text");
  plugin.tell("pushAcked", { blobId: "b1", cursor: 7 }, { ...STATUS, revision: 2, lastCursor: 3 });
  assert.equal(await receipt.acked(), 7);
  assert.equal(client.lastCursor, 3);
});

test("a client whose device is gone is closed, and says so unless it leaves itself", async () => {
  const plugin = play({ push: () => "b1", leave: () => plugin.tell("ended", { deviceId: "me" }) });
  for (const leaves of [false, true]) {
    const client = await SyncClient.open();
    const errors = [];
    client.on("error", ({ code }) => errors.push(code));
    const receipt = await client.push("text");
    if (leaves) await client.leave();
    else plugin.tell("ended", { deviceId: "me" });
    await assert.rejects(receipt.acked(), { code: "CLOSED" });
    await assert.rejects(client.push("more"), { code: "CLOSED" });
    assert.deepEqual(errors, leaves ? [] : ["CLOSED"]);
  }
  assert.equal(plugin.calls.filter(({ command }) => command === "push").length, 2);
});

test("what is said of the device before means nothing to who has opened the next one", async () => {
  const plugin = play({
    open: () => {
      plugin.tell("ended", { deviceId: "old" }, { ...STATUS, deviceId: "old", revision: 9 });
      return { status: { ...STATUS, revision: 8 }, missed: [] };
    },
  });
  const client = await SyncClient.open();
  plugin.tell("statusChanged", {}, { ...STATUS, deviceId: "old", revision: 10 });
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(client.status().deviceId, "me");
  plugin.set({ revision: 11, lastCursor: 5 });
  plugin.tell("statusChanged");
  assert.equal(client.lastCursor, 5);
});

test("what nobody has heard yet is told to who opens and then listens", async () => {
  const plugin = play({
    open: () => {
      plugin.tell("unknownDevice", { deviceId: "two" });
      return { status: STATUS, missed: [{ name: "inviteMisused", detail: {} }] };
    },
  });
  const client = await SyncClient.open();
  const told = [];
  client.on("event", ({ name }) => told.push(name));
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(told, ["inviteMisused", "unknownDevice"]);
});

test("an invite's link can lead to a page of one's own", async () => {
  const relay = "https://relay.example/below";
  play({ create_invite: () => ({ id: 1, code: "C", link: `${relay}/join#v1.L.K`, appUrl: "://sync?invite=D", expiresAt: 5 }) });
  const client = await SyncClient.open();
  const invite = await client.createInvite();
  assert.equal(invite.linkTo("https://notes.example/app/"), `https://notes.example/app/join#v1.L.K.${relay}`);
  assert.equal(invite.linkTo(relay), invite.link);
  for (const page of ["notes.example", "notes://x", "https://a@b.c", "https://x/?y", "https://x/#y"]) {
    assert.throws(() => invite.linkTo(page), { code: "BAD_ARGUMENT" });
  }
  await client.close();
});
