// @ts-check
// The page of `--report`: predictions for all pictures, to tick right or wrong.
import { button, by_id, element, element_of } from "../../_web/dom.js";
import { NONE, comparable, percent, plural } from "../../_web/words.js";

// Choices that are no class.
const UNSAID = "\u0000unsaid", ANOTHER = "\u0000another";
// Number of cards that are drawn at a time.
const AT_ONCE = 120;

/**
 * A picture, or a doubtful shot, which has `likely`: as in `_page.py`.
 * @typedef {object} Item
 * @property {string} path
 * @property {string | null} label
 * @property {boolean} readable
 * @property {boolean} [given]
 * @property {number | null} probability
 * @property {string | null} [runner_up]
 * @property {number | null} [runner_up_probability]
 * @property {string} [problem]
 * @property {string} [address]
 * @property {string | null} [thumbnail]
 * @property {string} [likely]
 *
 * @typedef {object} Parts Controls of a card.
 * @property {HTMLButtonElement} right
 * @property {HTMLButtonElement} wrong
 * @property {HTMLSelectElement} choice
 * @property {HTMLInputElement} another
 */

/**
 * @type {{
 *   classes: string[], pictures: Item[], next: number[], doubtful: Item[],
 *   corrections: Record<string, string> }}
 */
const { classes, pictures, next, doubtful, ...data } = JSON.parse(by_id("data").textContent);
/** @type {Map<string, string>} */
const corrections = new Map(Object.entries(data.corrections));
// Paths of pictures that are ticked as wrong, without a right class yet.
/** @type {Set<string>} */
const unsaid = new Set();
let saved = true, n_drawn = 0;
// Items that are shown, with headings as texts.
/** @type {(Item | string)[]} */
let shown = [];

const readable = pictures.filter((item) => item.readable);
const predicted = readable.filter(({ label }) => label !== null);
const turned_away = readable.filter(({ label }) => label === null);
const unread = pictures.filter((item) => !item.readable);

// Views: the name, the items, and a sentence about them.
/** @type {Record<string, [name: string, items: () => Item[], about: string]>} */
const VIEWS = {
  all: ["All pictures", () => [...predicted, ...turned_away], ""],
  next: ["Label next", () => next.map((i) => pictures[i]),
    "Labels of these teach the classifier most."],
  none: ["None of these", () => turned_away,
    "These look like none of the classes, or somebody marked them so."],
  doubtful: ["Doubtful shots", () => doubtful,
    "Shots whose label is more likely wrong than right. "
      + "Wrong and “none of these” takes a shot back."],
  ticked: ["Ticked here", () => [...pictures, ...doubtful].filter(is_ticked), ""],
  unread: ["Not read", () => unread, "Files that could not be read, with the reason."],
};

/** @type {(item: Item) => boolean} */
const is_shot = (item) => "likely" in item;
/** @type {(item: Item) => boolean} */
const is_wrong = (item) => unsaid.has(item.path)
  || (corrections.has(item.path) && corrections.get(item.path) !== (item.label ?? NONE));
/** @type {(item: Item) => boolean} */
const is_ticked = (item) => is_wrong(item) || corrections.has(item.path);
/** @type {(item: Item) => number} */
const sureness = (item) => item.probability ?? item.runner_up_probability ?? 0;
/** @type {(a: Item, b: Item) => number} */
const by_doubt = (a, b) => sureness(a) - sureness(b);
/** @type {(path: string) => string} */
const name_of = (path) => path.split(/[\\/]/).pop();

// The text of a card: the label, and the second choice below.
/** @param {Item} item @returns {[label: string, other: string]} */
function describe(item) {
  const { label, given, probability, runner_up } = item;
  if (is_shot(item)) {
    return [`${label}?`, `looks like ${item.likely}; label right: ${percent(probability)}%`];
  }
  if (!item.readable) return ["Not read", item.problem];
  const second = runner_up === null ? ""
    : `${label === null ? "else" : "or"} ${runner_up} ${percent(item.runner_up_probability)}%`;
  if (label === null) return ["None of these", second];
  return [given ? `${label} (given)` : `${label} ${percent(probability)}%`, second];
}

/** @param {Item} item */
function card(item) {
  const [label, other] = describe(item);
  const place = element("article",
    { class: "card", tabindex: 0, "aria-label": `${item.path}: ${label}` },
    item.readable ? picture(item) : null, element("p", { class: "label" }, label),
    element("p", { class: "other soft" }, other),
    element("p", { class: "path", title: item.path }, name_of(item.path)));
  if (item.readable) place.append(...ticks(item));
  return place;
}

/** @type {(item: Item) => HTMLElement} */
const picture = ({ path, address, thumbnail }) =>
  element("a", { href: address, target: "_blank", rel: "noopener", tabindex: -1 },
    element("img", { loading: "lazy", decoding: "async", width: 160, height: 160, alt: path,
      src: thumbnail ?? address }));

// Controls of a picture: right, wrong, and the right class.
/** @param {Item} item */
function ticks(item) {
  /** @type {Parts} */
  const parts = {
    right: button("✓ Right", () => press_right(item, parts), { class: "right" }),
    wrong: button("✗ Wrong", () => press_wrong(item, parts), { class: "wrong" }),
    choice: element("select", {
      class: "choice", "aria-label": "What it is", change: () => choose(item, parts),
    }),
    another: element("input", {
      class: "another", "aria-label": "Name of another class", placeholder: "name of the class",
      change: () => name_another(item, parts.another.value.trim()),
    }),
  };
  mark(item, parts);
  const { right, wrong, choice, another } = parts;
  return [element("div", { class: "ticks" }, right, wrong), choice, another];
}

/** @param {Item} item @param {Parts} parts */
function press_right(item, parts) {
  const own = item.label ?? NONE;
  correct(item.path, corrections.get(item.path) === own ? undefined : own);
  mark(item, parts);
}

/** @param {Item} item @param {Parts} parts */
function press_wrong(item, parts) {
  const was_wrong = is_wrong(item);
  if (was_wrong) correct(item.path, undefined);
  else leave_open(item.path);
  mark(item, parts);
  if (!was_wrong) parts.choice.focus();
}

/** @param {Item} item @param {Parts} parts */
function choose(item, { choice, another }) {
  another.hidden = choice.value !== ANOTHER;
  if (another.hidden) return correct(item.path, choice.value);
  leave_open(item.path);
  another.focus();
}

/** @param {Item} item @param {string} text */
function name_another(item, text) {
  if (text) correct(item.path, class_of(text));
  else leave_open(item.path);
}

// Show the ticks of a picture.
/** @param {Item} item @param {Parts} parts */
function mark(item, { right, wrong, choice, another }) {
  const must_say = is_wrong(item);
  right.setAttribute("aria-pressed", `${corrections.has(item.path) && !must_say}`);
  wrong.setAttribute("aria-pressed", `${must_say}`);
  choice.hidden = !must_say;
  another.hidden = true;
  if (!must_say) return;
  // Options are made only on request: a thousand classes on each card would be too many.
  choice.replaceChildren(...options_for(item));
  choice.value = corrections.get(item.path) ?? UNSAID;
}

// Options for the class of a wrong picture, the likeliest class first.
/** @param {Item} item */
function options_for(item) {
  const first = is_shot(item) ? item.likely : item.runner_up;
  const names = [first, ...classes.filter((name) => name !== item.label && name !== first)];
  const ask = new Option("what is it?", UNSAID);
  ask.disabled = true;
  return [ask, ...names.filter((name) => name !== null).map((name) => new Option(name, name)),
    ...(item.label === null ? [] : [new Option("none of these", NONE)]),
    new Option("another class …", ANOTHER)];
}

// The class that a text names in any spelling, or a new class.
/** @param {string} text */
function class_of(text) {
  const known = classes.find((name) => comparable(name) === comparable(text));
  if (known === undefined) classes.push(text);
  return known ?? text;
}

/** @param {string} path @param {string | undefined} label */
function correct(path, label) {
  unsaid.delete(path);
  if (label === undefined) corrections.delete(path);
  else corrections.set(path, label);
  saved = false;
  draw_count();
}

/** @param {string} path */
function leave_open(path) {
  correct(path, undefined);
  unsaid.add(path);
  draw_count();
}

function draw_count() {
  const open = unsaid.size ? `, ${unsaid.size} wrong without a class` : "";
  by_id("count").textContent = plural(corrections.size, "correction") + open;
  for (const id of ["copy", "save"]) by_id(id).disabled = corrections.size === 0;
  label_views();
}

// The corrections as a CSV table that is safe in a spreadsheet: with quotes, and with ' before a
// formula (the rule of without_formulas in user_tables.py).
function table() {
  const cell = (/** @type {string} */ text) =>
    `"${text.replace(/(?:^|(?<=[,;\t\r\n"]))(?='*[=+\-@\t＝＋－＠])/g, "'").replaceAll('"', '""')}"`;
  return ["path,label", ...[...corrections].map((row) => row.map(cell).join(",")), ""].join("\r\n");
}

function label_views() {
  const select = by_id("view");
  for (const [key, [name, items]] of Object.entries(VIEWS)) {
    const option =
      select.querySelector(`[value="${key}"]`) ?? select.appendChild(new Option("", key));
    option.textContent = `${name} (${items().length})`;
  }
}

function label_classes() {
  const counts = new Map(classes.map((name) => [name, 0]));
  for (const { label } of predicted) counts.set(label, (counts.get(label) ?? 0) + 1);
  const options = [...counts].map(([name, n], i) => new Option(`${name} (${n})`, `${i + 1}`));
  by_id("class").replaceChildren(new Option("all", "0"), ...options);
}

function show() {
  const view = by_id("view").value, [, items, about] = VIEWS[view];
  const chosen = Number(by_id("class").value), wanted = chosen && classes[chosen - 1];
  const found = items().filter((item) => !chosen || item.label === wanted);
  if (view !== "next") found.sort(by_doubt);
  by_id("about").textContent = found.length ? about : "Nothing to show.";
  const is_by_class = by_id("sort").value === "class" && view === "all";
  shown = is_by_class ? with_headings(found) : found;
  n_drawn = 0;
  by_id("grid").replaceChildren();
  draw_more();
}

// The items by class, with a heading before each class.
/** @param {Item[]} items @returns {(Item | string)[]} */
function with_headings(items) {
  /** @type {Map<string | null, Item[]>} */
  const groups = new Map();
  for (const name of [...classes, null]) groups.set(name, []);
  for (const item of items) groups.get(item.label).push(item);
  return [...groups].filter(([, group]) => group.length)
    .flatMap(([name, group]) => [`${name ?? "None of these"} (${group.length})`, ...group]);
}

function draw_more() {
  const part = shown.slice(n_drawn, n_drawn + AT_ONCE);
  n_drawn += part.length;
  by_id("grid").append(
    ...part.map((item) => (typeof item === "string" ? element("h2", {}, item) : card(item))));
  // Draw more cards if the end is still in sight.
  end_in_sight.unobserve(by_id("end"));
  if (n_drawn < shown.length) end_in_sight.observe(by_id("end"));
}
const end_in_sight = new IntersectionObserver(
  (entries) => entries.some((entry) => entry.isIntersecting) && draw_more(),
  { rootMargin: "1000px" },
);

/** @param {HTMLElement | null} from @param {number} step */
function move(from, step) {
  const cards = /** @type {HTMLElement[]} */ ([...by_id("grid").querySelectorAll(".card")]);
  const to = cards[from ? cards.indexOf(from) + step : 0];
  to?.focus();
  to?.scrollIntoView({ block: "nearest" });
}

// Take a key of a card, and return whether the key did something.
/** @param {string} key @param {HTMLElement | null} place */
function take_key(key, place) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
  if (step) {
    move(place, step);
    return true;
  }
  const name = { r: "right", w: "wrong" }[key.toLowerCase()];
  /** @type {HTMLElement | null} */
  const pressed = name && place?.querySelector(`.${name}`);
  pressed?.click();
  return Boolean(pressed);
}

document.addEventListener("keydown", (event) => {
  const place = element_of(event);
  if (event.ctrlKey || event.metaKey || event.altKey || place.matches("select, input")) return;
  if (take_key(event.key, place.closest(".card"))) event.preventDefault();
});
by_id("filters").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["view", "class", "sort"]) by_id(id).addEventListener("change", show);
by_id("save").addEventListener("click", () => {
  const href = URL.createObjectURL(new Blob(["\ufeff", table()], { type: "text/csv" }));
  element("a", { href, download: "corrections.csv" }).click();
  saved = true;
});
by_id("copy").addEventListener("click", async () => {
  const list = by_id("list");
  list.value = table();
  list.hidden = false;
  list.select();
  try {
    await navigator.clipboard.writeText(list.value);
    by_id("count").textContent = "Copied";
    saved = true;
  } catch {
    by_id("count").textContent = "Copy it from here";
  }
});
window.addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});

label_classes();
draw_count();
show();
