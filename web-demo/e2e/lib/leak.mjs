// Looks for a secret in what others could see: every 8 bytes of it, raw, in hexadecimal digits, base64 and base32.
const WINDOW = 8;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Digits of `bits` bits each, of bytes that start `shift` bytes into a group; only those that nothing else decides. */
function digits(bytes, alphabet, bits, shift) {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  const first = Math.ceil((shift * 8) / bits);
  const last = Math.floor(((shift + bytes.length) * 8) / bits);
  let text = "";
  for (let n = first; n < last; n += 1) {
    const below = BigInt((shift + bytes.length) * 8 - (n + 1) * bits);
    text += alphabet[Number((value >> below) & ((1n << BigInt(bits)) - 1n))];
  }
  return text;
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** What must not be found, and what form it has. */
export function needles(secret) {
  const found = new Map();
  for (let start = 0; start + WINDOW <= secret.length; start += 1) {
    const bytes = secret.subarray(start, start + WINDOW);
    found.set(`raw ${start}`, bytes);
    const hex = bytes.toString("hex");
    found.set(`hex ${start}`, Buffer.from(hex));
    found.set(`HEX ${start}`, Buffer.from(hex.toUpperCase()));
    for (let shift = 0; shift < 3; shift += 1) {
      found.set(`base64 ${start}+${shift}`, Buffer.from(digits(bytes, `${LETTERS}+/`, 6, shift)));
      found.set(`base64url ${start}+${shift}`, Buffer.from(digits(bytes, `${LETTERS}-_`, 6, shift)));
    }
    for (let shift = 0; shift < 5; shift += 1) {
      for (const [name, alphabet] of [["base32", BASE32], ["crockford", CROCKFORD]]) {
        const text = digits(bytes, alphabet, 5, shift);
        found.set(`${name} ${start}+${shift}`, Buffer.from(text));
        found.set(`${name} ${start}+${shift} in small letters`, Buffer.from(text.toLowerCase()));
      }
    }
  }
  return found;
}

/** Where a secret shows: `[name of the place, form]`. */
export function leaks(secret, places) {
  const found = [];
  const wanted = needles(secret);
  for (const [place, bytes] of places) {
    for (const [form, needle] of wanted) if (bytes.includes(needle)) found.push(`${place}: ${form}`);
  }
  return found;
}
