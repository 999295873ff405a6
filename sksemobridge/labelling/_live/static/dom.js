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
