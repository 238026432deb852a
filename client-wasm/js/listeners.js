/** Who wants to know what. */

import { badArgument } from "./errors.js";

/** Listens for every event, with its name. */
const ALL = "event";

export class Listeners {
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #of = new Map();

  /** @param {string} event @param {(detail: any) => void} listener */
  add(event, listener) {
    if (typeof event !== "string" || typeof listener !== "function") {
      throw badArgument("on takes an event's name and a function");
    }
    // A function of our own: one that is added twice is called twice.
    const call = (/** @type {any} */ detail) => listener(detail);
    const listeners = this.#of.get(event) ?? new Set();
    this.#of.set(event, listeners.add(call));
    return () => void listeners.delete(call);
  }

  /** @param {string} event @param {any} detail */
  tell(event, detail) {
    for (const listener of [...(this.#of.get(event) ?? [])]) run(listener, detail);
    for (const listener of [...(this.#of.get(ALL) ?? [])]) run(listener, { name: event, detail });
  }
}

/** What a listener throws is its own, and reaches the page as if nobody had called it.
 *  @param {(detail: any) => void} listener @param {any} detail */
function run(listener, detail) {
  try {
    listener(detail);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
