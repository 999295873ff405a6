// @ts-check
// "Find": pictures in the order of their likeness to a text or to some pictures, to label many at
// once.
import { ChosenPanel, like_address } from "./chosen.js";
import { by_id } from "../../_web/dom.js";
import { is_choice, is_letter } from "./keys.js";
import { note_of, ways } from "./notes.js";
import { act, now, see, tile_noun } from "./state.js";
import { Tiles } from "./tiles.js";
import { count, label_of, plural, quoted } from "../../_web/words.js";

// Number of pictures that are shown at a time, and most pictures that get a label at once, as in
// session.py.
const N_IMAGES = 60;
const MOST_CHOSEN = 500;

const tiles = new Tiles(by_id("find-tiles"),
  { click: choose_tile, shows_bursts: true, has_captions: true });
const panel = new ChosenPanel("find", send_answer, put_down, "Select none");
// The search (`text`, or pictures in `like`), the number of its pictures, and the number of
// requests so far.
/** @type {{ text?: string, like?: number[] } | null} */
let query = null;
let total = 0, n_asked = 0;
// The number of changes in the tiles that are shown, and the tile from which Shift selects.
/** @type {number | null} */
let drawn = null;
let is_fetching = false;
/** @type {import("./tiles.js").Tile | null} */
let from = null;
/** @type {boolean | null} */
let has_words = null;

export const find = {
  async open() {
    const wanted = location.hash.split("/")[1];
    const like = wanted ? wanted.split(",").map(Number) : null;
    draw();
    if (has_words === null) await get_words();
    if (like && `${like}` !== `${query?.like}`) search({ like });
    else if (query) find.draw();
    else if (has_words) by_id("find-text").focus();
  },

  // Show new answers at once, but move no tile while tiles are chosen.
  draw() {
    const is_stale = query && !is_fetching && now.state.changes !== drawn;
    if (is_stale && !tiles.chosen.size) fetch(Math.max(tiles.tiles.length, N_IMAGES));
  },

  /** @param {KeyboardEvent} event */
  key(event) {
    const chosen = tiles.chosen.size > 0;
    if (event.key === "Escape" && chosen) put_down();
    else if (event.key.startsWith("Arrow") && !tiles.at) tiles.focus();
    else if (is_choice(event.key) && chosen) return panel.chooser.key(event);
    else if (is_letter(event.key) || event.key === "/") {
      by_id("find-text").focus();
      // The browser types the letter into the field.
      return event.key === "/";
    } else return false;
    return true;
  },
};

async function get_words() {
  by_id("find").setAttribute("aria-busy", "true");
  const reply = await see("words");
  by_id("find").removeAttribute("aria-busy");
  if (!reply) return;
  const { words } = reply;
  has_words = words === null || words.length > 0;
  by_id("find-words").hidden = !has_words;
  by_id("find-list").replaceChildren(...(words ?? []).map((word) => new Option(word)));
  by_id("find-hint").hidden = words === null;
  draw();
}

/** @param {{ text?: string, like?: number[] }} wanted */
function search(wanted) {
  query = wanted;
  if (wanted.like) by_id("find-text").value = "";
  tiles.chosen.clear();
  fetch(N_IMAGES);
}

// Get the first pictures of the search. The reply to an earlier search is dropped.
/** @param {number} n */
async function fetch(n) {
  const asked = ++n_asked, is_open = by_id("find-open").checked;
  /** @type {import("./state.js").Item[]} */
  const pictures = [];
  by_id("find").setAttribute("aria-busy", "true");
  is_fetching = true;
  let left = n;
  while (left > 0) {
    const reply = await see("find", { start: pictures.length, n_images: left, is_open, ...query });
    if (asked !== n_asked) return;
    if (!reply) break;
    total = reply.found.total;
    pictures.push(...reply.found.pictures);
    left = reply.found.pictures.length ? Math.min(n, total) - pictures.length : 0;
  }
  is_fetching = false;
  drawn = now.state.changes;
  by_id("find").removeAttribute("aria-busy");
  show(pictures);
  draw();
}

/** @param {import("./state.js").Item[]} pictures */
function show(pictures) {
  const is_same = pictures.length === tiles.tiles.length
    && pictures.every(({ number }, i) => number === tiles.tiles[i].number);
  if (!is_same) {
    from = null;
    tiles.show(pictures.length ? [{ label: title(), pictures }] : []);
  }
  tiles.tiles.forEach((tile, i) => {
    tile.item = pictures[i];
    tile.label = tile.shown = tile.item.label ?? tile.item.predicted;
  });
  tiles.draw_all();
}

const title = () => (query.like ? `Like ${plural(query.like.length, "picture")}, the most alike first`
  : `${quoted(query.text)}, the likeliest first`);

// A click selects one more tile. With Shift, a click selects all tiles up to this one.
/** @param {import("./tiles.js").Tile} tile @param {boolean} adds */
function choose_tile(tile, adds) {
  const { chosen } = tiles, all = tiles.tiles, [a, b] = [all.indexOf(from), all.indexOf(tile)];
  if (adds && a >= 0) {
    for (const one of all.slice(Math.min(a, b), Math.max(a, b) + 1)) chosen.add(one);
  } else if (!chosen.delete(tile)) {
    chosen.add(tile);
  }
  for (const one of [...chosen].slice(MOST_CHOSEN)) chosen.delete(one);
  // Keys then choose a class.
  by_id("find-text").blur();
  from = tile;
  tiles.draw_all();
  draw();
}

function put_down() {
  tiles.chosen.clear();
  tiles.draw_all();
  draw();
  find.draw();
}

function draw() {
  const n = tiles.chosen.size, is_empty = !tiles.tiles.length;
  by_id("find-nothing").hidden = !is_empty || has_words === null;
  by_id("find-nothing").textContent = query ? "No picture is left."
    : has_words ? "Type what you look for, or choose “More like this” at any picture."
      : "Choose “More like this” at any picture.";
  by_id("find-more").hidden = is_empty || tiles.tiles.length >= total;
  by_id("find-count").textContent = is_empty ? ""
    : `${count(tiles.tiles.length)} of ${plural(total, tile_noun())}`;
  by_id("find-about").hidden = n > 0 || is_empty;
  if (n) panel.show(tiles.chosen);
  else panel.hide();
}

/** @param {string} label */
async function send_answer(label) {
  const numbers = [...tiles.chosen].filter(({ is_loaded }) => is_loaded).map(({ number }) => number);
  if (!numbers.length) return;
  const reply = await act("say_same", { numbers, label });
  if (!reply) return;
  note_of(reply, `${plural(reply.n_pictures, "picture")}: ${label_of(label)}.`,
    ["More like these", () => { location.hash = like_address(numbers); }],
    ["Undo", () => ways.undo()]);
  put_down();
}

by_id("find-words").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = by_id("find-text").value.trim();
  if (!text) return;
  history.replaceState(null, "", "#find");
  by_id("find-text").blur();
  search({ text });
});
by_id("find-open").addEventListener("change", () => { if (query) fetch(N_IMAGES); });
by_id("find-more").addEventListener("click", () => fetch(tiles.tiles.length + N_IMAGES));
