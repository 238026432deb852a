// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): HChaCha20 by hand, the rest by Node.

import crypto from 'node:crypto';

const rotl = (x, n) => (x << n) | (x >>> (32 - n));

function quarter(s, a, b, c, d) {
  s[a] += s[b]; s[d] = rotl(s[d] ^ s[a], 16);
  s[c] += s[d]; s[b] = rotl(s[b] ^ s[c], 12);
  s[a] += s[b]; s[d] = rotl(s[d] ^ s[a], 8);
  s[c] += s[d]; s[b] = rotl(s[b] ^ s[c], 7);
}

function hchacha20(key, nonce) {
  const s = new Uint32Array(16);
  s.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
  for (let i = 0; i < 8; i += 1) s[4 + i] = key.readUInt32LE(4 * i);
  for (let i = 0; i < 4; i += 1) s[12 + i] = nonce.readUInt32LE(4 * i);
  for (let round = 0; round < 10; round += 1) {
    for (const [a, b, c, d] of [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]]) quarter(s, a, b, c, d);
    for (const [a, b, c, d] of [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]]) quarter(s, a, b, c, d);
  }
  const out = Buffer.alloc(32);
  [0, 1, 2, 3, 12, 13, 14, 15].forEach((from, to) => out.writeUInt32LE(s[from], 4 * to));
  return out;
}

/** `nonce ‖ ciphertext ‖ tag`. */
export function seal(key, nonce, ad, plaintext) {
  const subnonce = Buffer.concat([Buffer.alloc(4), nonce.subarray(16)]);
  const cipher = crypto.createCipheriv('chacha20-poly1305', hchacha20(key, nonce), subnonce, { authTagLength: 16 });
  cipher.setAAD(ad, { plaintextLength: plaintext.length });
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}
