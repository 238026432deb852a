// A tunnel that sees everything: a TCP proxy that keeps every byte, and what is in the browser's masked WebSocket frames.
import { connect, createServer } from "node:net";

export class Tap {
  static async open(t, port) {
    const tap = new Tap();
    tap.connections = [];
    const sockets = new Set();
    const server = createServer((browser) => {
      const relay = connect(port, "127.0.0.1");
      const seen = { up: [], down: [] };
      tap.connections.push(seen);
      for (const [from, to, list] of [[browser, relay, seen.up], [relay, browser, seen.down]]) {
        sockets.add(from);
        from.on("data", (chunk) => {
          list.push(chunk);
          to.write(chunk);
        });
        from.on("close", () => to.destroy());
        from.on("error", () => to.destroy());
      }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    tap.url = `http://127.0.0.1:${server.address().port}`;
    t.after(() => {
      sockets.forEach((socket) => socket.destroy());
      server.close();
    });
    return tap;
  }

  /** What went through, by name. */
  places() {
    return this.connections.flatMap(({ up, down }, n) => {
      const sent = Buffer.concat(up);
      return [
        [`sent ${n}`, sent],
        [`frames ${n}`, Buffer.concat(frames(sent))],
        [`received ${n}`, Buffer.concat(down)],
      ];
    });
  }

  /** How many WebSocket messages the browser has sent. */
  frameCount() {
    return this.connections.reduce((sum, { up }) => sum + frames(Buffer.concat(up)).length, 0);
  }
}

/** The payloads of the frames that a browser has sent after its upgrade (RFC 6455 §5.2). */
function frames(sent) {
  const head = sent.indexOf("\r\n\r\n");
  if (head < 0 || !/^upgrade: websocket/im.test(sent.subarray(0, head).toString("latin1"))) return [];
  const found = [];
  let at = head + 4;
  while (at + 2 <= sent.length) {
    let length = sent[at + 1] & 0x7f;
    let start = at + 2;
    if (length === 126) {
      length = sent.readUInt16BE(start);
      start += 2;
    } else if (length === 127) {
      length = Number(sent.readBigUInt64BE(start));
      start += 8;
    }
    const mask = sent.subarray(start, start + 4);
    const payload = Buffer.from(sent.subarray(start + 4, start + 4 + length));
    for (let n = 0; n < payload.length; n += 1) payload[n] ^= mask[n % 4];
    found.push(payload);
    at = start + 4 + length;
  }
  return found;
}
