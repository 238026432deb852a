// chain.json: how blobs refer to each other, and to what was shown.

import { ascii, hex, repeat, unhex } from './bytes.mjs';
import { sha256 } from './keys.mjs';
import { groupOf, schedule } from './members.mjs';
import { content, context, sealBlob } from './sealed.mjs';

const group = hex(groupOf(schedule(repeat(0x5e, 32)).auth));
const store = '57'.repeat(16);
const [ada, bob] = ['0a'.repeat(32), '0b'.repeat(32)];
const id = (n) => `b1${n.toString(16).padStart(2, '0')}`.padEnd(32, '0');

const u64be = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; };
const firstHead = (g, s) => sha256(ascii('sync-relay head v1'), unhex(g), unhex(s));
const nextHead = (head, one) => sha256(head, u64be(one.cursor), unhex(one.blob_id), unhex(one.sender), unhex(one.hash));
const headOf = (entries, g = group, s = store) => entries.reduce(nextHead, firstHead(g, s));

function heads() {
  const entry = (cursor, sender, payload) => ({ cursor, blob_id: id(cursor), sender, hash: hex(sha256(unhex(payload))) });
  const log = [entry(1, ada, 'c1f3'), entry(2, bob, '02c1f3'), entry(3, ada, '')];
  const accept = (name, entries, g = group, s = store) => ({
    case: name, group_id: g, store_id: s,
    entries: entries.map((one, i) => ({ ...one, head: hex(headOf(entries.slice(0, i + 1), g, s)) })),
    head: hex(headOf(entries, g, s)),
  });
  /** Two devices at the same cursor, one of which was shown `entries`, the other something else. */
  const refuse = (name, other, entries = log) => ({ case: name, group_id: group, store_id: store, entries, head: hex(other), error: 'Fork' });
  const changed = (index, change) => headOf(log.map((one, i) => (i === index ? { ...one, ...change } : one)));
  return {
    accepted: [
      accept('an empty log', []),
      accept('one blob', log.slice(0, 1)),
      accept('two devices, a rotation, and a blob of no bytes', log),
      accept('of another group', log, '9b'.repeat(32)),
      accept('in another store', log, group, '00'.repeat(16)),
      accept('at the largest cursor', [{ ...log[0], cursor: Number.MAX_SAFE_INTEGER }]),
    ],
    refused: [
      refuse('another blob first', changed(0, { hash: '4a'.repeat(32) })),
      refuse('another blob last', changed(2, { hash: '4a'.repeat(32) })),
      refuse('another sender', changed(1, { sender: ada })),
      refuse('another id', changed(1, { blob_id: id(9) })),
      refuse('another cursor', changed(2, { cursor: 4 })),
      refuse('two blobs swapped', headOf([{ ...log[1], cursor: 1 }, { ...log[0], cursor: 2 }, log[2]])),
      refuse('a blob left out', headOf([log[0], { ...log[2], cursor: 2 }]), log.slice(0, 2)),
      refuse('a blob put in', headOf(log), log.slice(0, 2)),
      refuse('another store', headOf(log, group, '58'.repeat(16))),
      refuse('another group', headOf(log, '9b'.repeat(32))),
    ],
  };
}

const chain_id = 'c0'.repeat(16);
const zeros = '00'.repeat(32);

function chains() {
  /** A blob of the chain: what it says and its bytes. */
  const blob = (seq, prev, more = {}, body = hex(Buffer.from(`blob ${seq}`))) => {
    const blob_id = id(seq);
    const fields = { kind: 0, chain_id, seq, prev, prev_expires: 0, seen: null, ...more };
    const sealed = sealBlob({ ...context, blob_id }, repeat(seq + 1, 24), content({ ...fields, body }));
    return { blob_id, sealed: hex(sealed), hash: hex(sha256(sealed)) };
  };
  const [zero, one] = [blob(0, zeros)].flatMap((a) => [a, blob(1, a.hash)]);
  const two = blob(2, one.hash);
  const held = '4a'.repeat(32);
  const voided = blob(2, one.hash, { kind: 2 }, held);
  const { blob_id, ...place } = context;
  const show = (blobs) => blobs.map((each) => ({ blob_id: each.blob_id, sealed: each.sealed }));
  const accept = (name, blobs, hash) => ({
    case: name, ...place, blobs: show(blobs), tip: { chain_id, seq: blobs.length - 1, hash: hash ?? blobs.at(-1).hash } });
  const refuse = (name, error, blobs) => ({ case: name, ...place, blobs: show(blobs), error });
  return {
    accepted: [
      accept('one blob', [zero]),
      accept('three blobs', [zero, one, two]),
      accept('a void blob stands for the one whose place it holds', [zero, one, voided], held),
      accept('and the next goes on from there', [zero, one, voided, blob(3, held)]),
    ],
    refused: [
      refuse('the first names one before it', 'Altered', [blob(0, held)]),
      refuse('the second names another than the first', 'Altered', [zero, blob(1, held)]),
      refuse('the second names none', 'Altered', [zero, blob(1, zeros)]),
      refuse('the third names the first', 'Altered', [zero, one, blob(2, zero.hash)]),
      refuse('the one after a void blob names the void blob', 'Altered', [zero, one, voided, blob(3, voided.hash)]),
      refuse('the first is missing', 'Gap', [one]),
      refuse('one between is missing', 'Gap', [zero, two]),
      refuse('the first again', 'Known', [zero, zero]),
      refuse('an earlier one again', 'Known', [zero, one, zero]),
      refuse('another in the place of the newest', 'Altered', [zero, one, blob(1, held)]),
      refuse('another in the place of an earlier one', 'Known', [zero, one, blob(0, held)]),
      refuse('a void blob in the place of the newest', 'Altered', [zero, one, blob(1, zero.hash, { kind: 2 }, held)]),
      refuse('a void blob that stands for the newest', 'Known', [zero, one, blob(1, zero.hash, { kind: 2 }, one.hash)]),
    ],
  };
}

function cuts() {
  const tips = [{ chain_id, seq: 7, hash: '4a'.repeat(32) }, { chain_id: 'c1'.repeat(16), seq: 0, hash: '4b'.repeat(32) }];
  const accept = (name, chain, seq, hash, list = tips) => ({ case: name, tips: list, chain_id: chain, seq, hash });
  const refuse = (...args) => ({ ...accept(...args), error: 'NotCounted' });
  const [other, nobodys] = ['c1'.repeat(16), 'c2'.repeat(16)];
  return {
    accepted: [
      accept('the tip itself', chain_id, 7, '4a'.repeat(32)),
      accept('one before the tip, whatever it is', chain_id, 6, '4c'.repeat(32)),
      accept('the first of the chain', chain_id, 0, '4c'.repeat(32)),
      accept('the tip of another chain', other, 0, '4b'.repeat(32)),
    ],
    refused: [
      refuse('another blob in the tip\u2019s place', chain_id, 7, '4c'.repeat(32)),
      refuse('after the tip', chain_id, 8, '4a'.repeat(32)),
      refuse('far after the tip', chain_id, Number.MAX_SAFE_INTEGER, '4a'.repeat(32)),
      refuse('the tip\u2019s hash in another chain', other, 0, '4a'.repeat(32)),
      refuse('after the tip of another chain', other, 1, '4b'.repeat(32)),
      refuse('a chain without a tip', nobodys, 0, '4a'.repeat(32)),
      refuse('a device without tips', chain_id, 0, '4a'.repeat(32), []),
    ],
  };
}

export function chain() {
  return {
    about: 'Heads, chains and where a closed epoch ends. Of a refused chain the last blob is the one that does not follow. Byte strings are hexadecimal; 07*300 is 300 times 07.',
    heads: heads(),
    chains: chains(),
    cuts: cuts(),
  };
}
