// @ts-check
// The live page: the view in sight, and the parts that all views share.
import { who } from "./api.js";
import { ask } from "./ask.js";
import { classes } from "./classes.js";
import { by_id, element } from "../../_web/dom.js";
import { find } from "./find.js";
import { finish, show_end } from "./finish.js";
import { SIDES, choose_side, usual_side } from "./fit.js";
import { folder_names } from "./folder_names.js";
import { HELP, listen } from "./keys.js";
import { begin_check, look } from "./look_through.js";
import { note, tell_of_strangers, ways } from "./notes.js";
import { after_press, keep_focus, once_each } from "./presses.js";
import { draw_progress } from "./progress.js";
import { act, now, on_reply, see } from "./state.js";

/**
 * @type {Record<string, {
 *   open?: () => void, draw?: () => void, key?: (event: KeyboardEvent) => boolean }>}
 */
const VIEWS = { names: folder_names, ask, look, find, classes, finish: {} };
const in_sight = () => document.body.dataset.view;

// The view that the address names. A visit never begins with the view "finish".
function wanted() {
  const [id] = location.hash.slice(1).split("/");
  if (id === "finish" && in_sight() === "finish") return "finish";
  if (now.state.stage === "names") return "names";
  return id in VIEWS && id !== "finish" ? id : "look";
}

function route() {
  if (!now.state || now.ended) return;
  const id = wanted(), is_new = id !== in_sight();
  document.body.dataset.view = id;
  for (const name of Object.keys(VIEWS)) by_id(name).hidden = name !== id;
  for (const link of by_id("views").children) {
    if (link.getAttribute("href") === `#${id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  by_id("views").hidden = now.state.stage === "names";
  if (is_new && document.activeElement?.closest("[hidden]")) document.querySelector("main").focus();
  VIEWS[id].open?.();
}

on_reply((reply) => {
  if (reply.ended) return show_end(reply.ended);
  ask.take(reply);
  look.take(reply);
  tell_of_strangers(reply);
  if (reply.title) {
    document.title = by_id("title").textContent = reply.title;
  }
  draw_progress();
  if (wanted() !== in_sight()) route();
  else after_press(() => VIEWS[in_sight()].draw?.());
});

async function undo() {
  const reply = await act("undo");
  if (!reply) return;
  const { kind, what, items } = reply.undone;
  ask.forget(items.map(({ number }) => number));
  note(`Undone: ${what}`);
  if (kind === "page" && in_sight() === "look") look.show_again(items);
  else if (kind === "say" && in_sight() === "ask" && items.length) ask.show_again(items[0]);
}

function open_who() {
  by_id("who-name").value = who.name;
  by_id("who-dialog").showModal();
}

function draw_who() {
  by_id("who").textContent = who.name || "Your name";
  by_id("who").title = who.name ? `You are ${who.name}. Change it` : "Kept with your answers";
}

// Draw the size of tiles. The number of pages that are left depends on it.
function draw_size() {
  Object.assign(by_id("size"), SIDES, { value: usual_side() });
  document.body.style.setProperty("--usual", `${usual_side()}px`);
  if (now.state) draw_progress();
}

ways.undo = undo;
ways.show_strangers = () => look.begin({ name: "" });
by_id("undo").addEventListener("click", once_each(undo));
by_id("done").addEventListener("click", once_each(() => finish(in_sight())));
by_id("arrived").addEventListener("click", once_each(() => {
  note("The new pictures are read. Then the page is loaded again.");
  act("read_new");
}));
by_id("check").addEventListener("click", () => begin_check("rest"));
by_id("who").addEventListener("click", open_who);
by_id("who-dialog").addEventListener("submit", (event) => {
  const pressed = /** @type {HTMLButtonElement} */ (event.submitter);
  if (pressed.value === "ok") who.name = by_id("who-name").value;
  draw_who();
});
by_id("help").addEventListener("click", () => by_id("help-dialog").showModal());
by_id("help-keys").append(...HELP.flatMap(([key, what]) =>
  [element("dt", {}, element("kbd", {}, key)), element("dd", {}, what)]));
addEventListener("hashchange", route);
addEventListener("resize", draw_size);
by_id("size").addEventListener("input", () => choose_side(Number(by_id("size").value)));
keep_focus();
listen(() => VIEWS[in_sight()], undo);
draw_who();
draw_size();
await see("state");
document.body.removeAttribute("aria-busy");
