/** Errors, and the plain objects that stand for them between tabs and in WebAssembly. */

/** @typedef {{ code: string, message: string, retryAfterMs?: number }} PlainError */

export class SyncError extends Error {
  /** @param {string} code @param {string} message @param {number} [retryAfterMs] */
  constructor(code, message, retryAfterMs) {
    super(message);
    this.code = code;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}
SyncError.prototype.name = "SyncError";

/** Whatever was thrown, so that another tab can be told.
 *  @param {any} thrown @returns {PlainError} */
export function plain(thrown) {
  const { code, message, retryAfterMs } = thrown ?? {};
  if (typeof code === "string") return { code, message, retryAfterMs };
  return { code: "STATE", message: `this page's sync client has failed (${thrown}): reload the page` };
}

/** @param {any} thrown @returns {SyncError} */
export function syncError(thrown) {
  if (thrown instanceof SyncError) return thrown;
  const { code, message, retryAfterMs } = plain(thrown);
  return new SyncError(code, message, retryAfterMs);
}

/** @param {string} message */
export function badArgument(message) {
  return new SyncError("BAD_ARGUMENT", message);
}

/** @param {unknown} error */
export function closed(error = undefined) {
  return error === undefined ? new SyncError("CLOSED", "this client was closed") : syncError(error);
}
