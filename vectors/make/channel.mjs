// channel.json: handshakes and the frames after them.

import { hex, repeat, unhex } from './bytes.mjs';
import { publicKey, sha256 } from './keys.mjs';
import { Handshake, firstRandomBytes } from './noise.mjs';

const MAX_BODY = 65535 - 16 - 1;
const NO_AD = Buffer.alloc(0);
const parties = { device_secret: repeat(1, 32), device_seed: repeat(3, 32), relay_secret: repeat(2, 32), relay_seed: repeat(4, 32) };

function handshake(p, more = {}) {
  return new Handshake({
    device: p.device_secret,
    deviceEphemeral: firstRandomBytes(p.device_seed),
    relay: p.relay_secret,
    relayEphemeral: firstRandomBytes(p.relay_seed),
    ...more,
  });
}

/** The records of an envelope: a flag (0: more follows, 1: last) and a part; all but the last are full. */
function records(envelope) {
  const parts = [];
  for (let at = 0; at === 0 || at < envelope.length; at += MAX_BODY) {
    const part = envelope.subarray(at, at + MAX_BODY);
    const last = at + MAX_BODY >= envelope.length;
    parts.push(Buffer.concat([Buffer.from([last ? 1 : 0]), part]));
  }
  return parts;
}

function shown(frame) {
  return frame.length <= 1000 ? hexOf(frame) : `${frame.length} bytes, SHA-256 ${hexOf(sha256(frame))}`;
}

const hexOf = (bytes) => Buffer.from(bytes).toString('hex');

function accepted(name, p, envelopes) {
  const h = handshake(p);
  const [first, second, third] = [h.first(), h.second(), h.third()];
  const keys = h.split();
  return {
    case: name,
    ...Object.fromEntries(Object.entries(p).map(([field, bytes]) => [field, hexOf(bytes)])),
    device_id: hexOf(publicKey('x25519', p.device_secret)),
    relay_key: hexOf(publicKey('x25519', p.relay_secret)),
    first: hexOf(first),
    second: hexOf(second),
    third: hexOf(third),
    handshake_hash: hexOf(h.h),
    envelopes: envelopes.map(([from, text]) => ({
      from,
      envelope: text,
      frames: records(unhex(text)).map((record) => shown(keys[from].encrypt(NO_AD, record))),
    })),
  };
}

/** A handshake message that the other end must refuse. */
function refusedHandshakes() {
  const good = () => {
    const h = handshake(parties);
    return [h.first(), h.second(), h.third()];
  };
  const [first, second, third] = good();
  const refuse = (name, message, bytes) => ({ case: name, message, bytes: hexOf(bytes), error: 'Handshake' });
  const flipped = (bytes, at) => { const out = Buffer.from(bytes); out[at] ^= 1; return out; };
  const cut = (bytes) => bytes.subarray(0, bytes.length - 1);
  const longer = (bytes) => Buffer.concat([bytes, Buffer.from([0])]);
  const withPayload = [
    handshake(parties).first(Buffer.from('x')),
    (() => { const h = handshake(parties); h.first(); return h.second(Buffer.from('x')); })(),
    (() => { const h = handshake(parties); h.first(); h.second(); return h.third(Buffer.from('x')); })(),
  ];
  const foreign = (() => { const h = handshake(parties, { prologue: 'sync-relay/2' }); h.first(); return h.second(); })();
  const topBit = (key) => { const out = Buffer.from(key); out[31] |= 0x80; return out; };
  const relayNotCanonical = handshake(parties, { relayShows: topBit(publicKey('x25519', parties.relay_secret)) });
  relayNotCanonical.first();
  const deviceNotCanonical = handshake(parties, { deviceShows: topBit(publicKey('x25519', parties.device_secret)) });
  deviceNotCanonical.first();
  deviceNotCanonical.second();
  const low = {
    'the point 0': '00'.repeat(32),
    'the point 1': `01${'00'.repeat(31)}`,
    'a point of order 8': 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    'another point of order 8': '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'p - 1, of order 2': `ec${'ff'.repeat(30)}7f`,
    'p, which is 0': `ed${'ff'.repeat(30)}7f`,
    'p + 1, which is 1': `ee${'ff'.repeat(30)}7f`,
    '0 with the top bit set': `${'00'.repeat(31)}80`,
  };
  return [
    refuse('first: nothing', 1, Buffer.alloc(0)),
    refuse('first: cut short', 1, cut(first)),
    refuse('first: longer', 1, longer(first)),
    refuse('first: with a payload', 1, withPayload[0]),
    ...Object.entries(low).map(([name, bytes]) => refuse(`first: the key is ${name}`, 1, unhex(bytes))),
    refuse('second: nothing', 2, Buffer.alloc(0)),
    refuse('second: cut short', 2, cut(second)),
    refuse('second: longer', 2, longer(second)),
    refuse('second: with a payload', 2, withPayload[1]),
    refuse('second: another ephemeral key', 2, flipped(second, 0)),
    refuse('second: another static key', 2, flipped(second, 40)),
    refuse('second: another tag', 2, flipped(second, second.length - 1)),
    refuse('second: with another prologue', 2, foreign),
    refuse('second: the first one sent back', 2, first),
    ...Object.entries(low).map(([name, bytes]) => (
      refuse(`second: the ephemeral key is ${name}`, 2, Buffer.concat([unhex(bytes), second.subarray(32)])))),
    refuse('second: a static key that is not canonical', 2, relayNotCanonical.second()),
    refuse('third: nothing', 3, Buffer.alloc(0)),
    refuse('third: cut short', 3, cut(third)),
    refuse('third: longer', 3, longer(third)),
    refuse('third: with a payload', 3, withPayload[2]),
    refuse('third: another static key', 3, flipped(third, 0)),
    refuse('third: another tag', 3, flipped(third, third.length - 1)),
    refuse('third: a static key that is not canonical', 3, deviceNotCanonical.third()),
    refuse('third: the second one sent back', 3, second),
  ];
}

/** Frames from the device of `parties`, of which the relay refuses the last. */
function refusedFrames() {
  const seal = (...plaintexts) => {
    const h = handshake(parties);
    h.first(); h.second(); h.third();
    const { device } = h.split();
    return plaintexts.map((plaintext) => device.encrypt(NO_AD, plaintext));
  };
  const record = (flag, length) => Buffer.concat([Buffer.from([flag]), repeat(7, length)]);
  const refuse = (name, error, frames) => ({ case: name, frames: frames.map(hexOf), error });
  const [good, second] = seal(record(1, 5), record(1, 6));
  const theOtherWay = (() => {
    const h = handshake(parties);
    h.first(); h.second(); h.third();
    return h.split().relay.encrypt(NO_AD, record(1, 5));
  })();
  const tampered = Buffer.from(good);
  tampered[3] ^= 1;
  return [
    refuse('nothing', 'Decrypt', [Buffer.alloc(0)]),
    refuse('shorter than a tag', 'Decrypt', [good.subarray(0, 15)]),
    refuse('a changed byte', 'Decrypt', [tampered]),
    refuse('cut short', 'Decrypt', [good.subarray(0, good.length - 1)]),
    refuse('a frame again', 'Decrypt', [good, good]),
    refuse('a frame left out', 'Decrypt', [second]),
    refuse('a frame of the other direction', 'Decrypt', [theOtherWay]),
    refuse('an empty record', 'Record', seal(Buffer.alloc(0))),
    refuse('a flag of 2', 'Record', seal(record(2, 5))),
    refuse('a flag of 255', 'Record', seal(record(255, 5))),
    refuse('more follows, yet it is empty', 'Record', seal(record(0, 0))),
    refuse('more follows, yet it is not full', 'Record', seal(record(0, 5))),
  ];
}

export function channel() {
  const seeds = (a, b, c, d) => ({
    device_secret: repeat(a, 32), device_seed: repeat(b, 32), relay_secret: repeat(c, 32), relay_seed: repeat(d, 32),
  });
  return {
    about: 'Handshakes and frames. The ephemeral key of a seed is the first 32 bytes of ChaCha20 under it. Byte strings are hexadecimal; 07*300 is 300 times 07.',
    parties: Object.fromEntries(Object.entries(parties).map(([field, bytes]) => [field, hexOf(bytes)])),
    accepted: [
      accepted('small envelopes both ways', parties, [
        ['device', hex(Buffer.from('hello'))],
        ['relay', hex(Buffer.from('welcome'))],
        ['device', ''],
        ['device', '00'],
      ]),
      accepted('envelopes of one record and of more', seeds(0x21, 0x22, 0x23, 0x24), [
        ['device', `07*${MAX_BODY}`],
        ['device', `07*${MAX_BODY + 1}`],
        ['relay', `08*${3 * MAX_BODY}`],
        ['device', '09'],
      ]),
    ],
    refused_handshakes: refusedHandshakes(),
    refused_frames: refusedFrames(),
  };
}
