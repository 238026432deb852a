/** What the device says, as an app gets it. */

import { badArgument } from "./errors.js";

/** What takes an invite back. @type {WeakMap<object, any>} */
const revocations = new WeakMap();

/** @param {any} read */
export function page({ blobs, maxCursor, hasMore }) {
  return { blobs: blobs.map(blob), maxCursor, hasMore };
}

/** @param {any} sent */
function blob({ timestamp, data, ...rest }) {
  return { ...rest, timestamp: new Date(timestamp), data, text: () => new TextDecoder().decode(data) };
}

/** @param {any} sent */
export function device({ lastSeen, ...rest }) {
  return { ...rest, lastSeen: new Date(lastSeen) };
}

/** @param {any} made */
export function invite({ code, link, appUrl, expiresAt, revocation }) {
  const withScheme = (/** @type {string} */ scheme) => {
    if (/^[a-z][a-z0-9+.-]*$/i.test(scheme)) return scheme + appUrl;
    throw badArgument("a scheme is letters, digits and + . -");
  };
  const handle = Object.freeze({ code, link, appUrl: withScheme, expiresAt: new Date(expiresAt) });
  revocations.set(handle, revocation);
  return handle;
}

/** @param {object} handle */
export function revocationOf(handle) {
  return revocations.get(handle);
}
