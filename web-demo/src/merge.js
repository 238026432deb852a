// Which of two versions of a note counts: the later one, whether it edits or deletes. Of two at the same time the
// device with the greater id wins, and of two by the same device the greater text: so all devices agree.

import { bounded, compare } from "./clock.js";

const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Positive when version `a` counts and `b` does not; 0 when they are the same. */
export function newer(a, b) {
  return compare(a, b) || order(a.dev, b.dev) || Number(a.deleted) - Number(b.deleted) || order(a.text, b.text);
}

/**
 * What is to be kept when a version comes from the relay, which stored it at `at`; null when nothing changes.
 * `at` in what is kept: when the relay stored the version, 0 for not yet.
 */
export function merge(stored, version, at) {
  const incoming = { ...version, ...bounded(version, at), at };
  if (!stored) return incoming;
  const same = newer(stored, version) === 0 || newer(stored, incoming) === 0;
  if (same) {
    // The same version, now known to be there, perhaps with a clock that had to be set right.
    const known = stored.at >= at && stored.ms === incoming.ms && stored.n === incoming.n;
    return known ? null : { ...stored, ms: incoming.ms, n: incoming.n, at: Math.max(stored.at, at), refused: undefined };
  }
  return newer(incoming, stored) > 0 ? incoming : null;
}

/** Whether a version has to be sent again for a device that joins: it is, or soon will be, gone from the relay. */
export function fades(at, ttlSeconds, now) {
  if (ttlSeconds === 0 || at === 0) return false;
  return ttlSeconds === null || at < now - (ttlSeconds * 1000) / 2;
}
