// @ts-check
// The choice of a class: by its key, by letters, or from the list of all classes.
import { element } from "../../_web/dom.js";
import { class_keys, is_letter } from "./keys.js";
import { once_each } from "./presses.js";
import { now } from "./state.js";
import { NONE, comparable, label_of } from "../../_web/words.js";

// Largest number of likely classes that have a digit, and the least probability of such a class.
const N_LIKELY = 5;
const LEAST_SHARE = 0.005;
let n_made = 0;

/** @typedef {{ value: string, text: string }} Choice */

export class Chooser {
  /** @type {Map<string, string>} */
  digits = new Map();
  /** @type {string | null} */
  label = null;
  /** @type {string | undefined} */
  first;
  /** @type {Choice[]} */
  options = [];
  active = -1;

  // `choose(label)` is called with the chosen class, `leave()` after Escape.
  /**
   * @param {HTMLElement} place
   * @param {(label: string) => void} choose
   * @param {() => void} leave
   */
  constructor(place, choose, leave = () => {}) {
    this.choose = choose;
    this.leave = leave;
    this.prefix = `choice-${++n_made}`;
    const { prefix } = this;
    this.field = element("input", {
      id: `${prefix}-field`, class: "find", role: "combobox", autocomplete: "off", maxlength: 100,
      "aria-expanded": "false", "aria-controls": `${prefix}-found`, "aria-autocomplete": "list",
      placeholder: "Letters find or add a class", "aria-label": "Find or add a class",
      enterkeyhint: "done",
      input: () => this.#search(-1), focus: () => this.#search(-1), blur: () => this.#close(),
      keydown: (event) => this.#key_in_field(event),
    });
    this.found = element("ul", {
      id: `${prefix}-found`, class: "found", role: "listbox", "aria-label": "Classes", hidden: "",
    });
    this.likely = element("div",
      { class: "likely", role: "group", "aria-label": "Likely classes" });
    const pick = once_each(() => this.#pick(NONE));
    this.none = element("button", { type: "button", class: "choice", click: pick },
      element("kbd", {}, "0"), element("span", { class: "what" }, "None of these"));
    place.classList.add("chooser");
    place.append(this.field, this.found, this.likely, this.none);
  }

  // Offer the `likely` classes of a picture. `label` is the current label of the picture, `first`
  // the likeliest class.
  /**
   * @param {{ likely: import("./state.js").Likely, label?: string | null, first?: string }} item
   */
  show({ likely, label = null, first = likely[0]?.[0] }) {
    this.label = label;
    this.first = first;
    // Classes with "0 %" are left out, unless there are few classes. The label of the picture and
    // the first class stay.
    const is_few = now.state.classes.length <= N_LIKELY;
    const shares = new Map(likely.filter(([name, share]) =>
      is_few || share === null || share >= LEAST_SHARE || name === label || name === first)
      .slice(0, N_LIKELY));
    this.digits = class_keys.assign([...shares.keys()]);
    // Buttons are used again, so that the focused button keeps the focus.
    const rows = [...this.digits];
    while (this.likely.childElementCount < rows.length) {
      const i = this.likely.childElementCount;
      const pick = once_each(() => this.#pick([...this.digits.values()][i]));
      this.likely.append(element("button", { type: "button", class: "choice", click: pick }));
    }
    [.../** @type {Iterable<HTMLElement>} */ (this.likely.children)].forEach((button, i) => {
      button.hidden = i >= rows.length;
      if (button.hidden) return;
      const [digit, name] = rows[i], share = shares.get(name);
      const text = share === null ? "new" : `${Math.round(100 * share)} %`;
      button.replaceChildren(element("kbd", {}, digit), element("span", { class: "what" }, name),
        element("span", { class: "share" }, text));
      button.style.setProperty("--share", `${share ?? 0}`);
      button.classList.toggle("first", name === first);
      button.setAttribute("aria-pressed", `${label === name}`);
    });
    this.none.setAttribute("aria-pressed", `${label === NONE}`);
    if (!this.found.hidden) this.#search(this.active);
  }

  // Take a key, and return whether the key is done with.
  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "0" || this.digits.has(event.key)) {
      if (!event.repeat) this.#pick(event.key === "0" ? NONE : this.digits.get(event.key));
      return true;
    }
    if (event.key === "/") {
      this.field.focus();
      return true;
    }
    // The browser then types the letter into the field.
    if (is_letter(event.key)) this.field.focus();
    return false;
  }

  clear() {
    this.field.value = "";
    if (document.activeElement === this.field) this.field.blur();
    this.#close();
  }

  /** @param {string} label */
  #pick(label) {
    this.clear();
    this.choose(label);
  }

  /** @param {KeyboardEvent} event */
  #key_in_field(event) {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], n = this.options.length;
    if (event.key === "Escape") {
      this.clear();
      this.leave();
    } else if (event.key === "Enter") {
      if (!event.repeat && this.active >= 0) this.#pick(this.options[this.active].value);
    } else if (step && n) {
      this.#search(this.active < 0 && step < 0 ? n - 1 : (this.active + step + n) % n);
    } else {
      return;
    }
    event.preventDefault();
  }

  // Show classes whose name has the typed text, then an option to add a class. Without a text, show
  // all classes.
  /** @param {number} active */
  #search(active) {
    this.options = matches(this.field.value, [...this.digits.values()]);
    // With nothing typed, Enter chooses only an option that the arrow keys reached.
    this.active = this.field.value.trim() ? Math.max(active, 0) : active;
    this.likely.hidden = this.none.hidden = true;
    this.found.hidden = false;
    this.field.setAttribute("aria-expanded", "true");
    this.found.replaceChildren(...this.options.map(({ value, text }, i) => element("li", {
      role: "option", id: `${this.prefix}-${i}`, "aria-selected": i === this.active,
      click: () => this.#pick(value),
    }, text)));
    if (this.active < 0) this.field.removeAttribute("aria-activedescendant");
    else this.field.setAttribute("aria-activedescendant", `${this.prefix}-${this.active}`);
    this.found.children[this.active]?.scrollIntoView({ block: "nearest" });
  }

  #close() {
    this.found.hidden = true;
    this.likely.hidden = this.none.hidden = false;
    this.found.replaceChildren();
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
  }
}

/** @param {string} typed @param {string[]} likely @returns {Choice[]} */
function matches(typed, likely) {
  const wanted = comparable(typed), names = now.state.classes;
  if (!wanted) {
    const rest = names.filter((name) => !likely.includes(name));
    return [...likely, ...rest, NONE].map((value) => ({ value, text: label_of(value) }));
  }
  const found = [...names, NONE].map((value) => ({ value, text: label_of(value) }))
    .map((option) => ({ ...option, at: ` ${comparable(option.text)}`.indexOf(wanted) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => rank(a, wanted) - rank(b, wanted));
  if (found.some(({ text }) => comparable(text) === wanted)) return found;
  return [...found, { value: typed.trim(), text: `Add “${typed.trim()}” as a class` }];
}

// The rank of a match: the whole name first, then the beginning of a name, then the beginning of a
// word, then the rest.
/** @param {Choice & { at: number }} option @param {string} wanted */
function rank({ text, at }, wanted) {
  const name = comparable(text);
  return name === wanted ? 0 : at === 1 ? 1 : ` ${name}`.includes(` ${wanted}`) ? 2 : 3;
}
