// Ed25519 signatures that lax verifiers take and strict ones refuse. https://eprint.iacr.org/2020/1244

import crypto from 'node:crypto';
import { hex } from './bytes.mjs';
import { publicKey } from './keys.mjs';

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

const mod = (n, by) => ((n % by) + by) % by;
const little = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
const bytesOf = (n) => Buffer.from(n.toString(16).padStart(64, '0'), 'hex').reverse();
const sha512 = (...parts) => crypto.createHash('sha512').update(Buffer.concat(parts)).digest();
const challenge = (...parts) => mod(little(sha512(...parts)), ORDER);

/** The secret scalar of a seed (RFC 8032, 5.1.5). */
function scalar(seed) {
  const half = sha512(seed).subarray(0, 32);
  half[0] &= 248;
  half[31] = (half[31] & 127) | 64;
  return little(half);
}

/** R is the neutral point: the second half alone satisfies the equation. */
export function withoutNonce(seed, message) {
  const neutral = bytesOf(1n);
  const k = challenge(neutral, publicKey('ed25519', seed), message);
  return { signature: hex(Buffer.concat([neutral, bytesOf(mod(k * scalar(seed), ORDER))])) };
}

/** The key has a part of order 2, so that the two sides differ by it unless they are multiplied by 8. */
export function withTorsion(message) {
  // Adding the point (0, -1) negates both coordinates.
  const shift = (point) => {
    const n = little(point);
    const [sign, y] = [n >> 255n, n & ((1n << 255n) - 1n)];
    return bytesOf(mod(-y, P) | ((sign ^ 1n) << 255n));
  };
  const seed = Buffer.alloc(32, 2);
  const key = shift(publicKey('ed25519', seed));
  for (let n = 0; ; n += 1) {
    const nonce = Buffer.alloc(32, n);
    const R = publicKey('ed25519', nonce);
    const k = challenge(R, key, message);
    // An even factor makes the part of order 2 vanish, and then the signature is a good one.
    if (k % 2n === 1n) {
      const s = mod(scalar(nonce) + k * scalar(seed), ORDER);
      return { auth_key: hex(key), signature: hex(Buffer.concat([R, bytesOf(s)])) };
    }
  }
}
