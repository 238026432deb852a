// What a command rejects with, as an error.

import type { ErrorCode } from "./types";

/** Every promise of this package rejects with one of these. Its `message` says what a person can do. */
export class SyncError extends Error {
  override readonly name = "SyncError";
  readonly code: ErrorCode;
  /** With TOO_MANY_REQUESTS: how long to wait before trying again, in milliseconds. */
  readonly retryAfterMs?: number;

  constructor(code: ErrorCode, message: string, retryAfterMs?: number) {
    super(message);
    this.code = code;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}

/** Whatever was thrown. Tauri itself throws texts: for what is not allowed, and for arguments that do not fit. */
export function syncError(thrown: unknown): SyncError {
  if (thrown instanceof SyncError) return thrown;
  if (typeof thrown === "object" && thrown !== null && "code" in thrown) {
    const { code, message, retryAfterMs } = thrown as SyncError;
    return new SyncError(code, message, retryAfterMs);
  }
  const text = String(thrown);
  return new SyncError(/not allowed|explicitly denied/.test(text) ? "NOT_ALLOWED" : "BAD_ARGUMENT", text);
}
