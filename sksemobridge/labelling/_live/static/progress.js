// @ts-check
// The line at the top: how good the labels are, and when to stop.
import { by_id } from "../../_web/dom.js";
import { how_many_fit } from "./fit.js";
import { bursts_of, has_bursts, now } from "./state.js";
import { count, percent, plural } from "../../_web/words.js";

// Number of labels after a check until its result is no longer shown. The check is then only part
// of the estimate.
const N_AFTER = 24;
// Number of further pages whose effect the line shows, and pictures in a step of `doubt_left`.
const N_PAGES = 5;
const STEP = 15;
// Largest number of pictures of a check.
const N_CHECKED = 30;
// Numbers in words. There are at most five first answers.
const WORDS = ["None", "One", "Two", "Three", "Four", "Five"];

export function draw_progress() {
  const { state } = now;
  const text = state.learning ? `${sentence(state)} Learning …` : sentence(state);
  if (by_id("status").textContent !== text) by_id("status").textContent = text;
  const { style } = by_id("seen-bar");
  style.setProperty("--seen", `${state.seen / state.total}`);
  style.setProperty("--labelled", `${state.labelled / state.total}`);
  by_id("seen-bar").title = `${count(state.labelled)} labelled and ${count(state.seen)} seen of `
    + counts(state);
  const is_names = state.stage === "names", is_open = (state.check?.queue.length ?? 0) > 0;
  // If every label is by a person, nothing is left to check. Near the end, a check is smaller.
  by_id("check").hidden = is_names || is_open || !state.queue.length;
  by_id("check").textContent =
    `Check ${count(Math.min(N_CHECKED, state.total - state.labelled))} at random`;
  by_id("done").classList.toggle("main", state.labelled > 0);
  by_id("again").hidden = is_names || is_open || !state.seen;
  by_id("arrived").hidden = !state.arrived;
  by_id("arrived").textContent = `Read ${plural(state.arrived, "new picture")}`;
  by_id("undo").disabled = !state.undoable;
  by_id("undo").title = state.undoable ? `Undo ${state.undoable.what} (Backspace)` : "";
  by_id("kept").textContent = `Each answer is kept in ${state.answers}`;
}

/** @param {import("./state.js").State} state */
function sentence(state) {
  const { seen, total, check } = state;
  if (state.stage === "names") return `${counts(state)}.`;
  if (check?.queue.length) return during(check);
  const of = has_bursts() ? ` ${counts(state)}.` : "";
  return `${of_the_first(state)}${how_good(state)} ${what_is_left(seen, total)}${of}`;
}

/** @type {(state: import("./state.js").State) => string} */
const counts = ({ total, pictures }) =>
  (has_bursts() ? bursts_of(total, pictures) : plural(total, "picture"));

/** @param {import("./state.js").State} state */
function how_good(state) {
  const { check, why_unsure } = state;
  // Without an estimate, only the check says how good the labels are.
  if (why_unsure) return check?.done ? `${after(check)}${of_it(check)}.` : why_unsure;
  const checked = check?.done && check.later < N_AFTER ? `${after(check)}. ` : "";
  return checked + estimated(state);
}

// The estimate contains the check. The interval of the estimate alone decides whether a person may
// stop.
/** @param {import("./state.js").State} state */
function estimated({ right, labelled, total, may_stop, doubt_left }) {
  if (!right) return `${count(labelled)} of ${count(total)} labelled.`;
  const [share, low, high] = right;
  const stop = may_stop ? ": you can stop" : "";
  return `${percent(share)} % right is likely (${percent(low)} to ${percent(high)}), `
    + `if every picture is of these classes${stop}. `
    + how_many_wrong((1 - share) * total, total, doubt_left);
}

// The expected number of wrong labels, now and after a few more pages.
/** @param {number} n_wrong @param {number} total @param {number[]} doubt_left */
function how_many_wrong(n_wrong, total, doubt_left) {
  const n = Math.round(n_wrong), about = `About ${count(n)} of ${count(total)} may be wrong`;
  if (!n) return "None may be wrong.";
  const step = N_PAGES * how_many_fit(by_id("look-tiles")) / STEP;
  const later = Math.round(n_wrong * (doubt_left[Math.min(step, doubt_left.length) - 1] ?? 1));
  return later < n ? `${about}; five more pages make it about ${count(later)}.` : `${about}.`;
}

// The share of the first pictures, drawn at random, that the names alone predicted right.
/** @param {import("./state.js").State} state */
function of_the_first({ first, labelled }) {
  if (!first || labelled >= first[1] + N_AFTER) return "";
  const [n_right, n] = first, which = n === 1 ? "first" : `first ${WORDS[n].toLowerCase()}`;
  return `${WORDS[n_right]} of the ${which} ${n_right === 1 ? "was" : "were"} right. `;
}

/** @param {import("./state.js").Check} check */
function during({ drawn, done, right, interval: [low, high] }) {
  const found = done ? `, ${right} right: ${percent(low)} to ${percent(high)} %` : "";
  return `Check: ${done} of ${drawn} seen${found}.`;
}

// The result of a check, which holds for the pictures from which it was drawn.
/** @param {import("./state.js").Check} check */
function after({ right, done, of, among }) {
  const which = of ? `, of the ${plural(of, "picture")} that there were`
    : among === "seen" ? ", of what was seen" : "";
  return `Checked: ${right} of ${done} right${which}`;
}

/** @type {(check: import("./state.js").Check) => string} */
const of_it = ({ interval: [low, high] }) => ` (${percent(low)} to ${percent(high)} %)`;

/** @param {number} seen @param {number} total */
function what_is_left(seen, total) {
  const left = total - seen;
  if (left <= 0) return "Everything has been seen.";
  const pages = Math.ceil(left / how_many_fit(by_id("look-tiles")));
  return `About ${plural(pages, "page")} more and everything has been seen.`;
}
