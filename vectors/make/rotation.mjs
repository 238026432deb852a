// rotation.json: how a group gets its next key.

import { ascii, hex, repeat, u32be, unhex } from './bytes.mjs';
import { publicKey, sha256, sign } from './keys.mjs';
import { withoutNonce } from './lax.mjs';
import { groupOf, pad, roster, schedule } from './members.mjs';
import * as m from './msgpack.mjs';
import { firstRandomBytes, oneWay } from './noise.mjs';
import { seal } from './xchacha.mjs';

const bin = (text) => m.bin(unhex(text));
const seed = (n) => repeat(n, 32);
const idOf = (secret) => hex(publicKey('x25519', secret));
const flip = (bytes, at) => { const out = Buffer.from(bytes); out[at < 0 ? out.length + at : at] ^= 1; return out; };
const cut = (bytes) => bytes.subarray(0, bytes.length - 1);
const notCanonical = (key) => { const out = Buffer.from(key); out[31] |= 0x80; return out; };

/** Devices by their secrets; ada rotates, bob stays, eve goes, zoe is nobody. */
const [ada, bob, eve, zoe] = [0x21, 0x22, 0x23, 0x24].map(seed);
const secret = seed(0x5e);
const next = seed(0x5f);
const keys = schedule(secret);
const nextKeys = schedule(next);
const blobId = 'c0c1c2c3c4c58ac7800000000000002a';
const context = { group_id: hex(groupOf(keys.auth)), epoch: 1, sender: idOf(ada), blob_id: blobId };
const nonce = unhex('000102030405060708090a0b0c0d0e0f1011121314151617');

// What is sealed one way

function oneWays() {
  const prologue = ascii('a prologue');
  const parts = { prologue, from: ada, ephemeral: firstRandomBytes(seed(3)), to: publicKey('x25519', bob), payload: Buffer.from('hello') };
  const accept = (name, change = {}, toSecret = bob) => {
    const p = { ...parts, ...change, to: publicKey('x25519', toSecret) };
    return {
      case: name, prologue: hex(p.prologue), from_secret: hex(p.from), from: idOf(p.from), seed: hex(seed(3)),
      to_secret: hex(toSecret), payload: hex(p.payload), sealed: hex(oneWay(p)),
    };
  };
  const good = oneWay(parts);
  const refuse = (name, error, sealed, change = {}) => (
    { case: name, prologue: hex(prologue), to_secret: hex(bob), ...change, sealed: hex(sealed), error });
  const low = {
    'the point 0': '00'.repeat(32),
    'the point 1': `01${'00'.repeat(31)}`,
    'a point of order 8': 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    'p, which is 0': `ed${'ff'.repeat(30)}7f`,
  };
  return {
    accepted: [
      accept('a few bytes'),
      accept('nothing', { payload: Buffer.alloc(0) }),
      accept('without a prologue', { prologue: Buffer.alloc(0) }),
      accept('for oneself', {}, ada),
      accept('as much as a secret', { payload: seed(0x5f) }),
    ],
    refused: [
      refuse('nothing', 'Decrypt', Buffer.alloc(0)),
      refuse('shorter than without a payload', 'Decrypt', good.subarray(0, 95)),
      refuse('cut short', 'Decrypt', cut(good)),
      refuse('longer', 'Decrypt', Buffer.concat([good, Buffer.from([0])])),
      refuse('another ephemeral key', 'Decrypt', flip(good, 0)),
      refuse('another sender', 'Decrypt', flip(good, 33)),
      refuse('another tag behind the sender', 'Decrypt', flip(good, 79)),
      refuse('another payload', 'Decrypt', flip(good, 80)),
      refuse('another tag', 'Decrypt', flip(good, -1)),
      refuse('under another prologue', 'Decrypt', good, { prologue: hex(ascii('another')) }),
      refuse('for another device', 'Decrypt', good, { to_secret: hex(zoe) }),
      refuse('opened by its sender', 'Decrypt', good, { to_secret: hex(ada) }),
      ...Object.entries(low).map(([name, bytes]) => (
        refuse(`the ephemeral key is ${name}`, 'Handshake', Buffer.concat([unhex(bytes), good.subarray(32)])))),
      refuse('a sender whose key is not canonical', 'Handshake', oneWay({ ...parts, shows: notCanonical(publicKey('x25519', ada)) })),
    ],
  };
}

// Payloads

const rotationArray = (r) => m.array([
  m.uint(r.epoch), bin(r.auth_key), m.array(r.lockboxes.map((one) => m.array([bin(one.device_id), bin(one.sealed)]))),
  bin(r.inner), bin(r.signature)]);
const payloadOf = (r, format = 2) => Buffer.concat([Buffer.from([format]), rotationArray(r)]);

/** H: what the signature commits to beside the new key. */
function contentHash(r, sender, blob_id) {
  const boxes = m.array(r.lockboxes.map((one) => m.array([bin(one.device_id), bin(one.sealed)])));
  return sha256(unhex(sender), unhex(blob_id), sha256(boxes), sha256(unhex(r.inner)));
}

const statement = (r, ctx) => Buffer.concat([
  ascii('sync-relay rotate v1'), unhex(ctx.group_id), u32be(r.epoch), unhex(r.auth_key), contentHash(r, ctx.sender, ctx.blob_id)]);

const sorted = (list) => [...list].sort((a, b) => (a.device_id < b.device_id ? -1 : 1));

/** A small one, for its bytes alone: nothing in it opens. */
const small = {
  epoch: 1,
  auth_key: hex(nextKeys.auth),
  lockboxes: [{ device_id: '0a'.repeat(32), sealed: '1b'.repeat(128) }, { device_id: '0b'.repeat(32), sealed: '1c'.repeat(128) }],
  inner: '01c1f3',
  signature: '51'.repeat(64),
};

function payloads() {
  const accept = (name, fields) => ({
    case: name, bytes: hex(payloadOf(fields)), fields, sender: context.sender, blob_id: blobId,
    content_hash: hex(contentHash(fields, context.sender, blobId)),
  });
  const refuse = (name, error, bytes) => ({ case: name, bytes: hex(bytes), error });
  const changed = (fields) => payloadOf({ ...small, ...fields });
  const [a, b] = small.lockboxes;
  const part = (index, bytes) => {
    const parts = [m.uint(1), bin(small.auth_key), m.array([m.array([bin(a.device_id), bin(a.sealed)])]), bin(small.inner), bin(small.signature)];
    parts[index] = bytes;
    return Buffer.concat([Buffer.from([2]), m.array(parts)]);
  };
  return {
    accepted: [
      accept('for two devices', small),
      accept('for one device, without an inner part', { ...small, lockboxes: [a], inner: '' }),
      accept('to the last epoch that there is', { ...small, epoch: 2 ** 32 - 1 }),
      accept('with an inner part of two bytes of length', { ...small, inner: '07*300' }),
      accept('for the largest device id', { ...small, lockboxes: [a, { ...b, device_id: `ec${'ff'.repeat(30)}7f` }] }),
    ],
    refused: [
      refuse('nothing', 'Truncated', Buffer.alloc(0)),
      refuse('the format and nothing else', 'Truncated', Buffer.from([2])),
      refuse('the format of a sealed blob', 'UnknownFormat', payloadOf(small, 1)),
      refuse('an unknown format', 'UnknownFormat', payloadOf(small, 3)),
      refuse('without a format', 'UnknownFormat', rotationArray(small)),
      refuse('epoch 0', 'OutOfRange', changed({ epoch: 0 })),
      refuse('an epoch of five bytes', 'OutOfRange', changed({ epoch: 2 ** 32 })),
      refuse('an epoch with a longer form than needed', 'NotShortest', part(0, unhex('cc01'))),
      refuse('a key of 31 bytes', 'WrongLength', changed({ auth_key: '01'.repeat(31) })),
      refuse('no lockbox', 'WrongLength', changed({ lockboxes: [] })),
      refuse('1,001 lockboxes', 'TooLarge', changed({ lockboxes: Array(1001).fill(a) })),
      refuse('lockboxes that are no array', 'WrongType', part(2, m.bin(Buffer.alloc(3)))),
      refuse('lockboxes that claim to be 4 billion', 'Truncated', part(2, unhex('ddffffffff'))),
      refuse('a lockbox of one value', 'WrongLength', part(2, m.array([m.array([bin(a.device_id)])]))),
      refuse('a lockbox of 127 bytes', 'WrongLength', changed({ lockboxes: [{ ...a, sealed: '1b'.repeat(127) }] })),
      refuse('a lockbox of 129 bytes', 'WrongLength', changed({ lockboxes: [{ ...a, sealed: '1b'.repeat(129) }] })),
      refuse('a device whose key is not canonical', 'NonCanonicalKey', changed({ lockboxes: [{ ...a, device_id: 'ff'.repeat(32) }] })),
      refuse('devices that descend', 'Unordered', changed({ lockboxes: [b, a] })),
      refuse('a device twice', 'Unordered', changed({ lockboxes: [a, a] })),
      refuse('an inner part of text', 'WrongType', part(3, m.str('hi'))),
      refuse('no inner part', 'WrongType', part(3, m.nil)),
      refuse('an inner part that claims 4 GiB', 'Truncated', part(3, unhex('c6ffffffff'))),
      refuse('a signature of 63 bytes', 'WrongLength', changed({ signature: '51'.repeat(63) })),
      refuse('four values', 'WrongLength', Buffer.concat([Buffer.from([2, 0x94]), rotationArray(small).subarray(1, -66)])),
      refuse('six values', 'WrongLength', Buffer.concat([Buffer.from([2, 0x96]), rotationArray(small).subarray(1), m.nil])),
      refuse('cut short', 'Truncated', cut(payloadOf(small))),
      refuse('bytes behind it', 'Trailing', Buffer.concat([payloadOf(small), m.nil])),
    ],
  };
}

// Rotations that members read

const tip = (chain, seq) => ({ chain_id: chain.repeat(16), seq, hash: '4a'.repeat(32) });
const entry = (device, name, tips) => ({ device_id: idOf(device), name, platform: 'linux', tips });
const good = {
  roster: sorted([entry(ada, 'ada', [tip('a0', 7)]), entry(bob, 'bob', [tip('b0', 2), tip('b1', 0)])]),
  removed: [entry(eve, 'eve', [tip('e0', 9)])],
  history: true,
};

const contentOf = (c) => m.array([roster(c.roster), roster(c.removed), typeof c.history === 'boolean' ? m.bool(c.history) : m.uint(c.history)]);

const placeOf = (ctx) => [unhex(ctx.group_id), u32be(ctx.epoch)];

function lockbox(ctx, authKey, from, deviceId, payload, ephemeralSeed) {
  const prologue = Buffer.concat([ascii('sync-relay lockbox v1'), ...placeOf(ctx), authKey, unhex(deviceId)]);
  const sealed = oneWay({ prologue, from, ephemeral: firstRandomBytes(ephemeralSeed), to: unhex(deviceId), payload });
  return { device_id: deviceId, sealed: hex(sealed) };
}

function innerOf(ctx, key, plaintext, format = 1) {
  const ad = Buffer.concat([ascii('sync-relay rotation v1'), ...placeOf(ctx), unhex(ctx.sender), unhex(ctx.blob_id)]);
  return hex(Buffer.concat([Buffer.from([format]), seal(key, nonce, ad, plaintext)]));
}

const seedOf = (n) => repeat(0xd0 + n, 32);

/** A rotation from `current` to `to`, every part of which can be given. */
function rotate(c, {
  ctx = context, current = keys, to = next, from = ada, plaintext = pad(contentOf(c)), format = 1,
  boxed = to, boxedBy = from, recipients = c.roster.map((one) => one.device_id),
} = {}) {
  const { blob, auth } = schedule(to);
  const lockboxes = recipients.map((id, n) => lockbox(ctx, auth, boxedBy, id, boxed, seedOf(n)));
  const r = { epoch: ctx.epoch, auth_key: hex(auth), lockboxes, inner: innerOf(ctx, blob, plaintext, format), signature: '00'.repeat(64) };
  return { ...r, signature: hex(sign(current.seed, statement(r, ctx))) };
}

function rotations() {
  const accept = (name, content, { from = ada, current = secret, to = next, epoch = 1 } = {}) => {
    const ctx = { ...context, epoch, sender: idOf(from) };
    const made = rotate(content, { ctx, current: schedule(current), to, from });
    const drawn = Buffer.concat([...content.roster.map((_, n) => seedOf(n)), nonce]);
    return {
      case: name, ...ctx, sender_secret: hex(from), current_secret: hex(current), next_secret: hex(to),
      drawn: hex(drawn), content, payload: hex(payloadOf(made)),
    };
  };
  const refuse = (name, error, made, { ctx = context, with: opened = next } = {}) => (
    { case: name, ...ctx, secret: hex(opened), payload: hex(payloadOf(made)), error });
  const made = rotate(good);
  const forged = (change) => rotate({ ...good, ...change });
  const [one, two] = good.roster;
  const ids = [one.device_id, two.device_id];
  const changed = (list, index, change) => list.map((item, i) => (i === index ? { ...item, ...change } : item));
  const plain = (plaintext) => rotate(good, { plaintext });
  const bytes = contentOf(good);
  return {
    accepted: [
      accept('one stays beside the sender, one goes', good),
      accept('nobody goes, and history is closed', { roster: sorted([...good.roster, good.removed[0]]), removed: [], history: false }),
      accept('the sender stays alone', { roster: [entry(ada, 'ada', [])], removed: sorted([entry(bob, null, []), entry(eve, null, [])]), history: true }),
      accept('a later one, by another device', good, { from: bob, current: next, to: seed(0x60), epoch: 2 }),
    ],
    refused: [
      refuse('of another epoch than expected', 'WrongEpoch', made, { ctx: { ...context, epoch: 2 } }),
      refuse('with the old secret', 'Decrypt', made, { with: secret }),
      refuse('with another secret', 'Decrypt', made, { with: seed(0x61) }),
      refuse('beside another key than the secret\u2019s', 'Decrypt', { ...made, auth_key: hex(keys.auth) }),
      refuse('in another group', 'Decrypt', made, { ctx: { ...context, group_id: '9b'.repeat(32) } }),
      refuse('by another sender', 'Decrypt', made, { ctx: { ...context, sender: idOf(bob) } }),
      refuse('under another id', 'Decrypt', made, { ctx: { ...context, blob_id: 'b1'.repeat(16) } }),
      refuse('an inner part of another format', 'UnknownFormat', rotate(good, { format: 2 })),
      refuse('an empty inner part', 'Decrypt', { ...made, inner: '' }),
      refuse('an inner part cut short', 'Decrypt', { ...made, inner: hex(cut(unhex(made.inner))) }),
      refuse('another inner part', 'Decrypt', { ...made, inner: hex(flip(unhex(made.inner), 40)) }),
      refuse('an inner part under the old key', 'Decrypt', { ...made, inner: innerOf(context, keys.blob, pad(bytes)) }),
      refuse('an inner part that is a sealed blob\u2019s', 'Decrypt', {
        ...made, inner: hex(Buffer.concat([Buffer.from([1]), seal(nextKeys.blob, nonce, Buffer.concat([
          ascii('sync-relay blob v1'), ...placeOf(context), unhex(context.sender), unhex(blobId)]), pad(bytes))])) }),
      refuse('a lockbox too few', 'Malformed', rotate(good, { recipients: [ids[0]] })),
      refuse('a lockbox too many', 'Malformed', rotate(good, { recipients: sorted([...good.roster, entry(zoe)]).map((each) => each.device_id) })),
      refuse('a lockbox for another device than the roster has', 'Malformed', rotate(good, {
        recipients: sorted([one.device_id === idOf(ada) ? one : two, entry(zoe)]).map((each) => each.device_id) })),
      refuse('a roster without the sender', 'Malformed', forged({ roster: good.roster.filter((each) => each.device_id !== idOf(ada)) })),
      refuse('a roster that descends', 'Malformed', rotate({ ...good, roster: [two, one] }, { recipients: ids })),
      refuse('a device twice in the roster', 'Malformed', rotate({ ...good, roster: [one, one, two] }, { recipients: ids })),
      refuse('removed devices that descend', 'Malformed', forged({ removed: sorted([entry(zoe, null, []), ...good.removed]).reverse() })),
      refuse('a device twice among the removed', 'Malformed', forged({ removed: [good.removed[0], good.removed[0]] })),
      refuse('a device that stays and goes', 'Malformed', forged({ removed: [entry(bob, 'bob', [])] })),
      refuse('a sender that removes itself', 'Malformed', forged({ removed: [entry(ada, 'ada', [])] })),
      refuse('a device whose key is not canonical', 'Malformed', forged({ removed: changed(good.removed, 0, { device_id: 'ff'.repeat(32) }) })),
      refuse('a name of 63 bytes', 'Malformed', forged({ removed: changed(good.removed, 0, { name: 'x'.repeat(63) }) })),
      refuse('a platform of 33 bytes', 'Malformed', forged({ removed: changed(good.removed, 0, { platform: 'y'.repeat(33) }) })),
      refuse('17 tips of one device', 'Malformed', forged({ removed: changed(good.removed, 0, { tips: Array.from({ length: 17 }, (_, n) => tip(hex([n]), n)) }) })),
      refuse('a chain with two tips', 'Malformed', forged({ removed: changed(good.removed, 0, { tips: [tip('e0', 9), tip('e0', 10)] }) })),
      refuse('no word about history', 'Malformed', plain(m.array([roster(good.roster), roster(good.removed)]))),
      refuse('a number for history', 'Malformed', forged({ history: 1 })),
      refuse('a fourth value', 'Malformed', plain(m.array([roster(good.roster), roster(good.removed), m.bool(true), m.nil]))),
      refuse('padding that is not zero', 'Malformed', plain(Buffer.concat([bytes, repeat(0, 9), Buffer.from([1])]))),
      refuse('nothing inside', 'Malformed', plain(Buffer.alloc(256))),
    ],
  };
}

function lockboxes() {
  const made = rotate(good);
  const accept = (name, device, opened, r = made, ctx = context) => (
    { case: name, ...ctx, device_secret: hex(device), device: idOf(device), signer: hex(keys.auth), payload: hex(payloadOf(r)), secret: opened && hex(opened) });
  const refuse = (name, error, r, { device = bob, ctx = context } = {}) => (
    { case: name, ...ctx, device_secret: hex(device), payload: hex(payloadOf(r)), error });
  const change = (r, device, edit) => ({
    ...r, lockboxes: r.lockboxes.map((box) => (box.device_id === idOf(device) ? { ...box, ...edit(box) } : box)),
  });
  const boxOf = (r, device) => r.lockboxes.find((box) => box.device_id === idOf(device)).sealed;
  const forBob = (ctx, auth) => change(made, bob, () => lockbox(ctx, auth, ada, idOf(bob), next, seedOf(1)));
  return {
    accepted: [
      accept('of a device that stays', bob, next),
      accept('of the sender', ada, next),
      accept('of a device that goes: there is none', eve, null),
      accept('of a stranger: there is none', zoe, null),
    ],
    refused: [
      refuse('of another epoch than expected', 'WrongEpoch', made, { ctx: { ...context, epoch: 2 } }),
      refuse('in another group', 'Decrypt', made, { ctx: { ...context, group_id: '9b'.repeat(32) } }),
      refuse('beside another key', 'Decrypt', { ...made, auth_key: hex(keys.auth) }),
      refuse('made for another epoch', 'Decrypt', forBob({ ...context, epoch: 2 }, nextKeys.auth)),
      refuse('made for another group', 'Decrypt', forBob({ ...context, group_id: '9b'.repeat(32) }, nextKeys.auth)),
      refuse('made beside another key', 'Decrypt', forBob(context, keys.auth)),
      refuse('the one of another device', 'Decrypt', change(made, bob, () => ({ sealed: boxOf(made, ada) }))),
      refuse('taken by the device that goes', 'Decrypt', { ...made, lockboxes: [{ device_id: idOf(eve), sealed: boxOf(made, bob) }] }, { device: eve }),
      refuse('a changed byte', 'Decrypt', change(made, bob, (box) => ({ sealed: hex(flip(unhex(box.sealed), 90)) }))),
      refuse('a key of small order in front', 'Decrypt', change(made, bob, (box) => ({ sealed: `${'00'.repeat(32)}${box.sealed.slice(64)}` }))),
      refuse('from another device than the sender', 'WrongSender', rotate(good, { boxedBy: eve })),
      refuse('of a rotation passed on by another', 'WrongSender', made, { ctx: { ...context, sender: idOf(bob) } }),
      refuse('another secret than the key\u2019s', 'Malformed', rotate(good, { boxed: seed(0x61) })),
      refuse('the old secret', 'Malformed', rotate(good, { boxed: secret })),
    ],
  };
}

// Signatures, and what they add to the key log

function signatures() {
  const made = rotate(good);
  const signer = hex(keys.auth);
  const accept = (name, r, ctx = context, by = signer) => ({
    case: name, group_id: ctx.group_id, sender: ctx.sender, blob_id: ctx.blob_id, signer: by, payload: hex(payloadOf(r)),
    link: { auth_key: r.auth_key, content_hash: hex(contentHash(r, ctx.sender, ctx.blob_id)), signature: r.signature },
  });
  const { epoch, ...place } = context;
  const refuse = (name, r, change = {}, error = 'BadSignature') => (
    { case: name, ...place, signer, ...change, payload: hex(payloadOf(r)), error });
  const first = made.lockboxes[0];
  const selfSigned = { ...made, signature: hex(sign(nextKeys.seed, statement(made, context))) };
  const otherLabel = { ...made, signature: hex(sign(keys.seed, Buffer.concat([ascii('sync-relay hello v1'), statement(made, context).subarray(20)]))) };
  const later = rotate(good, { ctx: { ...context, epoch: 2, sender: idOf(bob) }, current: nextKeys, to: seed(0x60), from: bob });
  return {
    accepted: [
      accept('of the first rotation', made),
      accept('of the second', later, { ...context, sender: idOf(bob) }, hex(nextKeys.auth)),
    ],
    refused: [
      refuse('in another group', made, { group_id: '9b'.repeat(32) }),
      refuse('by another sender', made, { sender: idOf(bob) }),
      refuse('under another id', made, { blob_id: 'b1'.repeat(16) }),
      refuse('by another key', made, { signer: hex(nextKeys.auth) }),
      refuse('to another epoch', { ...made, epoch: 2 }),
      refuse('to another key', { ...made, auth_key: hex(schedule(seed(0x61)).auth) }),
      refuse('a lockbox left out', { ...made, lockboxes: [first] }),
      refuse('a lockbox put in', { ...made, lockboxes: sorted([...made.lockboxes, { device_id: idOf(eve), sealed: first.sealed }]) }),
      refuse('another lockbox', { ...made, lockboxes: [{ ...first, sealed: hex(flip(unhex(first.sealed), 0)) }, made.lockboxes[1]] }),
      refuse('another inner part', { ...made, inner: hex(flip(unhex(made.inner), -1)) }),
      refuse('an inner part left out', { ...made, inner: '' }),
      refuse('another signature', { ...made, signature: hex(flip(unhex(made.signature), 0)) }),
      refuse('a signature of zeros', { ...made, signature: '00'.repeat(64) }),
      refuse('by the new key instead of the old', selfSigned),
      refuse('a signature of something else', otherLabel),
      refuse('a signature whose first half is of small order', { ...made, ...withoutNonce(keys.seed, statement(made, context)) }),
      refuse('by a weak key', made, { signer: `01${'00'.repeat(31)}` }, 'InvalidKey'),
      refuse('by a key that is no point', made, { signer: `02${'00'.repeat(31)}` }, 'InvalidKey'),
    ],
  };
}

export function rotation() {
  return {
    about: 'Rotations: what is sealed one way, payloads, what members read, lockboxes, signatures. The ephemeral key of a seed is the first 32 bytes of ChaCha20 under it. `drawn` is the seeds of the lockboxes in their order, then the nonce of the inner part. Byte strings are hexadecimal; 07*300 is 300 times 07.',
    one_way: oneWays(),
    payloads: payloads(),
    rotations: rotations(),
    lockboxes: lockboxes(),
    signatures: signatures(),
  };
}
