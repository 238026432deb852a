/** What the device says, as an app gets it. */

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
export function invite({ code, link, expiresAt, revocation }) {
  const handle = Object.freeze({ code, link, expiresAt: new Date(expiresAt) });
  revocations.set(handle, revocation);
  return handle;
}

/** @param {object} handle */
export function revocationOf(handle) {
  return revocations.get(handle);
}
