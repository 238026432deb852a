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
  const linkTo = (/** @type {string} */ page) => leadingTo(page, link);
  const handle = Object.freeze({ code, link, linkTo, appUrl: withScheme, expiresAt: new Date(expiresAt) });
  revocations.set(handle, revocation);
  return handle;
}

/** A link that leads to another page than the relay's names the relay behind the key.
 *  @param {string} page @param {string} link */
function leadingTo(page, link) {
  const before = page.replace(/\/+$/, "");
  if (!/^https?:\/\/[\w.:[\]-]+(\/[!-~]*)?$/.test(before) || /[?#]/.test(before)) throw badArgument("a page is an address such as https://notes.example");
  const [relay, secret] = link.split("/join#");
  return before === relay ? link : `${before}/join#${secret}.${relay}`;
}

/** @param {object} handle */
export function revocationOf(handle) {
  return revocations.get(handle);
}
