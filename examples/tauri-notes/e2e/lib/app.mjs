// The app in a window, driven by WebDriver as its user.
import { execFile, spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

/** The name of elements in WebDriver. */
const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
/** Far more than anything takes. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 100;

const program = process.env.TAURI_NOTES;
if (!program) throw new Error("TAURI_NOTES must name the built app: use `cargo xtask tauri-e2e`");

export class App {
  #driver;
  #session;
  #group;

  /** Starts the app with a home of its own. The driver needs a session bus, or it hangs. */
  static async start(t, { display, home, relay, args = [] }) {
    const app = new App();
    app.display = display;
    const port = await freePort();
    const env = {
      ...process.env,
      DISPLAY: display,
      HOME: home,
      XDG_DATA_HOME: `${home}/data`,
      XDG_CACHE_HOME: `${home}/cache`,
      XDG_CONFIG_HOME: `${home}/config`,
      NOTES_RELAY: relay,
      TAURI_WEBVIEW_AUTOMATION: "true",
      NO_AT_BRIDGE: "1",
    };
    const driver = spawn("dbus-run-session", ["--", "WebKitWebDriver", `--port=${port}`], { env, stdio: "ignore", detached: true });
    app.#driver = `http://127.0.0.1:${port}`;
    // The driver, its bus and the app are one group.
    app.#group = driver.pid;
    app.ended = new Promise((resolve) => driver.once("exit", resolve));
    app.kill = async () => {
      try {
        process.kill(-driver.pid, "SIGKILL");
      } catch {
        // It has ended.
      }
      await app.ended;
    };
    t.after(() => app.kill());
    await until("the driver listens", () => fetch(`${app.#driver}/status`).then((answer) => answer.ok, () => false));
    const alwaysMatch = { "webkitgtk:browserOptions": { binary: program, args } };
    const { sessionId } = await app.#post("/session", { capabilities: { alwaysMatch } });
    app.#session = `/session/${sessionId}`;
    return app;
  }

  /** Closes the window, as a person does: then the app ends by itself. */
  async close() {
    await this.#ask("DELETE", `${this.#session}/window`);
    await until("the app has ended", async () => !(await this.#runs()));
    await this.kill();
  }

  /** Whether the app is still there, in the group of the driver that started it. */
  async #runs() {
    const { stdout } = await promisify(execFile)("ps", ["-e", "-o", "pgid=,args="]);
    return stdout.split("\n").some((line) => line.trim().startsWith(`${this.#group} ${program}`));
  }

  /** Waits until there is such an element that one can see, and gives it. */
  async find(testId, text = "") {
    const look = `
      const all = [...document.querySelectorAll('[data-testid="' + arguments[0] + '"]')];
      return all.find((one) => one.checkVisibility() && one.textContent.includes(arguments[1])) ?? null;`;
    return until(`${testId} ${text} is there`, () => this.script(look, testId, text));
  }

  async text(testId) {
    const element = await this.find(testId);
    return this.script("return arguments[0].textContent", element);
  }

  async click(testId) {
    const element = await this.find(testId);
    await this.#post(`${this.#session}/element/${element[ELEMENT]}/click`, {});
  }

  async type(testId, text) {
    const element = await this.find(testId);
    await this.script("arguments[0].value = ''", element);
    await this.#post(`${this.#session}/element/${element[ELEMENT]}/value`, { text });
  }

  /** Waits until the page is in this state. */
  async state(state) {
    await until(`the page is ${state}`, () => this.script("return document.documentElement.dataset.state === arguments[0]", state));
  }

  /** The texts of the notes, newest first. */
  notes() {
    return this.script(`return [...document.querySelectorAll('[data-testid="note-text"]')].map((note) => note.textContent)`);
  }

  /** Waits for notes. */
  async sees(...texts) {
    await until(`the notes are ${texts.join(", ")}`, async () => JSON.stringify(await this.notes()) === JSON.stringify(texts));
  }

  /** Waits until the screen shows what the page has: it does not by itself while nobody asks. */
  async painted() {
    const frame = "return new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(() => shown(true))))";
    for (let frames = 0; frames < 6; frames += 1) await this.script(frame);
    await sleep(3 * PAUSE_MS);
  }

  script(script, ...args) {
    return this.#post(`${this.#session}/execute/sync`, { script, args });
  }

  #post(path, body) {
    return this.#ask("POST", path, body);
  }

  async #ask(method, path, body) {
    const answer = await fetch(this.#driver + path, {
      method,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }
}

/** Waits until something is true, and gives it. */
export async function until(what, is) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await is();
    if (found) return found;
    if (Date.now() > end) throw new Error(`it does not come to it that ${what}`);
    await sleep(PAUSE_MS);
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
