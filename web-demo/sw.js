// Lets the page start without the network. Touches nothing but the page: the relay's own paths go past it.

const VERSION = "{{version}}";
/** What the page consists of, under assets/<version>/. */
const FILES = [/* {{precache}} */];
const CACHE = `notebook-${VERSION}`;
/** How long the network has to answer before the kept page is shown. */
const PATIENCE_MS = 2500;

const base = new URL("./", location.href);
const assets = `${base.pathname}assets/`;
/** The page's own addresses. */
const pages = [base.pathname, `${base.pathname}join`];

addEventListener("install", (event) => {
  event.waitUntil(install());
});

addEventListener("activate", (event) => {
  event.waitUntil(activate());
});

addEventListener("message", (event) => {
  if (event.data === "version") event.ports[0]?.postMessage(VERSION);
});

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== base.origin) return;
  if (request.mode === "navigate" && pages.includes(url.pathname)) event.respondWith(page(request));
  else if (url.pathname.startsWith(assets)) event.respondWith(asset(request));
});

async function install() {
  const cache = await caches.open(CACHE);
  await Promise.all([
    cache.addAll(FILES.map((file) => new URL(`assets/${VERSION}/${file}`, base).href)),
    cache.add(new Request(base, { cache: "no-cache" })),
  ]);
  await skipWaiting();
}

async function activate() {
  // The version before this one stays: tabs may still be open that use it.
  const old = (await caches.keys()).filter((name) => name.startsWith("notebook-") && name !== CACHE);
  await Promise.all(old.slice(0, -1).map((name) => caches.delete(name)));
  await clients.claim();
}

/** The newest page, or the kept one when the network does not give it soon. */
async function page(request) {
  const kept = () => caches.match(base.href, { cacheName: CACHE, ignoreVary: true });
  const fromNetwork = fetch(request);
  const late = new Promise((resolve) => {
    setTimeout(resolve, PATIENCE_MS);
  });
  try {
    const response = await Promise.race([fromNetwork, late]);
    if (response?.ok) return response;
    return (await kept()) ?? (await fromNetwork);
  } catch (error) {
    const response = await kept();
    if (response) return response;
    throw error;
  }
}

/** Something with its version in its path: whoever has it need not ask. */
async function asset(request) {
  return (await caches.match(request.url, { ignoreVary: true })) ?? fetch(request);
}
