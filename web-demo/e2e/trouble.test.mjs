// What a person notices when the network, the relay or the browser goes away.
import assert from "node:assert/strict";
import { test } from "node:test";

import { profile, roomSwitch, useBrowser } from "./lib/browser.mjs";
import { Notebook, pair } from "./lib/notebook.mjs";
import { Cli, Relay } from "./lib/relay.mjs";

useBrowser();

test("three notes written off-line arrive, each once", async (t) => {
  const relay = await Relay.start(t);
  const two = await profile(t);
  const [a, b] = await pair(relay, await profile(t), two);
  await two.setOffline(true);
  const texts = ["first off-line", "second off-line", "third off-line"];
  for (const text of texts) {
    await b.write(text);
    await b.sees(text);
  }
  await b.get("unsent").nth(2).waitFor();
  await two.setOffline(false);
  await a.sees(...texts);
  await b.nothingQueued();
  assert.equal(await a.get("note").count(), 3);
  await b.get("unsent").first().waitFor({ state: "detached" });
});

test("a relay that is killed and comes back is found again by the open page", async (t) => {
  const relay = await Relay.start(t);
  const [a, b] = await pair(relay, await profile(t), await profile(t));
  await a.write("before");
  await b.sees("before");
  await relay.kill();
  await a.get("state").filter({ hasText: /off-?line|connecting/i }).waitFor();
  await a.write("while it was away");
  await a.note("while it was away").getByTestId("unsent").waitFor();
  await relay.restart();
  await b.sees("while it was away");
  await a.online();
  await a.nothingQueued();
  assert.equal(await b.get("note").count(), 2);
});

test("a reload keeps who it is and what it has", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t);
  const [a, b] = await pair(relay, await profile(t), context);
  await a.write("kept");
  await b.sees("kept");
  await b.page.reload();
  await b.state("joined");
  await b.sees("kept");
  await b.write("the same device");
  await a.sees("the same device");
  assert.equal(await a.get("devices").getByRole("listitem").count(), 2);
  // Also with no relay at all: the page starts from what the browser has.
  await relay.kill();
  await b.page.reload();
  await b.state("joined");
  await b.sees("kept", "the same device");
});

test("an evicted store is named, and joining again brings the notes back", async (t) => {
  const relay = await Relay.start(t);
  const [a, b] = await pair(relay, await profile(t), await profile(t));
  await a.write("still there");
  await b.sees("still there");
  // What a browser does when it needs room.
  await b.page.goto(`${relay.url}/health`);
  await b.page.evaluate(async () => {
    for (const { name } of await indexedDB.databases()) {
      await new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase(name);
        request.onsuccess = resolve;
        request.onerror = reject;
      });
    }
  });
  await b.page.goto(relay.url);
  await b.get("evicted").waitFor();
  const { link } = await a.invite();
  await b.get("enter-text").fill(link);
  await b.get("enter-button").click();
  await b.join("Phone again");
  await b.sees("still there");
});

test("a browser that has no more room says so, and loses nothing", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t);
  await context.addInitScript(roomSwitch);
  const [a, b] = await pair(relay, await profile(t), context);
  await b.send("stored before");
  await a.sees("stored before");
  await b.page.evaluate(() => (globalThis.fits = () => false));
  await b.write("does not fit");
  await b.page.getByText("no room for more").waitFor();
  // It is there to be tried again. The client, too, may have been refused room, and have said so before.
  await b.page.waitForFunction((id) => document.getElementById(id).value === "does not fit", "new-note");
  await b.get("state").filter({ hasText: "Storage full" }).waitFor();
  // The client behind the page, too.
  const failed = await b.page.evaluate(async () => {
    const script = document.querySelector("script[type=module]").src;
    const { SyncClient } = await import(new URL("sync/index.js", script).href);
    const client = await SyncClient.open();
    const error = await client.push("no room").catch((error) => error);
    const { storage } = client.status();
    await client.close();
    return { name: error.name, code: error.code, storage };
  });
  assert.deepEqual(failed, { name: "SyncError", code: "STORAGE_FULL", storage: "full" });
  await a.send("came meanwhile");
  await b.page.evaluate(() => (globalThis.fits = () => true));
  await b.get("add-note").click();
  await a.sees("does not fit");
  await b.sees("came meanwhile");
  await b.online();
  await b.nothingQueued();
  assert.equal(await b.get("note").count(), 3);
});

test("notes that could not be stored are not taken as read, nor sent twice", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t);
  await context.addInitScript(roomSwitch);
  const [a, b] = await pair(relay, await profile(t), context);
  // There is room for what this device writes, and for nothing else of the notebook's.
  await b.page.evaluate(() => (globalThis.fits = (database, value) => database !== "notebook" || value.push === 1 || value.text === undefined));
  await b.write("written without room");
  await b.page.getByText("no room for more").waitFor();
  await a.sees("written without room");
  for (const text of ["first from afar", "second from afar"]) {
    await a.send(text);
  }
  await b.page.evaluate(() => (globalThis.fits = () => true));
  await b.write("there is room again");
  await b.sees("first from afar", "second from afar");
  await a.sees("there is room again");
  await b.nothingQueued();
  const cli = await Cli.init(t, relay, "terminal");
  await cli.run("pair", "--join", (await a.invite()).link);
  const { blobs } = await cli.json("pull", "--after-cursor", "0");
  assert.deepEqual(blobs.map(({ text }) => text.split("\n")[0]), [
    "written without room",
    "first from afar",
    "second from afar",
    "there is room again",
  ]);
});

test("a page without a secure context says why it cannot work", async (t) => {
  const relay = await Relay.start(t, { env: { SYNC_RELAY_SERVER__BIND: "127.0.0.1:0" } });
  const context = await profile(t);
  // A name that is this machine and that no browser takes for it.
  const page = await context.newPage();
  await page.route("http://notebook.lan/**", async (route) => {
    const url = route.request().url().replace("http://notebook.lan", relay.url);
    await route.fulfill({ response: await route.fetch({ url }) });
  });
  await page.goto("http://notebook.lan/");
  assert.equal(await page.evaluate(() => isSecureContext), false);
  const notebook = new Notebook(page);
  await notebook.state("error");
  await notebook.get("problem").filter({ hasText: /https/i }).waitFor();
});

test("a note that went out under other names and was refused is not taken for sent", async (t) => {
  const relay = await Relay.start(t);
  const notebook = await Notebook.open(await profile(t), relay.url);
  await notebook.state("empty");
  const found = await notebook.page.evaluate(async () => {
    const script = document.querySelector("script[type=module]").src;
    const { Notebook } = await import(new URL("data/notebook.js", script).href);
    const { book } = await Notebook.open("a device");
    const note = await book.write({ id: "note", text: "Milk" }, "dev");
    // Renamed before the notebook knew the first name, and once more afterwards.
    await book.renamed("first", "second");
    await book.pushed(note, "first");
    await book.renamed("second", "third");
    const refused = [await book.refusedBlob("second", "CONFLICT"), await book.refusedBlob("third", "CONFLICT")];
    // Refused before the notebook knew that it had gone out.
    const late = await book.write({ id: "late", text: "Bread" }, "dev");
    refused.push(await book.refusedBlob("fast", "BLOB_TOO_LARGE"));
    await book.pushed(late, "fast");
    await book.settle();
    const kept = await book.get(["note", "late"]);
    book.close();
    return { refused, kept: kept.map(({ refused, at }) => [refused, at]) };
  });
  assert.deepEqual(found, { refused: [false, true, false], kept: [["CONFLICT", 0], ["BLOB_TOO_LARGE", 0]] });
});
