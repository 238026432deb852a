// How long a person waits. Prints figures; asserts nothing. `cargo xtask bench-page`.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { randomBytes } from "node:crypto";

import { profile, useBrowser } from "./lib/browser.mjs";
import { Notebook, pair } from "./lib/notebook.mjs";
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

test("from navigation with a cold cache to 100 notes", async (t) => {
  const relay = await Relay.start(t, { env: { RUST_LOG: "warn" } });
  const rounds = [];
  for (let round = 0; round < 5; round += 1) {
    const cli = await Cli.init(t, relay, "terminal");
    for (let n = 0; n < 100; n += 1) await cli.run("push", `note ${n}`);
    const context = await profile(t);
    await context.addInitScript(watch);
    const setup = await Notebook.open(context, (await cli.json("pair", "--create")).link);
    await setup.page.context().setOffline(false);
    // Joined, and closed before it has read: what is measured is a start from nothing but the keys.
    await setup.get("join-name").fill("Browser");
    const start = await setup.page.evaluate(() => performance.now());
    await setup.get("join-button").click();
    const end = await (await marked(setup.page)).jsonValue();
    const loaded = await setup.page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd);
    await setup.get("notes").getByRole("listitem").nth(99).waitFor();
    rounds.push({ load: loaded, join: end - start });
    say(`  round ${round}: page loaded ${loaded.toFixed(0)} ms, join to in sync`, (end - start).toFixed(0), "ms");
    say("  freezes over 50 ms", JSON.stringify(await setup.page.evaluate(() => globalThis.freezes)), "ms");
    await context.close();
  }
  const totals = rounds.map(({ load, join }) => load + join).sort((one, other) => one - other);
  say("cold navigation to in sync with 100 notes, median", totals[2].toFixed(0), "ms (at most 1500)");
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
