// Where the relay is, as far as the page knows.

import { relayOf } from "./links.js";

const named = document.querySelector("meta[name=relay]")?.content;

/** Whether this is an app's page: there the app knows the relay. */
export const inApp = named === "";
/** The relay of codes and of new notebooks: the one that the page names, or else that serves it. */
export const relay = inApp ? undefined : (named ?? relayOf(location.href));
