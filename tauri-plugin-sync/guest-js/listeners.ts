// Who wants to know what.

type Listener = (detail: never) => void;

/** Listens for every event, with its name. */
const ALL = "event";

export class Listeners {
  #of = new Map<string, Set<Listener>>();

  add(event: string, listener: Listener): () => void {
    // A function of our own: one that is added twice is called twice.
    const call: Listener = (detail) => listener(detail);
    const listeners = this.#of.get(event) ?? new Set();
    this.#of.set(event, listeners.add(call));
    return () => void listeners.delete(call);
  }

  tell(event: string, detail: unknown): void {
    for (const listener of [...(this.#of.get(event) ?? [])]) run(listener, detail);
    for (const listener of [...(this.#of.get(ALL) ?? [])]) run(listener, { name: event, detail });
  }
}

/** What a listener throws is its own, and reaches the page as if nobody had called it. */
function run(listener: Listener, detail: unknown): void {
  try {
    listener(detail as never);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
