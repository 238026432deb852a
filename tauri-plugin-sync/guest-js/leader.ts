// Of an app's windows one leads, so that no two of them read for the app.

const LOCK = "tauri-plugin-sync:leader";

/** Waits until it is known whether this window leads; calls `leads` when it does, at once or later. `signal` ends it. */
export async function lead(leads: () => void, signal: AbortSignal): Promise<void> {
  // Webviews older than 2022: with one window, which is what most apps have, nothing is lost.
  if (!navigator.locks) return leads();
  const held = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  const hold = () => {
    leads();
    return held;
  };
  await new Promise<void>((known) => {
    navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => {
      if (lock) {
        const until = hold();
        known();
        return until;
      }
      known();
      navigator.locks.request(LOCK, { signal }, hold).catch(() => {});
      return undefined;
    });
  });
}
