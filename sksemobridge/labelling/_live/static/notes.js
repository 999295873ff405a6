// @ts-check
// What the page says: the line at the foot, with what one may do about it, and questions.
import { button, by_id } from "./dom.js";
import { count } from "./words.js";

/** @type {number | null} */
let strangers_after = null;

/** @typedef {[text: string, action: () => void]} Offer */

// Say something, with buttons `[text, action]` beside it.
/** @param {string} text @param {Offer[]} buttons */
export function note(text, ...buttons) {
  by_id("note").replaceChildren(text,
    ...buttons.map(([name, action]) => button(name, action, { class: "quiet" })));
}

// Say what was done, and what the program notes of it.
/** @param {import("./state.js").Reply} reply @param {string} text @param {Offer[]} buttons */
export function note_of(reply, text, ...buttons) {
  note([text, ...(reply.notes ?? [])].join(" "), ...buttons);
}

// How to show pictures like those that are none of the classes, to undo, and to write the files: set
// by the page.
export const ways = { show_strangers() {}, undo() {}, write() {} };

// When the model has learnt from "none of these" (after `learnt` times), say how many pictures look
// like it.
/** @param {number} learnt */
export function offer_strangers(learnt) {
  strangers_after = learnt;
}

/** @param {import("./state.js").Reply} reply */
export function tell_of_strangers(reply) {
  if (strangers_after === null || reply.learning || reply.learnt <= strangers_after) return;
  strangers_after = null;
  if (!reply.strangers) return;
  const n = reply.strangers, look_alike = n === 1 ? "picture looks" : "pictures look";
  // What was said of the page stays: by now another one may be in sight.
  const said = by_id("note").firstChild?.textContent ?? "";
  note(`${said} About ${count(n)} ${look_alike} like “none of these”:`,
    ["show them", () => ways.show_strangers()], ["Undo", () => ways.undo()],
    ["What else is in here?", () => { location.hash = "names"; }]);
}

// Hears whether the button `yes` was pressed under the question that is open.
/** @type {(is_pressed: boolean) => void} */
let hear = () => {};

// Ask, with elements `about` it, and say whether the button `yes` was pressed.
/**
 * @param {string} question
 * @param {string} yes
 * @param {string} no
 * @param {HTMLElement[]} about
 * @returns {Promise<boolean>}
 */
export function sure(question, yes, no = "Cancel", ...about) {
  hear(false);
  by_id("sure-question").textContent = question;
  by_id("sure-about").replaceChildren(...about);
  by_id("sure-yes").textContent = yes;
  by_id("sure-no").textContent = no;
  by_id("sure").showModal();
  return new Promise((done) => { hear = done; });
}

by_id("sure").addEventListener("submit", (event) => {
  event.preventDefault();
  // The button still has the focus for a moment after Escape, and Enter presses it.
  if (!by_id("sure").open) return;
  by_id("sure").close();
  hear(event.submitter === by_id("sure-yes"));
});
// After Escape. A browser says it with its next frame, when another question may be open.
by_id("sure").addEventListener("close", () => { if (!by_id("sure").open) hear(false); });
