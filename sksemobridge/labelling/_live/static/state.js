// @ts-check
// The last state that the program sent, and the requests that change it.
import { Failed, request } from "./api.js";
import { by_id } from "../../_web/dom.js";
import { numbers } from "./pictures.js";
import { plural } from "../../_web/words.js";

// Milliseconds between requests for news while the model learns.
const SOON = 400;
// Milliseconds between requests for news at other times.
const NOW_AND_THEN = 3000;

/**
 * The part of every reply: as in `page_state.py`.
 * @typedef {object} State
 * @property {number} changes
 * @property {number} generation
 * @property {number} arrived
 * @property {number} learnt
 * @property {boolean} learning
 * @property {string} problem
 * @property {"label" | "names"} stage
 * @property {number} labelled
 * @property {number} seen
 * @property {number} total
 * @property {number} pictures
 * @property {[share: number, low: number, high: number] | null} right
 * @property {number[]} doubt_left
 * @property {boolean} may_stop
 * @property {string} why_unsure
 * @property {boolean} plants
 * @property {[n_right: number, n: number] | null} first
 * @property {number} strangers
 * @property {string[]} classes
 * @property {[key: string | number, how: string, name: string][]} cards
 * @property {Item[]} queue
 * @property {Item[]} recent
 * @property {Check | null} check
 * @property {Item[]} news
 * @property {[number: number, label: string | null][]} own
 * @property {{ kind: string, what: string } | null} undoable
 * @property {string[]} notes
 * @property {string} title
 * @property {string} answers
 * @property {number} others
 *
 * @typedef {object} Item A picture.
 * @property {number} number
 * @property {string} name
 * @property {Likely} likely
 * @property {string} predicted
 * @property {string | null} label
 * @property {string} who
 * @property {number[]} burst
 * @property {boolean} [planted] Whether the picture is planted on this page.
 *
 * @typedef {[label: string, share: number | null][]} Likely Likeliest first, new classes last.
 *
 * @typedef {object} Check As in `random_check.py`.
 * @property {"rest" | "seen"} among
 * @property {number} drawn
 * @property {number} done
 * @property {number} right
 * @property {[low: number, high: number]} interval
 * @property {number | null} of
 * @property {number} later
 * @property {Item[]} queue
 *
 * @typedef {object} Said The part of a reply to one action.
 * @property {number[]} again
 * @property {{ number: number, label: string }} answer
 * @property {Disputed[]} disputed
 * @property {Pick<Said, "files" | "further" | "written">} ended The reply to "end".
 * @property {WrittenFile[]} files
 * @property {{ total: number, pictures: Item[] }} found
 * @property {Record<string, string>} further
 * @property {{ name: string, total: number, pictures: Item[] }} gallery
 * @property {{ groups: { label: string, pictures: Item[] }[], left: number, knew: number }} look
 * @property {boolean} measuring
 * @property {number} n_answered
 * @property {number} n_missed
 * @property {number} n_pictures
 * @property {number} n_planted
 * @property {Figures[]} overview
 * @property {Suggestion[]} suggestions
 * @property {{ kind: string, what: string, numbers: number[], items: Item[] }} undone
 * @property {string[]} words
 * @property {string[]} written
 *
 * @typedef {Item & { opinions: [who: string, label: string][] }} Disputed
 * @typedef {{ name: string, share: number, numbers: number[] }} Suggestion
 *
 * @typedef {object} Figures Of a class, as in `gallery.py`.
 * @property {string} name
 * @property {number} labelled
 * @property {number} shots
 * @property {number} predicted
 * @property {number} doubt
 * @property {number | null} example
 * @property {number | null} accuracy
 * @property {[n_right: number, n: number]} checked
 *
 * @typedef {object} WrittenFile As in `written.py`.
 * @property {string} what
 * @property {string} path
 * @property {string} name
 * @property {string} media
 * @property {string | null} content
 *
 * @typedef {State & Said} Reply
 */

// `state` is the last state that the program sent. While an action is under way (`busy`), no other
// begins.
/** @type {{ state: State | null, busy: boolean, ended: boolean }} */
export const now = { state: null, busy: false, ended: false };

// Whether pictures are shown in bursts, and the noun for a tile.
export const has_bursts = () => now.state.total !== now.state.pictures;
export const tile_noun = () => (has_bursts() ? "burst" : "picture");
/** @type {(n: number, n_pictures: number) => string} */
export const bursts_of = (n, n_pictures) =>
  `${plural(n, "burst")}, ${plural(n_pictures, "picture")}`;

/** @type {((reply: Reply) => void)[]} */
const listeners = [];
// Reasons for no reply, and for the refusal of the last action.
let lost = "", refused = "", timer = 0;

// Call `listener(reply)` with each reply of the program.
/** @param {(reply: Reply) => void} listener */
export function on_reply(listener) {
  listeners.push(listener);
}

// Send an action, and return the reply. Null if the action is refused, or if another action is
// under way.
/** @param {string} action @param {object} values @returns {Promise<Reply | null>} */
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

// Send a request without waiting for other requests.
export const see = ask;

/** @param {string} action @param {object} values @returns {Promise<Reply | null>} */
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

/** @param {Reply} reply */
function take(reply) {
  // Replies may overtake each other.
  if (!now.state || reply.changes >= now.state.changes) now.state = reply;
  draw_alert();
  for (const listener of listeners) listener(reply);
  poll_in(reply.learning ? SOON : NOW_AND_THEN);
}

/** @param {number} wait */
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
