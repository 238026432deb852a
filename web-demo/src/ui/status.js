// The bar at the lower edge, and the notice above the notes when somebody has to do something.

import { isGone, sentence, situation } from "../words.js";
import { $, announce } from "./dom.js";

let last = "";
/** An attempt has failed since the relay last let us in. */
let tried = false;

/** Shows how things stand. `reading`: whether notes are coming in. */
export function showStatus(status, reading) {
  if (status.connection === "online") tried = false;
  const now = situation(status, { onLine: navigator.onLine, tried, reading });
  $("dot").className = `dot ${now.kind}`;
  $("state").textContent = now.label;
  $("state-detail").textContent = now.kind === "attention" ? "" : now.detail;
  $("queue").textContent = `${status.pendingPush} waiting`;
  $("cursor").textContent = `${status.lastCursor} / ${Math.max(status.maxCursor, status.lastCursor)}`;
  $("persisted").textContent = status.persisted ? "Kept by this browser" : "";
  $("kept").textContent = status.persisted
    ? ""
    : "This browser may delete its copy when space is short. Bookmark or install this page to keep it.";
  showAttention(now, status);
  showProgress(status, reading);
  if (now.label !== last && now.kind !== "connecting") {
    if (last) announce(`${now.label}. ${now.detail}`);
    last = now.label;
  }
  document.documentElement.dataset.connection = now.kind;
}

/** The connection ended, or could not be made. */
export function noteFailure() {
  tried = true;
}

function showAttention(now, status) {
  const gone = isGone(status);
  $("attention").hidden = now.kind !== "attention";
  $("invite").hidden = gone;
  // What was begun there stays to be read.
  $("compose").hidden = gone && !$("new-note").value;
  if (now.kind !== "attention") return;
  $("attention").querySelector("p").textContent = sentence(now.detail);
  const changed = status.stopped?.code === "RELAY_KEY_CHANGED";
  $("attention-action").hidden = status.storage === "full" || changed;
  $("attention-action").textContent = gone ? "Erase and start again" : "Try again";
}

function showProgress(status, reading) {
  const left = status.maxCursor - status.lastCursor;
  $("progress").hidden = !(reading && left > 20);
  $("progress-text").textContent = `Received ${status.lastCursor} of ${status.maxCursor}`;
  $("progress-bar").max = Math.max(status.maxCursor, 1);
  $("progress-bar").value = status.lastCursor;
}
