// @ts-check
// Messages of the page: the line at the foot, with buttons, and questions.
import { button, by_id } from "../../_web/dom.js";
import { count } from "../../_web/words.js";

/** @type {number | null} */
let strangers_after = null;

/** @typedef {[text: string, action: () => void]} Offer */

// Show a text, with buttons `[text, action]` beside it.
/** @param {string} text @param {Offer[]} buttons */
export function note(text, ...buttons) {
  by_id("note").replaceChildren(text,
    ...buttons.map(([name, action]) => button(name, action, { class: "quiet" })));
}

// Show a text, followed by the notes of a reply.
/** @param {import("./state.js").Reply} reply @param {string} text @param {Offer[]} buttons */
export function note_of(reply, text, ...buttons) {
  note([text, ...(reply.notes ?? [])].join(" "), ...buttons);
}

// Functions that show pictures of none of the classes, undo, and write the files. Other modules set
// them.
export const ways = { show_strangers() {}, undo() {}, write() {} };

// When the model has learnt more than `learnt` times, show how many pictures look like "none of
// these".
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
  // The text on the page that was sent stays: another page may be in sight by now.
  const said = by_id("note").firstChild?.textContent ?? "";
  note(`${said} About ${count(n)} ${look_alike} like “none of these”:`,
    ["show them", () => ways.show_strangers()], ["Undo", () => ways.undo()],
    ["What else is in here?", () => { location.hash = "names"; }]);
}

// The callback of the open question: whether the button `yes` was pressed.
/** @type {(is_pressed: boolean) => void} */
let hear = () => {};

// Ask a question, with elements `about` it. Resolves to whether the button `yes` was pressed.
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
// Escape closes the dialog. The event comes with the next frame, when another question may be open.
by_id("sure").addEventListener("close", () => { if (!by_id("sure").open) hear(false); });
