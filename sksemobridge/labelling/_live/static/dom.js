// Small helpers of both pages. Texts go into the page by textContent alone: no name of a file or
// class becomes markup.

export const by_id = (id) => document.getElementById(id);

// An element with attributes (functions listen to the event of their name) and children.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function button(text, click, attributes = {}) {
  return element("button", { type: "button", click, ...attributes }, text);
}

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
