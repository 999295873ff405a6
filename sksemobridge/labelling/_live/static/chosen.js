// @ts-check
// The panel that asks for the class of the chosen tiles.
import { Chooser } from "./chooser.js";
import { button, by_id, element } from "../../_web/dom.js";
import { small } from "./pictures.js";
import { count } from "../../_web/words.js";

// The address of a search for pictures like these.
/** @type {(numbers: number[]) => string} */
export const like_address = (numbers) => `#find/${numbers}`;

export class ChosenPanel {
  // A panel in the view `name`. `choose` and `leave` are callbacks of a `Chooser`. With
  // `leave_text`, a button with this text calls `leave`, too.
  /**
   * @param {string} name
   * @param {(label: string) => void} choose
   * @param {() => void} leave
   * @param {string | null} leave_text
   */
  constructor(name, choose, leave, leave_text = null) {
    this.place = by_id(`${name}-chosen`);
    this.question = element("h3", { id: `${name}-question` });
    this.picture = element("img", { class: "question-picture", alt: "" });
    this.like = element("a", { class: "like", href: "#find" });
    const place = element("div", { id: `${name}-chooser` });
    this.chooser = new Chooser(place, choose, leave);
    this.place.append(element("div", { class: "chosen-head" }, this.picture, this.question),
      this.like, place, ...(leave_text ? [button(leave_text, leave)] : []));
  }

  // Ask for the class of these tiles.
  /** @param {Set<import("./tiles.js").Tile>} tiles */
  show(tiles) {
    const [first] = tiles, n = tiles.size, noun = first.is_burst ? "burst" : "picture";
    this.question.textContent = n === 1 ? `What is this ${noun}?`
      : `What are these ${count(n)} ${noun}s?`;
    const address = small(first.number);
    if (this.picture.getAttribute("src") !== address) this.picture.src = address;
    this.like.textContent = n === 1 ? "More like this" : "More like these";
    this.like.setAttribute("href", like_address([...tiles].map(({ number }) => number)));
    this.like.hidden = false;
    this.chooser.show(
      { likely: first.item.likely, label: first.label, first: first.likeliest_other });
    this.place.hidden = false;
  }

  // Ask for a class without a chosen tile.
  /** @param {string} question */
  show_without(question) {
    this.question.textContent = question;
    this.picture.removeAttribute("src");
    this.like.hidden = true;
    this.chooser.show({ likely: [] });
    this.place.hidden = false;
  }

  hide() {
    this.place.hidden = true;
    this.chooser.clear();
  }
}
