// @ts-check
// Requests to the program that serves this page.

// Milliseconds to wait for a reply, except to a slow request.
const PATIENCE = 20000;
// Slow requests, which write files, read pictures, or wait for the first result of a model.
const SLOW = ["done", "also", "end", "suggest", "read_new", "add", "find"];
// Milliseconds between attempts when the program does not reply.
const AGAIN = 500;
// Attempts at a request that may be sent again.
const N_ATTEMPTS = 3;
// Requests that change nothing, and may be sent again.
const HARMLESS = ["state", "look", "look_at_class", "overview", "suggest", "disputed", "words",
  "find"];

// The name of this tab, which stays when the page is loaded again.
const tab = (sessionStorage.tab ??= `${Date.now()}-${Math.random()}`.slice(0, 50));

// The person of this tab: other persons may have other tabs of this browser.
export const who = {
  get name() { return sessionStorage.who ?? ""; },
  set name(text) { sessionStorage.who = text.trim().slice(0, 50); },
};

// The error of a request that was not done. `is_lost` if there was no reply.
export class Failed extends Error {
  /** @param {string} text @param {boolean} is_lost */
  constructor(text, is_lost = false) {
    super(text);
    this.is_lost = is_lost;
  }
}

// Send a request to the program. Throws Failed if the program refused it, or did not reply. `known`
// is the state of the page: the number of changes that it knows (`since`), and the `generation` of
// the numbers of pictures.
/**
 * @param {string} action
 * @param {object} values
 * @param {{ since: number | null, generation: number | null }} known
 * @returns {Promise<import("./state.js").Reply>}
 */
export async function request(action, values, known) {
  const body = JSON.stringify({ tab, who: who.name, ...known, ...values });
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body };
  const n_attempts = HARMLESS.includes(action) ? N_ATTEMPTS : 1;
  for (let attempt = 1; ; attempt++) {
    try {
      const signal = SLOW.includes(action) ? undefined : AbortSignal.timeout(PATIENCE);
      return await read(await fetch(`/${action}`, { ...options, signal }));
    } catch (error) {
      if (error instanceof Failed && !error.is_lost) throw error;
      if (attempt === n_attempts) throw new Failed(error.message, true);
      await new Promise((go_on) => { setTimeout(go_on, AGAIN); });
    }
  }
}

/** @param {Response} response */
async function read(response) {
  // The page is of an earlier run: another program has this port.
  if (response.status === 403) throw new Failed("This page is of an earlier run.", true);
  const reply = await response.json();
  if (!response.ok) throw new Failed(reply.failed ?? "The program did not accept this.");
  return reply;
}
