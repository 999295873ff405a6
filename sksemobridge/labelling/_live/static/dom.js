// Small helpers. Texts go into the page by textContent alone: no name of a file or class becomes
// markup.

// The label of pictures of none of the classes.
export const NONE = "";

export const by_id = (id) => document.getElementById(id);
export const count = (n) => n.toLocaleString("en");
// 100 is said of all, and 0 of none.
export const percent = (share) => (
  share > 0 && share < 1 ? `${Math.min(Math.max(Math.round(100 * share), 1), 99)}` : `${100 * share}`
);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const label_of = (label) => (label === NONE ? "none of these" : label);
export const quoted = (label) => (label === NONE ? "none of these" : `“${label}”`);
// Pictures have other numbers after new ones were read.
export const numbers = { generation: 0 };
export const large = (number) => `/picture/${number}?g=${numbers.generation}`;
export const small = (number) => `${large(number)}&small`;

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

// An image that is empty, not broken, where there is none.
export function thumb(number, attributes = {}) {
  return element("img", { src: small(number), alt: "", draggable: "false", ...attributes });
}

// Pictures of a burst, as buttons that call `show(number)`. The one in sight is pressed.
export function strip(numbers, first, show) {
  const buttons = numbers.map((number, i) => element("button", {
    type: "button", "aria-pressed": number === first, "data-number": number,
    "aria-label": `Picture ${i + 1} of ${numbers.length} of this burst`,
    click: (event) => {
      event.stopPropagation();
      for (const one of buttons) one.setAttribute("aria-pressed", one === buttons[i]);
      show(number);
    },
  }, thumb(number, { loading: "lazy" })));
  return buttons;
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

// Ask, and say whether the answer was `yes`, which is what the first button says.
export function sure(question, yes, no = "Cancel") {
  const place = by_id("sure");
  by_id("sure-question").textContent = question;
  by_id("sure-yes").textContent = yes;
  by_id("sure-no").textContent = no;
  place.returnValue = "";
  place.showModal();
  return new Promise((done) => {
    place.addEventListener("close", () => done(place.returnValue === "yes"), { once: true });
  });
}
