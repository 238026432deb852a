/**
 * Keeps an app's data in step on several devices of one person, through a relay that can read nothing.
 *
 * What is here has the names and the behaviour of `sync-client-wasm`, so that one page can use either.
 *
 * @module
 */

export { SyncClient } from "./client";
export { SyncError } from "./error";
export type {
  Blob,
  Connection,
  Cursor,
  DeviceInfo,
  ErrorCode,
  InviteHandle,
  OpenOptions,
  Page,
  PushReceipt,
  Status,
  SyncEvents,
} from "./types";
