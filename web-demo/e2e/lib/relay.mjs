// A real relay in a process of its own, and the real command line.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const programs = process.env.SYNC_PROGRAMS;
if (!programs) throw new Error("SYNC_PROGRAMS must name the folder of sync-relay and sync-cli: use `cargo xtask ci --only browser`");

/** A folder that is deleted at the end of a test. */
export async function folder(t) {
  const path = await mkdtemp(join(tmpdir(), "sync-e2e-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A relay on a free port; `recording` makes it write down what it decrypts. */
export class Relay {
  static async start(t, { recording = false, env = {} } = {}) {
    const relay = new Relay();
    relay.folder = await folder(t);
    relay.recording = recording;
    relay.env = env;
    relay.port = 0;
    relay.log = "";
    t.after(() => relay.kill());
    await relay.restart();
    return relay;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it again, under the same address. */
  async restart() {
    const bind = `127.0.0.1:${this.port}`;
    const [program, args] = this.recording
      ? ["recording-relay", [bind, join(this.folder, "relay.db"), join(this.folder, `record-${Date.now()}`)]]
      : ["sync-relay", ["--bind", bind, "--data", this.folder]];
    this.process = spawn(join(programs, program), args, { env: { ...process.env, RUST_LOG: "trace", ...this.env } });
    this.process.stderr.on("data", (chunk) => (this.log += chunk));
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    for await (const line of createInterface({ input: this.process.stdout })) {
      const address = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
      if (address) {
        this.port = Number(address[1]);
        break;
      }
    }
    if (!this.port) throw new Error(`the relay did not start: ${this.log}`);
    // It answers once its database is open.
    const health = await fetch(`${this.url}/health`);
    if (!health.ok) throw new Error(`the relay is not well: ${health.status}`);
  }

  /** A command about its database. */
  async command(...args) {
    await promisify(execFile)(join(programs, "sync-relay"), [...args, "--data", this.folder], { env: { ...process.env, ...this.env } });
  }

  /** SIGKILL. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  /** Every file that it has written, and what it has logged. */
  async everything() {
    const names = await readdir(this.folder);
    const files = await Promise.all(names.map(async (name) => [name, await readFile(join(this.folder, name))]));
    return [...files, ["log", Buffer.from(this.log)]];
  }

  /** The envelopes that it has decrypted. */
  async envelopes() {
    const all = [];
    for (const [name, bytes] of await this.everything()) {
      if (name.startsWith("record-")) all.push(...bytes.toString().split("\n").filter(Boolean));
    }
    return all.map((line) => Buffer.from(line, "hex"));
  }
}

/** The command line with a home of its own. */
export class Cli {
  static async init(t, relay, name) {
    const cli = new Cli();
    cli.home = await folder(t);
    await cli.run("init", "--name", name, "--relay", relay.url);
    return cli;
  }

  async run(...args) {
    const env = { ...process.env, SYNC_KEYCHAIN: "off" };
    const { stdout } = await promisify(execFile)(join(programs, "sync-cli"), ["--home", this.home, ...args], {
      env,
      maxBuffer: 1 << 28,
    });
    return stdout;
  }

  async json(...args) {
    return JSON.parse(await this.run("--json", ...args));
  }
}
