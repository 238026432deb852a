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

let browser;

/** Call at the top of a test file. */
export function useBrowser() {
  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
  });
  after(() => browser.close());
}

/** A profile of its own. What its pages complain of fails the test. */
export async function profile(t, options = {}) {
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
