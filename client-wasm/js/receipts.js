/** Pushes whose result somebody may wait for. */

import { SyncError } from "./errors.js";

/** @typedef {{ promise: Promise<number>, resolve: (cursor: number) => void, reject: (error: Error) => void }} Waiting */

export class Receipts {
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();

  /** @param {string} blobId */
  add(blobId) {
    let waiting = this.#waiting.get(blobId);
    if (!waiting) {
      waiting = deferred();
      this.#waiting.set(blobId, waiting);
    }
    const { promise } = waiting;
    return Object.freeze({ blobId, acked: () => promise });
  }

  /** Those without a result. */
  open() {
    return [...this.#waiting.keys()];
  }

  /** @param {{ blobId: string, cursor?: number | null, code?: string | null }} outcome */
  settle({ blobId, cursor, code }) {
    const waiting = this.#waiting.get(blobId);
    if (!waiting) return;
    this.#waiting.delete(blobId);
    if (typeof cursor === "number") waiting.resolve(cursor);
    else waiting.reject(new SyncError(code ?? "REFUSED", `the relay refused this for good: ${code}`));
  }

  /** @param {{ from: string, to: string }} renamed */
  rename({ from, to }) {
    const waiting = this.#waiting.get(from);
    if (!waiting) return;
    this.#waiting.delete(from);
    this.#waiting.set(to, waiting);
  }

  /** @param {Error} error */
  failAll(error) {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

/** @returns {Waiting} */
function deferred() {
  let resolve, reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Nobody has to ask how a push ended.
  promise.catch(() => {});
  // @ts-ignore: both are set by now.
  return { promise, resolve, reject };
}
