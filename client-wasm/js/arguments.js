/** What callers pass, checked, as the device takes it. */

import { badArgument } from "./errors.js";

const MAX_U32 = 2 ** 32 - 1;

/** @param {unknown} value @returns {Uint8Array<ArrayBuffer>} bytes of our own, which nobody changes */
export function bytes(value) {
  if (typeof value === "string") return new TextEncoder().encode(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0));
  if (value instanceof Uint8Array) return new Uint8Array(value);
  throw badArgument("data is a Uint8Array, an ArrayBuffer or a string");
}

/** @param {unknown} value @returns {number} */
export function cursor(value) {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw badArgument("a cursor is a whole number from 0 to 2^53 - 1");
}

/** @param {unknown} value @param {string} name @returns {number} */
export function whole(value, name) {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_U32) return value;
  throw badArgument(`${name} is a whole number from 0 to 2^32 - 1`);
}

/** @param {unknown} value @param {string} name @returns {string | undefined} */
export function optionalText(value, name) {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  throw badArgument(`${name} is a string`);
}

/** @param {unknown} value @param {string} name @returns {string} */
export function text(value, name) {
  if (typeof value === "string") return value;
  throw badArgument(`${name} is a string`);
}

/** 16 random bytes. */
export function token() {
  return crypto.getRandomValues(new Uint8Array(16));
}

/** 16 random bytes, in hexadecimal digits. */
export function hexToken() {
  return Array.from(token(), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
