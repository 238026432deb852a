// Several tabs of one browser are one device. They tell each other what has changed, and make way for one that
// leaves the notebook.

const CHANNEL = "notebook";
/** Held, shared, by every tab that uses the notebook. */
const OPEN = "notebook:open";
/** How long the other tabs have to let go. */
const PATIENCE_MS = 5000;

const channel = new BroadcastChannel(CHANNEL);
let release = null;

/** Tells the other tabs: "changed", "device" (there is one now), "leave" (let go of it). */
export const tell = (kind, ids = []) => channel.postMessage({ kind, ids });

/** Listens to the other tabs. */
export function listen(listener) {
  channel.addEventListener("message", ({ data }) => listener(data.kind, data.ids));
}

/** This tab uses the notebook from now on. */
export async function enter() {
  if (release) return;
  await new Promise((entered) => {
    navigator.locks.request(OPEN, { mode: "shared" }, () => {
      entered();
      return new Promise((resolve) => {
        release = resolve;
      });
    });
  });
}

/** This tab does not use it any more. */
export function exit() {
  release?.();
  release = null;
}

/** Runs something while no tab uses the notebook; this one must have let go. */
export async function alone(what) {
  tell("leave");
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    return await navigator.locks.request(OPEN, { mode: "exclusive", signal }, what);
  } catch (error) {
    if (error.name !== "TimeoutError" && error.name !== "AbortError") throw error;
    throw new Error("Another tab of this notebook does not answer. Close it, then try again.", { cause: error });
  }
}
