/** Keeps an app's data in step on several devices of one person, through a relay that can read nothing.
 *  What is here is described in `index.d.ts`. */

export { SyncClient } from "./client.js";
export { SyncError } from "./errors.js";
