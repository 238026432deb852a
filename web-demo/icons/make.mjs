// Draws the PNG icons after icon.svg: node web-demo/icons/make.mjs

import { writeFileSync } from "node:fs";
import { crc32, deflateSync } from "node:zlib";

const BLUE = [0x23, 0x60, 0x7a];
const BACK = [0x9f, 0xc7, 0xd6];
const PAPER = [0xff, 0xfe, 0xfb];
/** Points looked at on each side of a pixel. */
const FINE = 4;

/** Whether a point lies in a rectangle with round corners. */
function inside(x, y, [left, top, width, height, radius]) {
  const dx = Math.max(left + radius - x, x - (left + width - radius), 0);
  const dy = Math.max(top + radius - y, y - (top + height - radius), 0);
  return dx * dx + dy * dy <= radius * radius;
}

const SHAPES = [
  [[13, 12, 28, 36, 4], BACK],
  [[23, 17, 28, 36, 4], PAPER],
  [[27.5, 25.5, 19, 3, 1.5], BLUE],
  [[27.5, 33.5, 19, 3, 1.5], BLUE],
  [[27.5, 41.5, 12, 3, 1.5], BLUE],
];

/** Red, green, blue and opacity at a point of the 64 × 64 drawing. */
function colour(x, y, corner) {
  if (corner !== null && !inside(x, y, [0, 0, 64, 64, corner])) return [0, 0, 0, 0];
  const top = SHAPES.findLast(([shape]) => inside(x, y, shape));
  return [...(top?.[1] ?? BLUE), 255];
}

/** `corner`: null for a square that masks cut. `scale`: how large the drawing is in the icon. */
function draw(size, { corner, scale }) {
  const rows = Buffer.alloc(size * (size * 4 + 1));
  const at = (pixel, part) => (((pixel + (part + 0.5) / FINE) / size) * 64 - 32) / scale + 32;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const sum = [0, 0, 0, 0];
      for (let part = 0; part < FINE * FINE; part += 1) {
        const point = colour(at(x, part % FINE), at(y, Math.floor(part / FINE)), corner);
        for (let i = 0; i < 3; i += 1) sum[i] += point[i] * point[3];
        sum[3] += point[3];
      }
      const place = y * (size * 4 + 1) + 1 + x * 4;
      for (let i = 0; i < 3; i += 1) rows[place + i] = sum[3] ? sum[i] / sum[3] : 0;
      rows[place + 3] = sum[3] / (FINE * FINE);
    }
  }
  return png(size, rows);
}

function png(size, rows) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 6, 0, 0, 0], 8);
  const chunks = [chunk("IHDR", head), chunk("IDAT", deflateSync(rows, { level: 9 })), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...chunks]);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

const save = (name, bytes) => writeFileSync(new URL(name, import.meta.url), bytes);
save("icon-192.png", draw(192, { corner: 14, scale: 1 }));
save("icon-512.png", draw(512, { corner: 14, scale: 1 }));
save("maskable-512.png", draw(512, { corner: null, scale: 0.8 }));
