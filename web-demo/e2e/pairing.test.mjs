// From join link to live data, and back to the command line.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { profile, shiftClock, useBrowser } from "./lib/browser.mjs";
import { Notebook, pair } from "./lib/notebook.mjs";
import { Cli, Relay } from "./lib/relay.mjs";

useBrowser();

test("a link joins another profile, and notes go both ways", async (t) => {
  const relay = await Relay.start(t);
  const [a, b] = await pair(relay, await profile(t), await profile(t));
  await a.write("Written on the laptop");
  await b.sees("Written on the laptop");
  await b.write("Written on the phone");
  await a.sees("Written on the phone");
  // Both know who is there.
  for (const notebook of [a, b]) {
    const devices = notebook.get("devices");
    await devices.getByText("Laptop").waitFor();
    await devices.getByText("Phone").waitFor();
  }
});

test("an edit and a deletion reach the other device", async (t) => {
  const relay = await Relay.start(t);
  const [a, b] = await pair(relay, await profile(t), await profile(t));
  await a.write("Milk");
  await b.sees("Milk");
  await b.edit("Milk", "Milk and bread");
  await a.sees("Milk and bread");
  assert.equal(await a.get("note").count(), 1);
  await a.note("Milk and bread").getByRole("button", { name: /^Delete/ }).click();
  await b.note("Milk").waitFor({ state: "detached" });
});

test("the command line and a browser are devices of one group", async (t) => {
  const relay = await Relay.start(t);
  const cli = await Cli.init(t, relay, "terminal");
  await cli.run("push", "from the terminal");
  const { code, link } = await cli.json("pair", "--create");
  assert.match(code, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/);
  const page = await Notebook.open(await profile(t), link);
  await page.join("Browser");
  await page.sees("from the terminal");
  await page.send("from the browser");
  const pulled = await cli.run("pull");
  assert.match(pulled, /from the browser/);
});

test("a browser joins by a code, typed in small letters", async (t) => {
  const relay = await Relay.start(t);
  const cli = await Cli.init(t, relay, "terminal");
  await cli.run("push", "hello");
  const { code } = await cli.json("pair", "--create");
  const page = await Notebook.open(await profile(t), relay.url);
  await page.get("enter-text").fill(code.toLowerCase());
  await page.get("enter-button").click();
  await page.join("Browser");
  await page.sees("hello");
});

test("opening a link claims nothing, and leaves nothing of it in address bar and history", async (t) => {
  const relay = await Relay.start(t);
  const a = await Notebook.open(await profile(t), relay.url);
  await a.start("Laptop");
  const { link } = await a.invite();
  const secret = link.split("#")[1];
  // A preview fetches the page; somebody opens it and goes away again.
  await fetch(link);
  const away = await Notebook.open(await profile(t), link);
  await away.get("join-button").waitFor();
  assert.ok(!away.page.url().includes("#"), away.page.url());
  await away.page.goto("about:blank");
  await away.page.goBack();
  assert.ok(!away.page.url().includes(secret), "the history has forgotten it");
  const b = await Notebook.open(await profile(t), link);
  await b.join("Phone");
  await b.write("it was still there");
  await a.sees("it was still there");
});

test("both devices end with the later of two edits that were made apart", async (t) => {
  const relay = await Relay.start(t);
  const profiles = [await profile(t), await profile(t)];
  const [a, b] = await pair(relay, ...profiles);
  await a.write("Milk");
  await b.sees("Milk");
  for (const context of profiles) await context.setOffline(true);
  await a.edit("Milk", "Milk, says the laptop");
  await b.edit("Milk", "Milk, says the phone");
  for (const [notebook, own] of [[a, "laptop"], [b, "phone"]]) await notebook.sees(`says the ${own}`);
  for (const context of profiles) await context.setOffline(false);
  for (const notebook of [a, b]) {
    await notebook.sees("Milk, says the phone");
    await notebook.nothingQueued();
    assert.equal(await notebook.get("note").count(), 1);
  }
  await a.get("how").click();
  assert.match(await a.get("rule").innerText(), /the later change wins/);
});

test("who joins sees what was written long ago", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t);
  const a = await Notebook.open(context, relay.url);
  await a.start("Laptop");
  await a.send("from last week");
  // Most of the time that the relay keeps a blob has gone by.
  await context.addInitScript(shiftClock, 6 * 24 * 3600 * 1000);
  await a.page.reload();
  await a.online();
  const cli = await Cli.init(t, relay, "terminal");
  const { link } = await a.invite();
  await cli.run("pair", "--join", link);
  // It is in the log once more, and lives on there when the first one expires.
  const found = async () => {
    const { blobs } = await cli.json("pull", "--after-cursor", "0");
    return blobs.filter(({ text }) => text.startsWith("from last week")).length;
  };
  while ((await found()) < 2) await sleep(100);
  await a.get("invite-joined").waitFor();
  // And nobody sees it twice.
  const b = await Notebook.open(await profile(t), (await cli.json("pair", "--create")).link);
  await b.join("Phone");
  await b.sees("from last week");
  assert.equal(await b.get("note").count(), 1);
});

test("an invite that has expired says so", async (t) => {
  const relay = await Relay.start(t);
  const context = await profile(t, { serviceWorkers: "block" });
  // Ten minutes are over sooner here.
  let token = "";
  await context.route("**/invite", async (route) => {
    const invite = { ...route.request().postDataJSON(), expires: Math.floor(Date.now() / 1000) + 3 };
    const response = await route.fetch({ postData: JSON.stringify(invite) });
    token = (await response.json()).revoke_token;
    await route.fulfill({ response });
  });
  const a = await Notebook.open(context, relay.url);
  await a.start("Laptop");
  const { link } = await a.invite();
  const late = await Notebook.open(await profile(t), link);
  await late.get("join-name").fill("Tablet");
  const status = `${relay.url}/invite/${link.split("#v1.")[1].split(".")[0]}/status`;
  const headers = { authorization: `Bearer ${token}` };
  while ((await (await fetch(status, { headers })).json()).status !== "gone") await sleep(200);
  await late.get("join-button").click();
  await late.get("join-error").filter({ hasText: /mistyped, used, or expired.*new one/ }).waitFor();
});

test("a used, a revoked and a mistyped invite each say what to do", async (t) => {
  const relay = await Relay.start(t);
  const one = await profile(t);
  const a = await Notebook.open(one, relay.url);
  await a.start("Laptop");
  const { link } = await a.invite();
  const b = await Notebook.open(await profile(t), link);
  await b.join("Phone");
  const late = await Notebook.open(await profile(t), link);
  await late.get("join-name").fill("Tablet");
  await late.get("join-button").click();
  await late.get("join-error").filter({ hasText: /mistyped, used, or expired.*new one/ }).waitFor();

  await a.get("invite-joined").getByRole("button").click();
  await a.get("invite-code").filter({ hasText: /\S/ }).waitFor();
  const revoked = await a.get("invite-link").inputValue();
  assert.notEqual(revoked, link);
  await a.get("invite-revoke").click();
  await a.get("invite-revoke").waitFor({ state: "hidden" });
  const refused = await Notebook.open(await profile(t), revoked);
  await refused.get("join-name").fill("Tablet");
  await refused.get("join-button").click();
  await refused.get("join-error").filter({ hasText: /mistyped, used, or expired/ }).waitFor();

  const wrong = await Notebook.open(await profile(t), relay.url);
  await wrong.get("enter-text").fill("K7QM-2XRT-9F3H");
  await wrong.get("enter-button").click();
  await wrong.get("start").getByRole("alert").filter({ hasText: /\S/ }).waitFor();
});
