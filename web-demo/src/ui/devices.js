// Who has this notebook, who is here, and how one of them is removed.

import { isGone, since } from "../words.js";
import { $, ask, h } from "./dom.js";

let last = "";

/** Shows the devices, this one first. `online`: whether this one can tell who is here. `onRemove(deviceId, name)`. */
export function showDevices(devices, status, online, onRemove) {
  const known = devices.length > 0 ? devices : [{ deviceId: status.deviceId, name: status.name, thisDevice: true, online }];
  const sorted = [...known].sort((a, b) => Number(b.thisDevice) - Number(a.thisDevice) || Number(b.online) - Number(a.online));
  const rows = sorted.map((device) => {
    const { deviceId, name, thisDevice } = device;
    const odd = !thisDevice && !device.member;
    const here = thisDevice ? online : device.online && online;
    const when = here ? "on-line" : thisDevice || !device.lastSeen ? "off-line" : `seen ${since(device.lastSeen, new Date())}`;
    const about = [thisDevice && "this device", odd && "not announced", when].filter(Boolean).join(", ");
    // A new key needs the relay.
    return { deviceId, name: name || "A device", about, here, odd, stays: thisDevice || isGone(status), disabled: !online };
  });
  $("fingerprint").hidden = !status.fingerprint || isGone(status);
  $("fingerprint").querySelector("code").textContent = status.fingerprint ?? "";
  // A button that is made anew while somebody presses it does nothing.
  const look = JSON.stringify(rows);
  if (look === last) return;
  last = look;
  const focused = $("devices").contains(document.activeElement) && document.activeElement.dataset.device;
  $("devices").replaceChildren(...rows.map((row) => draw(row, onRemove)));
  if (focused) ($("devices").querySelector(`[data-device="${focused}"]`) ?? $("devices-title")).focus();
}

function draw({ deviceId, name, about, here, odd, stays, disabled }, onRemove) {
  const label = `Remove ${name}`;
  const named = { "aria-label": label, title: label };
  const onclick = () => onRemove(deviceId, name);
  return h(
    "li",
    { "data-testid": "device", "data-online": String(here) },
    h("span", { class: `dot ${here ? "online" : ""}`, "aria-hidden": "true" }),
    h("span", { dir: "auto" }, name),
    stays ? null : h("button", { type: "button", disabled, "data-testid": "remove", "data-device": deviceId, ...named, onclick }, "×"),
    h("small", { class: odd && "odd" }, about),
  );
}

/** Asks whether a device is to go. */
export const askToRemove = (name) =>
  ask({
    title: `Remove ${name}?`,
    text: "The notebook gets a new key without it: from now on that device gets nothing, and adds nothing. What it has read already it may keep.",
    yes: "Remove",
    no: "Keep",
  });
