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

// A button that is drawn anew while the mouse is down hears no click. So an action that draws waits
// for the end of the press.
let is_down = false;
/** @type {(() => void) | null} */
let waiting = null;

/** @param {() => void} action */
export function after_press(action) {
  if (is_down) waiting = action;
  else action();
}

function release() {
  is_down = false;
  const action = waiting;
  waiting = null;
  // A browser tells of the click after the release.
  if (action) setTimeout(after_press, 0, action);
}

document.addEventListener("pointerdown", () => { is_down = true; }, true);
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, release, true);

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
