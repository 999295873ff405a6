// @ts-check
// "Done": disputed pictures, the written files, the next step, and the end of the program.
import { Chooser } from "./chooser.js";
import { button, by_id, element } from "../../_web/dom.js";
import { look_at_doubted } from "./look_through.js";
import { note, sure, ways } from "./notes.js";
import { thumb } from "./pictures.js";
import { act, end, has_bursts, now, see, tile_noun } from "./state.js";
import { count, label_of, plural, quoted } from "../../_web/words.js";

// The view to go back to.
let from = "ask";

/** @typedef {Pick<import("./state.js").Said, "files" | "further" | "written">} Shown */

/** @param {string} view */
export async function finish(view) {
  from = view;
  const reply = await see("disputed");
  if (!reply) return;
  if (reply.disputed.length) show_disputed(reply.disputed);
  else if (view === "finish" || !await look_at_doubted()) await write();
}

const back = () => button("Back to the pictures", () => { location.hash = from; });

/** @param {string} title @param {HTMLElement[]} body @param {HTMLElement[]} work */
function show(title, body, work) {
  by_id("finish-title").textContent = title;
  by_id("finish-body").replaceChildren(...body);
  by_id("finish-work").replaceChildren(...work);
  if (now.ended) document.body.classList.add("ended");
  document.body.dataset.view = location.hash = "finish";
  const views = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".view"));
  for (const section of views) section.hidden = section.id !== "finish";
  by_id("finish-title").focus();
}

/** @param {import("./state.js").Disputed[]} items */
function show_disputed(items) {
  const about = element("p", {}, "The last answer counts. Say what is right, or write the files.");
  show(`${plural(items.length, "picture")} with different answers`,
    [about, element("ul", { id: "disputed" }, ...items.map(disputed))],
    [button("Write the files", write, { class: "main" }), back()]);
}

/** @param {import("./state.js").Disputed} item */
function disputed(item) {
  const place = element("li", { class: "card" });
  const draw = (/** @type {string} */ label) => {
    const names = [...new Set(item.opinions.map(([, label]) => label))];
    const text = item.opinions.map(([who, opinion]) => `${who || "somebody"}: ${label_of(opinion)}`)
      .join(", ");
    const other = element("div", {});
    place.replaceChildren(thumb(item.number, { alt: item.name }), element("div", {},
      element("p", { class: "path" }, item.name), element("p", {}, text),
      element("div", { class: "beside" }, ...names.map((name) =>
        button(label_of(name), () => send_answer(name), { "aria-pressed": name === label }))), other));
    new Chooser(other, send_answer);
  };
  const send_answer = async (/** @type {string} */ label) => {
    const reply = await act("say", { number: item.number, label });
    if (reply) draw(reply.answer.label);
  };
  draw(item.label);
  return place;
}

ways.write = write;

async function write() {
  const { state } = now;
  // What was said in another view, such as of labels in doubt, is over.
  note("");
  const left = state.total - state.seen;
  show("Writing the files …", [element("p", { class: "soft" },
    `${plural(state.labelled, has_bursts() ? "burst" : "label")} by you, `
      + `${plural(left, tile_noun())} that nobody saw.`)], []);
  const reply = await act("done");
  if (reply) return show_files(reply);
  // The alert above says why.
  show("The files were not written",
    [element("p", {}, `Nothing is lost: each answer is kept in ${state.answers}.`)],
    [button("Try again", write, { class: "main" }), back()]);
}

// Outputs that a person may ask for at the end.
/** @type {Record<string, (value: string) => [text: string, about: string]>} */
const FURTHER = {
  sort_into: (folder) => ["Sort into folders",
    `Copies of the pictures in ${quoted(folder)}, a folder for each label.`],
  sidecars: () => ["Write sidecars", "The label of a.jpg in a.jpg.xmp beside it, for digiKam, "
    + "darktable and Immich. No picture is changed."],
};

/** @param {string} name @param {Shown} shown */
async function also(name, shown) {
  show("Writing the files …", [], []);
  // If the request was refused, the alert above says why.
  show_files(await act("also", { name }) ?? shown);
}

/** @param {Shown} shown */
function further_files(shown) {
  return Object.entries(shown.further).map(([name, value]) => {
    const [text, about] = FURTHER[name](value);
    return element("li", {}, button(text, () => also(name, shown)),
      element("span", { class: "soft" }, about));
  });
}

/** @param {Shown} shown */
function show_files(shown) {
  const { written, files } = shown;
  const links = files.map(file_link);
  show(now.ended ? "Done: the files are written, and the program has ended"
    : "Done: the files are written", [
    element("ul", { id: "files" }, ...links),
    ...(now.ended ? [] : [element("ul", { id: "further" }, ...further_files(shown))]),
    element("h3", {}, "What next?"),
    element("p", {}, next_step(files)),
    element("p", { class: "soft" }, now.ended
      ? "To go on later, run the same command again: it knows your answers, and asks for new "
        + "pictures only. You may close this page."
      : "You can go on, and write the files again. “End” ends the program, as Ctrl-C does."),
    element("h3", {}, "What the program says"),
    element("ul", { class: "soft lines" }, ...written.map((line) => element("li", {}, line))),
  ], now.ended ? [] : [back(), button("End", end_program, { id: "end" })]);
}

async function end_program() {
  const { others } = now.state;
  const are = others === 1 ? "Another page is" : `${count(others)} other pages are`;
  if (others && !await sure(`${are} open. End the program for all?`, "End it")) return;
  const reply = await act("end");
  if (reply) show_end(reply);
}

// Show the end, also after Ctrl-C, or after another page ended the program.
/** @param {Shown} reply */
export function show_end(reply) {
  if (now.ended) return;
  end();
  show_files(reply);
}

/** @type {Record<string, string>} */
const WHAT = {
  table: "the table: a row for each picture",
  report: "the report: all pictures by label, in one file for any browser",
  classifier: "the classifier, for new pictures",
  sidecars: "the label of a.jpg in a.jpg.xmp beside it, for each picture",
  folder: "copies of the pictures, a folder for each label",
};

// The program may have ended, so the page itself holds the content of linked files.
/** @param {import("./state.js").WrittenFile} file */
function file_link({ what, path, name, media, content }) {
  const about = element("span", { class: "soft" }, WHAT[what]);
  const where = element("span", { class: "path" }, path);
  if (content === null) return element("li", {}, element("b", {}, name), about, where);
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const href = URL.createObjectURL(new Blob([bytes], { type: media }));
  return element("li", {}, element("a", { href, download: name }, name), about, where);
}

/** @param {import("./state.js").WrittenFile[]} files */
function next_step(files) {
  const table = files.find(({ what }) => what === "table");
  if (!table) return "The files are where you asked for them.";
  if (now.state.labelled >= now.state.total) {
    return `Open ${quoted(table.name)} in a spreadsheet: every label is by you.`;
  }
  return `Open ${quoted(table.name)} in a spreadsheet: sort by probability to see the least `
    + "certain labels, and by label to see how many there are of each.";
}
