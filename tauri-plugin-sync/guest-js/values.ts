// What goes to the plugin and what comes from it, as an app has it.

import { SyncError } from "./error";
import type { Blob, Cursor, DeviceInfo, InviteHandle, Page } from "./types";

/** The end of a page: what has to be named once the app has it. */
export interface End {
  generation: number;
  cursor: Cursor;
}

interface BlobHead {
  cursor: Cursor;
  blobId: string;
  sender: string;
  timestamp: number;
  len: number;
}

export interface SentInvite {
  id: number;
  code: string;
  link: string;
  appUrl: string;
  expiresAt: number;
}

const ids = new WeakMap<InviteHandle, number>();

export function bytes(data: unknown): Uint8Array {
  if (typeof data === "string") return new TextEncoder().encode(data);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (data instanceof Uint8Array) return data;
  throw new SyncError("BAD_ARGUMENT", "data is a Uint8Array, an ArrayBuffer or a string");
}

/** Reads a page: the length of its head in 4 bytes, the head, the data of all blobs. Where bytes do not come through
 *  as bytes, they are a list of numbers. */
export function page(sent: ArrayBuffer | number[]): { page: Page; end: End } {
  const all = new Uint8Array(sent);
  const headLen = new DataView(all.buffer).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(all.subarray(4, 4 + headLen)));
  let at = 4 + headLen;
  const blobs = (head.blobs as BlobHead[]).map(({ len, timestamp, ...rest }): Blob => {
    const data = all.slice(at, at + len);
    at += len;
    return { ...rest, timestamp: new Date(timestamp), data, text: () => new TextDecoder().decode(data) };
  });
  const { generation, maxCursor, hasMore } = head;
  return { page: { blobs, maxCursor, hasMore }, end: { generation, cursor: maxCursor } };
}

export function device({ lastSeen, ...rest }: Omit<DeviceInfo, "lastSeen"> & { lastSeen: number }): DeviceInfo {
  return { ...rest, lastSeen: new Date(lastSeen) };
}

export function invite({ id, code, link, appUrl, expiresAt }: SentInvite): InviteHandle {
  const withScheme = (scheme: string) => {
    if (/^[a-z][a-z0-9+.-]*$/i.test(scheme)) return scheme + appUrl;
    throw new SyncError("BAD_ARGUMENT", "a scheme is letters, digits and + . -");
  };
  const linkTo = (page: string) => leadingTo(page, link);
  const handle = Object.freeze({ code, link, linkTo, appUrl: withScheme, expiresAt: new Date(expiresAt) });
  ids.set(handle, id);
  return handle;
}

/** A link that leads to another page than the relay's names the relay behind the key. */
function leadingTo(page: string, link: string): string {
  const before = page.replace(/\/+$/, "");
  if (!/^https?:\/\/[\w.:[\]-]+(\/[!-~]*)?$/.test(before) || /[?#]/.test(before)) throw new SyncError("BAD_ARGUMENT", "a page is an address such as https://notes.example");
  const [relay, secret] = link.split("/join#");
  return before === relay ? link : `${before}/join#${secret}.${relay}`;
}

export function idOf(handle: InviteHandle): number {
  const id = ids.get(handle);
  if (id === undefined) throw new SyncError("BAD_ARGUMENT", "this is no invite of createInvite's");
  return id;
}
