// keylog.json: group ids, key logs and proofs of membership.

import { ascii, hex, repeat, u32be, unhex } from './bytes.mjs';
import { publicKey, sha256, sign } from './keys.mjs';
import { keyLog } from './layout.mjs';
import { withTorsion, withoutNonce } from './lax.mjs';
import * as m from './msgpack.mjs';
import { crockford } from './text.mjs';

const seed = (n) => repeat(n, 32);
const authKey = (n) => publicKey('ed25519', seed(n));
const groupId = (key) => sha256(ascii('sync-relay group id v1'), key);
const device = publicKey('x25519', seed(0x77));
const otherDevice = publicKey('x25519', seed(0x78));

/** A link, signed by key `from` for key `to`. */
function link(group, epoch, from, to, content = 0xc0) {
  const hash = repeat(content, 32);
  const signed = Buffer.concat([ascii('sync-relay rotate v1'), group, u32be(epoch), authKey(to), hash]);
  return { auth_key: hex(authKey(to)), content_hash: hex(hash), signature: hex(sign(seed(from), signed)) };
}

/** The log of a group whose keys have these seeds. */
function log(...seeds) {
  const group = groupId(authKey(seeds[0]));
  return {
    genesis: hex(authKey(seeds[0])),
    links: seeds.slice(1).map((to, i) => link(group, i + 1, seeds[i], to)),
  };
}

const group = hex(groupId(authKey(1)));

function accepted(name, fields) {
  const id = groupId(unhex(fields.genesis));
  const epoch = fields.links.length;
  const newest = unhex(epoch ? fields.links.at(-1).auth_key : fields.genesis);
  const print = crockford(sha256(ascii('sync-relay fingerprint v1'), id, u32be(epoch), newest)).slice(0, 12);
  return {
    case: name, group_id: hex(id), epoch, fingerprint: print.match(/.{4}/g).join('-'), bytes: hex(keyLog(fields)), fields,
  };
}

function refused(name, error, fields, group_id = group) {
  return { case: name, group_id, bytes: hex(keyLog(fields)), error };
}

/** A log whose only key is these bytes, under the group id that belongs to them. */
function weak(name, bytes) {
  const good = log(1, 2);
  const key = unhex(bytes);
  return refused(name, 'InvalidKey', { genesis: bytes, links: good.links }, hex(groupId(key)));
}

function changed(fields, index, change) {
  const links = fields.links.map((one, i) => (i === index ? { ...one, ...change(one) } : one));
  return { ...fields, links };
}

/** The same signature with the group's order added to its second half: valid for the lax only. */
function malleable(one) {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const bytes = unhex(one.signature);
  let s = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString('hex')}`) + order;
  for (let i = 32; i < 64; i += 1) {
    bytes[i] = Number(s & 0xffn);
    s >>= 8n;
  }
  return { signature: bytes.toString('hex') };
}

const flip = (text) => (text[0] === '0' ? '1' : '0') + text.slice(1);

function logs() {
  const three = log(1, 2, 3);
  const wrongEpoch = { ...three, links: [three.links[0], link(unhex(group), 3, 2, 3)] };
  const otherGroup = { ...three, links: [link(groupId(authKey(9)), 1, 1, 2), three.links[1]] };
  const selfSigned = { ...three, links: [link(unhex(group), 1, 2, 2), three.links[1]] };
  const bin = (bytes) => m.bin(Buffer.from(bytes, 'hex'));
  const malformed = (name, error, bytes) => ({ case: name, bytes: hex(bytes), error });
  const parts = (one) => m.array([bin(one.auth_key), bin(one.content_hash), bin(one.signature)]);
  return {
    accepted: [
      accepted('never rotated', log(1)),
      accepted('rotated once', log(1, 2)),
      accepted('rotated three times', log(1, 2, 3, 4)),
      accepted('back to an earlier key', log(5, 6, 5)),
    ],
    malformed: [
      malformed('nothing', 'Truncated', Buffer.alloc(0)),
      malformed('no key', 'WrongLength', m.array([])),
      malformed('a map', 'WrongType', Buffer.from([0x80])),
      malformed('a key of 31 bytes', 'WrongLength', m.array([m.bin(repeat(1, 31))])),
      malformed('a link of two values', 'WrongLength',
        m.array([bin(three.genesis), m.array([bin(three.links[0].auth_key), bin(three.links[0].content_hash)])])),
      malformed('a link that is no array', 'WrongType', m.array([bin(three.genesis), bin(three.genesis)])),
      malformed('a signature of 63 bytes', 'WrongLength',
        m.array([bin(three.genesis), parts({ ...three.links[0], signature: '51'.repeat(63) })])),
      malformed('401 links', 'TooLarge', m.array([bin(three.genesis), ...Array(401).fill(parts(three.links[0]))])),
      malformed('a claim of 4 billion links', 'Truncated', unhex('ddffffffff')),
      malformed('bytes behind it', 'Trailing', Buffer.concat([keyLog(three), m.nil])),
    ],
    refused: [
      refused('of another group', 'WrongGroup', three, hex(groupId(authKey(2)))),
      refused('the group id is the key itself', 'WrongGroup', log(1), hex(authKey(1))),
      refused('a link left out', 'BadSignature', { ...three, links: [three.links[1]] }),
      refused('two links swapped', 'BadSignature', { ...three, links: [three.links[1], three.links[0]] }),
      refused('a link twice', 'BadSignature', { ...three, links: [three.links[0], three.links[0]] }),
      refused('another content hash', 'BadSignature', changed(three, 1, (one) => ({ content_hash: flip(one.content_hash) }))),
      refused('another next key', 'BadSignature', changed(three, 1, () => ({ auth_key: hex(authKey(7)) }))),
      refused('another signature', 'BadSignature', changed(three, 0, (one) => ({ signature: flip(one.signature) }))),
      refused('a signature of zeros', 'BadSignature', changed(three, 0, () => ({ signature: '00'.repeat(64) }))),
      refused('a second form of the same signature', 'BadSignature', changed(three, 0, malleable)),
      refused('signed for another epoch', 'BadSignature', wrongEpoch),
      refused('signed for another group', 'BadSignature', otherGroup),
      refused('signed by the new key instead of the old', 'BadSignature', selfSigned),
      weak('a key of order 1', `01${'00'.repeat(31)}`),
      weak('a key of order 2', `ec${'ff'.repeat(30)}7f`),
      weak('a key of order 4', '00'.repeat(32)),
      weak('a key of order 8', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'),
      weak('another form of the key of order 1', `ee${'ff'.repeat(30)}7f`),
      weak('a key that is no point', `02${'00'.repeat(31)}`),
    ],
  };
}

function continuations() {
  const one = (name, known, fields, error) => ({
    case: name, group_id: group, known: hex(keyLog(known)), bytes: hex(keyLog(fields)), ...(error && { error }),
  });
  const broken = changed(log(1, 2, 5), 1, (last) => ({ signature: flip(last.signature) }));
  const otherContent = changed(log(1, 2, 3), 1, () => link(unhex(group), 2, 2, 3, 0xc1));
  return {
    accepted: [
      one('the same', log(1, 2, 3), log(1, 2, 3)),
      one('longer', log(1), log(1, 2, 3)),
      one('shorter', log(1, 2, 3), log(1, 2)),
    ],
    refused: [
      one('another key at the same epoch', log(1, 2, 3), log(1, 2, 5), 'Conflict'),
      one('the same key, signed with another content hash', log(1, 2, 3), otherContent, 'Conflict'),
      one('another key earlier on', log(1, 2, 3), log(1, 4, 3, 6), 'Conflict'),
      one('another key, without a valid signature', log(1, 2, 3), broken, 'BadSignature'),
      one('longer by a link that is not signed', log(1, 2), changed(log(1, 2, 3), 1, () => ({ signature: '00'.repeat(64) })), 'BadSignature'),
      one('of another group', log(1, 2, 3), log(2, 3), 'WrongGroup'),
    ],
  };
}

function proofs() {
  const fields = { handshake_hash: 'ab'.repeat(32), group_id: group, epoch: 1, device_id: hex(device) };
  const transcript = (p) => Buffer.concat([
    ascii('sync-relay hello v1'), unhex(p.handshake_hash), unhex(p.group_id), u32be(p.epoch), unhex(p.device_id)]);
  const signature = hex(sign(seed(2), transcript(fields)));
  const auth_key = hex(authKey(2));
  const refuse = (name, error, change) => ({ case: name, auth_key, ...fields, signature, ...change, error });
  const zero = { ...fields, epoch: 0 };
  return {
    accepted: [
      { case: 'at epoch 1', auth_key, ...fields, transcript: hex(transcript(fields)), signature },
      {
        case: 'at epoch 0', auth_key: hex(authKey(1)), ...zero, transcript: hex(transcript(zero)),
        signature: hex(sign(seed(1), transcript(zero))),
      },
    ],
    refused: [
      refuse('of another connection', 'BadSignature', { handshake_hash: 'ac'.repeat(32) }),
      refuse('of another group', 'BadSignature', { group_id: hex(groupId(authKey(2))) }),
      refuse('of another epoch', 'BadSignature', { epoch: 2 }),
      refuse('of another device', 'BadSignature', { device_id: hex(otherDevice) }),
      refuse('by another key', 'BadSignature', { auth_key: hex(authKey(1)) }),
      refuse('a second form of the same signature', 'BadSignature', malleable({ signature })),
      refuse('a signature whose first half is of small order', 'BadSignature', withoutNonce(seed(2), transcript(fields))),
      refuse('a signature that holds only after multiplication by the cofactor', 'BadSignature', withTorsion(transcript(fields))),
      refuse('a weak key', 'InvalidKey', { auth_key: `01${'00'.repeat(31)}` }),
    ],
  };
}

export function keylog() {
  return {
    about: 'Key logs, what continues them, and proofs of membership. Byte strings are hexadecimal; 0a0b*300 is 300 times 0a0b.',
    logs: logs(),
    continuations: continuations(),
    proofs: proofs(),
  };
}
