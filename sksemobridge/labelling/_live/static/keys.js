// @ts-check
// Keys: digits that stay with their class, and keys for the view in sight.
import { by_id, element_of } from "../../_web/dom.js";
import { SIDES, choose_side, usual_side } from "./fit.js";

const DIGITS = "123456789";

// A class keeps its first digit, unless a likelier class of the same picture has the same digit.
class ClassKeys {
  #home = new Map();

  // Digits of at most nine classes, the likeliest first: a Map from digit to class.
  /** @param {string[]} names @returns {Map<string, string>} */
  assign(names) {
    const given = new Map(), without = [];
    for (const name of names) {
      const digit = this.#home.get(name);
      if (digit && !given.has(digit)) given.set(digit, name);
      else without.push(name);
    }
    const is_home = new Set(this.#home.values());
    const free = [...DIGITS].filter((digit) => !given.has(digit))
      .sort((a, b) => Number(is_home.has(a)) - Number(is_home.has(b)));
    without.forEach((name, i) => {
      given.set(free[i], name);
      if (!this.#home.has(name)) this.#home.set(name, free[i]);
    });
    return new Map([...given].sort(([, a], [, b]) => names.indexOf(a) - names.indexOf(b)));
  }
}

export const class_keys = new ClassKeys();

// Keys go to the view in sight: `view.key(event)` returns whether the view took the key.
/**
 * @param {() => { key?: (event: KeyboardEvent) => boolean } | undefined} view_in_sight
 * @param {() => void} undo
 */
export function listen(view_in_sight, undo) {
  document.addEventListener("keydown", (event) => {
    // A checkbox takes no letters, so its keys go to the view.
    const is_field = element_of(event).matches("input:not([type=checkbox]), select, textarea");
    if (event.isComposing || event.defaultPrevented || event.altKey || is_field) return;
    if (document.querySelector("dialog[open]")) return;
    const is_command = event.ctrlKey || event.metaKey;
    const is_undo = is_command ? event.key.toLowerCase() === "z" : event.key === "Backspace";
    if (is_undo) {
      // A held key counts once.
      if (!event.repeat) undo();
    } else if (is_command) {
      return;
    } else if (event.key === "?") {
      by_id("help").click();
    } else if (event.key === "+" || event.key === "-") {
      choose_side(usual_side() + (event.key === "+" ? SIDES.step : -SIDES.step));
    } else if (!view_in_sight()?.key?.(event)) {
      return;
    }
    event.preventDefault();
  });
}

// Whether a key is a letter, which begins the name of a class.
/** @type {(key: string) => boolean} */
export const is_letter = (key) => /^\p{L}$/u.test(key);

// Whether a key is for the choice of a class.
/** @type {(key: string) => boolean} */
export const is_choice = (key) => /^[0-9/]$/.test(key) || is_letter(key);

export const HELP = [
  ["1 … 9", "a likely class, the likeliest first (it keeps its key where it can)"],
  ["0", "none of these"],
  ["letters", "find a class, or add one"],
  ["Enter", "Look through: the rest is right. Ask: the likeliest class"],
  ["← ↑ → ↓", "Look through: go to a picture. Ask: → is later"],
  ["Space", "this picture is wrong, or right again"],
  ["Shift", "with Space or a click: several pictures to one class"],
  [".", "enlarge (or hold the picture); then ← → go through its burst"],
  ["+ -", "larger or smaller pictures"],
  ["Backspace", "undo (Ctrl Z too)"],
  ["Esc", "leave a change"],
];
