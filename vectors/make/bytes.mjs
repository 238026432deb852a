// Bytes, hexadecimal and base64url.

/** Hexadecimal to bytes. `0a0b*300` is 300 times 0a0b; spaces stand between parts. */
export function unhex(text) {
  return Buffer.concat(text.split(/\s+/).filter(Boolean).map((part) => {
    const [hex, times = '1'] = part.split('*');
    return Buffer.concat(Array(Number(times)).fill(Buffer.from(hex, 'hex')));
  }));
}

/** Bytes to hexadecimal; what repeats at length is abbreviated. */
export function hex(bytes) {
  const text = Buffer.from(bytes).toString('hex');
  let out = '';
  for (let i = 0; i < text.length;) {
    const [unit, times] = repetition(text, i);
    out += times > 1 ? ` ${unit}*${times} ` : unit;
    i += unit.length * times;
  }
  return out.trim();
}

/** What repeats from `start` on for more than 64 bytes, and how often; else one byte, once. */
function repetition(text, start) {
  for (let width = 2; width <= 400 && start + 2 * width <= text.length; width += 2) {
    const unit = text.slice(start, start + width);
    let times = 1;
    while (text.startsWith(unit, start + times * width)) times += 1;
    if (times > 1 && times * width > 256) return [unit, times];
  }
  return [text.slice(start, start + 2), 1];
}

/** A list of the same item many times, abbreviated as the item and how often. */
export function abbreviate(value) {
  if (Array.isArray(value) && value.length > 8 && value.every((item) => item === value[0])) {
    return { item: value[0], times: value.length };
  }
  if (Array.isArray(value)) return value.map(abbreviate);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, abbreviate(item)]));
}

export const repeat = (byte, times) => Buffer.alloc(times, byte);
export const base64url = (bytes) => Buffer.from(bytes).toString('base64url');
export const ascii = (text) => Buffer.from(text, 'latin1');
export const u32be = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
