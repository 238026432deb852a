/** The WebAssembly module, loaded once per page. */

import init, { Device } from "./sync_client_wasm.js";
import { SyncError } from "./errors.js";

/** @type {Promise<{ Device: typeof Device, module: WebAssembly.Module }> | undefined} */
let loading;

/** Gives the class of devices, and the module, from which a worker starts without loading it again. */
export function load() {
  loading ??= instantiate().catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function instantiate() {
  const module = await compile(new URL("./sync_client_wasm_bg.wasm", import.meta.url));
  await init({ module_or_path: module });
  return { Device, module };
}

/** @param {URL} url */
async function compile(url) {
  const response = await fetch(url).catch(() => undefined);
  if (!response?.ok) {
    throw new SyncError("UNREACHABLE", "a part of this page could not be loaded: check the connection and reload");
  }
  try {
    const isWasm = response.headers.get("content-type")?.startsWith("application/wasm");
    if (isWasm) return await WebAssembly.compileStreaming(response);
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (error) {
    throw new SyncError("UNSUPPORTED_BROWSER", `this browser does not run the sync client: ${error}`);
  }
}
