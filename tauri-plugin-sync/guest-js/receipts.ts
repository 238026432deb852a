// Pushes whose result somebody may wait for.

import { SyncError } from "./error";
import type { Cursor, ErrorCode, PushReceipt } from "./types";

interface Outcome {
  blobId: string;
  cursor?: Cursor;
  code?: ErrorCode;
}

interface Waiting {
  promise: Promise<Cursor>;
  resolve: (cursor: Cursor) => void;
  reject: (error: SyncError) => void;
}

export class Receipts {
  #waiting = new Map<string, Waiting>();
  /** Pushes whose ids are not known yet; what is told meanwhile may be about them. */
  #underWay = 0;
  #early = new Map<string, Outcome>();

  /** Runs a push, which gives its blob's id. */
  async of(push: () => Promise<string>): Promise<PushReceipt> {
    this.#underWay += 1;
    try {
      const blobId = await push();
      const waiting = deferred();
      this.#waiting.set(blobId, waiting);
      const early = this.#early.get(blobId);
      if (early) this.settle(early);
      return Object.freeze({ blobId, acked: () => waiting.promise });
    } finally {
      this.#underWay -= 1;
      if (this.#underWay === 0) this.#early.clear();
    }
  }

  settle(outcome: Outcome): void {
    const waiting = this.#waiting.get(outcome.blobId);
    if (!waiting) {
      if (this.#underWay > 0) this.#early.set(outcome.blobId, outcome);
      return;
    }
    this.#waiting.delete(outcome.blobId);
    const { cursor, code = "REFUSED" } = outcome;
    if (cursor !== undefined) waiting.resolve(cursor);
    else waiting.reject(new SyncError(code, `the relay refused this for good: ${code}`));
  }

  rename({ from, to }: { from: string; to: string }): void {
    const waiting = this.#waiting.get(from);
    if (!waiting) return;
    this.#waiting.delete(from);
    this.#waiting.set(to, waiting);
  }

  failAll(error: SyncError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

function deferred(): Waiting {
  let resolve!: Waiting["resolve"];
  let reject!: Waiting["reject"];
  const promise = new Promise<Cursor>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Nobody has to ask how a push ended.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
