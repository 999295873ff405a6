// @ts-check
// Requests to the program that serves this page.

// Milliseconds after which a reply is no longer waited for, unless it takes long by itself.
const PATIENCE = 20000;
// To write files and to read pictures takes long, and so do the first answers of a model.
const SLOW = ["done", "also", "end", "suggest", "read_new", "add", "find"];
// Milliseconds between attempts when the program does not reply.
const AGAIN = 500;
// Attempts at what may be asked twice.
const N_ATTEMPTS = 3;
// Requests that change nothing, and so may be asked again.
const HARMLESS = ["state", "look", "look_at_class", "overview", "suggest", "disputed", "words",
  "find"];

// Of this tab, also when it is loaded again.
const tab = (sessionStorage.tab ??= `${Date.now()}-${Math.random()}`.slice(0, 50));

// The person of this tab: others may have other tabs of this browser.
export const who = {
  get name() { return sessionStorage.who ?? ""; },
  set name(text) { sessionStorage.who = text.trim().slice(0, 50); },
};

// Why a request was not done. `is_lost` if nobody replied.
export class Failed extends Error {
  /** @param {string} text @param {boolean} is_lost */
  constructor(text, is_lost = false) {
    super(text);
    this.is_lost = is_lost;
  }
}

// Ask the program. Failed if it said no, or nothing.
// `known` is what the page knows: `since` so many changes, and the `generation` of the numbers.
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
  // Of an earlier run: another program is at this port.
  if (response.status === 403) throw new Failed("This page is of an earlier run.", true);
  const reply = await response.json();
  if (!response.ok) throw new Failed(reply.failed ?? "The program did not accept this.");
  return reply;
}
