// MessagePack as the protocol uses it: shortest forms only. https://github.com/msgpack/msgpack/blob/master/spec.md

function be(marker, width, value) {
  const bytes = Buffer.alloc(1 + width);
  bytes[0] = marker;
  let rest = BigInt(value);
  for (let i = width; i > 0; i -= 1) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

export function uint(n) {
  const value = BigInt(n);
  if (value < 0x80n) return Buffer.from([Number(value)]);
  if (value < 0x100n) return be(0xcc, 1, value);
  if (value < 0x10000n) return be(0xcd, 2, value);
  if (value < 0x100000000n) return be(0xce, 4, value);
  return be(0xcf, 8, value);
}

export function bin(bytes) {
  const n = bytes.length;
  const head = n < 0x100 ? be(0xc4, 1, n) : n < 0x10000 ? be(0xc5, 2, n) : be(0xc6, 4, n);
  return Buffer.concat([head, bytes]);
}

export function str(text) {
  const bytes = Buffer.from(text, 'utf8');
  const n = bytes.length;
  const head = n < 32 ? Buffer.from([0xa0 | n])
    : n < 0x100 ? be(0xd9, 1, n) : n < 0x10000 ? be(0xda, 2, n) : be(0xdb, 4, n);
  return Buffer.concat([head, bytes]);
}

/** An array of values that are encoded already. */
export function array(items) {
  const n = items.length;
  const head = n < 16 ? Buffer.from([0x90 | n]) : n < 0x10000 ? be(0xdc, 2, n) : be(0xdd, 4, n);
  return Buffer.concat([head, ...items]);
}

export const bool = (value) => Buffer.from([value ? 0xc3 : 0xc2]);
export const nil = Buffer.from([0xc0]);
