// Runs before anything else: takes what follows the # out of the address bar and the history, and keeps it in
// memory, where one caller gets it once. Not a module, so that the browser waits for it.
(() => {
  let kept = "";
  const take = () => {
    if (location.hash.length > 1) {
      kept = location.href;
      history.replaceState(null, "", location.pathname + location.search);
    }
  };
  take();
  Object.defineProperty(globalThis, "takeLink", {
    value: () => {
      const link = kept;
      kept = "";
      return link;
    },
  });
  // Another link, opened in the same tab.
  addEventListener("hashchange", () => {
    take();
    if (kept) dispatchEvent(new Event("link"));
  });

  // The one rule by which a text becomes the address of a script: it is this page's own.
  const base = new URL(".", location.href).href;
  globalThis.trustedTypes?.createPolicy("default", {
    createScriptURL: (text) => {
      const url = new URL(text, base).href;
      if (url !== `${base}sw.js` && !url.startsWith(`${base}assets/`)) throw new TypeError("not a script of this page");
      return url;
    },
  });
})();
