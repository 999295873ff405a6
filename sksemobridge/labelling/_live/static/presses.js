// @ts-check
// Clicks and keys, and what they are meant for.
import { element_of } from "./dom.js";

// A click of the mouse gives a button no focus, and takes it from others: Space then presses
// nothing. A field in which one types keeps it.
export function keep_focus() {
  document.addEventListener("mousedown", (event) => {
    if (!element_of(event).closest("button, [role=option]")) return;
    event.preventDefault();
    const focused = /** @type {HTMLElement} */ (document.activeElement);
    if (focused.matches("button, a")) focused.blur();
  });
}

// Whether Enter presses what has the focus.
/** @type {(place: Element) => boolean} */
export const is_pressable = (place) => place.matches("button, a, summary");

// The second half of a double click is not meant for what came after the first.
/** @param {(event?: UIEvent) => void} action @param {number} pause */
export function once_each(action, pause = 300) {
  let last = -Infinity;
  return (/** @type {UIEvent | undefined} */ event) => {
    if (event?.detail > 1 && event.timeStamp - last < pause) return;
    last = event?.timeStamp ?? last;
    action(event);
  };
}
