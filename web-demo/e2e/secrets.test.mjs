// The secret stays in the browser: everything that the tunnel and the relay see is searched for it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import { profile, useBrowser } from "./lib/browser.mjs";
import { leaks } from "./lib/leak.mjs";
import { Notebook } from "./lib/notebook.mjs";
import { Relay } from "./lib/relay.mjs";
import { Tap } from "./lib/tap.mjs";

useBrowser();

const NOTE = `A note that nobody else reads: ${randomBytes(12).toString("hex")}`;

/** The group's secret, from the row of the local store that holds it. */
async function groupSecret(notebook) {
  const row = await notebook.page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const open = indexedDB.open("sync-relay");
        open.onerror = () => reject(open.error);
        open.onsuccess = () => {
          const all = open.result.transaction("rows").objectStore("rows").openCursor();
          const rows = [];
          all.onsuccess = () => {
            const cursor = all.result;
            if (!cursor) return resolve(rows);
            rows.push([[...new Uint8Array(cursor.key)], [...new Uint8Array(cursor.value)]]);
            cursor.continue();
          };
        };
      }),
  );
  // The group's row has the key 3; it ends with its newest secret, a MessagePack bin of 32 bytes, and a 0: the
  // earliest epoch of which a newcomer may read.
  const [, value] = row.find(([key]) => key.length === 1 && key[0] === 3);
  const bytes = Buffer.from(value);
  assert.deepEqual([...bytes.subarray(-35, -33), bytes.at(-1)], [0xc4, 32, 0], "the row ends with a secret");
  return bytes.subarray(-33, -1);
}

test("neither the tunnel nor the relay learns a key or a text", async (t) => {
  const relay = await Relay.start(t, { recording: true });
  const tap = await Tap.open(t, relay.port);
  const a = await Notebook.open(await profile(t), tap.url);
  await a.start("Laptop of Ada");
  const { link, code } = await a.invite();
  const b = await Notebook.open(await profile(t), link);
  await b.join("Phone of Ada");
  await a.get("invite-joined").waitFor();
  await a.closeInvite();
  await a.write(NOTE);
  await b.sees(NOTE);
  await b.nothingQueued();

  const secrets = {
    "the link's key": Buffer.from(link.split("#")[1].split(".")[2], "base64url"),
    "the group's secret": await groupSecret(a),
    "the note's text": Buffer.from(NOTE),
    "a device's name": Buffer.from("Laptop of Ada"),
    "the code": Buffer.from(code),
  };
  assert.deepEqual(await groupSecret(b), secrets["the group's secret"]);
  assert.equal(secrets["the link's key"].length, 32);
  const look = async () => [
    ...tap.places(),
    ...(await relay.envelopes()).map((envelope, n) => [`envelope ${n}`, envelope]),
    ...(await relay.everything()),
  ];

  // There is something to be found in: requests, frames, envelopes, a database, a log.
  const sent = Buffer.concat(tap.places().map(([, bytes]) => bytes)).toString("latin1");
  assert.match(sent, /GET \/invite\/[0-9A-Z]{26} /);
  assert.match(sent, /POST \/invite /);
  assert.ok(tap.frameCount() > 10);
  assert.ok((await relay.envelopes()).length >= 6, "two HELLOs, two announcements, a note, acknowledgements");
  assert.ok((await relay.everything()).some(([name, bytes]) => name.startsWith("relay.db") && bytes.length > 4096));
  assert.match(relay.log, /let in/);
  const seen = await look();
  for (const [name, secret] of Object.entries(secrets)) assert.deepEqual(leaks(secret, seen), [], name);

  // And the search does find what leaks: in a request, and inside the channel.
  const planted = secrets["the link's key"].subarray(5, 13);
  await b.page.evaluate((text) => fetch(`health?x=${text}`), `zz${planted.toString("base64url")}`);
  assert.ok(leaks(secrets["the link's key"], tap.places()).length > 0, "a leak into a request is found");
  const kept = async (named) => (await relay.everything()).filter(([name]) => named.test(name));
  const known = await (await fetch(`${relay.url}/.well-known/sync-relay`)).json();
  const key = Buffer.from(known.public_key, "base64url");
  assert.ok(leaks(key, await kept(/^log$/)).length > 0, "what is in the log is found: the relay's own public key");
  await fetch(`${relay.url}/invite`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      lookup_key: "0123456789ABCDEFGHJKMNPQRS",
      encrypted_payload: secrets["the note's text"].toString("base64url"),
      expires: Math.floor(Date.now() / 1000) + 300,
    }),
  });
  assert.ok(leaks(secrets["the note's text"], await kept(/^relay\.db/)).length > 0, "a leak into the database is found");
  const script = await b.page.evaluate(() => document.querySelector("script[type=module]").src);
  await b.page.evaluate(
    async ([module, relay, accessToken]) => {
      const { SyncClient } = await import(module);
      const client = await SyncClient.open({ store: "leaky", relay, accessToken });
      await (await client.push("x")).acked();
      await client.close();
    },
    [new URL("sync/index.js", script).href, tap.url, secrets["the group's secret"].toString("hex")],
  );
  assert.ok(
    leaks(secrets["the group's secret"], (await relay.envelopes()).map((envelope) => ["envelope", envelope])).length > 0,
    "a leak into the channel is found",
  );
});

test("the search finds a secret in every form", () => {
  const secret = randomBytes(32);
  const base32 = (bytes, alphabet) => {
    let bits = "";
    for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
    return bits.match(/.{1,5}/g).map((five) => alphabet[parseInt(five.padEnd(5, "0"), 2)]).join("");
  };
  const forms = [
    (bytes) => bytes,
    (bytes) => bytes.toString("hex"),
    (bytes) => bytes.toString("hex").toUpperCase(),
    (bytes) => bytes.toString("base64"),
    (bytes) => bytes.toString("base64url"),
    (bytes) => base32(bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    (bytes) => base32(bytes, "0123456789ABCDEFGHJKMNPQRSTVWXYZ").toLowerCase(),
  ];
  for (const form of forms) {
    for (let before = 0; before < 5; before += 1) {
      const part = Buffer.concat([randomBytes(before), secret.subarray(9, 17), randomBytes(3)]);
      assert.ok(leaks(secret, [["here", Buffer.from(form(part))]]).length > 0, `${form} after ${before}`);
      assert.deepEqual(leaks(randomBytes(32), [["here", Buffer.from(form(part))]]), []);
    }
  }
});
