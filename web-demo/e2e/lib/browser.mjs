// Chromium, and profiles that know nothing of each other.
import { after, before } from "node:test";

import { chromium } from "playwright-core";

const ARGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let shared;

const launch = (more = []) =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...ARGS, ...more] });

/** Call at the top of a test file. */
export function useBrowser() {
  before(async () => {
    shared = await launch();
  });
  after(() => shared.close());
}

/** A browser whose camera shows a film: a file in the Y4M format. */
export async function browserThatSees(t, film) {
  const camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
  const browser = await launch([...camera, `--use-file-for-fake-video-capture=${film}`]);
  t.after(() => browser.close());
  return browser;
}

/** A profile of its own. What its pages complain of fails the test. */
export async function profile(t, options = {}, browser = shared) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  context.setDefaultTimeout(30_000);
  const errors = [];
  context.on("weberror", (error) => errors.push(String(error.error())));
  context.on("console", (message) => {
    if (/Content.Security.Policy|Trusted/i.test(message.text())) errors.push(message.text());
  });
  t.after(async () => {
    await context.close();
    if (errors.length > 0) throw new Error(`the page complained: ${errors.join("; ")}`);
  });
  return context;
}

/** For a page's start: the wall clock is so many milliseconds ahead. */
export function shiftClock(ms) {
  const { now } = Date;
  Date.now = () => now() + ms;
  globalThis.Date = new Proxy(Date, {
    construct: (target, args) => new target(...(args.length > 0 ? args : [now() + ms])),
  });
}

/** For a page's start: what `fits(database, value)` denies has no room in the browser. What a browser does then: the
 *  transaction fails at its end. */
export function roomSwitch() {
  globalThis.fits = () => true;
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (value, ...key) {
    const request = put.call(this, value, ...key);
    const { transaction } = this;
    if (globalThis.fits(transaction.db.name, value)) return request;
    Object.defineProperty(transaction, "error", { value: new DOMException("full", "QuotaExceededError"), configurable: true });
    request.addEventListener("success", () => transaction.abort());
    return request;
  };
}
