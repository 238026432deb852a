// What a camera sees that is held before a QR code: a film of one picture, uncompressed (YUV4MPEG2).
const [WIDTH, HEIGHT] = [640, 480];
const [BLACK, GREY, WHITE] = [40, 128, 215];

/** A film of a QR code, from its rows of modules. */
export function filmOf(rows) {
  const size = Math.floor(HEIGHT / rows.length);
  const [left, top] = [WIDTH, HEIGHT].map((whole) => Math.floor((whole - size * rows.length) / 2));
  const light = Buffer.alloc(WIDTH * HEIGHT, GREY);
  for (let y = 0; y < size * rows.length; y += 1) {
    for (let x = 0; x < size * rows.length; x += 1) {
      const dark = rows[Math.floor(y / size)][Math.floor(x / size)];
      light[(top + y) * WIDTH + left + x] = dark ? BLACK : WHITE;
    }
  }
  const colour = Buffer.alloc((WIDTH * HEIGHT) / 2, 128);
  const frame = Buffer.concat([Buffer.from("FRAME\n"), light, colour]);
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F10:1 Ip A1:1 C420jpeg\n`), frame, frame]);
}
