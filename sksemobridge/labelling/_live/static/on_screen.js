// @ts-check
// The time for which a page is on the screen, and whether it is long enough to look.

// Milliseconds that a page is on the screen before it can be confirmed.
const LOOK_FOR = 1500;

export class OnScreen {
  is_long_enough = false;
  // The time at which the whole page was painted.
  /** @type {number | null} */
  #since = null;
  #n_begun = 0;

  // `is_in_sight()` says whether the page is in sight. `changed()` is called whenever
  // `is_long_enough` changes.
  /** @param {() => boolean} is_in_sight @param {() => void} changed */
  constructor(is_in_sight, changed) {
    this.is_in_sight = is_in_sight;
    this.changed = changed;
  }

  get seconds() { return (performance.now() - this.#since) / 1000; }

  // Begin to measure the time, when a page with these images comes on the screen.
  /** @param {HTMLImageElement[]} images */
  async begin(images) {
    const n_begun = ++this.#n_begun, is_gone = () => n_begun !== this.#n_begun || document.hidden;
    this.#since = null;
    this.is_long_enough = false;
    this.changed();
    await Promise.all(images.map((image) => image.decode().catch(() => {})));
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    if (is_gone()) return;
    this.#since = performance.now();
    await new Promise((done) => { setTimeout(done, LOOK_FOR); });
    if (is_gone() || !this.is_in_sight()) return;
    this.is_long_enough = true;
    this.changed();
  }
}
