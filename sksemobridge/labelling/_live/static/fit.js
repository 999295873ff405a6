// @ts-check
// How large tiles are, so that all of a page fit without scrolling.

// Pixels between tiles, and of a heading, as in the style sheet.
const GAP = 8;
// Pixels between groups that stand beside each other.
const GROUP_GAP = 16;
// Pixels of a heading, with what is below it.
const HEADING = 28;
// Pixels of the side of a tile, by which the number of tiles of a page is found: usual ones, those
// on a phone, which is held closer, and what a person may choose.
const USUAL = 104;
const USUAL_ON_PHONE = 92;
export const SIDES = { min: 72, max: 240, step: 16 };
// The width below which a screen is a phone.
const PHONE = 640;
// Tiles of a page are that much larger or smaller, so that all fit.
const LARGEST = 1.7;
const SMALLEST = 0.85;
// Rows of a group that are tried: with few of them alone, tiles would be smaller than there is room.
const ROWS = [1, 2, 3, 4, 5, 6, 7, 8];
// Pixels of the side of a tile up to which small pictures, of 160, are sharp enough.
export const SHARP = 176;
// Pixels of the panel with all gaps, and of a view below which it stands under the tiles.
const PANEL = 350;
const NARROW = 900;
// Pixels of what stands above and below the tiles.
const ABOVE = 32;
// Numbers of tiles, of which the largest that fits is taken. They divide well into groups.
const SIZES = [60, 48, 36, 30, 24, 18, 15, 12, 9, 6];

// The usual side of a tile, which a person may choose.
export const usual_side = () =>
  Number(localStorage.side) || (innerWidth < PHONE ? USUAL_ON_PHONE : USUAL);

// Have tiles of another size, now and later. All that depends on it listens to "resize".
/** @param {number} side */
export function choose_side(side) {
  localStorage.side = Math.min(Math.max(side, SIDES.min), SIDES.max);
  dispatchEvent(new Event("resize"));
}

// How many tiles a page has here.
/** @param {HTMLElement} place */
export function how_many_fit(place) {
  const { width, height } = room(place), side = usual_side();
  const columns = Math.floor((width + GAP) / (side + GAP));
  // There is a heading for every row or two.
  const rows = Math.floor(height / (side + GAP + HEADING / 2));
  return SIZES.find((size) => size <= columns * rows) ?? SIZES.at(-1);
}

// Lay out groups with these numbers of tiles: as large as they fit.
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
  // Where one has to scroll, as little as possible.
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

// Height of groups beside each other, where there is room, each with so many rows.
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
  // While another view is in sight: about what it will have.
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
