// @ts-check
// A grid of pictures under headings: one tab stop with arrows inside, marks, and a choice of tiles.
import { by_id, element } from "../../_web/dom.js";
import { enlarge } from "./enlarged.js";
import { SHARP, fit, usual_side } from "./fit.js";
import { large, small, thumb } from "./pictures.js";
import { count, label_of } from "../../_web/words.js";

// Milliseconds after which a press is a hold, which enlarges the picture.
const HOLD = 350;
// Number of other pictures of a burst that a tile shows.
const N_OTHERS = 3;

/** @typedef {{ label: string, pictures: import("./state.js").Item[] }} Group */

// A picture as it is shown: `shown` is the label over the picture, `label` the label that it gets,
// and `elsewhere` the person who gave it a label meanwhile.
export class Tile {
  is_burst = false;
  /** @type {HTMLImageElement} */
  image;
  /** @type {HTMLElement} */
  mark;
  /** @type {HTMLButtonElement} */
  button;
  /** @type {string | null} */
  elsewhere = null;

  /** @param {import("./state.js").Item} item @param {string} shown */
  constructor(item, shown) {
    this.item = item;
    this.number = item.number;
    this.shown = this.label = shown;
  }

  get is_changed() { return this.label !== this.shown; }

  // Whether a person can see the picture.
  get is_loaded() { return this.image.complete && this.image.naturalWidth > 0; }

  // The likeliest class, except the label over the picture.
  get likeliest_other() {
    return this.item.likely.find(([name]) => name !== this.shown)?.[0] ?? "";
  }
}

export class Tiles {
  /** @type {Tile[]} */
  tiles = [];
  /** @type {Set<Tile>} */
  chosen = new Set();
  /** @type {number[]} */
  sizes = [];

  // `click(tile, adds)` is called for a click or Space on a tile: `adds` with Shift. With
  // `shows_bursts` a tile shows the pictures of a burst, which get one label. With `has_captions` a
  // tile shows the current label of its picture, and whether a person gave it.
  /**
   * @param {HTMLElement} place
   * @param {{
   *   click: (tile: Tile, adds: boolean, clicks: number) => void,
   *   must_fit?: boolean, shows_bursts?: boolean, has_captions?: boolean }} options
   */
  constructor(place, { click, must_fit = false, shows_bursts = false, has_captions = false }) {
    this.place = place;
    this.click = click;
    this.must_fit = must_fit;
    this.shows_bursts = shows_bursts;
    this.has_captions = has_captions;
    place.classList.toggle("captions", has_captions);
    place.addEventListener("keydown", (event) => this.#move(event));
    place.addEventListener("keyup", (event) => { if (event.key === " ") event.preventDefault(); });
    this.resized = new ResizeObserver(() => this.fit());
    addEventListener("resize", () => this.fit());
    this.resized.observe(place.parentElement);
  }

  // Show groups of `{ label, pictures }`.
  /** @param {Group[]} groups */
  show(groups) {
    this.chosen.clear();
    this.tiles = [];
    this.sizes = groups.map(({ pictures }) => pictures.length);
    const made = groups.map(({ label, pictures }) => this.#group(label, pictures));
    this.place.replaceChildren(...made);
    this.#set_stop(this.tiles[0]);
    this.fit();
  }

  // Show more groups. Pictures with the label of the last group go into that group.
  /** @param {Group[]} groups */
  add(groups) {
    for (const { label, pictures } of groups) {
      const last = this.place.lastElementChild, group = this.#group(label, pictures);
      const tiles = group.lastElementChild.children;
      if (last?.ariaLabel === group.ariaLabel) last.lastElementChild.append(...tiles);
      else this.place.append(group);
    }
  }

  /** @param {string} label @param {import("./state.js").Item[]} pictures */
  #group(label, pictures) {
    const tiles = pictures.map((item) => this.#tile(item, label)), text = label_of(label);
    const title = element("h3", { title: text }, element("span", {}, text));
    const place = element("div", { class: "group-tiles" }, ...tiles.map((tile) => tile.button));
    return element("div", { class: "group", role: "group", "aria-label": text }, title, place);
  }

  /** @param {import("./state.js").Item} item @param {string} shown */
  #tile(item, shown) {
    const tile = new Tile(item, shown);
    tile.is_burst = this.shows_bursts && item.burst.length > 1;
    const redraw = () => this.draw(tile);
    tile.image = element("img",
      { alt: "", draggable: "false", load: redraw, error: redraw });
    tile.mark = element("span", { class: "mark" });
    tile.button = element("button", { type: "button", class: "tile", tabindex: "-1" },
      tile.image, ...(tile.is_burst ? this.#others(item) : []), tile.mark);
    tile.image.src = small(item.number);
    this.#listen(tile);
    this.tiles.push(tile);
    this.draw(tile);
    return tile;
  }

  // The other pictures of a burst, in a row below the first, and the size of the burst.
  /** @param {import("./state.js").Item} item */
  #others({ number, burst }) {
    const others = burst.filter((other) => other !== number).slice(0, N_OTHERS);
    return [element("span", { class: "others" }, ...others.map((other) => thumb(other))),
      element("span", { class: "size" }, count(burst.length))];
  }

  /** @param {Tile} tile */
  #listen(tile) {
    const { button } = tile;
    let hold = 0, was_held = false;
    const let_go = () => {
      clearTimeout(hold);
      removeEventListener("pointerup", let_go, true);
      removeEventListener("pointercancel", let_go, true);
      if (was_held) by_id("large").close();
    };
    button.addEventListener("pointerdown", (event) => {
      was_held = false;
      if (event.button) return;
      hold = setTimeout(() => { was_held = true; enlarge(tile.item); }, HOLD);
      // While the picture is enlarged, the dialog is under the pointer, so the window listens.
      addEventListener("pointerup", let_go, true);
      addEventListener("pointercancel", let_go, true);
    });
    button.addEventListener("pointerleave", () => clearTimeout(hold));
    button.addEventListener("contextmenu", (event) => {
      if (was_held) event.preventDefault();
    });
    button.addEventListener("focus", () => this.#set_stop(tile));
    button.addEventListener("click", (event) => {
      if (was_held) was_held = false;
      else this.click(tile, event.shiftKey || event.ctrlKey || event.metaKey, event.detail);
    });
  }

  /** @param {Tile} tile */
  draw(tile) {
    const { button, item, mark } = tile, is_broken = tile.image.complete && !tile.is_loaded;
    button.classList.toggle("changed", tile.is_changed);
    button.classList.toggle("broken", is_broken);
    button.classList.toggle("labelled", this.has_captions && item.label !== null);
    button.classList.toggle("chosen", this.chosen.has(tile));
    button.classList.toggle("elsewhere", tile.elsewhere !== null);
    const text = is_broken ? "cannot be shown"
      : tile.is_changed || tile.elsewhere || this.has_captions ? label_of(tile.label) : "";
    mark.textContent = text;
    button.setAttribute("aria-pressed", `${tile.is_changed}`);
    const change = tile.elsewhere ? `, ${tile.elsewhere} answered ${label_of(tile.label)}`
      : tile.is_changed ? `, changed to ${label_of(tile.label)}` : "";
    const state = this.chosen.has(tile) ? ", chosen" : "";
    const shown = is_broken ? "cannot be shown" : label_of(tile.shown);
    const burst = tile.is_burst ? ` and ${count(item.burst.length - 1)} more of its burst` : "";
    button.setAttribute("aria-label", `${item.name}${burst}: ${shown}${change}${state}`);
    button.dataset.number = `${item.number}`;
    button.dataset.label = tile.label;
  }

  draw_all() { this.tiles.forEach((tile) => this.draw(tile)); }

  fit() {
    if (!this.tiles.length) return;
    const side = this.must_fit ? fit(this.place, this.sizes) : usual_side();
    if (side > SHARP) this.tiles.forEach(sharpen);
  }

  // The focused tile, which takes keys.
  get at() { return this.tiles.find(({ button }) => button === document.activeElement) ?? null; }

  /** @param {Tile | undefined} tile */
  #set_stop(tile) {
    for (const { button } of this.tiles) button.tabIndex = button === tile?.button ? 0 : -1;
  }

  focus() { this.tiles.find(({ button }) => button.tabIndex === 0)?.button.focus(); }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const tile = this.at;
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      if (!event.repeat) this.click(tile, event.shiftKey, 1);
    } else if (event.key === ".") {
      enlarge(tile.item);
    } else {
      const next = this.#towards(tile, event.key);
      if (!next) return;
      next.button.focus();
      next.button.scrollIntoView({ block: "nearest" });
    }
    event.preventDefault();
  }

  // The tile that is closest in the direction of an arrow.
  /** @param {Tile} tile @param {string} key */
  #towards(tile, key) {
    const i = this.tiles.indexOf(tile), last = this.tiles.length - 1;
    const there = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: last }[key];
    if (there !== undefined) return this.tiles[Math.min(Math.max(there, 0), last)];
    const side = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (!side) return null;
    /** @type {(tile: Tile) => [x: number, y: number, height: number]} */
    const middle = ({ button }) => {
      const { left, top, width, height } = button.getBoundingClientRect();
      return [left + width / 2, side * (top + height / 2), height];
    };
    const [x, y, height] = middle(tile);
    const beyond = this.tiles.map((other) => ({ other, at: middle(other) }))
      .filter(({ at: [, other_y] }) => other_y > y + height / 2);
    /** @type {(one: { at: number[] }) => number} */
    const far = ({ at: [other_x, other_y] }) => 3 * (other_y - y) + Math.abs(other_x - x);
    beyond.sort((a, b) => far(a) - far(b));
    return beyond[0]?.other ?? tile;
  }
}

// Show a large picture in a large tile. The small picture stays until the large one is loaded.
/** @param {Tile} tile */
function sharpen({ image, number }) {
  if (image.getAttribute("src") === large(number)) return;
  const next = new Image();
  next.addEventListener("load", () => { image.src = next.src; });
  next.src = large(number);
}
