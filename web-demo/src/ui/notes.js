// The notes, newest first, a few hundred at a time.

import { STEP, count, excerpt, heading, title, when, whole } from "../words.js";
import { $, h } from "./dom.js";

/** How many notes are drawn before the browser gets a turn. */
const SLICE = 40;
/** The longest note: what fits a blob with its trailer. */
export const MAX_BYTES = (1 << 20) - 1024;

/** Between two drawings while many notes come in, in milliseconds. */
const PAUSE = 200;

/** Draws notes: `{ newest(limit), get(ids), nameOf(dev), busy(), onSave(id, text), onDelete(note) }`. */
export class NoteList {
  #actions;
  #limit = STEP;
  #drawn = new Map();
  #fresh = new Set();
  #drawing = null;
  #stale = false;

  constructor(actions) {
    this.#actions = actions;
    $("more").addEventListener("click", () => {
      this.#limit += STEP;
      this.refresh();
    });
  }

  /** Draws what the notebook holds. `arrived`: notes to point out. Calls while it draws count as one. */
  refresh(arrived = []) {
    for (const id of arrived) this.#fresh.add(id);
    this.#stale = true;
    this.#drawing ??= this.#drawAll().finally(() => (this.#drawing = null));
    return this.#drawing;
  }

  async #drawAll() {
    while (this.#stale) {
      this.#stale = false;
      const { places, total } = await this.#actions.newest(this.#limit);
      await this.#draw(places);
      $("no-notes").hidden = total > 0;
      $("more").hidden = total <= places.length;
      $("more").textContent = `Show more (${count(total - places.length, "note")})`;
      $("notes-title").textContent = `Notes (${total})`;
      $("notes").dataset.total = String(total);
      if (this.#actions.busy()) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  async #draw(places) {
    const wanted = new Set(places.map(({ id }) => id));
    for (const [id, { element }] of this.#drawn) {
      if (wanted.has(id)) continue;
      element.remove();
      this.#drawn.delete(id);
    }
    for (let start = 0; start < places.length; start += SLICE) {
      const slice = places.slice(start, start + SLICE);
      await this.#fillNew(slice);
      this.#arrange(slice, start);
    }
    this.#fresh.clear();
  }

  /** Puts a slice of the list in order. */
  #arrange(slice, start) {
    const list = $("notes");
    let place = list.children[start] ?? null;
    for (const { id } of slice) {
      const element = this.#drawn.get(id)?.element;
      if (!element) continue;
      if (element === place) place = place.nextElementSibling;
      else list.insertBefore(element, place);
    }
  }

  /** Reads and fills what looks different now, and nothing else. */
  async #fillNew(slice) {
    const look = ({ key, dev, state }) => [...key, dev, state, this.#actions.nameOf(dev)].join();
    const places = new Map(slice.map((place) => [place.id, place]));
    // What somebody edits stays as it is until they are done.
    const changed = slice.filter((place) => {
      const drawn = this.#drawn.get(place.id);
      return drawn?.look !== look(place) && !drawn?.element.querySelector("form");
    });
    if (changed.length === 0) return;
    for (const note of await this.#actions.get(changed.map(({ id }) => id))) {
      const element = this.#drawn.get(note.id)?.element ?? h("li", { class: "note", "data-testid": "note", "data-id": note.id });
      element.classList.toggle("arrived", this.#fresh.has(note.id));
      const focused = element.contains(document.activeElement) && document.activeElement.textContent;
      this.#fill(element, note, this.#actions.nameOf(note.dev));
      if (focused) [...element.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
      this.#drawn.set(note.id, { element, look: look(places.get(note.id)) });
    }
  }

  #fill(element, note, name) {
    if (note.bytes !== undefined) {
      element.replaceChildren(
        h("p", { class: "quiet", "data-testid": "not-a-note" }, `Not a note (${count(note.bytes, "byte")})`),
        h("div", { class: "about" }, time(note), h("span", { class: "wide", dir: "auto" }, name)),
      );
      return;
    }
    const { shown, more } = excerpt(note.text);
    const text = h("div", { class: "text", dir: "auto", "data-testid": "note-text" }, ...lines(shown));
    const label = title(note.text);
    element.replaceChildren(
      text,
      h(
        "div",
        { class: "about" },
        time(note),
        h("span", { class: "wide", dir: "auto" }, name),
        note.refused ? h("span", { class: "refused" }, refusal(note.refused)) : null,
        note.at === 0 && !note.refused ? h("span", { class: "waiting", "data-testid": "unsent" }, "not sent yet") : null,
        h(
          "span",
          { class: "buttons" },
          more ? h("button", { type: "button", "aria-label": `Show all of ${label}`, onclick: (event) => showAll(event, text, note) }, "Show all") : null,
          h("button", { type: "button", "aria-label": `Edit ${label}`, onclick: () => this.#edit(element, note) }, "Edit"),
          h("button", { type: "button", "aria-label": `Delete ${label}`, onclick: () => this.#actions.onDelete(note) }, "Delete"),
        ),
      ),
    );
  }

  #edit(element, note) {
    const area = h("textarea", { "aria-label": "Note", rows: String(Math.min(14, note.text.split("\n", 14).length + 1)) });
    area.value = note.text;
    const close = async () => {
      element.replaceChildren();
      this.#drawn.set(note.id, { element, look: "" });
      await this.refresh();
      element.querySelector("[aria-label^=Edit]")?.focus();
    };
    const save = async () => {
      if (area.value !== note.text && (await this.#actions.onSave(note.id, area.value)) === false) return;
      close();
    };
    const keys = (event) => {
      if (event.key === "Escape") close();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
    };
    const form = h(
      "form",
      { onkeydown: keys, onsubmit: (event) => (event.preventDefault(), save()) },
      area,
      h("div", { class: "row" }, h("button", { class: "primary" }, "Save"), h("button", { type: "button", onclick: close }, "Cancel")),
    );
    element.replaceChildren(form);
    area.focus();
  }
}

function time(note) {
  const date = new Date(note.ms);
  // A clock may say what no calendar can.
  if (Number.isNaN(date.getTime())) return null;
  return h("time", { datetime: date.toISOString(), title: whole(date) }, when(date, new Date()));
}

function refusal(code) {
  return code === "TOO_LARGE" || code === "BLOB_TOO_LARGE"
    ? "too long for the relay: stays on this device"
    : "the relay refuses this note: it stays on this device";
}

function showAll(event, text, note) {
  text.replaceChildren(...lines(note.text));
  event.currentTarget.remove();
}

function lines(text) {
  const first = heading(text);
  return first ? [h("strong", {}, first), text.slice(first.length)] : [text];
}
