// The little that the page needs beyond the browser's own. Text goes in as text, never as HTML.

import { sentence } from "../words.js";

export const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SCREENS = ["starting", "problem", "start", "join", "book"];

/** Shows one screen, and says in which state the page is. */
export function show(screen, state) {
  for (const name of SCREENS) $(name).hidden = name !== screen;
  for (const part of ["actions", "status"]) $(part).hidden = screen !== "book";
  document.documentElement.dataset.state = state;
}

/** Puts the focus on a screen's heading, so that a reader hears where it is. */
export const focusHeading = (screen) => $(screen).querySelector("h1")?.focus({ preventScroll: true });

/** Tells screen readers, quietly. */
export function announce(text) {
  $("announce").textContent = text;
}

/** Shows, or hides, what is wrong with a form. */
export function wrong(form, error) {
  const place = form.querySelector(".wrong");
  place.hidden = !error;
  place.textContent = error ? sentence(error) : "";
}

/** Runs what a form asks for, once at a time. */
export function onSubmit(form, label, action) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button:not([type=button])");
    if (button.disabled) return;
    const before = button.textContent;
    wrong(form, null);
    button.disabled = true;
    button.textContent = label;
    try {
      await action();
    } catch (error) {
      wrong(form, error);
    } finally {
      button.disabled = false;
      button.textContent = before;
    }
  });
}

/** A sentence at the lower edge, with something to do about it. */
export function toast(text, { action, onAction, seconds = 8 } = {}) {
  const element = h("div", { class: "toast", role: "status" }, h("span", {}, text));
  const close = () => element.remove();
  if (action) {
    element.append(h("button", { type: "button", onclick: () => (close(), onAction()) }, action));
  }
  element.append(h("button", { type: "button", "aria-label": "Dismiss", onclick: close }, "×"));
  $("toasts").replaceChildren(element);
  if (seconds) setTimeout(close, seconds * 1000);
  return close;
}

/** Asks a question; gives whether the answer was yes. */
export function ask({ title, text, yes, no }) {
  const dialog = $("ask-dialog");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  $("ask-no").textContent = no;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
