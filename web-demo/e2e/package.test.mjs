// The npm package: what its types say is there, what its README shows works, and it packs.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { SyncClient, SyncError } from "../../client-wasm/pkg/index.js";
import { profile, useBrowser } from "./lib/browser.mjs";
import { Relay } from "./lib/relay.mjs";

useBrowser();

const PACKAGE = new URL("../../client-wasm/", import.meta.url);
const source = (name) => readFile(new URL(name, PACKAGE), "utf8");
const all = (text, pattern) => [...text.matchAll(pattern)].map(([, found]) => found);
const sorted = (names) => [...new Set(names)].sort();

/** The body of a declaration in the types. */
function body(types, declaration) {
  const start = types.indexOf(declaration);
  assert.ok(start >= 0, declaration);
  return types.slice(start, types.indexOf("\n}", start));
}

/** The package and a page, on a server for files and nothing more. */
async function serve(t, page) {
  const types = { ".js": "text/javascript", ".wasm": "application/wasm" };
  const server = createServer(async ({ url }, answer) => {
    if (!url.startsWith("/pkg/")) return answer.setHeader("content-type", "text/html").end(page);
    try {
      const file = await readFile(new URL(`.${url}`, PACKAGE));
      answer.setHeader("content-type", types[extname(url)] ?? "text/plain").end(file);
    } catch {
      answer.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}/`;
}

test("the types name every member, event and error code that there is", async () => {
  const types = await source("js/index.d.ts");
  const client = body(types, "export class SyncClient {");
  const declared = all(client, /^  (?:readonly )?(\w+)(?:<[^(]*>)?[(:?]/gm);
  const own = Object.getOwnPropertyNames(SyncClient.prototype).filter((name) => name !== "constructor");
  assert.deepEqual(sorted(declared), sorted(own));
  const statics = Object.getOwnPropertyNames(SyncClient).filter((name) => !["length", "name", "prototype"].includes(name));
  assert.deepEqual(sorted(all(client, /^  static (\w+)\(/gm)), sorted(statics));

  const scripts = (await Promise.all(["client.js", "tabs.js", "storage.js", "errors.js", "argon2.js", "wasm.js"].map((name) => source(`js/${name}`)))).join("");
  const events = sorted(all(body(types, "export interface SyncEvents {"), /^  (\w+):/gm));
  const told = all(`${scripts}${await source("src/driver/view.rs")}${await source("src/values.rs")}`, /(?:tell\(|event\(|[{>(]\s*\(?)"([a-z]+[A-Z]?\w*)",/g);
  for (const event of events) assert.ok(told.includes(event), `${event} is never told`);

  const codes = all(body(types, "export type ErrorCode ="), /"([A-Z_]+)"/g);
  const refusals = all(await source("../crates/sync-types/src/code.rs"), /^    \w+ = \d+, "([A-Z_]+)";/gm);
  assert.ok(refusals.includes("BAD_REQUEST") && refusals.includes("BEHIND"), "the protocol's table of refusals is there");
  const errors = all(await source("src/error.rs"), /(?:=>|\{) "([A-Z_]+)"/g);
  const fromScripts = [...all(scripts, /SyncError\(\s*(?:code \?\? )?"([A-Z_]+)"/g), ...all(scripts, /code: "([A-Z_]+)"/g)];
  const thrown = [...refusals, ...errors, ...fromScripts];
  assert.deepEqual(sorted(codes), sorted(thrown));
  assert.ok(SyncError.prototype instanceof Error);
});

test("the page in the README works as it stands", async (t) => {
  const relay = await Relay.start(t);
  const readme = await source("README.md");
  const [, page] = /```html\n([^]*?)```/.exec(readme);
  assert.ok(page.includes("https://relay.example"));
  const url = await serve(t, page.replace("https://relay.example", relay.url));
  const open = async () => {
    const tab = await (await profile(t)).newPage();
    await tab.goto(url);
    return tab;
  };
  const [a, b] = [await open(), await open()];
  await a.getByLabel("Text").fill("Milk");
  await a.getByRole("button", { name: "Add", exact: true }).click();
  await a.getByRole("listitem").filter({ hasText: "Milk" }).waitFor();
  await a.getByRole("button", { name: "Add a device" }).click();
  const link = await a.locator("#link:not(:empty)").innerText();
  await b.getByLabel("Link or code").fill(link);
  await b.getByRole("button", { name: "Join" }).click();
  await b.getByRole("listitem").filter({ hasText: "Milk" }).waitFor();
  await b.getByLabel("Text").fill("Bread");
  await b.getByRole("button", { name: "Add", exact: true }).click();
  for (const tab of [a, b]) {
    await tab.getByRole("listitem").nth(1).waitFor();
    assert.deepEqual(await tab.getByRole("listitem").allInnerTexts(), ["Milk", "Bread"]);
  }
});

test("the API checks what it is given, and says what is wrong", async (t) => {
  const relay = await Relay.start(t);
  const page = await (await profile(t)).newPage();
  await page.goto(await serve(t, "<!doctype html>"));
  const found = await page.evaluate(async (relay) => {
    const { SyncClient, SyncError } = await import("/pkg/index.js");
    const client = await SyncClient.open({ name: "one", relay });
    const code = async (what) => {
      try {
        await what();
        return "nothing thrown";
      } catch (error) {
        return error instanceof SyncError && error instanceof Error && error.name === "SyncError" ? error.code : String(error);
      }
    };
    const heard = [];
    const off = client.on("pushAcked", ({ cursor }) => heard.push(cursor));
    const bytes = Uint8Array.of(0, 255, 7);
    const text = await (await client.push("text")).acked();
    off();
    const binary = await (await client.push(bytes, { ttl: 60 })).acked();
    const log = await client.pull(0);
    const invite = await client.createInvite();
    await client.revokeInvite(invite);
    const result = {
      bad: await Promise.all([-1, 0.5, 2 ** 53, "1", null, NaN].map((cursor) => code(() => client.pull(cursor)))),
      badData: await code(() => client.push(7)),
      badTtl: await code(() => client.push("x", { ttl: -1 })),
      badName: await code(() => SyncClient.open({ store: "two", name: "x".repeat(63) })),
      again: await code(() => client.join(invite.link)),
      revoked: await code(() => client.revokeInvite(invite)),
      nothing: await code(() => client.revokeInvite()),
      noInvite: await code(() => client.revokeInvite({ ...invite })),
      event: await code(() => client.on("connected", 1)),
      inUse: await code(() => SyncClient.erase()),
      log: log.blobs.map((blob) => [blob.cursor, [...blob.data], blob.timestamp instanceof Date]),
      reach: [log.maxCursor, log.hasMore, text, binary, heard.includes(text), heard.includes(binary)],
      own: (await client.pull()).blobs.length,
      devices: (await client.devices()).map(({ name, platform, thisDevice, online }) => ({ name, platform, thisDevice, online })),
      invite: [/^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/.test(invite.code), invite.link.includes("/join#v1."), invite.appUrl("notes").startsWith("notes://sync?invite=")],
      links: [
        invite.linkTo("https://notes.example/app/") === `https://notes.example/app/join#${invite.link.split("#")[1]}.${relay}`,
        invite.linkTo(`${relay}/`) === invite.link,
      ],
      badPages: await Promise.all(["notes.example", "notes://x", "https://a@b.c", "https://x/?y", "https://x/#y"].map((page) => code(() => invite.linkTo(page)))),
      badScheme: await code(() => invite.appUrl("a b")),
    };
    const other = await SyncClient.open({ store: "three" });
    result.badInvite = await code(() => other.join("K7QM"));
    result.noRelay = await code(() => other.join(invite.code));
    await other.close();
    await client.flush();
    await client.close();
    result.closed = await code(() => client.push("late"));
    result.exists = [await SyncClient.exists(), await SyncClient.exists("two")];
    await SyncClient.erase();
    result.exists.push(await SyncClient.exists());
    return result;
  }, relay.url);
  const bad = "BAD_ARGUMENT";
  assert.deepEqual(found, {
    bad: [bad, bad, bad, bad, bad, bad],
    badData: bad,
    badTtl: bad,
    badInvite: "INVITE_TEXT",
    noRelay: "NO_RELAY",
    badName: bad,
    again: "ALREADY_IN_GROUP",
    revoked: "INVITE_NOT_FOUND",
    nothing: "NOTHING_TO_REVOKE",
    noInvite: bad,
    event: bad,
    inUse: bad,
    log: [
      [2, [...Buffer.from("text")], true],
      [3, [0, 255, 7], true],
    ],
    reach: [3, false, 2, 3, true, false],
    own: 0,
    devices: [{ name: "one", platform: "web", thisDevice: true, online: true }],
    invite: [true, true, true],
    links: [true, true],
    badPages: [bad, bad, bad, bad, bad],
    badScheme: bad,
    closed: "CLOSED",
    exists: [true, false, false],
  });
});

test("npm packs everything that is needed", async () => {
  const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json"], { cwd: fileURLToPath(PACKAGE) });
  const [{ files }] = JSON.parse(stdout);
  const packed = files.map(({ path }) => path);
  const needed = ["package.json", "README.md", "pkg/index.js", "pkg/index.d.ts", "pkg/sync_client_wasm_bg.wasm", "pkg/LICENSE-MIT", "pkg/LICENSE-APACHE"];
  for (const path of needed) assert.ok(packed.includes(path), path);
  const { exports, types } = JSON.parse(await source("package.json"));
  for (const path of [exports["."].default, exports["."].types, types]) assert.ok(packed.includes(path.slice(2)), path);
});
