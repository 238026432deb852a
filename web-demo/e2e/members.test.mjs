// Who is in the notebook: devices that are removed, that leave, and that nobody knows.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { profile, useBrowser } from "./lib/browser.mjs";
import { Notebook, pair, quietDevice } from "./lib/notebook.mjs";
import { Cli, Relay } from "./lib/relay.mjs";

useBrowser();

/** The members, as the command line knows them. */
const members = async (cli) => (await cli.json("devices")).devices.filter(({ member }) => member).map(({ name }) => name).sort();

/** A third device, at the command line. */
async function withTerminal(t, relay, a) {
  const cli = await Cli.init(t, relay, "terminal");
  await cli.run("pair", "--join", (await a.invite()).link);
  await a.get("invite-joined").waitFor();
  await a.closeInvite();
  return cli;
}

test("a device that is removed is told, and gets nothing more", async (t) => {
  const relay = await Relay.start(t);
  const [a, b] = await pair(relay, await profile(t), await profile(t));
  const cli = await withTerminal(t, relay, a);
  await a.write("while they were three");
  await b.sees("while they were three");
  const other = await Notebook.open(b.page.context(), relay.url);
  await other.online();
  const before = await a.get("fingerprint").locator("code").innerText();
  assert.equal(await b.get("fingerprint").locator("code").innerText(), before);

  await a.device("Phone").getByRole("button", { name: "Remove Phone" }).click();
  const question = a.get("ask-dialog");
  await question.filter({ hasText: "new key" }).waitFor();
  await question.getByRole("button", { name: "Keep" }).click();
  assert.equal(await a.device("Phone").count(), 1, "it was only asked");
  await a.remove("Phone");
  await a.device("Phone").waitFor({ state: "detached" });
  await a.page.getByText("Phone is removed.").waitFor();

  for (const tab of [b, other]) {
    await tab.get("state").filter({ hasText: "Removed" }).waitFor();
    await tab.get("attention").filter({ hasText: "removed from the notebook" }).waitFor();
    await tab.sees("while they were three");
    assert.equal(await tab.get("remove").count(), 0);
  }
  await a.send("after the removal");
  assert.match(await cli.run("pull"), /after the removal/);
  assert.deepEqual(await members(cli), ["Laptop", "terminal"]);
  const { fingerprint } = await cli.json("status");
  await a.get("fingerprint").filter({ hasText: fingerprint }).waitFor();
  assert.notEqual(fingerprint, before);
  await cli.run("push", "from the one that stays");
  await a.sees("from the one that stays");

  // It is still out when it asks anew, and starts again when somebody says so.
  await b.page.reload();
  await b.get("attention").filter({ hasText: "removed from the notebook" }).waitFor();
  assert.equal(await b.note("after the removal").count(), 0);
  assert.equal(await b.note("from the one that stays").count(), 0);
  await b.get("attention").getByRole("button", { name: "Erase and start again" }).click();
  await b.get("ask-dialog").getByRole("button", { name: "Erase" }).click();
  await b.state("empty");
  await other.state("empty");
  assert.equal(await b.page.getByText("could not be told").count(), 0);
});

test("the others hear of a device that leaves", async (t) => {
  const relay = await Relay.start(t);
  const [a, b] = await pair(relay, await profile(t), await profile(t));
  const cli = await withTerminal(t, relay, a);
  await b.leave();
  await a.page.getByText("Phone has left.").waitFor();
  await a.device("Phone").waitFor({ state: "detached" });
  assert.equal(await b.page.getByText("could not be told").count(), 0);
  await cli.run("pull");
  assert.deepEqual(await members(cli), ["Laptop", "terminal"]);
});

test("a device that opens another notebook's link leaves the one it had", async (t) => {
  const relay = await Relay.start(t);
  const [a, b] = await pair(relay, await profile(t), await profile(t));
  const elsewhere = await Notebook.open(await profile(t), relay.url);
  await elsewhere.start("Somebody else’s");
  const { link } = await elsewhere.invite();
  await b.page.goto(link);
  await b.get("ask-dialog").getByRole("button", { name: "Leave it and join" }).click();
  await b.join("Phone of both");
  await a.page.getByText("Phone has left.").waitFor();
  await a.device("Phone").waitFor({ state: "detached" });
});

test("whoever leaves off-line is told where the device is still known", async (t) => {
  const relay = await Relay.start(t);
  const two = await profile(t);
  const [a, b] = await pair(relay, await profile(t), two);
  await b.device("Laptop").waitFor();
  await two.setOffline(true);
  await b.get("state").filter({ hasText: "Off-line" }).waitFor();
  assert.ok(await b.device("Laptop").getByTestId("remove").isDisabled(), "a new key needs the relay");
  await b.leave();
  await b.page.getByText("could not be told").waitFor();
  await a.remove("Phone");
  await a.device("Phone").waitFor({ state: "detached" });
});

test("a notebook that was deleted for all devices says so, and stays to be read", async (t) => {
  const relay = await Relay.start(t);
  const a = await Notebook.open(await profile(t), relay.url);
  await a.start("Laptop");
  await a.send("kept here");
  const cli = await withTerminal(t, relay, a);
  await cli.run("delete-group", "--yes");
  await a.get("state").filter({ hasText: "Deleted" }).waitFor();
  await a.get("attention").filter({ hasText: "was deleted, for all devices" }).waitFor();
  await a.sees("kept here");
  assert.ok(await a.get("invite").isHidden(), "there is nothing to add a device to");
});

test("a device that took an invite and keeps quiet is named, and can be shut out", async (t) => {
  const relay = await Relay.start(t);
  const a = await Notebook.open(await profile(t), relay.url);
  await a.page.clock.install();
  await a.start("Laptop");
  const { link } = await a.invite();
  await quietDevice(await profile(t), link);
  await a.device("not announced").waitFor();
  await a.closeInvite();
  assert.equal(await a.get("warning").count(), 0);
  await a.page.clock.fastForward(3 * 60_000);
  const warning = a.get("warning").filter({ hasText: "None of your devices has announced Quiet" });
  await warning.waitFor();
  // A warning outlives a reload.
  await a.page.reload();
  await warning.waitFor();
  await a.online();
  await warning.getByRole("button", { name: "Remove it" }).click();
  await a.get("ask-dialog").getByRole("button", { name: "Remove" }).click();
  await warning.waitFor({ state: "detached" });
  await a.device("not announced").waitFor({ state: "detached" });
});

test("an invite that somebody took who never shows himself is told, and a new key shuts him out", async (t) => {
  const relay = await Relay.start(t);
  const a = await Notebook.open(await profile(t), relay.url);
  await a.page.clock.install();
  await a.start("Laptop");
  const { link } = await a.invite();
  await a.closeInvite();
  const lookup = link.split("#v1.")[1].split(".")[0];
  const before = await a.get("fingerprint").textContent();
  assert.equal((await fetch(`${relay.url}/invite/${lookup}`)).status, 200);
  const looked = a.page.waitForResponse((answer) => answer.url().endsWith(`/invite/${lookup}/status`));
  await a.page.clock.fastForward(15_000);
  assert.equal((await looked).status(), 200);
  assert.equal(await a.get("warning").count(), 0);
  await a.page.clock.fastForward(3 * 60_000);
  const warning = a.get("warning").filter({ hasText: "invite" });
  await warning.waitFor();
  await a.online();
  await warning.getByRole("button").first().click();
  await warning.waitFor({ state: "detached" });
  await a.get("fingerprint").filter({ hasNotText: before }).waitFor();
});

test("a relay that goes back twice in a day is sent nothing until somebody says so", async (t) => {
  const relay = await Relay.start(t);
  const empty = join(relay.folder, "empty.db");
  await relay.command("backup", empty);
  const context = await profile(t);
  const a = await Notebook.open(context, relay.url);
  const goBack = async () => {
    await relay.kill();
    await relay.command("restore", empty);
    await relay.restart();
  };
  await a.start("Laptop");
  await a.send("written before");
  await goBack();
  await a.page.getByText("The relay has started over.").waitFor();
  await a.online();
  assert.equal(await a.get("warning").count(), 0, "once may be");
  await goBack();
  const warning = a.get("warning").filter({ hasText: "second time within a day" });
  await warning.waitFor();
  assert.equal(await warning.getByRole("button", { name: "Dismiss" }).count(), 0, "it has to be decided");
  const tab = await Notebook.open(context, relay.url);
  const there = tab.get("warning");
  await there.waitFor();
  await warning.getByRole("button", { name: "Send again" }).click();
  await warning.waitFor({ state: "detached" });
  await there.waitFor({ state: "detached" });
  const cli = await withTerminal(t, relay, a);
  assert.match(await cli.run("pull", "--after-cursor", "0"), /written before/);
});
