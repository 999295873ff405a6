// How large tiles are, so that all of a page fit without scrolling.

// Pixels between tiles, and of a heading, as in the style sheet.
const GAP = 8;
// Pixels between groups that stand beside each other.
const GROUP_GAP = 16;
// Pixels of a heading, with what is below it.
const HEADING = 28;
// Pixels of the side of a tile: more does not help, as small pictures have 160.
const LARGEST = 176;
// Pixels of the side of a tile: a finger needs it, and an eye.
const SMALLEST = 64;
// Pixels of the side of a tile, by which the number of tiles of a page is found.
const USUAL = 104;
// The same on a phone, which is held closer, and the width below which this is one.
const USUAL_ON_PHONE = 92;
const PHONE = 640;
// Pixels of the panel with all gaps, and of a view below which it stands under the tiles.
const PANEL = 350;
const NARROW = 900;
// Pixels of what stands above and below the tiles.
const ABOVE = 32;
// Numbers of tiles, of which the largest that fits is taken. They divide well into groups.
const SIZES = [60, 48, 36, 30, 24, 18, 15, 12, 9, 6];

// How many tiles a page has here.
export function how_many_fit(place) {
  const { width, height } = room(place);
  const side = width < PHONE ? USUAL_ON_PHONE : USUAL;
  const columns = Math.floor((width + GAP) / (side + GAP));
  // There is a heading for every row or two.
  const rows = Math.floor(height / (side + GAP + HEADING / 2));
  return SIZES.find((size) => size <= columns * rows) ?? SIZES.at(-1);
}

// Lay out groups with these numbers of tiles: as large as they fit.
export function fit(place, sizes) {
  const { width, height } = room(place);
  let best = { side: SMALLEST, rows: 1, columns: Math.floor((width + GAP) / (SMALLEST + GAP)) };
  for (let side = LARGEST; side >= SMALLEST; side -= 4) {
    const columns = Math.max(1, Math.floor((width + GAP) / (side + GAP)));
    // Groups of few rows are easier to read.
    const rows = [1, 2, 3, 4].find((n) => height_of(sizes, width, columns, n, side) <= height);
    if (!rows) continue;
    best = { side, rows, columns };
    break;
  }
  place.style.setProperty("--side", `${best.side}px`);
  [...place.children].forEach((group, i) => {
    group.style.setProperty("--columns", width_of(sizes[i], best.columns, best.rows));
  });
}

const width_of = (size, columns, rows) => Math.min(columns, Math.ceil(size / rows));

// Height of groups beside each other, where there is room, each with so many rows.
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
function room(place) {
  const stage = place.parentElement, main = place.closest("main");
  // While another view is in sight: about what it will have.
  if (!stage.clientWidth) {
    const { clientWidth, clientHeight } = main, is_wide = clientWidth >= NARROW;
    const width = clientWidth - (is_wide ? PANEL : ABOVE);
    return { width, height: clientHeight - (is_wide ? ABOVE : 3 * ABOVE) };
  }
  const style = getComputedStyle(stage);
  const pad = (...sides) => sides.reduce((sum, side) => sum + parseFloat(style[side]), 0);
  return {
    width: stage.clientWidth - pad("paddingLeft", "paddingRight"),
    height: stage.clientHeight - pad("paddingTop", "paddingBottom"),
  };
}
