// Warnings above the notes, until somebody dismisses them; also after a reload, and in all tabs: most are told only once.
// One is `{ kind, device, how }`: an event's name, which device it is about, how it went.

import { sentence, warning, warningKinds } from "../words.js";
import { askToRemove } from "./devices.js";
import { $, h, toast } from "./dom.js";

/** Where the browser keeps them: `{ deviceId, list }`. */
const KEPT = "notebook:warnings";

/** So many of a kind at once: a relay can make up as many devices as it likes. */
const MOST = 3;
/** What a new key of the notebook settles: whoever was not announced is shut out. */
const SETTLED = new Set(["unknownDevice", "inviteMisused", "rotationWithheld"]);

/** This browser has left the notebook. */
export const forgetWarnings = () => localStorage.removeItem(KEPT);

const keyOf = ({ kind, device }) => `${kind} ${device}`;

export class Warnings {
  #sync;
  #deviceId;
  #nameOf = null;
  #shown = new Map();
  #off;

  /** Hears them from now on; `show` shows them. */
  constructor(sync) {
    this.#sync = sync;
    this.#deviceId = sync.status().deviceId;
    this.#off = warningKinds.map((kind) => sync.on(kind, (detail) => this.#change((list) => withWarning(list, kind, detail))));
    this.#off.push(sync.on("keyRotated", () => this.#change(settled)));
    this.#off.push(sync.on("deviceJoined", ({ deviceId: device }) => this.#drop({ kind: "unknownDevice", device })));
    const elsewhere = ({ key }) => key === KEPT && this.#draw();
    addEventListener("storage", elsewhere);
    this.#off.push(() => removeEventListener("storage", elsewhere));
  }

  stop() {
    this.#off.forEach((off) => off());
    $("warnings").replaceChildren();
  }

  /** Shows what there is. `nameOf(deviceId)`: what a device is called. */
  show(nameOf) {
    this.#nameOf = nameOf;
    this.#draw();
  }

  /** What is shown already stays where it is: a reader would hear it again. */
  #draw() {
    if (!this.#nameOf) return;
    const list = this.#list();
    const keys = new Set(list.map(keyOf));
    for (const [key, element] of this.#shown) {
      if (keys.has(key)) continue;
      element.remove();
      this.#shown.delete(key);
    }
    for (const one of list) {
      const [text, action] = warning(one, this.#nameOf);
      const words = (this.#shown.get(keyOf(one)) ?? this.#make(one, action)).firstChild;
      if (words.textContent !== text) words.textContent = text;
    }
  }

  #make(one, action) {
    const button = action && h("button", { type: "button", onclick: () => this.#act(button, one) }, action);
    // Nothing is sent until that is decided.
    const waits = one.kind === "restoreWaits";
    const dismiss = waits ? null : h("button", { type: "button", class: "plain", onclick: () => this.#dismiss(one) }, "Dismiss");
    const element = h("div", { class: "notice", role: "alert", "data-testid": "warning" }, h("p"), h("div", { class: "row" }, button, dismiss));
    this.#shown.set(keyOf(one), element);
    $("warnings").append(element);
    return element;
  }

  async #act(button, one) {
    button.disabled = true;
    try {
      const done = await this.#actions[one.kind](one.device);
      if (!done) return;
      this.#dismiss(one);
      toast(done);
    } catch (error) {
      toast(sentence(error));
    } finally {
      button.disabled = false;
    }
  }

  /** What the buttons do; each gives what there is to say when it is done. */
  #actions = {
    unknownDevice: async (device) => {
      const name = this.#nameOf(device);
      if (!(await askToRemove(name))) return null;
      await this.#sync.removeDevice(device);
      return `${name} is removed.`;
    },
    inviteMisused: async () => {
      await this.#sync.rotate();
      return "The notebook has a new key.";
    },
    restoreWaits: async () => {
      await this.#sync.restore();
      return "The notes are sent again.";
    },
  };

  #dismiss(one) {
    this.#drop(one);
    $("notes-title").focus();
  }

  #drop(one) {
    this.#change((list) => without(list, one));
  }

  #change(change) {
    localStorage.setItem(KEPT, JSON.stringify({ deviceId: this.#deviceId, list: change(this.#list()) }));
    this.#draw();
  }

  #list() {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    // What another device of this browser was told went with it; another release may tell what this one cannot.
    return kept?.deviceId === this.#deviceId ? kept.list.filter(({ kind }) => warningKinds.includes(kind)) : [];
  }
}

/** The list with another one, unless it has one of that kind and device, or enough of the kind. */
export function withWarning(list, kind, { deviceId, sender, witness, how, why }) {
  const device = deviceId ?? sender ?? witness ?? "";
  const alike = list.filter((one) => one.kind === kind);
  if (alike.length >= MOST || alike.some((one) => one.device === device)) return list;
  return [...list, { kind, device, how: how ?? why ?? "" }];
}

/** The list without one. */
export const without = (list, { kind, device }) => list.filter((one) => one.kind !== kind || one.device !== device);

/** The list once the notebook has a new key. */
export const settled = (list) => list.filter(({ kind }) => !SETTLED.has(kind));
