// What the page says, as far as it follows from plain values.

/** How many notes are drawn at first, and how many more each time. */
export const STEP = 200;
/** How much of a long note is shown before somebody asks for the rest. */
export const SHOWN_CHARS = 700;
const SHOWN_LINES = 14;
/** The longest line that counts as a heading. */
const HEADING_CHARS = 60;
/** What a device's name may have, in bytes of UTF-8. */
const NAME_BYTES = 62;

/** The beginning of a text, and whether that is not all. */
export function excerpt(text) {
  let end = Math.min(text.length, SHOWN_CHARS);
  let at = -1;
  for (let line = 0; line < SHOWN_LINES; line += 1) {
    at = text.indexOf("\n", at + 1);
    if (at < 0 || at >= end) break;
    if (line === SHOWN_LINES - 1) end = at;
  }
  // Not in the middle of a character.
  if (end < text.length && /[\uD800-\uDBFF]/.test(text[end - 1] ?? "")) end -= 1;
  return { shown: text.slice(0, end), more: end < text.length };
}

/** A text's first line, if that is a heading: short, and with something below it. */
export function heading(text) {
  const line = text.slice(0, HEADING_CHARS + 1).split("\n", 1)[0];
  return line.trim() && line.length <= HEADING_CHARS && line.length < text.trimEnd().length ? line : "";
}

/** A note's first words, for labels. */
export function title(text) {
  const line = text.slice(0, 200).split("\n").find((part) => part.trim()) ?? "";
  const words = line.trim();
  return words.length > 40 ? `${words.slice(0, 40)}…` : words || "empty note";
}

/** A name that every device can show: no control characters, no spaces at its ends, not too long. */
export function deviceName(text) {
  let name = text.replace(/\p{Cc}/gu, " ").trim();
  while (new TextEncoder().encode(name).length > NAME_BYTES) name = [...name].slice(0, -1).join("");
  return name.trim();
}

/** What this browser might be called. */
export function guessName(agent) {
  const first = (pairs) => pairs.find(([sign]) => sign.test(agent))?.[1];
  const browser = first([[/Edg\//, "Edge"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"]]);
  const system = first([
    [/iPhone/, "iPhone"], [/iPad/, "iPad"], [/Android/, "Android"], [/Windows/, "Windows"],
    [/Mac OS X/, "Mac"], [/CrOS/, "Chromebook"], [/Linux/, "Linux"],
  ]);
  return [browser ?? "Browser", system].filter(Boolean).join(" on ");
}

/** What somebody can do about an invite that is refused, by the error's code. */
const ADVICE = {
  INVITE_NOT_FOUND: "Ask for a new one on the other device: “Add a device”.",
  INVITE_EXPIRED: "Set this device’s clock right, then ask for a new one on the other device: “Add a device”.",
  INVITE_USED: "Each works once. Ask for a new one on the other device: “Add a device”.",
  INVITE_DAMAGED: "Ask for a new one on the other device: “Add a device”.",
  INVITE_TEXT: "Copy it again, whole, or type the code.",
  UNREACHABLE: "Check this device’s network, then try again: the invite is not used up by this.",
  TIMED_OUT: "Try again: the invite is not used up by this.",
};

/** Whether something went wrong because the browser stores no more. */
export const noRoom = (error) => error?.name === "QuotaExceededError" || error?.code === "STORAGE_FULL";

/** What went wrong, as sentences, and what to do about it. */
export function sentence(error) {
  if (noRoom(error)) return "This browser has no room for more. Nothing stored is lost.";
  const text = String(error?.message || error).trim();
  const whole = text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
  return [whole, ADVICE[error?.code]].filter(Boolean).join(" ");
}

/** "one note", "3 notes" */
export const count = (n, one, many = `${one}s`) => (n === 1 ? `one ${one}` : `${n} ${many}`);

// Times are put together by hand: the browser's own formatter takes up to 100 ms to start, while nothing else moves.
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]];

const day = (date) => `${date.getDate()} ${MONTHS[date.getMonth()]} ${date.getFullYear()}`;
const clock = (date) => [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");

/** When something was: the time of today, the day of before. */
export const when = (date, now) => (day(date) === day(now) ? clock(date) : day(date));

/** The same, whole. */
export const whole = (date) => `${day(date)}, ${clock(date)}`;

/** How long ago something was. */
export function since(date, now) {
  const ms = now.getTime() - date.getTime();
  const [unit, size] = UNITS.find(([, size]) => ms >= size) ?? [];
  if (!unit) return "just now";
  const n = Math.floor(ms / size);
  return `${n} ${unit}${n === 1 ? "" : "s"} ago`;
}

/** How long an invite lives, for people. */
export function left(ms) {
  if (ms <= 0) return "expired";
  const minutes = Math.ceil(ms / 60_000);
  return minutes > 1 ? `${minutes} minutes left` : "less than a minute left";
}

const STAYS = "What it has stays here, and nothing new comes.";
/** Why a device is in its notebook no more, by the code of what stopped it: a word, and what happened. */
const GONE = {
  REMOVED: ["Removed", "This device was removed from the notebook."],
  DEVICE_REVOKED: ["Removed", "The relay says that this device was removed from the notebook."],
  LEFT: ["Left", "This device has left the notebook."],
  GROUP_DELETED: ["Deleted", "The relay says that this notebook was deleted, for all devices."],
  DEVICE_EXPIRED: ["Forgotten", "This device was away for so long that the relay has forgotten it."],
};

/** Whether a device is in its notebook no more, for good. */
export const isGone = ({ connection, stopped }) => connection === "stopped" && Object.hasOwn(GONE, stopped?.code);

/**
 * The state of the connection in a word and a sentence. `tried`: an attempt has failed since it was last there.
 * `reading`: whether notes are coming in.
 */
export function situation(status, { onLine, tried, reading }) {
  const say = (kind, label, detail = "") => ({ kind, label, detail });
  if (status.storage === "full") {
    return say("attention", "Storage full", "This browser refuses to store more. Nothing stored is lost. Free some space on this device, then go on.");
  }
  if (!onLine && status.connection !== "stopped" && status.groupId) {
    return say("offline", "Off-line", "This device has no network. Notes are kept here and sent later.");
  }
  switch (status.connection) {
    case "stopped":
      if (isGone(status)) return say("attention", GONE[status.stopped.code][0], `${GONE[status.stopped.code][1]} ${STAYS}`);
      return say("attention", "Needs attention", status.stopped?.message ?? "");
    case "online":
      return reading && status.maxCursor - status.lastCursor > 20
        ? say("online", "Receiving", `${status.lastCursor} of ${status.maxCursor}`)
        : say("online", "On-line");
    case "off":
      return status.groupId ? say("offline", "Off-line") : say("idle", "On this device", "Nobody else has this notebook yet.");
    default:
      return tried
        ? say("offline", "Off-line", "The relay does not answer. Notes are kept here and sent when it does.")
        : say("connecting", "Connecting");
  }
}

const LIAR = "Ask whoever runs it, or move to another relay.";

const CHAIN = { missing: "is missing here", altered: "was changed", reordered: "came in another order", repeated: "came twice" };

const REFUSED = {
  unreadable: (who) => `Something that came from ${who} does not open, so it is not shown: it was changed on the way.`,
  notAMember: () => "Something came from a device that none of yours has announced, so it is not shown.",
  afterRemoval: (who) => `Something came from ${who} under a key that is no longer used, so it is not shown.`,
};

/** What each kind of warning says, and the word for what can be done about it. */
const WARNINGS = {
  unknownDevice: (who) => [
    `None of your devices has announced ${who}, which is at the relay. If you are not adding it just now, remove it.`,
    "Remove it",
  ],
  inviteMisused: () => [
    "Somebody took an invite and did not join, so they may read along. A new key shuts them out.",
    "Change the key",
  ],
  restoreWaits: () => [
    "The relay lost its notes for the second time within a day, so nothing is sent to it. Find out why, then send again what is here.",
    "Send again",
  ],
  chainBroken: (who, how) => [
    `Something that ${who} sent ${CHAIN[how]}. The relay is to blame, unless the data of ${who} was copied.`,
  ],
  forked: (who) => [`The relay shows ${who} another notebook than this device. ${LIAR}`],
  blobRefused: (who, how) => [REFUSED[how](who)],
  rotationRefused: (who) => [`What came from ${who} as a new key of the notebook is none. Nothing has changed. ${LIAR}`],
  rotationWithheld: () => [
    "The relay says that the notebook has a new key, and does not show it. Compare the key below the devices with another device’s.",
  ],
};

/** The events that are warnings. */
export const warningKinds = Object.keys(WARNINGS);

/** What a warning says, and the word on its button, if something can be done. `nameOf`: what a device is called. */
export const warning = ({ kind, device, how }, nameOf) => WARNINGS[kind](nameOf(device), how);
