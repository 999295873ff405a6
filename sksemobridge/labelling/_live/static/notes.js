// What the page says: the line at the foot, with what one may do about it, and questions.
import { button, by_id } from "./dom.js";
import { count } from "./words.js";

let strangers_after = null;

// Say something, with buttons `[text, action]` beside it.
export function note(text, ...buttons) {
  by_id("note").replaceChildren(text,
    ...buttons.map(([name, action]) => button(name, action, { class: "quiet" })));
}

// Say what was done, and what the program notes of it.
export function note_of(reply, text, ...buttons) {
  note([text, ...(reply.notes ?? [])].join(" "), ...buttons);
}

// How to show pictures like those that are none of the classes, and to undo: set by the page.
export const ways = { show_strangers() {}, undo() {} };

// When the model has learnt from "none of these" (after `learnt` times), say how many pictures look
// like it.
export function offer_strangers(learnt) {
  strangers_after = learnt;
}

export function tell_of_strangers(reply) {
  if (strangers_after === null || reply.learning || reply.learnt <= strangers_after) return;
  strangers_after = null;
  if (!reply.strangers) return;
  const n = reply.strangers;
  note(`About ${count(n)} ${n === 1 ? "picture looks" : "pictures look"} like this:`,
    ["show them", () => ways.show_strangers()], ["Undo", () => ways.undo()],
    ["What else is in here?", () => { location.hash = "names"; }]);
}

// Ask, and say whether the button `yes` was pressed.
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
