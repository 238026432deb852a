// A reverse proxy in front of a relay: below a path, or as if the relay carried another release of the page.
import { createServer, request } from "node:http";
import { connect } from "node:net";

export class Proxy {
  /** `below`: the path under which the relay is; `strip`: whether the relay is asked without it. */
  static async open(t, { below = "", strip = false } = {}) {
    const proxy = new Proxy();
    proxy.below = below;
    proxy.strip = strip;
    /** The port of the relay behind it. */
    proxy.target = 0;
    proxy.release = null;
    const sockets = new Set();
    const server = createServer((asked, answer) => proxy.#pass(asked, answer));
    server.on("upgrade", (asked, socket, head) => proxy.#upgrade(asked, socket, head, sockets));
    server.on("connection", (socket) => sockets.add(socket));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${server.address().port}${below}`;
    t.after(() => {
      sockets.forEach((socket) => socket.destroy());
      server.close();
    });
    return proxy;
  }

  /** From now on the page has another version, and what belongs to the one before it is gone. */
  async renew(version) {
    const page = await (await fetch(`http://127.0.0.1:${this.target}/`)).text();
    this.release = { now: version, before: /name="version" content="([0-9a-f]+)"/.exec(page)[1] };
  }

  /** What the relay is asked for. Null: nothing is there. */
  #path(url) {
    if (!url.startsWith(this.below)) return null;
    let path = this.strip ? url.slice(this.below.length) || "/" : url;
    if (this.release) {
      if (path.includes(`/assets/${this.release.before}/`)) return null;
      path = path.replace(`/assets/${this.release.now}/`, `/assets/${this.release.before}/`);
    }
    return path;
  }

  #pass(asked, answer) {
    const path = this.#path(asked.url);
    if (path === null) {
      answer.writeHead(404).end();
      return;
    }
    const headers = { ...asked.headers };
    if (this.release) {
      // Its text is changed on the way, so it must come as text, and whole.
      for (const name of ["accept-encoding", "if-none-match"]) delete headers[name];
    }
    const passed = request({ host: "127.0.0.1", port: this.target, method: asked.method, path, headers }, (response) => {
      if (!this.release || !/^text\/(html|javascript)/.test(response.headers["content-type"] ?? "")) {
        answer.writeHead(response.statusCode, response.headers);
        response.pipe(answer);
        return;
      }
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        const { etag: _, "content-length": __, ...kept } = response.headers;
        const text = Buffer.concat(chunks).toString().replaceAll(this.release.before, this.release.now);
        answer.writeHead(response.statusCode, kept).end(text);
      });
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  }

  #upgrade(asked, browser, head, sockets) {
    const relay = connect(this.target, "127.0.0.1");
    sockets.add(relay);
    const lines = [`GET ${this.#path(asked.url)} HTTP/1.1`];
    for (let n = 0; n < asked.rawHeaders.length; n += 2) lines.push(`${asked.rawHeaders[n]}: ${asked.rawHeaders[n + 1]}`);
    relay.write(`${lines.join("\r\n")}\r\n\r\n`);
    relay.write(head);
    for (const [from, to] of [[browser, relay], [relay, browser]]) {
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  }
}
