// @ts-check
// Words of both pages: labels, counts, shares, and spellings of classes.

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
// 100 only for all, and 0 only for none.
/** @type {(share: number) => string} */
export const percent = (share) => (
  share > 0 && share < 1 ? `${Math.min(Math.max(Math.round(100 * share), 1), 99)}` : `${100 * share}`
);

// The comparable form of a name. Names with one form are one class, by the same rule as in
// validation.py.
/** @param {string} name */
export function comparable(name) {
  const words = name.normalize("NFC").split(/[\p{White_Space}_]+/u).filter((word) => word);
  return words.join(" ").toLowerCase().normalize("NFC");
}
