/** What there is to say about a browser and its stores without opening a device. */

import { SyncError, badArgument } from "./errors.js";

/** Keys of a device's state start below this byte; beside them there are only notes. */
const END_OF_STATE = new Uint8Array([32]);

/** The lock of a store: who has it may use the store. */
export const lockName = (/** @type {string} */ store) => `sync-relay:${store}`;

/** Throws unless this page has all that a device needs. */
export function checkBrowser() {
  if (!globalThis.isSecureContext) {
    throw new SyncError(
      "INSECURE_CONTEXT",
      "browsers allow encryption and storage only on pages that came over https, or from this machine: open this page by its https address",
    );
  }
  const missing = ["indexedDB", "WebAssembly", "WebSocket", "BroadcastChannel", "Worker"].filter(
    (name) => !(name in globalThis),
  );
  if (!navigator.locks) missing.push("Web Locks");
  if (missing.length > 0) {
    throw new SyncError("UNSUPPORTED_BROWSER", `this browser is too old, or restricted: it lacks ${missing.join(", ")}`);
  }
}

/** @param {string} store @returns {Promise<boolean>} */
export function exists(store) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(store);
    // It is not there: leave it so.
    opening.onupgradeneeded = () => opening.transaction?.abort();
    opening.onerror = () => {
      const name = opening.error?.name;
      if (name === "AbortError") resolve(false);
      else reject(new SyncError("STORAGE", `the browser's storage fails: ${name}`));
    };
    opening.onsuccess = () => {
      const database = opening.result;
      if (!database.objectStoreNames.contains("rows")) {
        database.close();
        resolve(false);
        return;
      }
      const state = IDBKeyRange.upperBound(END_OF_STATE, true);
      const counting = database.transaction("rows").objectStore("rows").count(state);
      counting.onsuccess = () => resolve(counting.result > 0);
      counting.onerror = () => reject(new SyncError("STORAGE", `the browser's storage fails: ${counting.error?.name}`));
      database.close();
    };
  });
}

/** @param {string} store @returns {Promise<void>} */
export async function erase(store) {
  await navigator.locks.request(lockName(store), { ifAvailable: true }, async (lock) => {
    if (!lock) throw badArgument("this device is in use: close it in every tab first");
    await new Promise((resolve, reject) => {
      const deleting = indexedDB.deleteDatabase(store);
      deleting.onsuccess = () => resolve(undefined);
      deleting.onerror = () => reject(new SyncError("STORAGE", `the browser's storage fails: ${deleting.error?.name}`));
    });
  });
}

/** Asks the browser not to evict this site's data. @returns {Promise<boolean>} */
export async function persist() {
  try {
    return (await navigator.storage.persisted()) || (await navigator.storage.persist());
  } catch {
    return false;
  }
}
