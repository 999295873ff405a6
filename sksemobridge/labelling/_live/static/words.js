// @ts-check
// Words of both pages: labels, counts, shares, and which spellings are one class.

// The label of pictures of none of the classes.
export const NONE = "";

/** @type {(label: string) => string} */
export const label_of = (label) => (label === NONE ? "none of these" : label);
/** @type {(label: string) => string} */
export const quoted = (label) => (label === NONE ? "none of these" : `“${label}”`);
/** @type {(n: number) => string} */
export const count = (n) => n.toLocaleString("en");
/** @type {(n: number, one: string, many?: string) => string} */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
// 100 is said of all, and 0 of none.
/** @type {(share: number) => string} */
export const percent = (share) => (
  share > 0 && share < 1 ? `${Math.min(Math.max(Math.round(100 * share), 1), 99)}` : `${100 * share}`
);

// What is compared of a name: those that agree in it are one class. The same as in validation.py.
/** @param {string} name */
export function comparable(name) {
  const words = name.normalize("NFC").split(/[\p{White_Space}_]+/u).filter((word) => word);
  return words.join(" ").toLowerCase().normalize("NFC");
}
