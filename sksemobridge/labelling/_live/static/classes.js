// @ts-check
// "Classes": figures of each class, its pictures, and the ways to change the class.
import { ChosenPanel } from "./chosen.js";
import { by_id, element } from "../../_web/dom.js";
import { is_choice, is_letter } from "./keys.js";
import { look } from "./look_through.js";
import { note, note_of, sure, ways } from "./notes.js";
import { thumb } from "./pictures.js";
import { once_each } from "./presses.js";
import { act, now, see } from "./state.js";
import { Tiles } from "./tiles.js";
import { NONE, comparable, count, label_of, percent, plural, quoted } from "../../_web/words.js";

// Pictures of a gallery that are shown at a time.
const N_IMAGES = 60;
// Milliseconds between requests for figures that are being measured.
const SOON = 1000;

const tiles = new Tiles(by_id("gallery-tiles"), { click: choose_tile });
const panel = new ChosenPanel("gallery", send_answer, put_down, "Leave as it is");
// The class whose pictures are shown (null: no class), and the figures of all classes.
/** @type {string | null} */
let name = null;
/** @type {import("./state.js").Figures[]} */
let rows = [];
let total = 0;
/** @type {string | null} */
let shown_of = null;
// The state that was drawn last, whether it is out of date, and the purpose of the form.
/** @type {{ changes?: number, learnt?: number }} */
let drawn = {};
let is_stale = false;
/** @type {"rename" | "join" | null} */
let work = null;

export const classes = {
  async open() {
    const wanted = location.hash.split("/")[1];
    if (wanted !== undefined) name = decodeURIComponent(wanted);
    else if (!is_wide()) name = null;
    await refresh();
  },

  // Changes are shown at once. New predictions are shown only if no tile is chosen, since they move
  // tiles.
  draw() {
    const { changes, learnt, learning } = now.state;
    if (changes !== drawn.changes || (learnt !== drawn.learnt && !learning && !tiles.chosen.size)) {
      refresh();
    }
  },

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Escape" && tiles.chosen.size) put_down();
    else if (event.key.startsWith("Arrow") && !tiles.at) tiles.focus();
    else if (is_choice(event.key) && (tiles.chosen.size || tiles.at)) {
      if (!tiles.chosen.size) choose_tile(tiles.at, false);
      return panel.chooser.key(event);
    } else if (is_letter(event.key) || event.key === "/") {
      // Without a selected picture, a letter begins the name of a class.
      if (!by_id("class-find").checkVisibility()) note("No picture is selected: click one.");
      by_id("class-find").focus();
      return event.key === "/";
    } else if (is_choice(event.key)) {
      note("No picture is selected: click those that are wrong.");
    } else return false;
    return true;
  },
};

// Get figures and pictures anew, and again if something changed meanwhile.
async function refresh() {
  is_stale = true;
  if (by_id("classes").hasAttribute("aria-busy")) return;
  by_id("classes").setAttribute("aria-busy", "true");
  while (is_stale) {
    is_stale = false;
    drawn = { changes: now.state.changes, learnt: now.state.learnt };
    await get_figures();
    if (!rows.some((row) => row.name === name)) name = is_wide() ? rows[0]?.name ?? null : null;
    await show_gallery();
  }
  by_id("classes").removeAttribute("aria-busy");
}

async function get_figures() {
  const reply = await see("overview");
  if (!reply) return;
  rows = reply.overview;
  draw_list();
  draw_figures();
  if (reply.measuring) setTimeout(get_figures, SOON);
}

const is_wide = () => matchMedia("(min-width: 900px)").matches;

function draw_list() {
  const typed = by_id("class-find").value, wanted = comparable(typed);
  const order = ORDERS[by_id("class-order").value];
  const found = rows.filter((row) => comparable(label_of(row.name)).includes(wanted)).sort(order);
  by_id("add-class").disabled = !wanted
    || rows.some((row) => comparable(label_of(row.name)) === wanted);
  by_id("class-rows").replaceChildren(...found.map(draw_row));
}

/** @param {import("./state.js").Figures} row */
function draw_row(row) {
  const picture = row.example === null ? element("span", { class: "no-picture" })
    : thumb(row.example, { loading: "lazy" });
  const n_wrong = Math.round(row.doubt);
  const figures = `${count(row.labelled)} labelled · ${count(row.predicted)} predicted`
    + (n_wrong ? `, ≈\u00a0${count(n_wrong)} wrong` : "");
  const link = element("a", { href: address_of(row.name), class: "class-row" }, picture,
    element("span", { class: "what" }, label_of(row.name)),
    element("span", { class: "soft figures" }, figures), goodness(row));
  if (row.name === name) link.setAttribute("aria-current", "true");
  return element("li", {}, link);
}

// The share of right predictions of a class: in a check, or else of labelled pictures, each
// predicted as if it had no label.
/** @param {import("./state.js").Figures} row */
function goodness({ accuracy, checked: [n_right, n] }) {
  const is_checked = n > 0, share = is_checked ? n_right / n : accuracy;
  if (share === null) return element("span", { class: "good soft" }, "");
  const text = is_checked ? `${n_right} of ${n} in checks` : `${percent(share)} % recognised`;
  const made = element("span", { class: "good" }, text);
  made.style.setProperty("--share", `${share}`);
  return made;
}

// Orders of the classes. By name, none of the classes is last.
/** @typedef {import("./state.js").Figures} Figures */
/** @type {Record<string, (a: Figures, b: Figures) => number>} */
const ORDERS = {
  name: () => 0,
  size: (a, b) => size_of(b) - size_of(a),
  doubt: (a, b) => b.doubt - a.doubt,
};
/** @type {(row: import("./state.js").Figures) => number} */
const size_of = ({ labelled, shots, predicted }) => labelled + shots + predicted;

/** @type {(class_name: string) => string} */
const address_of = (class_name) => `#classes/${encodeURIComponent(class_name)}`;

async function show_gallery() {
  by_id("classes").classList.toggle("one", name !== null);
  by_id("gallery").hidden = name === null;
  if (name === null) return put_down();
  const n_images = shown_of === name ? Math.max(tiles.tiles.length, N_IMAGES) : N_IMAGES;
  const pictures = await get_pictures(0, n_images);
  if (!pictures) return;
  // Selected pictures stay selected.
  const chosen = new Set(shown_of === name ? [...tiles.chosen].map(({ number }) => number) : []);
  shown_of = name;
  by_id("gallery-name").textContent = label_of(name);
  draw_figures();
  for (const id of ["rename", "join", "drop"]) by_id(id).hidden = name === NONE;
  tiles.show(by_kind(pictures));
  tiles.tiles.filter(({ number }) => chosen.has(number)).forEach((tile) => tiles.chosen.add(tile));
  draw_gallery(pictures);
}

// The pictures of the class from `start` to `stop`: the program sends some at a time. Null if a
// request is refused, or if another class is shown by now.
/** @param {number} start @param {number} stop */
async function get_pictures(start, stop) {
  const wanted = name;
  /** @type {import("./state.js").Item[]} */
  const pictures = [];
  let is_all = false;
  while (!is_all) {
    const at = start + pictures.length;
    const reply = await see("look_at_class", { name: wanted, start: at, n_images: stop - at });
    if (!reply || name !== wanted) return null;
    const { gallery } = reply;
    total = gallery.total;
    pictures.push(...gallery.pictures);
    is_all = !gallery.pictures.length || start + pictures.length >= Math.min(stop, total);
  }
  return pictures;
}

// Groups of pictures: labelled by a person, predicted, or given before.
/** @param {import("./state.js").Item[]} pictures */
function by_kind(pictures) {
  /** @type {Map<string, import("./state.js").Item[]>} */
  const groups = new Map();
  for (const picture of pictures) {
    const kind = picture.label !== null ? "Labelled by a person"
      : picture.number < now.state.pictures ? "Predicted" : "Given before";
    if (!groups.has(kind)) groups.set(kind, []);
    groups.get(kind).push(picture);
  }
  return [...groups].map(([label, group]) => ({ label, pictures: group }));
}

// Draw the gallery after new `pictures`.
/** @param {import("./state.js").Item[]} pictures */
function draw_gallery(pictures) {
  for (const tile of tiles.tiles) tile.label = tile.shown = tile.item.label ?? tile.item.predicted;
  tiles.draw_all();
  by_id("gallery-more").hidden = !pictures.length || tiles.tiles.length >= total;
  draw_choice();
}

function draw_figures() {
  const row = rows.find((one) => one.name === shown_of);
  const shots = row?.shots ? `${count(row.shots)} given before, ` : "";
  by_id("gallery-figures").textContent = row
    ? `${plural(total, "picture")}: ${count(row.labelled)} labelled, ${shots}`
      + `${count(row.predicted)} predicted. ${goodness(row).textContent}` : "";
}

async function show_more() {
  const n = tiles.tiles.length, pictures = await get_pictures(n, n + N_IMAGES);
  if (!pictures) return;
  tiles.add(by_kind(pictures));
  draw_gallery(pictures);
}

/** @param {import("./tiles.js").Tile} tile @param {boolean} adds */
function choose_tile(tile, adds) {
  const { chosen } = tiles, was_chosen = chosen.has(tile);
  if (!adds) chosen.clear();
  if (was_chosen) chosen.delete(tile);
  else chosen.add(tile);
  tiles.draw_all();
  draw_choice();
}

function put_down() {
  tiles.chosen.clear();
  tiles.draw_all();
  draw_choice();
}

function draw_choice() {
  const n = tiles.chosen.size;
  by_id("gallery-panel").hidden = name === null;
  by_id("gallery-panel").classList.toggle("idle", !n);
  by_id("gallery-about").hidden = n > 0;
  if (n) panel.show(tiles.chosen);
  else panel.hide();
}

/** @param {string} label */
async function send_answer(label) {
  const numbers = [...tiles.chosen].map(({ number }) => number);
  const reply = await act("say_same", { numbers, label, alone: true });
  if (!reply) return;
  note_of(reply, `${plural(numbers.length, "picture")}: ${label_of(label)}.`, ["Undo", () => ways.undo()]);
  put_down();
  refresh();
}

// Change classes. Every change can be undone, so the page does not ask before.
/**
 * @param {string} action
 * @param {object} values
 * @param {string} text
 * @param {string | null} [next] The class to show then.
 */
async function change(action, values, text, next) {
  const reply = await act(action, values);
  if (!reply) return;
  note_of(reply, text, ["Undo", () => ways.undo()]);
  close_form();
  if (next !== undefined) name = next;
  history.replaceState(null, "", name === null ? "#classes" : address_of(name));
  await refresh();
}

/** @param {"rename" | "join"} kind */
function open_form(kind) {
  work = kind;
  const asks = { rename: `New name for ${quoted(name)}`, join: `Join ${quoted(name)} into` };
  by_id("gallery-form-label").textContent = asks[kind];
  by_id("gallery-input").value = kind === "rename" ? name : "";
  by_id("class-names").replaceChildren(...(kind === "rename" ? []
    : now.state.classes.filter((other) => other !== name)
      .map((value) => element("option", { value }))));
  by_id("gallery-work").hidden = true;
  by_id("gallery-form").hidden = false;
  by_id("gallery-input").select();
}

function close_form() {
  work = null;
  by_id("gallery-form").hidden = true;
  by_id("gallery-work").hidden = false;
}

by_id("gallery-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const into = by_id("gallery-input").value.trim(), before = name;
  if (!into) return;
  const known = now.state.classes.find((other) => comparable(other) === comparable(into)) ?? into;
  if (work === "rename") {
    const text = `${quoted(before)} is now ${quoted(into)}.`;
    await change("rename", { name: before, into }, text, known);
  } else if (now.state.classes.includes(known) && known !== before) {
    const text = `${quoted(before)} was joined with ${quoted(known)}.`;
    await change("join", { names: [before], into: known }, text, known);
  } else {
    note(`There is no other class ${quoted(into)}.`);
  }
});
by_id("gallery-form").addEventListener("keydown", (event) => {
  if (event.key === "Escape") close_form();
});
by_id("gallery-cancel").addEventListener("click", close_form);
by_id("rename").addEventListener("click", () => open_form("rename"));
by_id("join").addEventListener("click", () => open_form("join"));
by_id("drop").addEventListener("click", once_each(() => {
  const text = `${quoted(name)} was dropped: its pictures have no label of yours now.`;
  change("drop", { name }, text, null);
}));
by_id("look-at-it").addEventListener("click", () => look.begin({ name }));
by_id("gallery-more").addEventListener("click", show_more);
by_id("gallery-back").addEventListener("click", () => { location.hash = "classes"; });
by_id("what-else").addEventListener("click", () => { location.hash = "names"; });
by_id("class-find").addEventListener("input", draw_list);
by_id("class-order").addEventListener("change", draw_list);
by_id("class-find").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.isComposing) add();
});
by_id("add-class").addEventListener("click", add);

async function add() {
  const typed = by_id("class-find").value.trim();
  const known = rows.find((row) => comparable(label_of(row.name)) === comparable(typed));
  if (!typed) return;
  if (tiles.chosen.size) {
    // Selected pictures get the label, and do not lose their selection without a question.
    const label = known?.name ?? typed, n = plural(tiles.chosen.size, "selected picture");
    if (!await sure(`Label the ${n} ${quoted(label)}?`, "Label")) return;
    by_id("class-find").value = "";
    await send_answer(label);
    draw_list();
    return;
  }
  by_id("class-find").value = "";
  if (known) location.hash = address_of(known.name);
  else await change("add", { names: [typed] }, `${quoted(typed)} was added.`, typed);
  draw_list();
}
