// Two tabs of one profile are one device.
import assert from "node:assert/strict";
import { test } from "node:test";

import { profile, useBrowser } from "./lib/browser.mjs";
import { Notebook, pair } from "./lib/notebook.mjs";
import { Relay } from "./lib/relay.mjs";

useBrowser();

test("a second tab follows, and takes over when the first closes", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t);
  const [a, first] = await pair(relay, await profile(t), context);
  const second = await Notebook.open(context, relay.url);
  await second.state("joined");
  await second.online();
  await second.write("from the second tab");
  await a.sees("from the second tab");
  await first.sees("from the second tab");
  await a.write("for both tabs");
  await first.sees("for both tabs");
  await second.sees("for both tabs");
  assert.equal(await a.get("devices").getByRole("listitem").count(), 2, "two tabs are one device");

  await first.page.close();
  await second.write("after the first has closed");
  await a.sees("after the first has closed");
  await a.write("and back");
  await second.sees("and back");
  assert.equal(await a.get("note").count(), 4);
});

test("the next tab leads when the leading one crashes", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t);
  const [a, first] = await pair(relay, await profile(t), context);
  const second = await Notebook.open(context, relay.url);
  await second.online();
  const devtools = await context.newCDPSession(first.page);
  const crashed = first.page.waitForEvent("crash");
  // Its answer never comes.
  devtools.send("Page.crash").catch(() => {});
  await crashed;
  await second.write("after the crash");
  await a.sees("after the crash");
  await a.write("heard");
  await second.sees("heard");
  assert.equal(await a.get("devices").getByRole("listitem").count(), 2);
});

test("what a following tab pushes while the leading one closes arrives once", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t);
  const [a, first] = await pair(relay, await profile(t), context);
  const second = await Notebook.open(context, relay.url);
  await second.state("joined");
  await second.online();
  const script = await second.page.evaluate(() => document.querySelector("script[type=module]").src);
  const module = new URL("sync/index.js", script).href;
  // The package itself, in a store of its own, beside the page.
  const open = (page) =>
    page.evaluate(async ([module, relay]) => {
      const { SyncClient } = await import(module);
      globalThis.client = await SyncClient.open({ store: "race", relay, name: "race" });
      return globalThis.client.status().leader;
    }, [module, relay.url]);
  assert.equal(await open(first.page), true);
  assert.equal(await open(second.page), false);
  await first.page.evaluate(async () => (await globalThis.client.push("zero")).acked());
  const pushes = second.page.evaluate(async () => {
    const receipts = [];
    const pushes = Array.from({ length: 40 }, (_, n) =>
      globalThis.client.push(`race ${n}`).then((receipt) => receipts.push(receipt.acked())),
    );
    await Promise.all(pushes);
    const cursors = await Promise.all(receipts);
    return cursors;
  });
  await first.page.close();
  const cursors = await pushes;
  // It leads now, if it did not have to already.
  await second.page.waitForFunction(() => globalThis.client.status().leader);
  assert.equal(new Set(cursors).size, 40);
  const log = await second.page.evaluate(async () => {
    const texts = [];
    let after = 0;
    for (;;) {
      const page = await globalThis.client.pull(after);
      texts.push(...page.blobs.map((blob) => blob.text()));
      after = page.maxCursor;
      if (!page.hasMore) return texts;
    }
  });
  const expected = ["zero", ...Array.from({ length: 40 }, (_, n) => `race ${n}`)];
  assert.deepEqual([...log].sort(), expected.sort());
  await a.page.close();
});
