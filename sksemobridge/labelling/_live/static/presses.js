// Clicks and keys, and what they are meant for.

// A click of the mouse gives a button no focus, and takes it from others: Space then presses
// nothing. A field in which one types keeps it.
export function keep_focus() {
  document.addEventListener("mousedown", (event) => {
    if (!event.target.closest("button, [role=option]")) return;
    event.preventDefault();
    if (document.activeElement.matches("button, a")) document.activeElement.blur();
  });
}

// Whether Enter presses what has the focus.
export const is_pressable = (place) => place.matches("button, a, summary");

// The second half of a double click is not meant for what came after the first.
export function once_each(action, pause = 300) {
  let last = -Infinity;
  return (event) => {
    if (event?.detail > 1 && event.timeStamp - last < pause) return;
    last = event?.timeStamp ?? last;
    action(event);
  };
}
