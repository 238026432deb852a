// Noise_XX_ and Noise_X_25519_ChaChaPoly_BLAKE2s, after the Noise Protocol Framework, revision 34.

import crypto from 'node:crypto';
import { ascii } from './bytes.mjs';
import { agree, publicKey } from './keys.mjs';

const PROLOGUE = 'sync-relay/1';
const blake2s = (...parts) => crypto.createHash('blake2s256').update(Buffer.concat(parts)).digest();
const hmac = (key, ...parts) => crypto.createHmac('blake2s256', key).update(Buffer.concat(parts)).digest();

function hkdf(chaining, material) {
  const temp = hmac(chaining, material);
  const one = hmac(temp, Buffer.from([1]));
  return [one, hmac(temp, one, Buffer.from([2]))];
}

/** The first 32 bytes of ChaCha20's key stream under a seed: what a seed's ephemeral key is made of. */
export function firstRandomBytes(seed) {
  return crypto.createCipheriv('chacha20', seed, Buffer.alloc(16)).update(Buffer.alloc(32));
}

/** A key and its counter. */
export class CipherState {
  constructor(key) { this.key = key; this.n = 0; }

  encrypt(ad, plaintext) {
    const nonce = Buffer.alloc(12);
    nonce.writeBigUInt64LE(BigInt(this.n), 4);
    this.n += 1;
    const cipher = crypto.createCipheriv('chacha20-poly1305', this.key, nonce, { authTagLength: 16 });
    cipher.setAAD(ad, { plaintextLength: plaintext.length });
    return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }
}

/** What both ends of a handshake mix everything into. */
class SymmetricState {
  constructor(pattern, prologue) {
    const name = ascii(`Noise_${pattern}_25519_ChaChaPoly_BLAKE2s`);
    this.h = name.length <= 32 ? Buffer.concat([name, Buffer.alloc(32 - name.length)]) : blake2s(name);
    this.ck = this.h;
    this.cipher = null;
    this.mixHash(prologue);
  }

  mixHash(data) { this.h = blake2s(this.h, data); }

  mixKey(shared) {
    const [ck, key] = hkdf(this.ck, shared);
    this.ck = ck;
    this.cipher = new CipherState(key);
  }

  encryptAndHash(plaintext) {
    const out = this.cipher ? this.cipher.encrypt(this.h, plaintext) : plaintext;
    this.mixHash(out);
    return out;
  }
}

/** One handshake, seen from both ends at once: what is encrypted by one need not be decrypted here. */
export class Handshake extends SymmetricState {
  constructor({ device, deviceEphemeral, relay, relayEphemeral, prologue = PROLOGUE, deviceShows, relayShows }) {
    super('XX', ascii(prologue));
    Object.assign(this, { deviceEphemeral, relayEphemeral });
    // What each end sends as its static key: its own, but in a test of the other end.
    this.deviceStatic = deviceShows ?? publicKey('x25519', device);
    this.relayStatic = relayShows ?? publicKey('x25519', relay);
  }

  /** `-> e`, from the device. */
  first(payload = Buffer.alloc(0)) {
    const e = publicKey('x25519', this.deviceEphemeral);
    this.mixHash(e);
    return Buffer.concat([e, this.encryptAndHash(payload)]);
  }

  /** `<- e, ee, s, es`, from the relay. */
  second(payload = Buffer.alloc(0)) {
    const e = publicKey('x25519', this.relayEphemeral);
    this.mixHash(e);
    this.mixKey(agree(this.relayEphemeral, publicKey('x25519', this.deviceEphemeral)));
    const s = this.encryptAndHash(this.relayStatic);
    this.mixKey(agree(this.deviceEphemeral, this.relayStatic));
    return Buffer.concat([e, s, this.encryptAndHash(payload)]);
  }

  /** `-> s, se`, from the device. */
  third(payload = Buffer.alloc(0)) {
    const s = this.encryptAndHash(this.deviceStatic);
    this.mixKey(agree(this.relayEphemeral, this.deviceStatic));
    return Buffer.concat([s, this.encryptAndHash(payload)]);
  }

  /** The keys of both directions. */
  split() {
    const [device, relay] = hkdf(this.ck, Buffer.alloc(0));
    return { device: new CipherState(device), relay: new CipherState(relay) };
  }
}

/** `<- s`, then `-> e, es, s, ss` with a payload: for one device that is not there. */
export function oneWay({ prologue, from, ephemeral, to, payload, shows }) {
  const state = new SymmetricState('X', prologue);
  state.mixHash(to);
  const e = publicKey('x25519', ephemeral);
  state.mixHash(e);
  state.mixKey(agree(ephemeral, to));
  const s = state.encryptAndHash(shows ?? publicKey('x25519', from));
  state.mixKey(agree(from, to));
  return Buffer.concat([e, s, state.encryptAndHash(payload)]);
}
