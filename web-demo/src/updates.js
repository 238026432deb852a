// The service worker: it keeps the page for off-line starts, and tells when another version of it is there. Which one
// is shown is up to the reader: nothing reloads by itself.

import { toast } from "./ui/dom.js";

const own = document.querySelector("meta[name=version]").content;

/** Registers the worker and watches for other versions. */
export async function watchVersions() {
  const container = navigator.serviceWorker;
  if (!container) return;
  try {
    const registration = await container.register("sw.js");
    const compare = () => tellIfOther(registration.active);
    container.addEventListener("controllerchange", compare);
    await registration.update().catch(() => {});
    // A page that came from the network may be newer than the worker: then its own is on the way.
    if (!registration.installing && !registration.waiting) await compare();
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") registration.update().catch(() => {});
    });
  } catch {
    // The page works without it, as long as there is a network.
  }
}

async function tellIfOther(worker) {
  if (!worker) return;
  const { port1, port2 } = new MessageChannel();
  const version = await new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
    worker.postMessage("version", [port2]);
  });
  if (version === own) return;
  toast("There is a new version of this page.", { action: "Reload", onAction: () => location.reload(), seconds: 0 });
}
