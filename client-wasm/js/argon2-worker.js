/** A worker for one derivation: a code comes in, its keys go out, or null. */

import init, { deriveCodeKeys } from "./sync_client_wasm.js";

self.onmessage = async ({ data: { module, code } }) => {
  try {
    await init({ module_or_path: module });
    const keys = deriveCodeKeys(code);
    self.postMessage(keys, [keys.buffer]);
  } catch {
    self.postMessage(null);
  }
};
