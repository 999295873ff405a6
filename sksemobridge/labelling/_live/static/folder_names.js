// @ts-check
// "What is in this folder?": suggested names for the pictures, to keep, change, join or drop.
import { button, by_id, element } from "../../_web/dom.js";
import { enlarge } from "./enlarged.js";
import { note, note_of } from "./notes.js";
import { thumb } from "./pictures.js";
import { act, now, see } from "./state.js";
import { comparable, count, plural, quoted } from "../../_web/words.js";

// Number of suggestions in a request.
const N_NAMES = 30;
// Milliseconds after the last letter until a name is kept.
const PAUSE = 400;
// Number of pictures of a suggestion.
const N_PICTURES = 8;

/**
 * A suggestion: its field, its place, whether it is kept, and the card that it was joined with.
 * @typedef {object} Card
 * @property {string | number} key
 * @property {string} name
 * @property {number} share
 * @property {Card | null} joined
 * @property {number} timer
 * @property {boolean} is_touched
 * @property {boolean} [kept]
 * @property {HTMLInputElement} [field]
 * @property {HTMLButtonElement} [keep]
 * @property {HTMLSelectElement} [join]
 * @property {HTMLElement} [joins]
 * @property {HTMLElement} [about]
 * @property {HTMLElement} [place]
 */

/** @type {Card[]} */
let cards = [];
// Names that a person typed.
/** @type {string[]} */
let own = [];
let n_asked = 0, is_first = true, is_waiting = false;

export const folder_names = {
  open() {
    const is_start = now.state.stage === "names";
    // Beside known classes, a name is kept only if a person says so.
    if (is_first !== is_start || !cards.length) begin(is_start);
    draw();
  },
  draw,
};

/** @param {boolean} is_start */
function begin(is_start) {
  is_first = is_start;
  cards = [];
  own = [];
  n_asked = 0;
  by_id("suggestions").replaceChildren();
  suggest();
}

async function suggest() {
  if (is_waiting) return;
  is_waiting = true;
  draw();
  n_asked += N_NAMES;
  const reply = await see("suggest", { n_names: n_asked });
  is_waiting = false;
  if (reply) {
    // A person may be editing cards that are shown, so only new suggestions are added.
    const shown = new Set(cards.map(({ key }) => key));
    const more = reply.suggestions.filter((one) => !shown.has(key_of(one))).map(card);
    cards.push(...more);
    by_id("suggestions").append(...more.map(({ place }) => place));
    by_id("more-names").hidden = reply.suggestions.length < n_asked;
    recall(more);
  }
  draw();
}

// Restore earlier actions on these cards, in another tab or run, and typed names.
/** @param {Card[]} more */
function recall(more) {
  const { cards: known } = now.state;
  for (const [key, how, name] of known) {
    const made = more.find((one) => one.key === key);
    if (made) made.is_touched = true;
    if (made && how !== "joined") {
      made.kept = how === "kept";
      if (name) made.field.value = name;
    }
  }
  for (const [key, how, name] of known) {
    const made = more.find((one) => one.key === key);
    const into = cards.find((one) => one !== made && one.field.value === name);
    if (made && how === "joined" && into) made.joined = into;
  }
  const of_cards = new Set(cards.map(({ key }) => key));
  const kept = known.filter(([key, how]) => how === "kept" && !of_cards.has(key));
  own = [...new Set([...own, ...kept.map(([key, , name]) => name || key)])]
    .filter((name) => typeof name === "string")
    .filter((name) => !is_on_a_card(name));
}

/** @type {(name: string) => boolean} */
const is_on_a_card = (name) =>
  cards.some(({ field, kept }) => kept && comparable(field.value) === comparable(name));

// Requests are sent one after the other, so that the last action on a card arrives last.
/** @type {Promise<unknown>} */
let sent = Promise.resolve();

/** @type {(about: object) => Promise<unknown>} */
const send = (about) => (sent = sent.then(() => see("card", about)));

// Send the action on a card to the program. The page does not wait for the reply.
/** @param {Card} made */
function keep(made) {
  const { key, kept, field, joined } = made;
  clearTimeout(made.timer);
  made.timer = 0;
  made.is_touched = true;
  const about = typeof key === "string" ? { name: key } : { number: key };
  const [how, into] = joined ? ["joined", joined.field.value.trim()]
    : [kept ? "kept" : "dropped", field.value.trim()];
  return send({ ...about, how, into });
}

// Send a name that was typed beside the cards.
/** @type {(name: string, how: "kept" | "dropped") => Promise<unknown>} */
const keep_own = (name, how) => send({ name, how, into: name });

// Remove the last suggestions, except cards that a person has changed.
function fewer() {
  n_asked = Math.max(n_asked - N_NAMES, N_NAMES);
  const rest = cards.slice(n_asked).filter(({ is_touched }) => !is_touched);
  cards = cards.filter((one) => !rest.includes(one));
  for (const { place } of rest) place.remove();
  by_id("more-names").hidden = false;
  draw();
}

// The key of a suggestion: its name, or else its first picture.
/** @type {(suggestion: import("./state.js").Suggestion) => string | number} */
const key_of = ({ name, numbers }) => name || numbers[0];

/** @param {import("./state.js").Suggestion} suggestion */
function card(suggestion) {
  const { name, share, numbers } = suggestion;
  /** @type {Card} */
  const made = { key: key_of(suggestion), name, share, joined: null, timer: 0, is_touched: false };
  made.kept = is_first && name !== "" && count_of(share) > 0;
  made.field = name_field(made);
  made.field.value = name;
  made.keep = button("", () => {
    made.kept = !made.kept;
    keep(made);
    draw();
  }, { class: "keep" });
  made.join = element("select", {
    "aria-label": "Join with",
    change: () => { if (made.join.value) join(made, cards[Number(made.join.value)]); },
  });
  made.joins = element("p", { class: "joins" });
  made.about = element("span", { class: "soft" });
  const pictures = numbers.slice(0, N_PICTURES).map((number) => element("button", {
    type: "button", class: "plain", tabindex: "-1", "aria-label": "Enlarge",
    click: () => enlarge({ number, name: made.field.value }),
  }, thumb(number)));
  made.place = element("li", { class: "card" },
    element("div", { class: "thumbs" }, ...pictures),
    element("div", { class: "name" }, made.field, made.keep),
    element("div", { class: "name" }, made.about, made.join),
    made.joins);
  return made;
}

/** @param {Card} made */
function name_field(made) {
  return element("input", {
    "aria-label": "Name of the class", maxlength: 100, autocomplete: "off", placeholder: "Name it",
    input: () => {
      made.kept = made.field.value.trim() !== "";
      clearTimeout(made.timer);
      made.timer = setTimeout(keep, PAUSE, made);
      made.is_touched = true;
      draw();
    },
    change: () => join_alike(made),
    keydown: (event) => {
      if (event.key === "Enter" && !event.isComposing) next_field(made);
    },
  });
}

// Join a card with another card, whose name stays.
/** @param {Card} made @param {Card} into */
function join(made, into) {
  put_into(made, into);
  into.field.focus();
}

/** @param {Card} made @param {Card} into */
function put_into(made, into) {
  made.joined = into;
  into.kept = true;
  keep(into);
  keep(made);
  draw();
}

// A card that gets the name of another card joins that card: cards of one name are one class.
/** @param {Card} made */
function join_alike(made) {
  const name = comparable(made.field.value);
  const into = cards.find((other) => other !== made && other.kept && !other.joined
    && comparable(other.field.value) === name);
  if (!name || !made.kept || !into) return;
  // If the cards are taken apart later, this card has its old name.
  made.field.value = made.name;
  put_into(made, into);
  note(`Joined with ${quoted(into.field.value.trim())}.`);
}

/** @param {Card} made */
function next_field(made) {
  const rest = cards.slice(cards.indexOf(made) + 1);
  (rest.find(({ place }) => !place.hidden)?.field ?? by_id("own-name")).focus();
}

// The names that are kept. Spellings of one name count once.
function kept_names() {
  const names = cards.filter(({ kept, joined }) => kept && !joined)
    .map(({ field }) => field.value.trim()).filter(Boolean);
  const all = [...names, ...own, ...typed()];
  return [...new Map(all.map((name) => [comparable(name), name])).values()];
}

const typed = () => by_id("own-name").value.split(/[,;\n]/).map((name) => name.trim())
  .filter(Boolean);

function draw() {
  const title = is_first ? "What is in this folder?" : "What else is in here?";
  by_id("names-title").textContent = title;
  by_id("names-about").textContent = is_first
    ? `${count(now.state.pictures)} pictures, and what they seem to show. Drop or rename what does `
      + "not fit. These names become the classes."
    : "What the classes do not explain so far. Keep what you want as a class.";
  by_id("names-wait").textContent = is_waiting ? "Looking at the pictures …" : "";
  by_id("names").setAttribute("aria-busy", `${is_waiting}`);
  by_id("more-names").disabled = is_waiting;
  by_id("fewer-names").hidden = cards.length <= N_NAMES;
  cards.forEach(draw_card);
  const n = kept_names().length, classes = n ? plural(n, "class", "classes") : "classes";
  by_id("start").textContent = is_first ? `Start with ${classes}` : `Add ${classes}`;
  by_id("start").disabled = !n;
  by_id("leave-names").hidden = is_first;
  by_id("own-names").replaceChildren(...own.map((name) => element("li", {},
    element("span", {}, name),
    button("×", () => {
      own = own.filter((other) => other !== name);
      keep_own(name, "dropped");
      draw();
    }, { "aria-label": `Drop ${name}`, class: "quiet" }))));
}

/** @type {(share: number) => number} */
const count_of = (share) => Math.round(share * now.state.pictures);

/** @param {Card} made */
function draw_card(made) {
  const { field, kept, place } = made, name = field.value.trim() || "this group";
  place.hidden = made.joined !== null;
  place.classList.toggle("dropped", !kept && is_first);
  place.classList.toggle("kept", kept && !is_first);
  made.keep.textContent = kept ? "Drop" : "Keep";
  made.keep.setAttribute("aria-label", `${made.keep.textContent} ${name}`);
  made.keep.hidden = !field.value.trim();
  const others = cards.filter((other) => other !== made && !other.joined
    && other.field.value.trim());
  made.join.replaceChildren(element("option", { value: "" }, "Join …"),
    ...others.map((other) =>
      element("option", { value: cards.indexOf(other) }, other.field.value)));
  const parts = cards.filter(({ joined }) => joined === made);
  const share = [made, ...parts].reduce((sum, one) => sum + one.share, 0);
  made.about.textContent = `≈ ${plural(count_of(share), "picture")}`;
  const name_of = (/** @type {Card} */ part) => part.field.value || "a group";
  made.joins.replaceChildren(...parts.map((part) => button(`with ${name_of(part)} ×`,
    () => {
      part.joined = null;
      keep(part);
      draw();
    }, { class: "quiet", title: "Take it apart" })));
}

function add_own() {
  typed().filter((name) => !own.includes(name)).forEach((name) => keep_own(name, "kept"));
  own = [...new Set([...own, ...typed()])];
  by_id("own-name").value = "";
  draw();
}

async function start() {
  await Promise.all(cards.filter(({ timer }) => timer).map(keep));
  own = [...new Set([...own, ...typed()])];
  by_id("own-name").value = "";
  const names = kept_names(), was_first = is_first;
  if (!names.length) return;
  const reply = await act("add", { names });
  if (!reply) return;
  cards = [];
  note_of(reply, `${plural(names.length, "class", "classes")} added.`);
  location.hash = was_first ? "look" : "classes";
}

by_id("start").addEventListener("click", start);
by_id("add-own").addEventListener("click", add_own);
by_id("own-name").addEventListener("input", draw);
by_id("own-name").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.isComposing) add_own();
});
by_id("more-names").addEventListener("click", suggest);
by_id("fewer-names").addEventListener("click", fewer);
by_id("leave-names").addEventListener("click", () => { location.hash = "classes"; });
