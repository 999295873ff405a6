// @ts-check
// Pictures of the folder, by number.
import { element } from "../../_web/dom.js";

// The generation of the numbers: pictures get other numbers when new pictures are read.
export const numbers = { generation: 0 };
/** @type {(number: number) => string} */
export const large = (number) => `/picture/${number}?g=${numbers.generation}`;
/** @type {(number: number) => string} */
export const small = (number) => `${large(number)}&small`;

// A small image, which is empty, not broken, if there is no picture.
/** @param {number} number @param {import("../../_web/dom.js").Attributes} attributes */
export function thumb(number, attributes = {}) {
  return element("img", { src: small(number), alt: "", draggable: "false", ...attributes });
}

// Pictures of a burst, as buttons that call `show(number)`. The button of the picture in sight is
// pressed.
/** @param {number[]} numbers @param {number} first @param {(number: number) => void} show */
export function burst_buttons(numbers, first, show) {
  const buttons = numbers.map((number, i) => element("button", {
    type: "button", "aria-pressed": number === first, "data-number": number,
    "aria-label": `Picture ${i + 1} of ${numbers.length} of this burst`,
    click: (event) => {
      event.stopPropagation();
      for (const one of buttons) one.setAttribute("aria-pressed", `${one === buttons[i]}`);
      show(number);
    },
  }, thumb(number, { loading: "lazy" })));
  return buttons;
}
