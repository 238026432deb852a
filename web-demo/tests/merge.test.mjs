import assert from "node:assert/strict";
import { test } from "node:test";

import { AHEAD_MS, MAX_N, bounded, compare, tick } from "../src/clock.js";
import { fades, merge, newer } from "../src/merge.js";

const version = (over) => ({ id: "i", text: "t", ms: 1000, n: 0, dev: "aaaaaaaa", deleted: false, ...over });

test("the clock never goes back and never stands still", () => {
  let last = { ms: 0, n: 0 };
  for (const now of [1000, 1000, 900, 1001, 1000, -5]) {
    const next = tick(last, now);
    assert.ok(compare(next, last) > 0);
    last = next;
  }
  assert.deepEqual(last, { ms: 1001, n: 2 });
  assert.deepEqual(tick({ ms: 5, n: MAX_N }, 1), { ms: 6, n: 0 });
});

test("a clock from the future is bounded by when the relay stored it", () => {
  assert.deepEqual(bounded({ ms: 10 ** 15, n: 7 }, 2000), { ms: 2000 + AHEAD_MS, n: 0 });
  assert.deepEqual(bounded({ ms: 2000 + AHEAD_MS, n: 7 }, 2000), { ms: 2000 + AHEAD_MS, n: 7 });
});

test("every order of arrival ends in the same version", () => {
  const versions = [
    version(), version({ text: "later", ms: 2000 }), version({ text: "counted", ms: 2000, n: 1 }), version({ ms: 2000, n: 1, deleted: true, text: "" }),
    version({ text: "other device", ms: 2000, n: 1, dev: "bbbbbbbb" }), version({ text: "same place", ms: 2000, n: 1, dev: "bbbbbbbb" }),
    version({ text: "from the future", ms: 10 ** 14 }),
  ];
  const stored = versions.map((one, index) => [one, 5000 + index]);
  const ends = new Set();
  for (let seed = 1; seed <= 500; seed += 1) {
    let random = seed;
    const next = () => (random = (random * 48271) % 2147483647);
    const shuffled = stored.map((one) => [next(), one]).sort(([a], [b]) => a - b).map(([, one]) => one);
    let kept = null;
    for (const [one, at] of [...shuffled, ...shuffled.slice(0, 3)]) kept = merge(kept, one, at) ?? kept;
    const { text, ms, n, dev, deleted } = kept;
    ends.add(JSON.stringify({ text, ms, n, dev, deleted }));
  }
  assert.equal(ends.size, 1, [...ends].join("\n"));
  assert.match([...ends][0], /from the future/);
});

test("a later edit wins over a clock from the future", () => {
  const wrong = merge(null, version({ text: "wrong clock", ms: 10 ** 14 }), 5000);
  const right = merge(wrong, version({ text: "right", ms: 5000 + AHEAD_MS + 1 }), 5000 + AHEAD_MS + 2);
  assert.equal(right.text, "right");
});

test("a deletion wins when it is later, and loses when it is not", () => {
  const kept = merge(null, version({ ms: 2000 }), 3000);
  assert.equal(merge(kept, version({ ms: 2001, deleted: true }), 3000).deleted, true);
  assert.equal(merge(kept, version({ ms: 1999, deleted: true }), 3000), null);
});

test("an own note that comes back is known to be there, with its clock set right", () => {
  const own = { ...version({ ms: 10 ** 14 }), at: 0 };
  const back = merge(own, version({ ms: 10 ** 14 }), 4000);
  assert.deepEqual([back.at, back.ms, back.n], [4000, 4000 + AHEAD_MS, 0]);
  assert.equal(merge(back, version({ ms: 10 ** 14 }), 4000), null);
});

test("a version that is sent again changes nothing but when it was stored", () => {
  const kept = merge(null, version(), 4000);
  const again = merge(kept, version(), 9000);
  assert.deepEqual({ ...again, refused: 0 }, { ...kept, at: 9000, refused: 0 });
  const clamped = merge(null, version({ ms: 10 ** 14 }), 4000);
  assert.equal(newer(merge(clamped, { ...version(), ms: clamped.ms, n: clamped.n }, 10 ** 9), clamped), 0);
});

test("only what fades is sent again", () => {
  assert.equal(fades(1000, 0, 10 ** 12), false, "the relay keeps everything");
  assert.equal(fades(10 ** 12, null, 10 ** 12), true, "not known");
  assert.equal(fades(0, null, 10 ** 12), false, "not there yet");
  assert.equal(fades(50_000, 100, 100_001), true);
  assert.equal(fades(50_002, 100, 100_001), false);
});
