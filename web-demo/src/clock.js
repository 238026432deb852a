// A hybrid logical clock: `{ ms, n }`. It follows the wall clock, but never runs behind anything it has seen,
// so what was written after something else was read counts as later, even on a device whose clock is slow.

/** How far a clock may be ahead of the relay's when its note is stored there. */
export const AHEAD_MS = 5 * 60_000;
/** The counter's end; the next tick takes another millisecond. */
export const MAX_N = 999_999;

/** Negative when `a` is earlier than `b`. */
export function compare(a, b) {
  return a.ms - b.ms || a.n - b.n;
}

/** The time of something that happens now, after `last`. */
export function tick(last, now) {
  if (now > last.ms) return { ms: now, n: 0 };
  return last.n < MAX_N ? { ms: last.ms, n: last.n + 1 } : { ms: last.ms + 1, n: 0 };
}

/** A clock from the future counts as five minutes ahead of when the relay stored its note: nobody wins for ever. */
export function bounded(clock, storedAt) {
  const latest = storedAt + AHEAD_MS;
  return clock.ms > latest ? { ms: latest, n: 0 } : { ms: clock.ms, n: clock.n };
}
