// @ts-check
// Clicks and keys, without effects that a person does not mean.
import { element_of } from "../../_web/dom.js";

// A mouse click on a button does not focus the button, and takes the focus from other buttons, so
// that Space then presses nothing. A text field keeps the focus.
export function keep_focus() {
  document.addEventListener("mousedown", (event) => {
    if (!element_of(event).closest("button, [role=option]")) return;
    event.preventDefault();
    const focused = /** @type {HTMLElement} */ (document.activeElement);
    if (focused.matches("button, a")) focused.blur();
  });
}

// A button that is drawn anew while the mouse is down hears no click. An action that draws
// therefore waits for the end of the press.
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
  // The browser sends the click after the release.
  if (action) setTimeout(after_press, 0, action);
}

document.addEventListener("pointerdown", () => { is_down = true; }, true);
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, release, true);

// Whether Enter presses the element with the focus.
/** @type {(place: Element) => boolean} */
export const is_pressable = (place) => place.matches("button, a, summary");

// An action that ignores the second half of a double click, which is not meant for the page after
// the first half.
/** @param {(event?: UIEvent) => void} action @param {number} pause */
export function once_each(action, pause = 300) {
  let last = -Infinity;
  return (/** @type {UIEvent | undefined} */ event) => {
    if (event?.detail > 1 && event.timeStamp - last < pause) return;
    last = event?.timeStamp ?? last;
    action(event);
  };
}
