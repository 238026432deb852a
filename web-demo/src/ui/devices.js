// Who has this notebook, and who is here.

import { since } from "../words.js";
import { $, h } from "./dom.js";

/** Shows the devices, this one first. `online`: whether this one can tell who is here. */
export function showDevices(devices, status, online) {
  const known = devices.length > 0 ? devices : [{ deviceId: status.deviceId, name: status.name, thisDevice: true, online }];
  const sorted = [...known].sort((a, b) => Number(b.thisDevice) - Number(a.thisDevice) || Number(b.online) - Number(a.online));
  $("devices").replaceChildren(
    ...sorted.map((device) => {
      const here = device.thisDevice ? online : device.online && online;
      const when = here ? "on-line" : device.thisDevice || !device.lastSeen ? "off-line" : `seen ${since(device.lastSeen, new Date())}`;
      return h(
        "li",
        { "data-testid": "device", "data-online": String(here) },
        h("span", { class: `dot ${here ? "online" : ""}`, "aria-hidden": "true" }),
        h("span", { dir: "auto" }, device.name || "A device"),
        h("small", {}, device.thisDevice ? `this device, ${when}` : when),
      );
    }),
  );
}
