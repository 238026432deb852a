// How long a person waits. Prints figures; asserts nothing. `cargo xtask bench-page`.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { randomBytes } from "node:crypto";

import { profile, useBrowser } from "./lib/browser.mjs";
import { Notebook } from "./lib/notebook.mjs";
import { Cli, Relay, folder } from "./lib/relay.mjs";

useBrowser();

const say = (name, value, unit) => console.log(`${name}: ${value} ${unit}`);

/** Counts what keeps the page from answering for more than 50 ms. */
const watch = () => {
  globalThis.freezes = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) globalThis.freezes.push(Math.round(duration));
  }).observe({ type: "longtask", buffered: true });
};

const marked = (page) =>
  page.waitForFunction(() => performance.getEntriesByName("in-sync")[0]?.startTime, null, { timeout: 300_000 });

/** Presses Join as soon as there is something to press. */
const joinAtOnce = () => {
  const look = () => {
    const button = document.querySelector('[data-state="empty"] #join:not([hidden]) [data-testid="join-button"]');
    if (button) button.click();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
};

test("from navigation with a cold cache to 100 notes", async (t) => {
  const relay = await Relay.start(t, { env: { RUST_LOG: "warn" } });
  const cli = await Cli.init(t, relay, "terminal");
  for (let n = 0; n < 100; n += 1) await cli.run("push", `note ${n}`);
  const totals = [];
  for (let round = 0; round < 5; round += 1) {
    const { link } = await cli.json("pair", "--create");
    const context = await profile(t);
    await context.addInitScript(watch);
    await context.addInitScript(joinAtOnce);
    const notebook = await Notebook.open(context, link);
    const total = await (await marked(notebook.page)).jsonValue();
    await notebook.get("notes").getByRole("listitem").nth(99).waitFor();
    say(`  round ${round}`, total.toFixed(0), "ms");
    say("  freezes over 50 ms", JSON.stringify(await notebook.page.evaluate(() => globalThis.freezes)), "ms");
    totals.push(total);
    await context.close();
  }
  totals.sort((one, other) => one - other);
  say("from navigation with a cold cache, over Join, to in sync with 100 notes, median", totals[2].toFixed(0), "ms (at most 1500)");
});

test("making an invite, and joining by its code", async (t) => {
  const relay = await Relay.start(t, { env: { RUST_LOG: "warn" } });
  const [one, two] = [await profile(t), await profile(t)];
  for (const context of [one, two]) await context.addInitScript(watch);
  const a = await Notebook.open(one, relay.url);
  await a.start("Laptop");
  const { code } = await a.invite();
  const b = await Notebook.open(two, relay.url);
  await b.get("enter-text").fill(code);
  await b.get("enter-button").click();
  await b.join("Phone");
  await a.get("invite-joined").waitFor();
  for (const [who, notebook] of [["inviting", a], ["joining", b]]) {
    say(`freezes over 50 ms while ${who}`, JSON.stringify(await notebook.page.evaluate(() => globalThis.freezes)), "ms");
  }
});

test("a first sync of 100 MB", { timeout: 600_000 }, async (t) => {
  const room = { SYNC_RELAY_STORAGE__MAX_GROUP_STORAGE: "300MiB", RUST_LOG: "warn" };
  const relay = await Relay.start(t, { env: room });
  const cli = await Cli.init(t, relay, "terminal");
  const dir = await folder(t);
  const file = join(dir, "text");
  for (let n = 0; n < 100; n += 1) {
    // Text that does not compress.
    await writeFile(file, randomBytes(500_000).toString("hex"));
    await cli.run("push", "--file", file);
  }
  const context = await profile(t);
  await context.addInitScript(watch);
  const page = await Notebook.open(context, (await cli.json("pair", "--create")).link);
  await page.get("join-name").fill("Browser");
  const start = await page.page.evaluate(() => performance.now());
  await page.get("join-button").click();
  await page.get("progress").waitFor();
  const end = await (await marked(page.page)).jsonValue();
  say("first sync of 100 MB", ((end - start) / 1000).toFixed(1), "s");
  say("freezes over 50 ms", JSON.stringify(await page.page.evaluate(() => globalThis.freezes)), "ms");
});
