// The app in a real window, with the real relay and the real command line.
import assert from "node:assert/strict";
import test from "node:test";

import { Cli, Relay, folder } from "../../../web-demo/e2e/lib/relay.mjs";
import { App, until } from "./lib/app.mjs";
import { display, shoot } from "./lib/display.mjs";

/** The texts that the command line has. */
const texts = async (cli) => (await cli.json("pull", "--after-cursor", "0")).blobs.map(({ text }) => text.split("\n-- \n")[0]);

test("the app joins by a code, shows the notes, sends one, and sends what was unsent after the next start", async (t) => {
  const screen = await display(t);
  const home = await folder(t);
  const relay = await Relay.start(t);
  const cli = await Cli.init(t, relay, "Terminal");
  await cli.run("push", "A note from the terminal");
  const { code } = await cli.json("pair", "--create");

  const app = await App.start(t, { display: screen, home, relay: relay.url });
  await app.state("empty");
  await shoot(app, "start");
  await app.type("enter-text", code);
  await app.click("enter-button");
  await app.type("join-name", "Notes app");
  await shoot(app, "join");
  await app.click("join-button");
  await app.sees("A note from the terminal");

  await app.type("new-note", "A note from the app");
  await app.click("add-note");
  await until("the terminal has it", async () => (await texts(cli)).includes("A note from the app"));
  await app.find("device", "Terminal");
  await shoot(app, "notes");
  await app.click("invite");
  await app.find("invite-code", "-");
  assert.match(await app.text("invite-code"), /^(\w{4}-){3}\w{4}$/);
  await app.find("invite-qr");
  await shoot(app, "invite");
  await app.script("document.querySelector('dialog[open]').close()");

  await relay.kill();
  await app.find("state", "Off-line");
  await app.type("new-note", "Written while nobody listens");
  await app.click("add-note");
  await app.find("unsent");
  await shoot(app, "offline");
  await app.close();

  await relay.restart();
  const again = await App.start(t, { display: screen, home, relay: relay.url });
  await again.sees("Written while nobody listens", "A note from the app", "A note from the terminal");
  await until("the terminal has it", async () => (await texts(cli)).includes("Written while nobody listens"));
  assert.equal((await texts(cli)).length, 3, "each arrived once");
  await again.find("state", "On-line");
  await until("nothing waits", async () => (await again.script("return document.querySelectorAll('[data-testid=unsent]').length")) === 0);
  await shoot(again, "again");
  await again.close();
});

test("without the plugin, the browser's client does the same in the webview, and may call nothing", async (t) => {
  const screen = await display(t);
  const home = await folder(t);
  const relay = await Relay.start(t);
  const cli = await Cli.init(t, relay, "Terminal");
  await cli.run("push", "A note from the terminal");
  const { link } = await cli.json("pair", "--create");

  const app = await App.start(t, { display: screen, home, relay: relay.url, args: ["--without-plugin"] });
  await app.state("empty");
  await app.type("enter-text", link);
  await app.click("enter-button");
  await app.type("join-name", "Webview");
  await app.click("join-button");
  await app.sees("A note from the terminal");
  await app.type("new-note", "A note from the webview");
  await app.click("add-note");
  await until("the terminal has it", async () => (await texts(cli)).includes("A note from the webview"));
  await shoot(app, "without-plugin");
  const refused = await app.script(`
    return window.__TAURI__.core.invoke("plugin:sync|status").then(() => "allowed", String);`);
  assert.match(refused, /not allowed/);
  await app.close();
});
