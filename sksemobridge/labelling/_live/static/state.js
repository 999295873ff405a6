// What the program said last, and the one way to change it.
import { Failed, request } from "./api.js";
import { by_id } from "./dom.js";
import { numbers } from "./pictures.js";
import { plural } from "./words.js";

// Milliseconds between questions for news while the model learns.
const SOON = 400;
// Milliseconds between questions for news else.
const NOW_AND_THEN = 3000;

// `state` is what the program said last. While an action is under way (`busy`), no other begins.
export const now = { state: null, busy: false, ended: false };

// Whether pictures are shown in bursts, and what a tile is then.
export const has_bursts = () => now.state.total !== now.state.pictures;
export const tile_noun = () => (has_bursts() ? "burst" : "picture");
export const bursts_of = (n, n_pictures) =>
  `${plural(n, "burst")}, ${plural(n_pictures, "picture")}`;

const listeners = [];
// Why nobody replies, and why the last action was refused.
let lost = "", refused = "", timer = 0;

// Call `listener(reply)` with each reply of the program.
export function on_reply(listener) {
  listeners.push(listener);
}

// Do something, and give the reply: null if it was refused, or if something else is under way.
export async function act(action, values = {}) {
  if (now.busy || now.ended) return null;
  now.busy = true;
  document.body.setAttribute("aria-busy", "true");
  const reply = await ask(action, values);
  if (reply) refused = "";
  draw_alert();
  now.busy = false;
  document.body.removeAttribute("aria-busy");
  return reply;
}

// Ask without waiting for other requests.
export const see = ask;

async function ask(action, values = {}) {
  try {
    const { changes = null, generation = null } = now.state ?? {};
    const reply = await request(action, values, { since: changes, generation });
    lost = "";
    if (action !== "state") refused = "";
    if (generation !== null && reply.generation !== generation) {
      // The pictures of this page have other numbers now.
      if (location.hash.startsWith("#find/")) history.replaceState(null, "", "#find");
      location.reload();
      return null;
    }
    numbers.generation = reply.generation;
    if (!now.ended) take(reply);
    return reply;
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    if (error.is_lost) lost = why_lost();
    else refused = error.message;
    draw_alert();
    return null;
  }
}

function take(reply) {
  // Answers may overtake each other.
  if (!now.state || reply.changes >= now.state.changes) now.state = reply;
  draw_alert();
  for (const listener of listeners) listener(reply);
  poll_in(reply.learning ? SOON : NOW_AND_THEN);
}

function poll_in(wait) {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    if (now.ended) return;
    poll_in(NOW_AND_THEN);
    if (!now.busy) await ask("state");
  }, wait);
}

export function end() {
  now.ended = true;
  lost = refused = "";
  draw_alert();
  clearTimeout(timer);
}

function draw_alert() {
  const text = lost || refused || (now.ended ? "" : now.state?.problem ?? "");
  if (by_id("alert").textContent !== text) by_id("alert").textContent = text;
  by_id("alert").hidden = !text;
}

function why_lost() {
  const kept = now.state ? ` What it confirmed is kept in ${now.state.answers}.` : "";
  return `The program does not answer.${kept} If it has ended, run the same command again and open `
    + "its new address.";
}
