// Every state of the page is usable by keyboard and screen reader, light and dark, wide and narrow. With SHOTS set to a
// folder, pictures of all of them go there.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import AxeBuilder from "@axe-core/playwright";

import { profile, useBrowser } from "./lib/browser.mjs";
import { Notebook, quietDevice } from "./lib/notebook.mjs";
import { Relay } from "./lib/relay.mjs";

useBrowser();

/** No finding of axe that is serious, and nothing that sticks out of the window. */
async function looksWell(notebook, name) {
  const { page } = notebook;
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`) });
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  assert.deepEqual(serious.map(({ id, nodes }) => `${name}: ${id} ${nodes.map((node) => node.target).join(" ")}`), []);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${name} is ${wide} pixels too wide`);
}

for (const [look, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["narrow", { viewport: { width: 360, height: 740 } }],
]) {
  test(`the page looks well: ${look}`, async (t) => {
    const relay = await Relay.start(t);
    const context = await profile(t, { ...options, reducedMotion: "reduce" });
    const a = await Notebook.open(context, relay.url);
    await a.page.clock.install();
    await a.state("empty");
    await looksWell(a, `${look}-1-start`);
    await a.start("Laptop");
    await a.write("Sourdough\n\n500 g flour\n350 g water\n100 g starter\n10 g salt");
    const { link } = await a.invite();
    await looksWell(a, `${look}-2-invite`);
    const other = await profile(t, { ...options, reducedMotion: "reduce" });
    const b = await Notebook.open(other, link);
    await b.get("join-button").waitFor();
    await looksWell(b, `${look}-3-join`);
    await b.join("Phone");
    await a.get("invite-joined").waitFor();
    await a.closeInvite();
    await b.write("Train to Lyon: Friday, 9:12, coach 4");
    await a.write("Call the dentist");
    await b.sees("Call the dentist", "Sourdough");
    await a.sees("Train to Lyon");
    await looksWell(a, `${look}-4-joined`);
    await b.nothingQueued();
    await other.setOffline(true);
    await b.write("Written in the tunnel");
    await b.note("Written in the tunnel").getByTestId("unsent").waitFor();
    await b.get("state").filter({ hasText: /off-?line/i }).waitFor();
    await b.get("queue").filter({ hasText: /^1 waiting$/ }).waitFor();
    await looksWell(b, `${look}-5-offline`);
    await other.setOffline(false);
    await a.sees("Written in the tunnel");

    await quietDevice(await profile(t), (await a.invite()).link);
    await a.device("not announced").waitFor();
    await a.closeInvite();
    await looksWell(a, `${look}-6-devices`);
    await a.page.clock.fastForward(3 * 60_000);
    await a.get("warning").waitFor();
    await a.online();
    await looksWell(a, `${look}-7-warning`);
    await a.device("Phone").getByTestId("remove").click();
    await a.get("ask-dialog").waitFor();
    await looksWell(a, `${look}-8-question`);
    await a.get("ask-dialog").getByRole("button", { name: "Remove" }).click();
    await b.get("state").filter({ hasText: "Removed" }).waitFor();
    await looksWell(b, `${look}-9-removed`);
  });
}

test("a person with a keyboard alone starts, writes and invites", async (t) => {
  const relay = await Relay.start(t);
  const notebook = await Notebook.open(await profile(t), relay.url);
  await notebook.state("empty");
  const { keyboard } = notebook.page;
  const focused = () => notebook.page.evaluate(() => document.activeElement?.dataset.testid);
  const tabTo = async (testId) => {
    for (let n = 0; n < 40; n += 1) {
      if ((await focused()) === testId) return;
      await keyboard.press("Tab");
    }
    assert.fail(`${testId} cannot be reached by Tab`);
  };
  await tabTo("start-name");
  await keyboard.press("ControlOrMeta+A");
  await keyboard.type("Keyboard");
  await keyboard.press("Enter");
  await notebook.state("joined");
  await tabTo("new-note");
  await keyboard.type("typed");
  await keyboard.press("Control+Enter");
  await notebook.sees("typed");
  await tabTo("invite");
  await keyboard.press("Enter");
  await notebook.get("invite-code").filter({ hasText: /\S/ }).waitFor();
  await keyboard.press("Escape");
  await notebook.get("invite-dialog").waitFor({ state: "hidden" });
  assert.equal(await focused(), "invite", "focus returns to where it was");
});
