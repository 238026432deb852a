// Puts the notebook together, in dist: the page of web-demo as it is, with the plugin behind it, and in dist/browser the
// same page with the browser's client behind it, which needs no plugin. `cargo xtask wasm` comes first.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const [page, client, dist] = [at("../../web-demo"), at("../../client-wasm/pkg"), at("dist")];

/** Takes the place of the version in the page's addresses: an app is updated as a whole. */
const VERSION = "app";

/** What makes the plugin's client look like the browser's. */
const PLUGIN = `export const { SyncClient, SyncError } = window.__TAURI__.sync;\n`;

/** What an app says where a page in a browser says something else. The app knows the relay. */
const WORDS = {
  "index.html": [
    ["    <!-- {{preload}} -->\n", '    <meta name="relay" content="">\n'],
    ['    <link rel="manifest" href="manifest.webmanifest">\n', ""],
    ['    <link rel="apple-touch-icon" href="icons/icon-192.png">\n', ""],
    ["it leaves this browser", "it leaves this device"],
    ["Once you join, this browser sees", "Once you join, this device sees"],
    ["Each note is encrypted in your browser", "Each note is encrypted on your device"],
    [" Whoever serves this page could change\n          what it does with the link; installed apps open links without it.", ""],
    [
      "What you trust is this browser, whoever serves this page, and the devices you add. Whoever serves the page could change it;\n          installed apps do not load it.",
      "What you trust is this app, and the devices you add.",
    ],
  ],
  "src/main.js": [
    ["Leaving erases this browser’s copy", "Leaving erases this device’s copy"],
    ["`This browser’s copy and its key", "`This device’s copy and its key"],
    ["This browser already has a notebook", "This app already has a notebook"],
    ["A browser holds one notebook", "It holds one"],
  ],
  "src/ui/status.js": [
    ["Kept by this browser", "Kept by this app"],
    ["This browser may delete its copy when space is short. Bookmark or install this page to keep it.", "The webview may delete its copy when space is short. The plugin’s it cannot."],
  ],
  "src/words.js": [
    ['[[/Edg\\//, "Edge"], [/Firefox\\//, "Firefox"], [/Chrom(e|ium)\\//, "Chrome"], [/Safari\\//, "Safari"]]', '[[/./, "Notes app"]]'],
  ],
};

async function words(file) {
  let text = await readFile(`${page}/${file}`, "utf8");
  for (const [from, to] of WORDS[file]) {
    if (!text.includes(from)) throw new Error(`web-demo/${file} has other words than "${from}"`);
    text = text.replace(from, to);
  }
  return text.replaceAll("{{version}}", VERSION);
}

async function assemble(folder, sync) {
  const assets = `${folder}/assets/${VERSION}`;
  await mkdir(assets, { recursive: true });
  await cp(`${page}/src`, assets, { recursive: true });
  await cp(`${page}/vendor`, `${assets}/vendor`, { recursive: true });
  await cp(`${page}/icons/icon.svg`, `${assets}/icon.svg`);
  await writeFile(`${folder}/index.html`, await words("index.html"));
  for (const file of ["main.js", "words.js", "ui/status.js"]) await writeFile(`${assets}/${file}`, await words(`src/${file}`));
  await sync(`${assets}/sync`);
}

await rm(dist, { recursive: true, force: true });
await assemble(dist, async (folder) => {
  await mkdir(folder);
  await writeFile(`${folder}/index.js`, PLUGIN);
});
await assemble(`${dist}/browser`, (folder) => cp(client, folder, { recursive: true }));
