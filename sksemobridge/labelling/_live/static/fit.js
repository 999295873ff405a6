// @ts-check
// The size of tiles, such that a whole page fits without scrolling.

// Pixels between tiles, as in the style sheet.
const GAP = 8;
// Pixels between groups that stand beside each other.
const GROUP_GAP = 16;
// Pixels of a heading, with the space below it.
const HEADING = 28;
// Pixels of the side of a tile, which decides how many tiles a page has: usually, on a phone, which
// is held closer, and the range from which a person may choose.
const USUAL = 104;
const USUAL_ON_PHONE = 92;
export const SIDES = { min: 72, max: 240, step: 16 };
// The width below which a screen is a phone.
const PHONE = 640;
// Largest and smallest factor of the side, such that all tiles of a page fit.
const LARGEST = 1.7;
const SMALLEST = 0.85;
// Numbers of rows of a group that are tried. With few rows alone, tiles would not fill the room.
const ROWS = [1, 2, 3, 4, 5, 6, 7, 8];
// Pixels of the side of a tile up to which a small picture, with 160 pixels, is sharp enough.
export const SHARP = 176;
// Pixels of the panel with all gaps, and the width of a view below which the panel is under the
// tiles.
const PANEL = 350;
const NARROW = 900;
// Pixels above and below the tiles.
const ABOVE = 32;
// Numbers of tiles of a page. The largest that fits is taken. All divide well into groups.
const SIZES = [60, 48, 36, 30, 24, 18, 15, 12, 9, 6];

// The side of a tile: the choice of the person, or the default.
export const usual_side = () =>
  Number(localStorage.side) || (innerWidth < PHONE ? USUAL_ON_PHONE : USUAL);

// Change the size of tiles, now and for later visits. Listeners of "resize" draw the new size.
/** @param {number} side */
export function choose_side(side) {
  localStorage.side = Math.min(Math.max(side, SIDES.min), SIDES.max);
  dispatchEvent(new Event("resize"));
}

// The number of tiles of a page that fit into a place.
/** @param {HTMLElement} place */
export function how_many_fit(place) {
  const { width, height } = room(place), side = usual_side();
  const columns = Math.floor((width + GAP) / (side + GAP));
  // About every second row has a heading.
  const rows = Math.floor(height / (side + GAP + HEADING / 2));
  return SIZES.find((size) => size <= columns * rows) ?? SIZES.at(-1);
}

// Lay out groups with these numbers of tiles, as large as they fit.
/** @param {HTMLElement} place @param {number[]} sizes */
export function fit(place, sizes) {
  const { width, height } = room(place);
  /** @type {(side: number) => number} */
  const columns_of = (side) => Math.max(1, Math.floor((width + GAP) / (side + GAP)));
  // Groups of few rows are easier to read.
  const in_rows = (/** @type {number} */ side) => ROWS.map((rows) =>
    ({ side, rows, height: height_of(sizes, width, columns_of(side), rows, side) }));
  const smallest = Math.round(SMALLEST * usual_side());
  let best = null;
  for (let side = Math.round(LARGEST * usual_side()); side > smallest && !best; side -= 1) {
    best = in_rows(side).find((one) => one.height <= height);
  }
  // If tiles do not fit, scroll as little as possible.
  best ??= in_rows(smallest).reduce((a, b) => (b.height < a.height ? b : a));
  place.style.setProperty("--side", `${best.side}px`);
  [.../** @type {Iterable<HTMLElement>} */ (place.children)].forEach((group, i) => {
    const columns = width_of(sizes[i], columns_of(best.side), best.rows);
    group.style.setProperty("--columns", `${columns}`);
  });
  return best.side;
}

/** @type {(size: number, columns: number, rows: number) => number} */
const width_of = (size, columns, rows) => Math.min(columns, Math.ceil(size / rows));

// Height of groups of `rows` rows each. Groups are beside each other if there is room.
/**
 * @param {number[]} sizes
 * @param {number} width
 * @param {number} columns
 * @param {number} rows
 * @param {number} side
 */
function height_of(sizes, width, columns, rows, side) {
  let height = 0, used = Infinity, tallest = 0;
  for (const size of sizes) {
    const across = width_of(size, columns, rows), wide = across * (side + GAP) - GAP;
    if (used + wide > width) {
      height += tallest;
      used = tallest = 0;
    }
    used += wide + GROUP_GAP;
    tallest = Math.max(tallest, HEADING + Math.ceil(size / across) * (side + GAP));
  }
  return height + tallest;
}

// Width and height for tiles.
/** @param {HTMLElement} place */
function room(place) {
  const stage = place.parentElement, main = place.closest("main");
  // While another view is in sight, the room is estimated.
  if (!stage.clientWidth) {
    const { clientWidth, clientHeight } = main, is_wide = clientWidth >= NARROW;
    const width = clientWidth - (is_wide ? PANEL : ABOVE);
    return { width, height: clientHeight - (is_wide ? ABOVE : 3 * ABOVE) };
  }
  const style = getComputedStyle(stage);
  const [left, right, top, bottom] =
    [style.paddingLeft, style.paddingRight, style.paddingTop, style.paddingBottom].map(parseFloat);
  return {
    width: stage.clientWidth - left - right,
    height: stage.clientHeight - top - bottom,
  };
}
