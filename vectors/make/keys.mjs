// Ed25519 and X25519 keys from raw bytes, by Node's own cryptography.

import crypto from 'node:crypto';
import { unhex } from './bytes.mjs';

const PRIVATE = { ed25519: '302e020100300506032b657004220420', x25519: '302e020100300506032b656e04220420' };
const PUBLIC = { x25519: '302a300506032b656e032100' };

function secret(curve, bytes) {
  const der = Buffer.concat([unhex(PRIVATE[curve]), bytes]);
  return crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

/** The public half of a secret key: 32 bytes. */
export function publicKey(curve, bytes) {
  const der = crypto.createPublicKey(secret(curve, bytes)).export({ format: 'der', type: 'spki' });
  return der.subarray(der.length - 32);
}

export function sign(seed, message) {
  return crypto.sign(null, message, secret('ed25519', seed));
}

/** X25519: what both ends get. */
export function agree(secretBytes, publicBytes) {
  const der = Buffer.concat([unhex(PUBLIC.x25519), publicBytes]);
  return crypto.diffieHellman({
    privateKey: secret('x25519', secretBytes),
    publicKey: crypto.createPublicKey({ key: der, format: 'der', type: 'spki' }),
  });
}

export const sha256 = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();
