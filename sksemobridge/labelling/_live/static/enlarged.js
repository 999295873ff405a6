// @ts-check
// The dialog with a picture as large as it fits.
import { like_address } from "./chosen.js";
import { by_id } from "../../_web/dom.js";
import { burst_buttons, large } from "./pictures.js";
import { now } from "./state.js";

// Show a picture as large as it fits, with the other pictures of its burst. A click or Escape
// closes the dialog.
/** @param {{ number: number, name: string, burst?: number[] }} item */
export function enlarge(item) {
  const { burst = [] } = item;
  const show = (/** @type {number} */ number) => { by_id("large-picture").src = large(number); };
  show(item.number);
  by_id("large-picture").alt = item.name;
  by_id("large").lastElementChild.textContent = item.name;
  by_id("large-like").setAttribute("href", like_address([item.number]));
  by_id("large-like").hidden = now.state.stage === "names";
  by_id("large-burst").hidden = burst.length < 2;
  by_id("large-burst").replaceChildren(...burst_buttons(burst, item.number, show));
  if (!by_id("large").open) by_id("large").showModal();
}

by_id("large").addEventListener("click", () => by_id("large").close());
by_id("large").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) {
    const all = /** @type {HTMLElement[]} */ ([...by_id("large-burst").children]);
    const next = all[all.findIndex((one) => one.matches("[aria-pressed=true]")) + step];
    next?.click();
    next?.focus();
    event.preventDefault();
  } else if ([".", " ", "Enter", "Escape"].includes(event.key)) {
    by_id("large").close();
    event.preventDefault();
  }
});
