// @ts-check
// Small helpers of both pages. Text goes into the page by textContent alone, so that no name of a
// file or class becomes markup.

/**
 * An element by its id. The type has the properties of all kinds of elements that pages use.
 * @typedef {HTMLElement
 *   & Pick<HTMLInputElement, "checked" | "disabled" | "select" | "value">
 *   & Pick<HTMLDialogElement, "close" | "open" | "showModal">
 *   & Pick<HTMLImageElement, "alt" | "src">} Place
 */
/**
 * @typedef {Record<string, string | number | boolean | null | ((event: any) => void)>} Attributes
 */
/** @type {(id: string) => Place} */
export const by_id = (id) => /** @type {any} */ (document.getElementById(id));

// The element that an event is for.
/** @type {(event: Event) => HTMLElement} */
export const element_of = (event) => /** @type {HTMLElement} */ (event.target);

// The main button of a place, or null.
/** @type {(id: string) => HTMLElement | null} */
export const main_of = (id) => by_id(id).querySelector(".main");

// An element with attributes (functions listen to the event of their name) and children.
/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} attributes
 * @param {(Node | string | null)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== undefined) made.setAttribute(key, `${value}`);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * @param {string} text
 * @param {(event: MouseEvent) => void} click
 * @param {Attributes} attributes
 */
export function button(text, click, attributes = {}) {
  return element("button", { type: "button", click, ...attributes }, text);
}
