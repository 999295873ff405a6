// @ts-check
// "Look through": a page of pictures under the labels that the model gives them.
import { ChosenPanel } from "./chosen.js";
import { button, by_id, element, element_of, main_of } from "../../_web/dom.js";
import { how_many_fit } from "./fit.js";
import { is_choice, is_letter } from "./keys.js";
import { note, note_of, offer_strangers, sure, ways } from "./notes.js";
import { OnScreen } from "./on_screen.js";
import { small, thumb } from "./pictures.js";
import { is_pressable, once_each } from "./presses.js";
import { act, bursts_of, has_bursts, now, see, tile_noun } from "./state.js";
import { Tiles } from "./tiles.js";
import { NONE, comparable, count, label_of, plural, quoted } from "../../_web/words.js";

// Number of pictures of a second look: 48 pictures had two thirds of the overlooked errors.
const N_SECOND = 48;

const tiles = new Tiles(by_id("look-tiles"), { click: mark, must_fit: true, shows_bursts: true });
const panel = new ChosenPanel("look", choose, leave);
const on_screen = new OnScreen(() => !by_id("look").hidden, draw_confirm);
// The pictures to show: of one class (`name`), or seen or doubted pictures (`among`), or of pages
// with these numbers of events (`of`).
/** @type {{ name?: string, among?: "seen" | "doubted", of?: number[] }} */
let which = {};
let left = 0, is_fetching = false, is_wanted = true;
// The number of events that the page knew when it was shown, and whether the page is being sent.
let knew = 0, is_sending = false;
// Whether a person types the name of a class without a selected picture.
let is_naming = false;
// The page that was sent last, to show it again after an undo.
/** @type {Pick<import("./tiles.js").Tile, "item" | "shown" | "label">[] | null} */
let last = null;
/** @type {Pick<import("./state.js").Reply, "look">} */
const NOTHING = { look: { groups: [], left: 0, knew: 0 } };
// The number of times that the model had learnt when the next page was fetched ahead.
/** @type {number | null} */
let ahead_of = null;
// Pictures that the second look has shown, and doubted pictures that were shown before the files
// were written.
/** @type {number[]} */
let looked_again = [];
/** @type {number[]} */
const doubted = [];

export const look = {
  open() {
    // A choice of pictures that came to its end is not shown again.
    if (!is_wanted && !tiles.tiles.length) which = {};
    if (is_wanted || !tiles.tiles.length) fetch_page();
    else tiles.fit();
    begin_to_look();
    draw();
  },

  // Show pictures of one class, or seen pictures (`{ among: "seen" }`), or all pictures that are
  // left.
  /** @param {{ name?: string, among?: "seen" | "doubted", of?: number[] }} wanted */
  begin(wanted = {}) {
    which = wanted;
    looked_again = [];
    is_wanted = true;
    tiles.show([]);
    location.hash = "look";
    if (!by_id("look").hidden) look.open();
  },

  // An answer from elsewhere for a picture of this page counts.
  /** @param {import("./state.js").Reply} reply */
  take(reply) {
    if (reply.learnt !== ahead_of && !by_id("look").hidden && !is_fetching) fetch_ahead();
    for (const item of reply.news ?? []) {
      hear(item.number, item.label, item.who || "another tab");
    }
    // Answers of this tab in another view.
    if (!is_sending) for (const [number, label] of reply.own ?? []) hear(number, label, "you");
  },

  draw,

  /** @param {KeyboardEvent} event */
  key(event) {
    const chosen = tiles.chosen.size > 0;
    const is_over = !tiles.tiles.length && !is_fetching;
    if (event.key === "Enter" && (tiles.at || !is_pressable(element_of(event)))) {
      if (!event.repeat && is_over) main_of("look-nothing")?.click();
      else if (!event.repeat) the_rest_is_right();
    } else if (event.key === "Escape" && chosen) {
      leave();
    } else if (event.key === "Escape" && is_over && n_unseen()) {
      look.begin();
    } else if (event.key.startsWith("Arrow") && !tiles.at) {
      tiles.focus();
    } else if (is_choice(event.key) && tiles.tiles.length) {
      // A key chooses a class for the focused tile, even if it is not marked.
      if (!chosen && tiles.at) tiles.chosen.add(tiles.at);
      else if (!chosen && is_digit(event.key)) {
        note("No picture is selected: click those that are wrong.");
        return true;
      }
      is_naming = !tiles.chosen.size;
      draw();
      return panel.chooser.key(event);
    } else {
      return false;
    }
    return true;
  },

  // Show a page that was undone, as it was when it was sent.
  /** @param {import("./state.js").Item[]} items */
  show_again(items) {
    const was = new Map(last?.map(({ item, shown, label }) => [item.number, { shown, label }]));
    const groups = new Map();
    for (const item of items) {
      const label = was.get(item.number)?.shown ?? item.predicted;
      groups.set(label, [...(groups.get(label) ?? []), item]);
    }
    show([...groups].map(([label, pictures]) => ({ label, pictures })));
    for (const tile of tiles.tiles) tile.label = was.get(tile.number)?.label ?? tile.shown;
    knew = now.state.changes;
    tiles.draw_all();
    draw();
  },

  get is_of_seen() { return which.among === "seen"; },

  // The last page before the files are written.
  get is_before_done() { return which.among === "doubted"; },
};

// Before the files are written, show confirmed labels that the model doubts, each once. Return
// whether there are any.
export async function look_at_doubted() {
  const n_images = how_many_fit(by_id("look-tiles"));
  const reply = await see("look", { n_images, among: "doubted", without: doubted });
  if (!reply?.look.groups.length) return false;
  look.begin({ among: "doubted" });
  note("Look at these before the files are written: the model doubts what was confirmed.");
  return true;
}

/** @type {(key: string) => boolean} */
const is_digit = (key) => !is_letter(key) && key !== "/";

const begin_to_look = () => on_screen.begin(tiles.tiles.map(({ image }) => image));

// Take an answer for a picture from elsewhere (null: the answer was undone).
/** @param {number} number @param {string | null} label @param {string} who */
function hear(number, label, who) {
  const tile = tiles.tiles.find((one) => one.number === number);
  if (!tile) return;
  Object.assign(tile, { elsewhere: label === null ? null : who, label: label ?? tile.shown });
  tiles.chosen.delete(tile);
  tiles.draw(tile);
}

async function fetch_page() {
  if (is_fetching) return;
  is_fetching = true;
  is_wanted = false;
  const has_focus = tiles.at !== null;
  by_id("look").setAttribute("aria-busy", "true");
  const n_images = how_many_fit(by_id("look-tiles"));
  const is_over = look.is_of_seen && !which.of && looked_again.length >= N_SECOND;
  const reply = is_over ? NOTHING
    : await see("look", { n_images, ...which, without: shown_before(), plant: true });
  is_fetching = false;
  by_id("look").removeAttribute("aria-busy");
  if (reply && which.of && !reply.look.groups.length && n_unseen()) {
    // The pages were looked at again: go on with pictures that nobody saw.
    look.begin();
    return;
  }
  if (reply) {
    ({ left, knew } = reply.look);
    show(reply.look.groups);
    if (which.among) shown_before().push(...tiles.tiles.map(({ number }) => number));
    if (has_focus) tiles.focus();
    fetch_ahead();
  }
  draw();
}

const shown_before = () => (look.is_before_done ? doubted : looked_again);

/** @param {import("./tiles.js").Group[]} groups */
function show(groups) {
  tiles.show(groups);
  panel.chooser.clear();
  begin_to_look();
}

// Fetch the small pictures of the next page while a person looks at this page. The next page may
// change when the model has learnt.
async function fetch_ahead() {
  const shown = tiles.tiles.map(({ number }) => number);
  if (!shown.length || left <= shown.length || which.among) return;
  ahead_of = now.state.learnt;
  const n_images = how_many_fit(by_id("look-tiles"));
  const reply = await see("look", { n_images, ...which, without: shown });
  for (const { pictures } of reply?.look.groups ?? []) {
    for (const { number } of pictures) new Image().src = small(number);
  }
}

// A click marks a wrong tile, which gets the likeliest other class. Another click removes the mark.
/** @param {import("./tiles.js").Tile} tile @param {boolean} adds @param {number} clicks */
function mark(tile, adds, clicks = 1) {
  if (tile.elsewhere || !tile.is_loaded || clicks > 1) return;
  const { chosen } = tiles, is_alone = chosen.size === 1 && chosen.has(tile);
  if (adds || is_many()) {
    add(tile);
  } else if (is_alone) {
    tile.label = tile.shown;
    chosen.clear();
  } else {
    chosen.clear();
    chosen.add(tile);
    if (!tile.is_changed) tile.label = tile.likeliest_other;
  }
  tiles.draw_all();
  draw();
}

// Choose one more tile, or one less. All chosen tiles get the class of the first.
/** @param {import("./tiles.js").Tile} tile */
function add(tile) {
  const { chosen } = tiles;
  if (chosen.delete(tile)) {
    tile.label = tile.shown;
  } else {
    const first = [...chosen][0];
    tile.label = first?.is_changed ? first.label : tile.likeliest_other;
    chosen.add(tile);
  }
}

const is_many = () => by_id("many").getAttribute("aria-pressed") === "true";

/** @param {string} label */
function choose(label) {
  if (!tiles.chosen.size) {
    put_down();
    name_alone(label);
    return;
  }
  for (const tile of tiles.chosen) tile.label = label;
  put_down();
}

// Find or add a class by its name, without a picture.
/** @param {string} label */
async function name_alone(label) {
  const known = now.state.classes.find((one) => comparable(one) === comparable(label));
  if (known === undefined && label !== NONE) {
    const reply = await act("add", { names: [label] });
    if (reply) note_of(reply, `${quoted(label)} was added. No picture was selected for it.`);
    return;
  }
  const name = known ?? NONE;
  note(`No picture was selected, so none is ${quoted(name)} now.`,
    [`Look through ${quoted(name)}`, () => look.begin({ name })]);
}

// Escape: remove the marks.
function leave() {
  for (const tile of tiles.chosen) tile.label = tile.shown;
  put_down();
}

function put_down() {
  tiles.chosen.clear();
  is_naming = false;
  by_id("many").setAttribute("aria-pressed", "false");
  tiles.draw_all();
  draw();
}

async function the_rest_is_right() {
  if (!on_screen.is_long_enough || !tiles.tiles.length) return;
  const sent = tiles.tiles.filter((tile) => tile.is_loaded && !tile.elsewhere);
  const n_missing = tiles.tiles.filter((tile) => !tile.is_loaded).length;
  if (!sent.length) {
    if (n_missing) note("No picture of this page is there yet.");
    else fetch_page();
    return;
  }
  const { learnt } = now.state;
  const reply = await send(sent);
  if (!reply) return;
  const real = sent.filter(({ item }) => !item.planted);
  last = real.map(({ item, shown, label }) => ({ item, shown, label }));
  tell_of_page(reply, real, n_missing);
  if (real.some(({ label }) => label === NONE)) offer_strangers(learnt);
  put_down();
  if (look.is_before_done) write_now();
  else if (reply.again.length && await look_at_them_again(reply, sent)) {
    look.begin({ among: "seen", of: reply.again });
  } else await fetch_page();
}

// Write the files, after the last page or without it.
function write_now() {
  which = {};
  is_wanted = true;
  ways.write();
}

/** @param {import("./tiles.js").Tile[]} sent */
async function send(sent) {
  const pictures = sent.map(({ number, shown, label, item }) =>
    ({ number, shown, label, planted: item.planted }));
  const { seconds } = on_screen;
  is_sending = true;
  // The next page can be confirmed only after a person had time to look.
  on_screen.is_long_enough = false;
  draw_confirm();
  const reply = await act("page", { pictures, knew, seconds });
  is_sending = false;
  if (!reply) {
    on_screen.is_long_enough = true;
    draw_confirm();
  }
  return reply;
}

/**
 * @param {import("./state.js").Reply} reply
 * @param {import("./tiles.js").Tile[]} real
 * @param {number} n_missing
 */
function tell_of_page(reply, real, n_missing) {
  const n_changed = real.filter((tile) => tile.is_changed).length;
  const labels = has_bursts() ? bursts_of(reply.n_answered, reply.n_pictures)
    : plural(reply.n_answered, "picture");
  const missing = n_missing
    ? ` ${plural(n_missing, "picture")} could not be shown and got no label.` : "";
  const n_found = reply.n_planted - reply.n_missed;
  const found = n_found ? ` ${plural(n_found, "planted picture")} found.` : "";
  note_of(reply, `${labels} labelled, ${count(n_changed)} of them changed.${missing}${found}`);
}

/** @param {import("./state.js").Reply} reply @param {import("./tiles.js").Tile[]} sent */
function look_at_them_again({ n_missed, again }, sent) {
  const missed = sent.filter((tile) => tile.item.planted && !tile.is_changed);
  const were = n_missed === 1 ? "picture was" : "pictures were", n = again.length;
  const pages = n === 1 ? "this page" : `the last ${n} pages`;
  return sure(`${n_missed} planted ${were} passed over: ${pages} again?`, "Look again", "Go on",
    element("ul", { id: "missed" }, ...missed.map(missed_picture)),
    element("p", { class: "soft" }, "They were planted, and no label was harmed. Until somebody "
      + "looks at these pages again, the model learns nothing from them, and their labels count as "
      + "predictions."));
}

// A planted picture that was missed, and a button for a person who was right after all.
/** @param {import("./tiles.js").Tile} tile */
function missed_picture({ number, shown, item }) {
  const about = element("p", {}, `stood under ${quoted(shown)}, and is `,
    element("b", {}, label_of(item.label)));
  const mend = button(`No, it is ${quoted(shown)}`, async () => {
    if (!await act("say", { number, label: shown })) return;
    mend.replaceWith(`Now ${quoted(shown)}.`);
    by_id("sure-yes").focus();
  });
  return element("li", {}, thumb(number, { alt: item.name }), about, mend);
}

function draw() {
  const { tiles: all, chosen } = tiles, is_empty = !all.length;
  by_id("look").classList.toggle("over", is_empty && !is_fetching);
  by_id("look-nothing").hidden = !is_empty || is_fetching;
  if (is_empty && !is_fetching) draw_nothing();
  draw_confirm();
  by_id("look-count").textContent = is_empty ? "" : what_is_shown(all);
  by_id("plant").checked = now.state.plants;
  const is_choosing = chosen.size > 0 || is_naming;
  by_id("look-about").hidden = by_id("look-count").hidden = is_choosing;
  by_id("many").hidden = is_empty || (chosen.size > 0 && !is_many());
  by_id("leave-look").hidden = !("name" in which || which.among) || is_empty;
  by_id("leave-look").textContent = look.is_before_done ? "Write the files now"
    : look.is_of_seen ? "End the second look" : "Back to all classes";
  if (chosen.size) panel.show(chosen);
  else if (is_naming) panel.show_without("No picture is selected. Find or add a class:");
  else panel.place.hidden = true;
}

/** @param {import("./tiles.js").Tile[]} all */
function what_is_shown(all) {
  const n = plural(all.length, tile_noun());
  const n_changed = all.filter((tile) => tile.is_changed).length;
  const changed = n_changed ? `, ${count(n_changed)} changed` : "";
  if (look.is_before_done) return `Before the files are written: ${n} in doubt${changed}`;
  if (look.is_of_seen) return `Second look at ${n}${changed}`;
  const of = which.name === undefined ? "" : ` of ${class_of(which.name)}`;
  return `${n}${of} of ${count(left)} not yet seen${changed}`;
}

function draw_confirm() {
  const is_seen = on_screen.is_long_enough;
  const is_changed = tiles.tiles.some((tile) => tile.is_changed);
  const text = !is_seen ? "Look first …" : is_changed ? "The rest is right" : "All are right";
  by_id("rest-right").replaceChildren(element("span", {}, text), element("kbd", {}, "Enter"));
  by_id("rest-right").disabled = !tiles.tiles.length || !is_seen;
  by_id("rest-right").classList.toggle("early", !is_seen && tiles.tiles.length > 0);
}

// No picture is left in this choice of pictures. The main button goes on with pictures that nobody
// saw, then with a second look, then to the files.
function draw_nothing() {
  const left = n_unseen(), is_again = look.is_of_seen;
  const title = "name" in which ? `Every picture of ${class_of(which.name)} was seen`
    : is_again ? "The second look is over" : "Everything has been seen";
  const further = left ? `${plural(left, tile_noun())} nobody has seen yet.`
    : is_again ? "A check says how many of the labels that you saw are right."
    : "A second look shows what the model doubts most of all that was seen: "
      + "it finds most of what was overlooked. A check says how many are right.";
  const ways_on = [
    left && button(`Go on: ${count(left)} not yet seen`, () => look.begin()),
    now.state.seen && button("A second look", () => look.begin({ among: "seen" })),
    now.state.seen && button("Check 24 of the seen", () => begin_check("seen")),
    button("Done", () => by_id("done").click()),
  ].filter(Boolean);
  // A second look is not followed by another one.
  ways_on.at(left || !is_again ? 0 : -1).classList.add("main");
  by_id("look-nothing").replaceChildren(element("h3", {}, title), element("p", {}, further),
    element("div", { class: "beside" }, ...ways_on));
}

const n_unseen = () => now.state.total - now.state.seen;

/** @type {(name: string) => string} */
const class_of = (name) => (name === NONE ? "no class" : quoted(name));

/** @param {"rest" | "seen"} among */
export async function begin_check(among) {
  if (await act("check", { begin: true, among })) location.hash = "ask";
}

by_id("rest-right").addEventListener("click", once_each(the_rest_is_right, 600));
by_id("many").addEventListener("click", () => {
  by_id("many").setAttribute("aria-pressed", `${!is_many()}`);
});
by_id("leave-look").addEventListener("click", () => {
  if (look.is_before_done) write_now();
  else look.begin();
});
by_id("again").addEventListener("click", () => look.begin({ among: "seen" }));
by_id("plant").addEventListener("change", () => act("planting", { on: by_id("plant").checked }));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !by_id("look").hidden) begin_to_look();
});
panel.chooser.field.addEventListener("blur", () => {
  if (is_naming && !tiles.chosen.size) put_down();
});
by_id("look-tiles").parentElement.addEventListener("click", (event) => {
  // A click beside the tiles ends the choice. The chosen tiles keep their labels.
  if (!element_of(event).closest("button") && tiles.chosen.size) put_down();
});
