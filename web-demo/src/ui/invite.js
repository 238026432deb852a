// Adding a device: a code, a link and a QR, for ten minutes.

import { isLocal, relayOf } from "../links.js";
import { inApp } from "../relay.js";
import { left, sentence } from "../words.js";
import { $ } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
/** Modules of white around a QR, as its standard wants. */
const QUIET = 4;

let current = null;
let timer = 0;
let sync = null;

/** When this tab last made an invite; what it knows may have to be sent again to who comes. */
export let invitedAt = -Infinity;

/** Wires the dialog, once. */
export function prepareInvites(client) {
  sync = client;
  if (prepareInvites.done) return;
  prepareInvites.done = true;
  $("invite").addEventListener("click", open);
  $("invite-again").addEventListener("click", make);
  $("invite-copy").addEventListener("click", copy);
  $("invite-revoke").addEventListener("click", revoke);
  $("invite-dialog").addEventListener("close", () => {
    clearInterval(timer);
    // Out of the page when nobody looks at it. It stays good until it expires, as its text says.
    forget();
  });
}

/** Somebody has joined: says so where the invite is shown. Gives whether it was shown. */
export function joinedBy(name) {
  if (!$("invite-dialog").open || !current) return false;
  section("joined");
  $("invite-joined").querySelector("p").textContent = `${name || "A device"} has joined.`;
  forget();
  return true;
}

function section(which) {
  for (const name of ["wait", "wrong", "made", "joined"]) $(`invite-${name}`).hidden = name !== which;
}

function open() {
  $("invite-dialog").showModal();
  $("invite-title").focus();
  make();
}

async function make() {
  section("wait");
  try {
    current = await sync.createInvite();
    invitedAt = Date.now();
    $("invite-code").textContent = current.code;
    const link = leadingHere(current);
    $("invite-link").value = link;
    $("invite-copy").textContent = "Copy";
    section("made");
    tell();
    clearInterval(timer);
    timer = setInterval(tell, 10_000);
    const { encodeQR } = await import("../vendor/qr/index.js");
    if (current) $("invite-qr").replaceChildren(drawQr(encodeQR(link, "raw", { ecc: "medium", border: QUIET })));
  } catch (error) {
    $("invite-wrong").textContent = sentence(error);
    section("wrong");
  }
}

/** An invite's link: to this page, when it is not the relay's own and others can open it. */
function leadingHere(invite) {
  const here = relayOf(location.href);
  const elsewhere = !inApp && here !== sync.status().relay && (isLocal(invite.link) || !isLocal(here));
  return elsewhere ? invite.linkTo(here) : invite.link;
}

/** Rows of modules, with the white around them, as a picture; its ground is white in the dark, too. */
export function drawQr(rows) {
  const cells = rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")));
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${rows.length} ${rows.length}`);
  picture.setAttribute("shape-rendering", "crispEdges");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", cells.join(""));
  path.setAttribute("fill", "#000");
  picture.append(path);
  return picture;
}

function tell() {
  if (current) $("invite-left").textContent = left(current.expiresAt.getTime() - Date.now());
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("invite-link").value);
    $("invite-copy").textContent = "Copied";
  } catch {
    // Refused by the browser: the person can copy what is selected.
    $("invite-link").select();
  }
}

async function revoke() {
  try {
    await sync.revokeInvite(current);
    $("invite-dialog").close();
  } catch (error) {
    $("invite-wrong").textContent = sentence(error);
    section("wrong");
    forget();
  }
}

function forget() {
  current = null;
  $("invite-code").textContent = "";
  $("invite-link").value = "";
  $("invite-qr").replaceChildren();
}
