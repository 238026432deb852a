/** Deriving a code's keys, off this thread. */

import { SyncError } from "./errors.js";
import { load } from "./wasm.js";

/** @param {Uint8Array} code 10 bytes @returns {Promise<Uint8Array>} 48 bytes */
export async function deriveCodeKeys(code) {
  const { module } = await load();
  const worker = new Worker(new URL("./argon2-worker.js", import.meta.url), { type: "module" });
  try {
    return await new Promise((resolve, reject) => {
      const fail = () => reject(new SyncError("UNSUPPORTED_BROWSER", "the worker that derives keys fails"));
      worker.onerror = fail;
      worker.onmessageerror = fail;
      worker.onmessage = ({ data }) => (data ? resolve(data) : fail());
      worker.postMessage({ module, code });
    });
  } finally {
    // Its memory goes with it.
    worker.terminate();
  }
}
