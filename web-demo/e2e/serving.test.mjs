// How the page is served: by a new release, behind a proxy, from another origin than the relay's.
import assert from "node:assert/strict";
import { test } from "node:test";

import { profile, useBrowser } from "./lib/browser.mjs";
import { Notebook } from "./lib/notebook.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { Relay } from "./lib/relay.mjs";

useBrowser();

/** The version of the page, and that of the worker that would answer its next navigation. */
const versions = (page) =>
  page.evaluate(async () => {
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const worker = await new Promise((resolve) => {
      port1.onmessage = ({ data }) => resolve(data);
      active.postMessage("version", [port2]);
    });
    return { page: document.querySelector("meta[name=version]").content, worker };
  });

test("a new release is offered, taken once, and reloads nothing by itself", async (t) => {
  const relay = await Relay.start(t);
  const proxy = await Proxy.open(t);
  proxy.target = relay.port;
  const context = await profile(t);
  const notebook = await Notebook.open(context, proxy.url);
  await notebook.start("Laptop");
  await notebook.write("written before");
  const { page } = notebook;
  const first = await versions(page);
  assert.equal(first.page, first.worker);
  let loads = 0;
  page.on("domcontentloaded", () => (loads += 1));

  // As when the tab comes to the front.
  const next = "00000000feedface";
  await proxy.renew(next);
  await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
  const offer = page.getByText("There is a new version");
  await offer.waitFor();
  assert.equal(loads, 0, "what somebody is writing is not thrown away");
  // The old page still works, with parts that it had not loaded yet and that are nowhere but in its cache.
  await notebook.invite();
  await notebook.get("invite-qr").locator("svg").waitFor();
  await notebook.closeInvite();

  await page.getByRole("button", { name: "Reload" }).click();
  await notebook.sees("written before");
  await page.waitForFunction((version) => document.querySelector("meta[name=version]").content === version, next);
  assert.deepEqual(await versions(page), { page: next, worker: next });
  await notebook.online();
  await notebook.send("written after");
  assert.equal(await offer.count(), 0);
  assert.equal(loads, 1, "it reloads once");

  // Without a network it is the new one, too.
  await relay.kill();
  await page.reload();
  await notebook.sees("written before", "written after");
  assert.deepEqual(await versions(page), { page: next, worker: next });
});

test("a navigation shows the new release at once, and offers nothing", async (t) => {
  const relay = await Relay.start(t);
  const proxy = await Proxy.open(t);
  proxy.target = relay.port;
  const notebook = await Notebook.open(await profile(t), proxy.url);
  await notebook.start("Laptop");
  await notebook.write("written before");
  const { page } = notebook;
  await versions(page);
  const next = "00000000feedface";
  await proxy.renew(next);
  let loads = 0;
  page.on("domcontentloaded", () => (loads += 1));
  await page.reload();
  await notebook.state("joined");
  await page.waitForFunction(async () => {
    const { active } = await navigator.serviceWorker.ready;
    return navigator.serviceWorker.controller === active && (await caches.keys()).includes("notebook-00000000feedface");
  });
  assert.equal((await versions(page)).page, next);
  await notebook.online();
  assert.equal(await page.getByText("There is a new version").count(), 0);
  assert.equal(loads, 1);
});

for (const [how, strip] of [["takes it away", true], ["leaves it as it is", false]]) {
  test(`the relay may be below a path, behind a proxy that ${how}`, async (t) => {
    const proxy = await Proxy.open(t, { below: "/my/notes", strip });
    const relay = await Relay.start(t, { env: { SYNC_RELAY_SERVER__PUBLIC_URL: proxy.url } });
    proxy.target = relay.port;
    const a = await Notebook.open(await profile(t), `${proxy.url}/`);
    await a.start("Laptop");
    const { link } = await a.invite();
    assert.ok(link.startsWith(`${proxy.url}/join#v1.`), link);
    const b = await Notebook.open(await profile(t), link);
    await b.join("Phone");
    await a.get("invite-joined").waitFor();
    await a.closeInvite();
    await a.write("below a path");
    await b.sees("below a path");
    // Also what starts it without a network is below that path, and nowhere else.
    const scope = await b.page.evaluate(async () => (await navigator.serviceWorker.ready).scope);
    assert.equal(scope, `${proxy.url}/`);
    await relay.kill();
    await b.page.reload();
    await b.sees("below a path");
  });
}

test("a page of one relay joins a notebook that is at another", async (t) => {
  const [home, other] = [await Relay.start(t), await Relay.start(t)];
  const a = await Notebook.open(await profile(t), other.url);
  await a.start("Laptop");
  const { link } = await a.invite();
  assert.ok(link.startsWith(`${other.url}/join#v1.`), link);
  const elsewhere = `${home.url}/join#${link.split("#")[1]}.${other.url}`;
  const b = await Notebook.open(await profile(t), elsewhere);
  await b.join("Phone");
  await a.get("invite-joined").waitFor();
  await a.closeInvite();
  await b.write("across origins");
  await a.sees("across origins");
  // What is made there leads there, and says where the notebook is.
  const onward = (await b.invite()).link;
  assert.ok(onward.startsWith(`${home.url}/join#v1.`) && onward.endsWith(`.${other.url}`), onward);
  const c = await Notebook.open(await profile(t), onward);
  await c.join("Tablet");
  await c.sees("across origins");
});
