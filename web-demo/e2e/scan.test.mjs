// An invite's QR code, from one screen to another device.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { encodeQR } from "../vendor/qr/index.js";
import { browserThatSees, profile, useBrowser } from "./lib/browser.mjs";
import { filmOf } from "./lib/film.mjs";
import { Notebook } from "./lib/notebook.mjs";
import { Relay, folder } from "./lib/relay.mjs";

useBrowser();

test("a camera reads the QR code of an invite", async (t) => {
  const relay = await Relay.start(t);
  const notebook = await Notebook.open(await profile(t), relay.url);
  await notebook.start("Laptop");
  const { link } = await notebook.invite();
  const film = join(await folder(t), "film.y4m");
  await writeFile(film, filmOf(encodeQR(link, "raw", { ecc: "medium", border: 4 })));
  const scanner = await Notebook.open(await profile(t, {}, await browserThatSees(t, film)), relay.url);
  await scanner.get("scan").click();
  await scanner.join("Phone");
  await notebook.get("invite-joined").waitFor();
});

test("a picture of the QR code of an invite is as good as its link", async (t) => {
  const relay = await Relay.start(t);
  const notebook = await Notebook.open(await profile(t), relay.url);
  await notebook.start("Laptop");
  const { link } = await notebook.invite();
  // Read by the page's own reader, from a picture, as a camera would give it.
  const picture = await notebook.get("invite-qr").screenshot();
  const scanner = await Notebook.open(await profile(t), relay.url);
  await scanner.get("scan").click();
  await scanner.get("scan-file").setInputFiles({ name: "qr.png", mimeType: "image/png", buffer: picture });
  await scanner.join("Phone");
  await notebook.get("invite-joined").waitFor();
  assert.match(link, /#v1\./);
});
