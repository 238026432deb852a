// sealed.json: what only members can read.

import { ascii, hex, repeat, u32be, unhex } from './bytes.mjs';
import { publicKey, sign } from './keys.mjs';
import { groupOf, hkdf, invite, pad, padded, schedule, seenOf } from './members.mjs';
import * as m from './msgpack.mjs';
import { seal } from './xchacha.mjs';

const MAX_BLOB = 1024 * 1024 + 1024;
const HEAD = 5 + 24 + 16;

const secret = repeat(0x5e, 32);
const keys = schedule(secret);
export const context = {
  secret: hex(secret), group_id: hex(groupOf(keys.auth)), epoch: 0,
  sender: hex(publicKey('x25519', repeat(0x77, 32))), blob_id: 'c0c1c2c3c4c58ac7800000000000002a',
};

const bin = (text) => m.bin(unhex(text));

export function content(c, codec = 0, body = unhex(c.body)) {
  return m.array([
    m.uint(c.kind), bin(c.chain_id), m.uint(c.seq), bin(c.prev), m.uint(c.prev_expires), seenOf(c.seen),
    m.uint(codec), m.bin(body),
  ]);
}

export function sealBlob(ctx, nonce, plaintext, format = 1) {
  const ad = Buffer.concat([
    ascii('sync-relay blob v1'), unhex(ctx.group_id), u32be(ctx.epoch), unhex(ctx.sender), unhex(ctx.blob_id)]);
  const head = Buffer.concat([Buffer.from([format]), u32be(ctx.epoch)]);
  return Buffer.concat([head, seal(schedule(unhex(ctx.secret)).blob, nonce, ad, plaintext)]);
}

const first = { kind: 0, chain_id: 'c0'.repeat(16), seq: 0, prev: '00'.repeat(32), prev_expires: 0, seen: null };
const later = {
  kind: 0, chain_id: 'c0'.repeat(16), seq: 300, prev: '4a'.repeat(32), prev_expires: 1767225600000,
  seen: { store_id: '57'.repeat(16), cursor: 299, head: '4e'.repeat(32) },
};
const nonce = unhex('000102030405060708090a0b0c0d0e0f1011121314151617');

/** Blobs whose every byte follows from the fields. */
function blobs() {
  const exact = (name, fields, body, more = {}) => {
    const full = { ...fields, body };
    const ctx = { ...context, ...more };
    return {
      case: name, ...ctx, nonce: hex(nonce), content: full, exact: true,
      sealed: hex(sealBlob(ctx, nonce, pad(content(full), MAX_BLOB - HEAD))),
    };
  };
  /** Blobs with a body that this script packs in its own way. */
  const packed = (name, body, block, length = unhex(body).length) => {
    const u32le = Buffer.alloc(4);
    u32le.writeUInt32LE(length);
    const plaintext = content(first, 1, Buffer.concat([u32le, block]));
    return {
      case: name, ...context, content: { ...first, body }, exact: false,
      sealed: hex(sealBlob(context, nonce, pad(plaintext, MAX_BLOB - HEAD))),
    };
  };
  // LZ4: 8 literals and no match; 1 literal, then 286 bytes from 1 byte before, then 5 literals.
  const literals = Buffer.concat([Buffer.from([0x80]), repeat(0x61, 8)]);
  const run = Buffer.concat([unhex('1f 61 0100 ff 0c'), unhex('50'), repeat(0x61, 5)]);
  const text = hex(Buffer.from('hello'));

  const refuse = (name, error, sealed, ctx = context, max_body = 1 << 20) => (
    { case: name, ...ctx, sealed: hex(sealed), max_body, error });
  const good = sealBlob(context, nonce, pad(content({ ...first, body: text }), MAX_BLOB));
  const inside = (plaintext) => sealBlob(context, nonce, plaintext);
  const flip = (bytes, at) => { const out = Buffer.from(bytes); out[at < 0 ? out.length + at : at] ^= 1; return out; };
  const fields = (changes) => content({ ...first, body: text, ...changes });
  const withPadding = (byte) => Buffer.concat([fields({}), Buffer.alloc(10), Buffer.from([byte]), Buffer.alloc(10)]);
  const lz4 = (length, block) => {
    const u32le = Buffer.alloc(4);
    u32le.writeUInt32LE(length);
    return inside(content(first, 1, Buffer.concat([u32le, block])));
  };
  return {
    accepted: [
      exact('a text', first, text),
      exact('nothing', first, ''),
      exact('later in a chain', later, text),
      exact('control', { ...first, kind: 1 }, hex(m.array([m.uint(2)]))),
      exact('void', { ...first, kind: 2 }, '4a'.repeat(32)),
      exact('the largest numbers', { ...first, seq: Number.MAX_SAFE_INTEGER, prev_expires: Number.MAX_SAFE_INTEGER }, ''),
      exact('the last length that is padded to 256', first, '07*196'),
      exact('one more', first, '07*197'),
      exact('the last length before another step', first, '07*212'),
      exact('of a later epoch', first, text, { epoch: 7 }),
      packed('packed, literals only', hex(repeat(0x61, 8)), literals),
      packed('packed, a run', hex(repeat(0x61, 1 + 286 + 5)), run),
      packed('packed, nothing in it', '', Buffer.from([0])),
    ],
    refused: [
      refuse('nothing', 'Decrypt', Buffer.alloc(0)),
      refuse('a header and nothing else', 'Decrypt', good.subarray(0, 5)),
      refuse('another format', 'UnknownFormat', sealBlob(context, nonce, fields({}), 2)),
      refuse('another epoch in front', 'WrongEpoch', flip(good, 4)),
      refuse('another nonce', 'Decrypt', flip(good, 5)),
      refuse('another ciphertext', 'Decrypt', flip(good, 40)),
      refuse('another tag', 'Decrypt', flip(good, -1)),
      refuse('cut short', 'Decrypt', good.subarray(0, good.length - 1)),
      refuse('of another group', 'Decrypt', good, { ...context, group_id: '9b'.repeat(32) }),
      refuse('of another sender', 'Decrypt', good, { ...context, sender: '0a'.repeat(32) }),
      refuse('with another id', 'Decrypt', good, { ...context, blob_id: 'b1'.repeat(16) }),
      refuse('under another secret', 'Decrypt', good, { ...context, secret: '5f'.repeat(32) }),
      refuse('padding that is not zero', 'Malformed', inside(withPadding(1))),
      refuse('an unknown kind', 'Malformed', inside(fields({ kind: 3 }))),
      refuse('an unknown codec', 'Malformed', inside(content(first, 2, Buffer.alloc(0)))),
      refuse('a chain id of 15 bytes', 'Malformed', inside(fields({ chain_id: 'c0'.repeat(15) }))),
      refuse('a field too few', 'Malformed', inside(m.array([m.uint(0)]))),
      refuse('no content', 'Malformed', inside(Buffer.alloc(256))),
      refuse('a body larger than allowed', 'TooLarge', good, context, 4),
      refuse('packed, claims 4 GiB', 'TooLarge', lz4(0xffffffff, Buffer.from([0]))),
      refuse('packed, larger than allowed', 'TooLarge', lz4(9, literals), context, 8),
      refuse('packed, longer than it says', 'Malformed', lz4(7, literals)),
      refuse('packed, shorter than it says', 'Malformed', lz4(9, literals)),
      refuse('packed, a block that ends within a match', 'Malformed', lz4(9, Buffer.concat([literals, Buffer.from([1])]))),
      refuse('packed, no block', 'Malformed', lz4(1, Buffer.alloc(0))),
      refuse('packed, without a length', 'Malformed', inside(content(first, 1, Buffer.from([1, 0])))),
      refuse('packed, a match before the start', 'Malformed', lz4(20, unhex('10 61 0200'))),
    ],
  };
}

function names() {
  const ad = (ctx) => Buffer.concat([ascii('sync-relay name v1'), unhex(ctx.group_id), u32be(ctx.epoch), unhex(ctx.sender)]);
  const { blob_id, ...ctx } = context;
  const sealWith = (plaintext, format = 1) => Buffer.concat([
    Buffer.from([format]), u32be(ctx.epoch), seal(keys.name, nonce, ad(ctx), plaintext)]);
  const fill = (plaintext) => Buffer.concat([plaintext, Buffer.alloc(64 - plaintext.length)]);
  const accept = (name) => ({ case: name, ...ctx, nonce: hex(nonce), name, sealed: hex(sealWith(fill(m.str(name)))) });
  const refuse = (name, error, sealed, change = {}) => ({ case: name, ...ctx, ...change, sealed: hex(sealed), error });
  const good = sealWith(fill(m.str('ada')));
  return {
    accepted: [accept('ada'), accept('Ada\u2019s ph\u00f4ne \u{1F4F1}'), accept('x'.repeat(62))],
    refused: [
      refuse('nothing', 'Decrypt', Buffer.alloc(0)),
      refuse('another format', 'UnknownFormat', sealWith(fill(m.str('ada')), 2)),
      refuse('of another device', 'Decrypt', good, { sender: '0a'.repeat(32) }),
      refuse('of another group', 'Decrypt', good, { group_id: '9b'.repeat(32) }),
      refuse('of another epoch', 'WrongEpoch', good, { epoch: 1 }),
      refuse('sealed like a blob', 'Decrypt', sealBlob(context, nonce, fill(m.str('ada')))),
      refuse('no name', 'Malformed', sealWith(fill(m.str('')))),
      refuse('63 bytes', 'Malformed', sealWith(m.str('x'.repeat(63)))),
      refuse('a line break', 'Malformed', sealWith(fill(m.str('a\nb')))),
      refuse('a control character past ASCII', 'Malformed', sealWith(fill(m.str('a\u0085b')))),
      refuse('a no-break space at the start', 'Malformed', sealWith(fill(m.str('\u00a0ada')))),
      refuse('not UTF-8', 'Malformed', sealWith(fill(unhex('a2c328')))),
      refuse('another ciphertext', 'Decrypt', (() => { const out = Buffer.from(good); out[40] ^= 1; return out; })()),
      refuse('another format, and short', 'UnknownFormat', Buffer.from([2])),
      refuse('a space at the end', 'Malformed', sealWith(fill(m.str('ada ')))),
      refuse('padding that is not zero', 'Malformed', sealWith(Buffer.concat([m.str('ada'), repeat(1, 60)]))),
      refuse('bytes instead of text', 'Malformed', sealWith(fill(m.bin(Buffer.from('ada'))))),
    ],
  };
}

function controls() {
  const accept = (name, bytes, fields) => ({ case: name, bytes: hex(bytes), fields });
  const refuse = (name, error, bytes) => ({ case: name, bytes: hex(bytes), error });
  const announce = (name, platform) => m.array([m.uint(1), m.str(name), m.str(platform)]);
  return {
    accepted: [
      accept('an announcement', announce('ada', 'linux'), { name: 'ada', platform: 'linux' }),
      accept('the longest', announce('x'.repeat(62), 'y'.repeat(32)), { name: 'x'.repeat(62), platform: 'y'.repeat(32) }),
      accept('no platform', announce('ada', ''), { name: 'ada', platform: '' }),
      accept('a leave', m.array([m.uint(2)]), {}),
    ],
    refused: [
      refuse('nothing', 'Truncated', Buffer.alloc(0)),
      refuse('no kind', 'Truncated', m.array([])),
      refuse('an unknown kind', 'UnknownType', m.array([m.uint(3)])),
      refuse('an announcement without a platform', 'WrongLength', m.array([m.uint(1), m.str('ada')])),
      refuse('a leave with a field', 'WrongLength', m.array([m.uint(2), m.nil])),
      refuse('an empty name', 'OutOfRange', announce('', 'linux')),
      refuse('a name of 63 bytes', 'OutOfRange', announce('x'.repeat(63), 'linux')),
      refuse('a name with a line break', 'OutOfRange', announce('a\nb', 'linux')),
      refuse('a platform of 33 bytes', 'TooLarge', announce('ada', 'y'.repeat(33))),
      refuse('bytes behind it', 'Trailing', Buffer.concat([m.array([m.uint(2)]), m.nil])),
    ],
  };
}

function invites() {
  const lookup = repeat(0x10, 16);
  const key = repeat(0x1e, 32);
  const tip = (chain, seq) => ({ chain_id: chain.repeat(16), seq, hash: '4a'.repeat(32) });
  const good = {
    relay: 'https://relay.example',
    relay_key: '11'.repeat(32),
    group_id: context.group_id,
    key_log: { genesis: hex(keys.auth), links: [] },
    epoch: 0,
    secret: context.secret,
    history: [],
    roster: [
      { device_id: context.sender, name: 'ada', platform: 'linux', tips: [tip('c0', 3), tip('c1', 0)] },
      { device_id: '0a'.repeat(32), name: null, platform: '', tips: [] },
    ],
    seen: { store_id: '57'.repeat(16), cursor: 299, head: '4e'.repeat(32) },
    created_by: context.sender,
    expires: 1767225600000,
  };
  const next = { secret: repeat(0x5f, 32), content_hash: 'c0'.repeat(32) };
  const nextAuth = schedule(next.secret).auth;
  const statement = Buffer.concat([
    ascii('sync-relay rotate v1'), unhex(context.group_id), u32be(1), nextAuth, unhex(next.content_hash)]);
  const signature = hex(sign(hkdf(secret, 'sync-relay auth seed v1'), statement));
  const rotated = {
    ...good,
    key_log: { genesis: hex(keys.auth), links: [{ auth_key: hex(nextAuth), content_hash: next.content_hash, signature }] },
    epoch: 1,
    secret: hex(next.secret),
    history: [{ epoch: 0, secret: context.secret }],
  };
  const sealWith = (plaintext, format = 1, at = lookup) => Buffer.concat([
    Buffer.from([format]), seal(key, nonce, Buffer.concat([ascii('sync-relay invite v1'), at]), plaintext)]);
  const keysOf = { lookup: hex(lookup), key: hex(key) };
  const accept = (name, fields) => (
    { case: name, ...keysOf, nonce: hex(nonce), fields, sealed: hex(sealWith(invite(fields))) });
  const refuse = (name, error, sealed, change = {}) => ({ case: name, ...keysOf, ...change, sealed: hex(sealed), error });
  const changed = (fields) => sealWith(invite({ ...good, ...fields }));
  const sealed = sealWith(invite(good));
  return {
    accepted: [
      accept('into a group of two', good),
      accept('into a group of nobody who was seen yet', { ...good, roster: [], seen: null }),
      accept('into a group that was rotated', rotated),
      accept('into a group that was rotated, without its history', { ...rotated, history: [] }),
      accept('with as many tips as a device may have', {
        ...good, roster: [{ ...good.roster[0], tips: Array.from({ length: 16 }, (_, n) => tip(hex([n]), n)) }] }),
    ],
    refused: [
      refuse('nothing', 'Decrypt', Buffer.alloc(0)),
      refuse('another format', 'UnknownFormat', sealWith(invite(good), 2)),
      refuse('under another lookup key', 'Decrypt', sealed, { lookup: '12'.repeat(16) }),
      refuse('under another key', 'Decrypt', sealed, { key: '1f'.repeat(32) }),
      refuse('cut short', 'Decrypt', sealed.subarray(0, sealed.length - 1)),
      refuse('larger than any invite', 'TooLarge', Buffer.alloc(16 * 1024 + 1, 1)),
      refuse('a relay that is no address', 'Malformed', changed({ relay: 'relay.example' })),
      refuse('a relay that is not written in its one form', 'Malformed', changed({ relay: 'https://Relay.Example/' })),
      refuse('a relay key that is not canonical', 'Malformed', changed({ relay_key: 'ff'.repeat(32) })),
      refuse('another group than its key log', 'Malformed', changed({ group_id: '9b'.repeat(32) })),
      refuse('another epoch than its key log', 'Malformed', changed({ epoch: 1 })),
      refuse('another secret than its key log', 'Malformed', changed({ secret: '5f'.repeat(32) })),
      refuse('the secret of the epoch before', 'Malformed', sealWith(invite({ ...rotated, secret: good.secret }))),
      refuse('a key log that ends an epoch early', 'Malformed', sealWith(invite({ ...rotated, key_log: good.key_log }))),
      refuse('a key log whose signature is wrong', 'Malformed', sealWith(invite({
        ...rotated, key_log: { ...rotated.key_log, links: [{ ...rotated.key_log.links[0], signature: '51'.repeat(64) }] } }))),
      refuse('a device whose key is not canonical', 'Malformed', changed({ roster: [{ ...good.roster[0], device_id: 'ff'.repeat(32) }] })),
      refuse('an inviter whose key is not canonical', 'Malformed', changed({ created_by: 'ff'.repeat(32) })),
      refuse('a name of 63 bytes', 'Malformed', changed({ roster: [{ ...good.roster[0], name: 'x'.repeat(63) }] })),
      refuse('a platform of 33 bytes', 'Malformed', changed({ roster: [{ ...good.roster[1], platform: 'y'.repeat(33) }] })),
      refuse('17 tips of one device', 'Malformed', changed({
        roster: [{ ...good.roster[0], tips: Array.from({ length: 17 }, (_, n) => tip(hex([n]), n)) }] })),
      refuse('a chain with two tips', 'Malformed', changed({ roster: [{ ...good.roster[0], tips: [tip('c0', 3), tip('c1', 0), tip('c0', 4)] }] })),
      refuse('the secret of its own epoch among the earlier ones', 'Malformed', sealWith(invite({
        ...rotated, history: [...rotated.history, { epoch: 1, secret: rotated.secret }] }))),
      refuse('an earlier secret twice', 'Malformed', sealWith(invite({ ...rotated, history: [rotated.history[0], rotated.history[0]] }))),
      refuse('an earlier secret that is not of its epoch', 'Malformed', sealWith(invite({
        ...rotated, history: [{ epoch: 0, secret: rotated.secret }] }))),
      refuse('earlier secrets of a group without any', 'Malformed', changed({ history: [{ epoch: 0, secret: context.secret }] })),
      refuse('a field too few', 'Malformed', sealWith(Buffer.concat([Buffer.from([0x9a]), invite(good).subarray(1)]))),
      refuse('bytes behind it', 'Malformed', sealWith(Buffer.concat([invite(good), m.nil]))),
    ],
  };
}

// What Argon2id makes of a code; Node has no Argon2, so these are of the reference implementation in C
// (version 0x13, 64 MiB, 3 passes, 4 lanes, salt "sync-relay invite code v1", 48 bytes).
const CODES = {
  '00443214c74254b635cf': '8d8e3404be283a3631f3614b4968f4f348adf534bf804bf8b0bfbc781d770a41245d8f9fc6d8e287bc6ea13bc6262e0d',
  ffffffffffffffffffff: '8060f6dc865754852d6ac1f08ba74bcbd8b09413e6d6df78bf15ee70b6b3924ac77822622a377d477596702a5343f50d',
};

function paddings() {
  const lengths = [0, 1, 255, 256, 257, 264, 265, 511, 512, 513, 1000, 4096, 4097, 65535, 65536, 65537, 1000000, 1048576];
  const max = 1049555;
  const rows = lengths.map((length) => ({ case: `${length} bytes`, length, max, padded: padded(length, max) }));
  return [...rows,
    { case: 'stops at the bound', length: 1040000, max: 1040001, padded: 1040001 },
    { case: 'is already past the bound', length: 300, max: 290, padded: 300 }];
}

export function sealed() {
  return {
    about: 'What only members can read. Byte strings are hexadecimal; 0a0b*300 is 300 times 0a0b.',
    schedules: [repeat(0x5e, 32), repeat(0, 32), unhex('00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff')].map((bytes) => {
      const { auth } = schedule(bytes);
      return { case: `of ${hex(bytes)}`, secret: hex(bytes), auth_key: hex(auth), group_id: hex(groupOf(auth)) };
    }),
    paddings: paddings(),
    blobs: blobs(),
    names: names(),
    controls: controls(),
    invites: invites(),
    codes: Object.entries(CODES).map(([code, out]) => ({ case: code, code, lookup: out.slice(0, 32), key: out.slice(32) })),
  };
}
