// What somebody may give to join with, and where the relay is.

/** The relay behind a page: the page's address without `join`, query and fragment. */
export function relayOf(page) {
  const url = new URL(page);
  return url.origin + url.pathname.replace(/\/(join|index\.html)?$/, "");
}

/** Whether an address means this machine, whoever asks. */
export function isLocal(address) {
  return /^(.+\.)?localhost$|^127\.|^\[::1\]$/.test(new URL(address).hostname);
}

/** Whether a text can be a code: 16 characters of Crockford's base32, however they are set apart. */
export function isCode(text) {
  return /^[0-9A-TV-Z]{16}$/i.test(text.replace(/[\s-]/g, ""));
}

/** Whether a text can be a link, or the address of an app. */
export function isLink(text) {
  return /^https?:\/\/\S+#v\d+\.\S+$/.test(text) || /^[a-z][a-z0-9+.-]*:\/\/sync\?invite=\S+$/i.test(text);
}
