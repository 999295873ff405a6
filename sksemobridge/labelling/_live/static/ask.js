// @ts-check
// "Ask": the page shows one picture, and asks for its class. A check asks for random pictures in
// the same way.
import { Chooser } from "./chooser.js";
import { like_address } from "./chosen.js";
import { button, by_id, element, element_of, main_of } from "../../_web/dom.js";
import { enlarge } from "./enlarged.js";
import { look } from "./look_through.js";
import { note, note_of, offer_strangers } from "./notes.js";
import { burst_buttons, large, thumb } from "./pictures.js";
import { is_pressable, once_each } from "./presses.js";
import { act, now } from "./state.js";
import { count, label_of, percent, quoted } from "../../_web/words.js";

// Number of pictures that are fetched before they are shown.
const N_AHEAD = 4;

// The picture in sight. The picture and its likely classes stay, whatever the model learns
// meanwhile.
/** @type {(import("./state.js").Item & { is_again?: boolean }) | null} */
let current = null;
// Whether the last picture of a check was answered here, and the result of the check is in sight.
let is_check_over = false;
// The answers of this tab, by the number of the picture.
/** @type {Map<number, string | null>} */
const mine = new Map();
const chooser = new Chooser(by_id("ask-chooser"), send_answer);

const waiting = () => (in_check() ? now.state.check.queue : now.state.queue);
const in_check = () => (now.state.check?.queue.length ?? 0) > 0;

export const ask = {
  open() {
    is_check_over = false;
    draw();
  },

  // Go on to the next picture if this one was labelled elsewhere.
  /** @param {import("./state.js").Reply} reply */
  take(reply) {
    for (const item of reply.news ?? []) {
      const { number, name, label, who } = item, before = mine.get(number);
      if (current?.number !== number && !mine.has(number)) continue;
      if (before !== label) {
        const after = before === undefined ? "" : `, after ${quoted(before)} here`;
        const change = label === null ? "took back the answer" : `answered ${quoted(label)}`;
        note(`${who || "Another tab"} ${change} for ${name}${after}.`);
      }
      mine.delete(number);
      if (current?.number === number) current = null;
    }
    const stays = current && (current.is_again
      || waiting().some(({ number }) => number === current.number));
    if (!stays) current = waiting()[0] ?? null;
  },

  draw,

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!current || is_check_over) {
      const is_on = event.key === "Enter" && !event.repeat && !is_pressable(element_of(event));
      if (is_on) main_of("ask-nothing")?.click();
      return is_on;
    }
    if (event.key === "Escape" && current.is_again) {
      leave_again();
    } else if (event.key === "ArrowRight") {
      if (!event.repeat) later();
    } else if (event.key === ".") {
      enlarge(current);
    } else if (event.key === "Enter" && !is_pressable(element_of(event))) {
      if (!event.repeat && chooser.first !== undefined) send_answer(chooser.first);
    } else {
      return chooser.key(event);
    }
    return true;
  },

  // Show a picture again, to change its answer.
  /** @param {import("./state.js").Item} item */
  show_again(item) {
    is_check_over = false;
    current = { ...item, is_again: true };
    draw();
  },

  /** @param {number[]} numbers */
  forget(numbers) { numbers.forEach((number) => mine.delete(number)); },
};

function leave_again() {
  current = waiting()[0] ?? null;
  draw();
}

function draw() {
  draw_recent();
  const is_over = (!current || is_check_over) && now.state.stage !== "names";
  by_id("ask-nothing").hidden = !is_over;
  by_id("ask").classList.toggle("over", is_over);
  by_id("end-check").hidden = !in_check();
  if (is_over) by_id("ask-nothing").replaceChildren(...what_is_over());
  if (!current || is_over) return;
  draw_picture();
  for (const { number } of waiting().slice(0, N_AHEAD)) new Image().src = large(number);
}

function what_is_over() {
  /** @type {import("./notes.js").Offer} */
  const done = ["Done: write the files", () => by_id("done").click()];
  const ways_on = is_check_over ? ways_after_check(done) : [done];
  const about = is_check_over ? result_of(now.state.check)
    : ["Nothing is left to ask", "All pictures have a label by you, or cannot be shown."];
  return [element("h3", {}, about[0]), element("p", {}, about[1]),
    element("div", { class: "beside" }, ...ways_on.map(([text, go_on], i) =>
      button(text, go_on, i ? {} : { class: "main" })))];
}

/** @param {import("./state.js").Check} check */
function result_of({ right, done, among, interval: [low, high] }) {
  const of = among === "rest" ? "of the predictions" : "of the labels that were seen";
  return [`The check is over: ${right} of ${done} right`,
    `When it began, ${percent(low)} to ${percent(high)} % ${of} were right. What you answered is `
      + "labelled."];
}

// Ways to go on after a check. Enter takes the first.
/** @param {import("./notes.js").Offer} done */
function ways_after_check(done) {
  const { check, total, seen, queue } = now.state;
  /** @type {import("./notes.js").Offer[]} */
  const ways_on = [
    check.among === "seen" && check.right < check.done
      && ["A second look", () => look.begin({ among: "seen" })],
    seen < total && ["Go on: look through", () => look.begin()],
    done,
    queue.length && ["Ask", () => ask.open()],
  ];
  return ways_on.filter(Boolean);
}

function draw_picture() {
  const is_checked = in_check() && now.state.check.queue.some((item) => same(item, current));
  // A picture of a check cannot be put off: a check is of random pictures, not of easy ones.
  by_id("later").hidden = is_checked;
  const answer = current.label === null ? "" : ` Your answer: ${quoted(current.label)}.`;
  const question = is_checked ? `Check: is this ${quoted(current.predicted)}?` : "What is this?";
  set_text("question", question + (is_checked ? "" : answer));
  set_text("name", current.name);
  by_id("ask-like").setAttribute("href", like_address([current.number]));
  const picture = by_id("picture"), view = by_id("ask");
  if (view.dataset.number !== `${current.number}`) {
    picture.src = large(current.number);
    picture.alt = current.name;
    chooser.clear();
  }
  view.dataset.number = `${current.number}`;
  chooser.show({
    likely: current.likely,
    label: is_checked ? null : current.label,
    first: is_checked ? current.predicted : undefined,
  });
  draw_burst();
}

function draw_burst() {
  const { burst } = current, place = by_id("burst");
  place.hidden = burst.length < 2;
  if (place.dataset.numbers === `${burst}`) return;
  place.dataset.numbers = `${burst}`;
  place.replaceChildren(...burst_buttons(burst, current.number, (number) => {
    by_id("picture").src = large(number);
  }));
  by_id("burst-about").textContent = burst.length < 2 ? ""
    : `One answer labels all ${count(burst.length)} of this burst.`;
}

function draw_recent() {
  by_id("recent").replaceChildren(...now.state.recent.map((item) => {
    const text = `${item.name}: ${label_of(item.label)}. Change it`;
    return element("button", {
      type: "button", class: "recent", "aria-label": text, title: text,
      click: () => ask.show_again(item),
    }, thumb(item.number), element("span", {}, label_of(item.label)));
  }));
}

/** @param {string} label */
async function send_answer(label) {
  if (!current) return;
  const asked = current, learnt = now.state.learnt;
  const is_last = in_check() && now.state.check.queue.every((item) => same(item, asked));
  const reply = await act_on(asked, "say", { number: asked.number, label });
  if (!reply) return;
  if (is_last && !in_check()) {
    is_check_over = true;
    draw();
  }
  const answer = reply.answer.label;
  mine.set(asked.number, answer);
  const more = reply.n_pictures > 1 ? ` and ${count(reply.n_pictures - 1)} more` : "";
  note_of(reply, `${asked.name}${more}: ${label_of(answer)}.`);
  if (answer === "") offer_strangers(learnt);
}

async function later() {
  if (current && !by_id("later").hidden) await act_on(current, "skip", { number: current.number });
}

// Send an action on a picture, and go on to the next picture.
/** @param {import("./state.js").Item} asked @param {string} action @param {object} values */
async function act_on(asked, action, values) {
  const reply = await act(action, values);
  if (reply && current && same(asked, current)) {
    current = waiting()[0] ?? null;
    draw();
  }
  return reply;
}

/** @type {(one: import("./state.js").Item, other: import("./state.js").Item) => boolean} */
const same = (one, other) => one.number === other.number;

/** @param {string} id @param {string} text */
function set_text(id, text) {
  if (by_id(id).textContent !== text) by_id(id).textContent = text;
}

by_id("later").addEventListener("click", once_each(later));
by_id("end-check").addEventListener("click", () => act("check", { begin: false, among: "rest" }));
by_id("picture").addEventListener("click", () => { if (current) enlarge(current); });
by_id("picture").addEventListener("error", async () => {
  if (!current) return;
  note(`${current.name} cannot be shown.`);
  await act_on(current, "state", {});
});
