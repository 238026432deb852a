// codec.json: envelopes and messages.

import { abbreviate, hex, unhex } from './bytes.mjs';
import { MESSAGES, body, envelope } from './layout.mjs';
import * as m from './msgpack.mjs';

const MAX = 2 ** 53 - 1;
const device = '0a'.repeat(32);
const group = '9b'.repeat(32);
const blob = 'b10b'.repeat(8);
const other = '0123456789abcdef0123456789abcdef';
const store = '57'.repeat(16);
const noStore = '00'.repeat(16);
const key = 'ae'.repeat(32);
const hash = '4a'.repeat(32);
const signature = '51'.repeat(64);
const nonce = '0e'.repeat(24);
const now = 1767225600000; // 2026-01-01
/** Public keys at and above p = 2^255 - 19, little-endian: each has another, canonical form. */
const notCanonical = { p: `ed${'ff'.repeat(30)}7f`, max: 'ff'.repeat(32), top: `${'00'.repeat(31)}80` };
const canonical = `ec${'ff'.repeat(30)}7f`;

const hello = {
  version: 1, device_name: '5ea1'.repeat(20), group_id: group, last_cursor: 0, store_id: noStore, epoch: 0,
  key_log: null, proof: signature, features: 0, access_token: null,
};
const link = { auth_key: key, content_hash: hash, signature };
const welcome = {
  version: 1, relay_id: 'relay.example', max_cursor: 7, pending_count: 3, store_id: store, oldest_cursor: 1,
  at_cursor: null, epoch: 0, max_blob_size: 1049600, default_ttl: 604800, features: 0,
};
const stored = (fields) => ({
  blob_id: blob, cursor: 1, sender_id: device, payload: 'c1f3', timestamp: now, hash: null, ...fields,
});
const page = { blobs: [], has_more: false, max_cursor: 0, oldest_cursor: 1 };
const notify = { blob_id: blob, cursor: 8, sender_id: device, timestamp: now, size: 300, payload: null };
const row = { device_id: device, device_name: '5ea1', acked_cursor: 7, last_seen: now, online: true };
const times = (n, item) => Array(n).fill(item);

/** What is accepted: case by case, the fields. */
const accepted = {
  Hello: {
    'a first hello, of a group that the relay knows': hello,
    'a group that the relay has not seen': { ...hello, key_log: { genesis: key, links: [] } },
    'after two rotations, with everything': {
      version: 65535, device_name: '00'.repeat(256), group_id: group, last_cursor: MAX, store_id: store,
      epoch: 2, key_log: { genesis: key, links: [link, { ...link, content_hash: '4b'.repeat(32) }] },
      proof: signature, features: 4294967295, access_token: 'let me in',
    },
    'the most links that a key log has': {
      ...hello, epoch: 400, key_log: { genesis: key, links: times(400, link) },
    },
    'no name, and the longest access token': { ...hello, device_name: '', access_token: 'é'.repeat(128) },
  },
  Welcome: {
    'a fresh store': { ...welcome, max_cursor: 0, pending_count: 0 },
    'a blob known at the cursor': { ...welcome, at_cursor: blob, epoch: 3, features: 1 },
    'every number at its largest': {
      version: 65535, relay_id: '', max_cursor: MAX, pending_count: 4294967295, store_id: noStore,
      oldest_cursor: MAX, at_cursor: other, epoch: 4294967295, max_blob_size: 4294967295,
      default_ttl: 4294967295, features: 4294967295,
    },
  },
  Push: {
    'the relay chooses the life': { blob_id: blob, payload: 'c1f3', ttl: null },
    'no expiry': { blob_id: blob, payload: 'c1f3', ttl: 0 },
    'an hour': { blob_id: other, payload: '', ttl: 3600 },
    'a length of one byte': { blob_id: blob, payload: '07*255', ttl: 127 },
    'a length of two bytes': { blob_id: blob, payload: '07*256', ttl: 128 },
    'a length of four bytes': { blob_id: blob, payload: '07*65536', ttl: 4294967295 },
  },
  PushAck: {
    'the first blob of a group': { blob_id: blob, cursor: 1, timestamp: now },
    'the last cursor that there is': { blob_id: blob, cursor: MAX, timestamp: MAX },
  },
  PushBatch: {
    'none': { blobs: [] },
    'two': { blobs: [{ blob_id: blob, payload: 'c1f3', ttl: null }, { blob_id: other, payload: '', ttl: 1 }] },
    'the first length that needs an array header of three bytes': {
      blobs: times(16, { blob_id: blob, payload: '', ttl: null }),
    },
    'as many as fit': { blobs: times(512, { blob_id: blob, payload: '', ttl: null }) },
  },
  PushBatchAck: {
    'none': { stored: [], timestamp: 0 },
    'two': { stored: [{ blob_id: blob, cursor: 255 }, { blob_id: other, cursor: 256 }], timestamp: now },
  },
  Pull: {
    'from the start, as many as the relay likes': { after_cursor: 0, limit: 0 },
    'after a cursor': { after_cursor: 65536, limit: 1000 },
    'more than the relay gives': { after_cursor: MAX, limit: 4294967295 },
  },
  PullResponse: {
    'nothing there': page,
    'a blob and a stub': {
      blobs: [stored({}), stored({ blob_id: other, cursor: 2, payload: null, hash })],
      has_more: true, max_cursor: 2, oldest_cursor: 1,
    },
    'a blob of no bytes': { ...page, blobs: [stored({ payload: '' })], max_cursor: 1 },
  },
  Ack: {
    'zero': { cursor: 0 },
    'the largest number of one byte': { cursor: 127 },
    'the smallest number of two': { cursor: 128 },
    'the largest number of two': { cursor: 255 },
    'the smallest number of three': { cursor: 256 },
    'the largest number of three': { cursor: 65535 },
    'the smallest number of five': { cursor: 65536 },
    'the largest number of five': { cursor: 4294967295 },
    'the smallest number of nine': { cursor: 4294967296 },
    'the largest cursor': { cursor: MAX },
  },
  Presence: {
    'away': { status: 0 },
    'here': { status: 1 },
    'a status of the app': { status: 255 },
    'of another device': { device_id: canonical, status: 0, last_seen: now },
  },
  Notify: {
    'announced': notify,
    'carried': { ...notify, size: 2, payload: 'c1f3' },
  },
  Delete: { 'a blob': { blob_id: blob } },
  DeleteAck: {
    'gone': { blob_id: blob, state: 0 },
    'marked': { blob_id: blob, state: 1 },
  },
  Devices: { 'all': {} },
  DevicesResponse: {
    'nobody': { devices: [] },
    'two': { devices: [row, { ...row, device_id: canonical, device_name: '', online: false }] },
  },
  Rotate: {
    'a rotation': { blob_id: blob, after: 8, payload: '02c1f3' },
    'into an empty log': { blob_id: other, after: 0, payload: '' },
    'after the largest cursor': { blob_id: blob, after: MAX, payload: '02*300' },
  },
  RotateAck: { 'the second epoch': { epoch: 1, cursor: 9 } },
  Leave: { 'no fields': {} },
  LeaveAck: { 'no fields': {} },
  GroupDelete: { 'no fields': {} },
  GroupDeleteAck: { 'no fields': {} },
  Error: {
    'a refusal': { code: 1, message: 'the message breaks the protocol', retry_after_ms: null },
    'a wait': { code: 5, message: '', retry_after_ms: 600 },
    'the log has grown': { code: 19, message: 'the log has grown since: pull, then try again', retry_after_ms: null },
    'a code of the future, at length': { code: 65535, message: 'ß'.repeat(200), retry_after_ms: 4294967295 },
  },
};

const u = m.uint;
const bin = (text) => m.bin(unhex(text));
const raw = unhex;
const array = (...items) => m.array(items);

/** What is refused: case by case, the bytes and the reason. */
const refused = {
  Hello: {
    'nothing': [raw(''), 'Truncated'],
    'a group id of 31 bytes': [body('Hello', { ...hello, group_id: '9b'.repeat(31) }), 'WrongLength'],
    'a proof of 65 bytes': [body('Hello', { ...hello, proof: '51'.repeat(65) }), 'WrongLength'],
    'a cursor that JavaScript cannot hold': [body('Hello', { ...hello, last_cursor: 2n ** 53n }), 'OutOfRange'],
    'an epoch of five bytes': [body('Hello', { ...hello, epoch: 2 ** 32 }), 'OutOfRange'],
    'a version of three bytes': [body('Hello', { ...hello, version: 65536 }), 'OutOfRange'],
    'a key log without a key': [helloWith(6, raw('90')), 'WrongLength'],
    'a key log with 401 links': [
      body('Hello', { ...hello, key_log: { genesis: key, links: times(401, link) } }), 'TooLarge'],
    'a link without a signature': [helloWith(6, array(bin(key), array(bin(key), bin(hash)))), 'WrongLength'],
    'a key log that claims 4 billion links': [helloWith(6, raw('ddffffffff')), 'Truncated'],
    'an access token that is not UTF-8': [helloWith(9, raw('a2c328')), 'InvalidUtf8'],
    'an access token of bytes': [helloWith(9, bin('6869')), 'WrongType'],
    'a name that claims 4 GiB': [helloWith(1, raw('c6ffffffff')), 'Truncated'],
    'a name as an array of integers': [helloWith(1, raw('92010203')), 'WrongType'],
  },
  Welcome: {
    'a store id of 15 bytes': [body('Welcome', { ...welcome, store_id: '57'.repeat(15) }), 'WrongLength'],
    'a negative count': [fieldOf('Welcome', welcome, 3, raw('ff')), 'OutOfRange'],
    'a floating-point count': [fieldOf('Welcome', welcome, 3, raw('ca3f800000')), 'WrongType'],
    'a relay id of bytes': [fieldOf('Welcome', welcome, 1, bin('6869')), 'WrongType'],
    'a cursor that JavaScript cannot hold': [body('Welcome', { ...welcome, max_cursor: 2n ** 53n }), 'OutOfRange'],
  },
  Push: {
    'a blob id of 17 bytes': [array(bin('b1'.repeat(17)), bin('c1'), m.nil), 'WrongLength'],
    'a payload as an array of integers': [array(bin(blob), raw('92c1f3'), m.nil), 'WrongType'],
    'a payload as text': [array(bin(blob), m.str('hi'), m.nil), 'WrongType'],
    'a payload with a longer length than needed': [array(bin(blob), raw('c50002c1f3'), m.nil), 'NotShortest'],
    'a payload that claims 4 GiB': [array(bin(blob), raw('c6ffffffff'), m.nil), 'Truncated'],
    'a life of five bytes': [array(bin(blob), bin('c1'), u(2 ** 32)), 'OutOfRange'],
    'a life with a longer form than needed': [array(bin(blob), bin('c1'), raw('cc07')), 'NotShortest'],
    'a life with a sign': [array(bin(blob), bin('c1'), raw('d007')), 'NotShortest'],
    'no life': [array(bin(blob), bin('c1')), 'WrongLength'],
    'a fourth field': [array(bin(blob), bin('c1'), m.nil, m.nil), 'WrongLength'],
    'a map': [raw('80'), 'WrongType'],
    'bytes behind it': [raw(`${hex(array(bin(blob), bin('c1'), m.nil))} 00`), 'Trailing'],
  },
  PushAck: {
    'a cursor that JavaScript cannot hold': [array(bin(blob), u(2n ** 53n), u(now)), 'OutOfRange'],
    'a time that JavaScript cannot hold': [array(bin(blob), u(1), u(2n ** 53n)), 'OutOfRange'],
    'a negative cursor': [array(bin(blob), raw('d0ff'), u(now)), 'OutOfRange'],
  },
  PushBatch: {
    'no list': [raw('90'), 'WrongLength'],
    'a list that is no array': [array(bin('')), 'WrongType'],
    'one more than fit': [
      body('PushBatch', { blobs: times(513, { blob_id: blob, payload: '', ttl: null }) }), 'TooLarge'],
    'a list that claims 4 billion': [raw('91ddffffffff'), 'Truncated'],
    'an entry of two fields': [array(array(array(bin(blob), bin('c1')))), 'WrongLength'],
  },
  PushBatchAck: {
    'one more than fit': [
      body('PushBatchAck', { stored: times(513, { blob_id: blob, cursor: 1 }), timestamp: now }), 'TooLarge'],
    'no time': [array(array()), 'WrongLength'],
  },
  Pull: {
    'a limit of five bytes': [array(u(0), u(2 ** 32)), 'OutOfRange'],
    'a cursor that is nil': [array(m.nil, u(0)), 'WrongType'],
  },
  PullResponse: {
    'more blobs than any page has': [
      body('PullResponse', { ...page, blobs: times(1001, stored({ payload: '' })) }), 'TooLarge'],
    'a sender whose key is not canonical': [
      body('PullResponse', { ...page, blobs: [stored({ sender_id: notCanonical.p })] }), 'NonCanonicalKey'],
    'a hash of 20 bytes': [
      body('PullResponse', { ...page, blobs: [stored({ payload: null, hash: '4a'.repeat(20) })] }), 'WrongLength'],
    'a number for a truth value': [array(array(), u(1), u(0), u(1)), 'WrongType'],
  },
  Ack: {
    'a cursor that JavaScript cannot hold': [array(u(2n ** 53n)), 'OutOfRange'],
    'the largest number of MessagePack': [array(u(2n ** 64n - 1n)), 'OutOfRange'],
    'minus one': [raw('91ff'), 'OutOfRange'],
    'a longer form than needed': [raw('91cd0080'), 'NotShortest'],
    'a sign': [raw('91d20000ffff'), 'NotShortest'],
    'a reserved marker': [raw('91c1'), 'WrongType'],
    'an array with a longer length than needed': [raw('dc000105'), 'NotShortest'],
  },
  Presence: {
    'no fields': [raw('90'), 'WrongLength'],
    'two fields': [raw('920101'), 'WrongLength'],
    'a status of two bytes': [array(u(256)), 'OutOfRange'],
    'a device whose key is not canonical': [array(bin(notCanonical.top), u(1), u(now)), 'NonCanonicalKey'],
  },
  Notify: {
    'a sender whose key is not canonical': [body('Notify', { ...notify, sender_id: notCanonical.max }), 'NonCanonicalKey'],
    'a size of five bytes': [body('Notify', { ...notify, size: 2 ** 32 }), 'OutOfRange'],
  },
  Delete: { 'a blob id of no bytes': [array(bin('')), 'WrongLength'] },
  DeleteAck: { 'a state of two bytes': [array(bin(blob), u(256)), 'OutOfRange'] },
  Devices: { 'a field': [array(u(0)), 'WrongLength'], 'nil': [m.nil, 'WrongType'] },
  DevicesResponse: {
    'a device whose key is not canonical': [
      body('DevicesResponse', { devices: [{ ...row, device_id: notCanonical.p }] }), 'NonCanonicalKey'],
    'a list that claims 65,535': [raw('91dcffff'), 'Truncated'],
  },
  Rotate: {
    'a payload of text': [array(bin(blob), u(8), m.str('')), 'WrongType'],
    'without the cursor before it': [array(bin(blob), bin('02c1f3')), 'WrongLength'],
    'a cursor that is nil': [array(bin(blob), m.nil, bin('02c1f3')), 'WrongType'],
    'a cursor that JavaScript cannot hold': [array(bin(blob), u(2n ** 53n), bin('02')), 'OutOfRange'],
    'a blob id of 15 bytes': [array(bin('b1'.repeat(15)), u(8), bin('02')), 'WrongLength'],
  },
  RotateAck: { 'an epoch of five bytes': [array(u(2 ** 32), u(9)), 'OutOfRange'] },
  Leave: { 'a field': [array(m.nil), 'WrongLength'] },
  LeaveAck: { 'nothing': [raw(''), 'Truncated'] },
  GroupDelete: { 'a map': [raw('80'), 'WrongType'] },
  GroupDeleteAck: { 'bytes behind it': [raw('9090'), 'Trailing'] },
  Error: {
    'a code of three bytes': [array(u(65536), m.str(''), m.nil), 'OutOfRange'],
    'a message that is not UTF-8': [array(u(1), raw('a1ff'), m.nil), 'InvalidUtf8'],
    'a message with half a surrogate pair': [array(u(1), raw('a3eda080'), m.nil), 'InvalidUtf8'],
    'a message with a longer length than needed': [array(u(1), raw('d9026869'), m.nil), 'NotShortest'],
    'a message that claims 4 GiB': [array(u(1), raw('dbffffffff'), m.nil), 'Truncated'],
  },
};

/** A message with one field replaced by bytes. */
function fieldOf(type, values, index, bytes) {
  const names = Object.keys(MESSAGES[type][1]);
  const parts = names.map((name) => {
    const one = { [name]: MESSAGES[type][1][name] };
    return one[name](values[name]);
  });
  parts[index] = bytes;
  return m.array(parts);
}

function helloWith(index, bytes) {
  return fieldOf('Hello', hello, index, bytes);
}

const header = { msg_type: 0x22, sender_id: device, group_id: group, cursor: 0, timestamp: now, nonce };
const ack = body('Ack', { cursor: 3 });

function envelopes() {
  const good = (name, type, values, cursor, extra = {}) => {
    const head = { ...header, msg_type: MESSAGES[type][0], cursor, ...extra };
    return { case: name, bytes: hex(envelope(head, body(type, values))), header: head, fields: values };
  };
  const bad = (name, error, bytes) => ({ case: name, bytes: hex(bytes), error });
  const changed = (fields, version = 1, payload = ack) => envelope({ ...header, ...fields }, payload, version);
  const answerable = (name, error, bytes) => ({ ...bad(name, error, bytes), nonce });
  return {
    accepted: [
      good('an acknowledgement', 'Ack', { cursor: 3 }, 0),
      good('a message without fields', 'Devices', {}, 0),
      good('about one blob: its cursor is in the header', 'PushAck', accepted.PushAck['the first blob of a group'], 1),
      good('a notification', 'Notify', notify, 8),
      good('a rotation', 'RotateAck', { epoch: 1, cursor: 9 }, 9),
      good('a refusal before the group is known', 'Error', accepted.Error['a refusal'], 0, { group_id: '00'.repeat(32) }),
      good('the largest canonical sender and time', 'Ack', { cursor: 0 }, 0, { sender_id: canonical, timestamp: MAX }),
      good('a body of two bytes of length', 'Push', accepted.Push['a length of two bytes'], 0),
    ],
    refused: [
      bad('nothing', 'Truncated', raw('')),
      bad('seven fields', 'WrongLength', m.array([u(1), u(2), u(3), u(4), u(5), u(6), u(7)])),
      bad('version 0', 'UnknownVersion', changed({}, 0)),
      bad('version 2', 'UnknownVersion', changed({}, 2)),
      bad('version 256', 'OutOfRange', changed({}, 256)),
      bad('a type of two bytes', 'OutOfRange', changed({ msg_type: 256 })),
      bad('a sender whose key is not canonical', 'NonCanonicalKey', changed({ sender_id: notCanonical.p })),
      bad('a sender of 33 bytes', 'WrongLength', changed({ sender_id: '0a'.repeat(33) })),
      bad('a group id of 31 bytes', 'WrongLength', changed({ group_id: '9b'.repeat(31) })),
      bad('a cursor that JavaScript cannot hold', 'OutOfRange', changed({ cursor: 2n ** 53n })),
      bad('a time that JavaScript cannot hold', 'OutOfRange', changed({ timestamp: 2n ** 53n })),
      bad('a nonce of 12 bytes', 'WrongLength', changed({ nonce: '0e'.repeat(12) })),
      bad('bytes behind it', 'Trailing', Buffer.concat([changed({}), raw('c0')])),
    ],
    answerable: [
      answerable('an unknown type', 'UnknownType', changed({ msg_type: 0x23 })),
      answerable('the type 0', 'UnknownType', changed({ msg_type: 0 })),
      answerable('a body of another type', 'WrongLength', changed({ msg_type: 0x10 })),
      answerable('an empty body', 'Truncated', changed({}, 1, raw(''))),
      answerable('a body with bytes behind it', 'Trailing', changed({}, 1, raw(`${hex(ack)} 00`))),
      answerable('a cursor in the header of a message about no blob', 'OutOfRange', changed({ cursor: 3 })),
      answerable('another cursor in the header than in the body', 'OutOfRange',
        changed({ msg_type: 0x11, cursor: 2 }, 1, body('PushAck', { blob_id: blob, cursor: 1, timestamp: now }))),
    ],
  };
}

export function codec() {
  const messages = Object.entries(MESSAGES).map(([type, [code]]) => ({
    type,
    code,
    accepted: Object.entries(accepted[type]).map(([name, fields]) => (
      { case: `${type}: ${name}`, bytes: hex(body(type, fields)), fields: abbreviate(fields) })),
    refused: Object.entries(refused[type]).map(([name, [bytes, error]]) => (
      { case: `${type}: ${name}`, bytes: hex(bytes), error })),
  }));
  return {
    about: 'Envelopes and messages. Byte strings are hexadecimal; 0a0b*300 is 300 times 0a0b. A list of the same item many times is {item, times}.',
    messages,
    envelopes: envelopes(),
  };
}
