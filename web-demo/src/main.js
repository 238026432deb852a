// The page from its start: which screen to show, and how one gets from each to the next.

import { closeBook, heardChange, openBook, wireBook } from "./book.js";
import { Notebook } from "./data/notebook.js";
import { isCode, isLink } from "./links.js";
import { relay } from "./relay.js";
import * as tabs from "./tabs.js";
import { $, ask, focusHeading, h, onSubmit, show, toast } from "./ui/dom.js";
import { scan } from "./ui/scan.js";
import { forgetWarnings } from "./ui/warnings.js";
import { watchVersions } from "./updates.js";
import { deviceName, guessName, isGone, sentence } from "./words.js";

/** Says that this browser had a device: if it is gone, the browser has deleted it. */
const HAD_DEVICE = "sync-relay:had-device";
/** How long the relay has to hear that this device leaves. */
const FAREWELL_MS = 10_000;

/** The client's package, once it is loaded. */
let SyncClient = null;
/** The client in use, or null. */
let sync = null;
/** The link, code or text to join with. In memory alone. */
let invite = "";
/** Whether the start screen is there because the browser has deleted a device. */
let evicted = false;

const remember = () => localStorage.setItem(HAD_DEVICE, "yes");
const hadDevice = () => localStorage.getItem(HAD_DEVICE) !== null;

function problem({ title, text, help = [], action, onAction }) {
  $("problem-title").textContent = title;
  $("problem-text").textContent = text;
  $("problem-help").replaceChildren(...help.map((line) => h("li", {}, line)));
  $("problem-action").hidden = !action;
  $("problem-action").textContent = action ?? "";
  $("problem-action").onclick = onAction;
  show("problem", "error");
  focusHeading("problem");
}

function insecure() {
  problem({
    title: "This page needs https.",
    text: "Browsers let a page encrypt and store keys only when it came over https, or from this machine itself (localhost). This one came over plain http from another machine, so it cannot work here.",
    help: [
      "Reach the relay over https: through a tunnel such as cloudflared, or behind a reverse proxy with a certificate.",
      "Or open it as http://localhost on the machine where the relay runs.",
      "Apps and sync-cli do not need it: what they send is encrypted either way.",
    ],
  });
}

async function start() {
  if (!isSecureContext) return insecure();
  try {
    ({ SyncClient } = await import("./sync/index.js"));
    invite = takeLink();
    await enter();
  } catch (error) {
    if (error.code === "INSECURE_CONTEXT") return insecure();
    problem({
      title: "This notebook cannot be opened.",
      text: sentence(error),
      help: ["Nothing has been deleted. A private window, or settings that forbid pages to store data, can be the cause."],
      action: "Try again",
      onAction: () => location.reload(),
    });
  }
}

/** Opens what is there, or shows how to begin. */
async function enter() {
  if (await SyncClient.exists()) {
    sync = await SyncClient.open();
    if (sync.status().groupId || hadDevice()) return showBook();
    // A device that was made to join, and never did.
    await forgetUnused();
  }
  evicted = hadDevice();
  if (invite) showJoin();
  else showStart();
}

async function showBook() {
  remember();
  await openBook(sync);
  if (invite) await alreadyHere();
}

function showStart(focus = false) {
  $("evicted").hidden = !evicted;
  show("start", "empty");
  // The link of a join page is gone after a reload: it is nowhere but in memory.
  if (focus) focusHeading("start");
}

function showJoin() {
  $("join-name").value ||= guessName(navigator.userAgent);
  show("join", "empty");
  focusHeading("join");
}

async function forgetUnused() {
  await sync?.close();
  sync = null;
  await SyncClient.erase();
}

/** A device of this name; the one that was made before, if the name is the same. */
async function device(name, address, accessToken) {
  if (sync && sync.status().name === name && sync.status().relay === (address ?? sync.status().relay)) return sync;
  if (sync) await forgetUnused();
  sync = await SyncClient.open({ name, ...(address && { relay: address }), ...(accessToken && { accessToken }) });
  return sync;
}

function nameFrom(field) {
  const name = deviceName(field.value);
  if (!name) throw new Error("Give this device a name, so that the others know it.");
  return name;
}

async function begin() {
  const address = $("start-relay").value.trim() || relay;
  await device(nameFrom($("start-name")), address, $("start-token").value);
  $("start-token").value = "";
  tabs.tell("device");
  await showBook();
}

/** Takes the invite. Nothing before this has touched it. */
async function join() {
  const client = await device(nameFrom($("join-name")), isLink(invite) ? undefined : relay);
  await client.join(invite);
  invite = "";
  tabs.tell("device");
  await showBook();
}

async function enterText(text) {
  const given = text.trim();
  if (!isCode(given) && !isLink(given)) {
    throw new Error("This is neither a link nor a code. A code has 16 letters and digits; a link ends in #v1. and the key.");
  }
  invite = given;
  $("enter-text").value = "";
  showJoin();
}

/** A link was opened in a browser that has a notebook already. */
async function alreadyHere() {
  const link = invite;
  invite = "";
  const leave = await ask({
    title: "This browser already has a notebook",
    text: "A browser holds one notebook. You can keep the one that is here, or leave it and join the other. Leaving erases this browser’s copy, and notes that cannot be sent now are lost.",
    yes: "Leave it and join",
    no: "Keep this one",
  });
  if (!leave || !(await eraseHere())) return;
  invite = link;
  showJoin();
}

async function leave() {
  const gone = isGone(sync.status());
  const yes = await ask({
    title: gone ? "Erase this copy?" : "Leave this notebook?",
    text: `This browser’s copy and its key are erased, and notes that ${gone ? "were never sent" : "cannot be sent now"} are lost. Your other devices keep everything. To come back you need a new invite.`,
    yes: gone ? "Erase" : "Leave and erase",
    no: gone ? "Keep it" : "Stay",
  });
  if (yes && (await eraseHere())) showStart(true);
}

/** Tells the others and the relay that this device leaves. Gives whether they know. */
async function sayGoodbye() {
  const { groupId, connection } = sync.status();
  if (!groupId || isGone(sync.status())) return true;
  if (connection !== "online" || !navigator.onLine) return false;
  const late = new Promise((resolve) => setTimeout(resolve, FAREWELL_MS, false));
  return Promise.race([sync.leave().then(() => true, () => false), late]);
}

/** Leaves, and erases the device and its notes, in all tabs. Gives whether that worked. */
async function eraseHere() {
  $("starting-text").textContent = "Leaving…";
  show("starting", "starting");
  const known = await sayGoodbye();
  await closeBook();
  sync = null;
  try {
    await tabs.alone(async () => {
      await SyncClient.erase();
      await Notebook.erase();
    });
  } catch (error) {
    toast(sentence(error));
    await enter();
    return false;
  }
  localStorage.removeItem(HAD_DEVICE);
  forgetWarnings();
  delete document.documentElement.dataset.sync;
  evicted = false;
  if (!known) toast("Your other devices could not be told. Remove this one there.", { seconds: 0 });
  return true;
}

async function heardTab(kind, ids) {
  if (kind === "changed") heardChange(ids);
  if (kind === "leave") {
    await closeBook();
    sync = null;
    showStart();
  }
  if (kind === "device" && !sync) await enter();
}

function wire() {
  $("start-name").value = guessName(navigator.userAgent);
  $("start-relay").value = relay ?? "";
  onSubmit($("start-form"), "Starting…", begin);
  onSubmit($("join-form"), "Joining…", join);
  onSubmit($("enter-form"), "…", () => enterText($("enter-text").value));
  $("scan").addEventListener("click", async () => {
    const text = await scan();
    if (text) $("enter-text").value = text;
    if (text) $("enter-form").requestSubmit();
  });
  $("join-back").addEventListener("click", () => {
    invite = "";
    showStart(true);
  });
  $("leave").addEventListener("click", leave);
  addEventListener("link", () => {
    invite = takeLink();
    if (!$("book").hidden) alreadyHere();
    else if (SyncClient) showJoin();
  });
  wireBook();
  tabs.listen((kind, ids) => heardTab(kind, ids).catch((error) => toast(sentence(error))));
}

wire();
await start();
watchVersions();
