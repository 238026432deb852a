// What members share: the key schedule, padding, rosters and what an invite says.

import crypto from 'node:crypto';
import { ascii, unhex } from './bytes.mjs';
import { publicKey, sha256 } from './keys.mjs';
import { keyLog } from './layout.mjs';
import * as m from './msgpack.mjs';

export const hkdf = (secret, label) => Buffer.from(crypto.hkdfSync('sha256', secret, Buffer.alloc(0), ascii(label), 32));

/** Everything of an epoch from its secret. */
export function schedule(secret) {
  const seed = hkdf(secret, 'sync-relay auth seed v1');
  return {
    blob: hkdf(secret, 'sync-relay blob key v1'),
    name: hkdf(secret, 'sync-relay name key v1'),
    seed,
    auth: publicKey('ed25519', seed),
  };
}

export const groupOf = (authKey) => sha256(ascii('sync-relay group id v1'), authKey);

/** PADMÉ of at least 256, never past `max`. */
export function padded(length, max = Infinity) {
  const n = Math.max(length, 256);
  const e = Math.floor(Math.log2(n));
  const low = e - (Math.floor(Math.log2(e)) + 1);
  const rounded = Math.ceil(n / 2 ** low) * 2 ** low;
  return Math.max(Math.min(rounded, max), length);
}

export const pad = (plaintext, max) => (
  Buffer.concat([plaintext, Buffer.alloc(padded(plaintext.length, max) - plaintext.length)]));

const bin = (text) => m.bin(unhex(text));

export const seenOf = (seen) => (seen ? m.array([bin(seen.store_id), m.uint(seen.cursor), bin(seen.head)]) : m.nil);

const tip = (one) => m.array([bin(one.chain_id), m.uint(one.seq), bin(one.hash)]);

/** The devices of a group. */
export const roster = (list) => m.array(list.map((one) => m.array([
  bin(one.device_id), one.name === null ? m.nil : m.str(one.name), m.str(one.platform), m.array(one.tips.map(tip))])));

/** The plaintext of an invite, and of a recovery file. */
export const invite = (i) => m.array([
  m.str(i.relay), bin(i.relay_key), bin(i.group_id), keyLog(i.key_log), m.uint(i.epoch), bin(i.secret),
  m.array(i.history.map((one) => m.array([m.uint(one.epoch), bin(one.secret)]))),
  roster(i.roster), seenOf(i.seen), bin(i.created_by), m.uint(i.expires),
]);
