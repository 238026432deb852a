// Every message: its number, and its fields in their order on the wire.

import { unhex } from './bytes.mjs';
import * as m from './msgpack.mjs';

const u = (value) => m.uint(value);
const bin = (value) => m.bin(unhex(value));
const str = (value) => m.str(value);
const bool = (value) => m.bool(value);
const orNil = (type) => (value) => (value === null ? m.nil : type(value));
const list = (fields) => (value) => m.array(value.map((item) => record(fields, item)));

function record(fields, values) {
  const names = Object.keys(fields);
  const given = Object.keys(values);
  if (names.join() !== given.join()) throw new Error(`fields ${given} should be ${names}`);
  return m.array(names.map((name) => fields[name](values[name])));
}

const keyLog = (value) => m.array([
  bin(value.genesis),
  ...value.links.map((link) => record({ auth_key: bin, content_hash: bin, signature: bin }, link)),
]);

const push = { blob_id: bin, payload: bin, ttl: orNil(u) };

export const MESSAGES = {
  Hello: [0x01, {
    version: u, device_name: bin, group_id: bin, last_cursor: u, store_id: bin, epoch: u,
    key_log: orNil(keyLog), proof: bin, features: u, access_token: orNil(str),
  }],
  Welcome: [0x02, {
    version: u, relay_id: str, max_cursor: u, pending_count: u, store_id: bin, oldest_cursor: u,
    at_cursor: orNil(bin), epoch: u, max_blob_size: u, default_ttl: u, features: u,
  }],
  Push: [0x10, push],
  PushAck: [0x11, { blob_id: bin, cursor: u, timestamp: u }],
  PushBatch: [0x12, { blobs: list(push) }],
  PushBatchAck: [0x13, { stored: list({ blob_id: bin, cursor: u }), timestamp: u }],
  Pull: [0x20, { after_cursor: u, limit: u }],
  PullResponse: [0x21, {
    blobs: list({
      blob_id: bin, cursor: u, sender_id: bin, payload: orNil(bin), timestamp: u, hash: orNil(bin),
    }),
    has_more: bool, max_cursor: u, oldest_cursor: u,
  }],
  Ack: [0x22, { cursor: u }],
  Presence: [0x30, null], // Two shapes: see `body`.
  Notify: [0x31, { blob_id: bin, cursor: u, sender_id: bin, timestamp: u, size: u, payload: orNil(bin) }],
  Delete: [0x40, { blob_id: bin }],
  DeleteAck: [0x41, { blob_id: bin, state: u }],
  Devices: [0x50, {}],
  DevicesResponse: [0x51, {
    devices: list({ device_id: bin, device_name: bin, acked_cursor: u, last_seen: u, online: bool }),
  }],
  Rotate: [0x52, { blob_id: bin, after: u, payload: bin }],
  RotateAck: [0x53, { epoch: u, cursor: u }],
  Leave: [0x54, {}],
  LeaveAck: [0x55, {}],
  GroupDelete: [0x56, {}],
  GroupDeleteAck: [0x57, {}],
  Error: [0xff, { code: u, message: str, retry_after_ms: orNil(u) }],
};

/** The body of a message. */
export function body(type, values) {
  if (type === 'Presence') {
    const shape = 'device_id' in values ? { device_id: bin, status: u, last_seen: u } : { status: u };
    return record(shape, values);
  }
  return record(MESSAGES[type][1], values);
}

/** An envelope around a body, each part of which can be given. */
export function envelope(header, payload, version = 1) {
  return m.array([
    u(version), u(header.msg_type), bin(header.sender_id), bin(header.group_id), u(header.cursor),
    u(header.timestamp), bin(header.nonce), m.bin(payload),
  ]);
}

export { keyLog };
