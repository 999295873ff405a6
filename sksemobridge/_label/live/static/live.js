"use strict";
// Texts from the server go into the page by textContent alone, so that no name of a file or class becomes markup.
const byId = (id) => document.getElementById(id);
const NONE = "", N_FOUND = 8, SOON = 400, NOW_AND_THEN = 3000, PATIENCE = 20000;
// Of this tab, also when it is loaded again.
const tab = sessionStorage.tab ??= `${Date.now()}-${Math.random()}`;
// What this tab said, by the number of the picture.
const mine = new Map();
let state = null, current = null, busy = false, ended = false, timer = 0, shown_at = 0, options = [], active = 0;

const percent = (share) => (100 * share).toFixed(1);
const count = (n) => n.toLocaleString("en");
const label_of = (label) => (label === NONE ? "none of these" : label);
const note = (text) => { byId("note").textContent = text; };

function warn(text) {
  byId("alert").textContent = text;
  byId("alert").hidden = !text;
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Ask the server. Null if it said no, or nothing: then the page says why, and nothing else changes.
async function ask(action, values) {
  const since = state?.changes ?? null;
  // Writing all files may take long. Nothing else does, unless a tunnel is closed.
  const wait = action === "done" ? {} : { signal: AbortSignal.timeout(PATIENCE) };
  const body = JSON.stringify({ tab, since, ...values });
  try {
    const response = await fetch(`/${action}`, { method: "POST", headers: { "Content-Type": "application/json" }, body, ...wait });
    if (response.status === 403) throw new Error("This page is of an earlier run.");
    const answer = await response.json();
    warn(answer.failed ?? answer.problem);
    return response.ok ? answer : null;
  } catch (error) {
    const kept = state ? ` What it confirmed is kept in ${state.answers}.` : "";
    warn(`The program does not answer.${kept} If it has ended, run the same command again and open its new address.`);
    return null;
  }
}

// Do something, and go on to the next picture if it was about the one that is shown.
async function act(action, values, goes_on) {
  if (busy || ended) return null;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  const answer = await ask(action, values);
  busy = false;
  document.body.removeAttribute("aria-busy");
  if (answer && goes_on) current = null;
  if (answer && !ended) take(answer);
  return answer;
}

// Keep a new state, and go on if the picture was labelled elsewhere.
function take(answer) {
  state = answer;
  for (const { number, name, label } of state.news) {
    const said = label === null ? "took back what was said" : `said “${label_of(label)}”`;
    if (mine.has(number) && mine.get(number) !== label) note(`Another tab ${said} of ${name}, after “${label_of(mine.get(number))}” here.`);
    else if (current?.number === number) note(`Another tab ${said} of ${name}.`);
    mine.delete(number);
    if (current?.number === number) current = null;
  }
  const waiting = state.check?.queue.length ? state.check.queue : state.queue;
  // Whoever looks at a picture presses what it offers now, whatever the model learnt meanwhile.
  if (!current) show(waiting[0] ?? null);
  draw(waiting);
  clearTimeout(timer);
  timer = setTimeout(poll, state.learning ? SOON : NOW_AND_THEN);
}

function show(item) {
  current = item;
  shown_at = Date.now();
}

async function poll() {
  if (!busy && !ended) {
    const answer = await ask("state");
    if (answer && !busy && !ended) return take(answer);
  }
  timer = setTimeout(poll, NOW_AND_THEN);
}

function draw(waiting) {
  const rest = state.rest && `, about ${percent(state.rest[0])} % of the rest are right (${percent(state.rest[1])} to ${percent(state.rest[2])})`;
  byId("progress").textContent = `labelled ${count(state.labelled)} of ${count(state.total)}${rest ?? ""}${state.learning ? " · learning …" : ""}`;
  draw_check();
  byId("answers").textContent = state.answers;
  byId("now").hidden = !current;
  if (!current) note("All pictures have a label by you, or cannot be shown.");
  else draw_picture();
  byId("recent").replaceChildren(...state.recent.map((item) => {
    const button = element("button", "", { type: "button", "aria-label": `${item.name}: ${label_of(item.label)}. Change it` });
    button.append(element("img", "", { src: `/picture/${item.number}?small`, alt: "" }), element("span", label_of(item.label)));
    button.addEventListener("click", () => show_again(item));
    return button;
  }));
  for (const item of waiting.slice(0, 4)) new Image().src = `/picture/${item.number}`;
}

function draw_check() {
  const { check } = state, is_open = check?.queue.length > 0;
  byId("check").textContent = is_open ? "End the check" : "Check 30 at random";
  byId("checked").hidden = !check;
  if (!check) return;
  const [low, high] = check.interval.map(percent);
  const found = check.done ? `${check.right} right, so ${low} to ${high} % of the rest were right when the check began` : "each is a label too";
  byId("checked").textContent = `Check: ${check.done} of ${check.drawn} seen, ${found}`;
}

function choices() {
  const others = current.likely.filter(([label]) => label !== current.predicted);
  const first = current.likely.find(([label]) => label === current.predicted);
  // In a check, key 1 confirms.
  return state.check?.queue.length && first ? [first, ...others] : current.likely;
}

function draw_picture() {
  const in_check = state.check?.queue.some((item) => item.number === current.number);
  // A check is of random pictures, not of easy ones.
  byId("later").hidden = in_check;
  const said = current.label === null ? "" : ` You said “${label_of(current.label)}”.`;
  const question = in_check ? `Check: is this “${label_of(current.predicted)}”?` : "What is this?";
  if (byId("question").textContent !== question + said) byId("question").textContent = question + said;
  byId("name").textContent = current.name;
  const address = `/picture/${current.number}`, picture = byId("picture");
  if (picture.getAttribute("src") !== address) {
    picture.src = address;
    picture.alt = current.name;
    active = 0;
  }
  const place = byId("likely"), likely = choices();
  // Buttons stay, so that one keeps the focus.
  while (place.childElementCount < likely.length) {
    const button = element("button", "", { type: "button" }), i = place.childElementCount;
    button.addEventListener("click", (event) => {
      // The second half of a double click is not meant for the next picture.
      if (event.detail < 2 || Date.now() - shown_at > 300) label(choices()[i][0]);
    });
    place.append(button);
  }
  [...place.children].forEach((button, i) => {
    button.hidden = i >= likely.length;
    if (button.hidden) return;
    const [name, share] = likely[i];
    button.replaceChildren(element("kbd", i + 1), ` ${name} `, element("span", share === null ? "new" : `${Math.round(100 * share)} %`));
    button.setAttribute("aria-pressed", current.label === name);
  });
  byId("none").setAttribute("aria-pressed", current.label === NONE);
}

async function label(text) {
  if (!current) return;
  const { number, name } = current;
  const answer = await act("say", { number, label: text }, true);
  if (!answer) return;
  const said = answer.said.label;
  mine.set(number, said);
  note([`${name}: ${label_of(said)}`, ...answer.notes].join(" · "));
}

function show_again(item) {
  show({ ...item, shown_again: true });
  take({ ...state, news: [] });
  byId("now").focus();
  byId("now").scrollIntoView({ block: "nearest" });
}

async function undo() {
  const answer = await act("undo", {});
  if (!answer) return;
  const { items, what } = answer.undone;
  for (const item of items) mine.delete(item.number);
  if (items.length === 1) show_again(items[0]);
  note(`Taken back: ${what}${items.length === 1 ? `, of ${items[0].name}` : ""}`);
}

async function later() {
  if (current && !byId("later").hidden) await act("skip", { number: current.number }, true);
}

async function done() {
  byId("done").disabled = true;
  note("Writing the files …");
  const answer = await act("done", {});
  byId("done").disabled = false;
  if (!answer) return;
  ended = true;
  clearTimeout(timer);
  const place = byId("live");
  place.replaceChildren(element("h2", "Done. You may close this page.", { tabindex: "-1" }), ...answer.written.map((line) => element("p", line)));
  place.firstChild.focus();
  byId("bar").remove();
}

// Classes whose name holds what was typed, and a new one.
function search() {
  const typed = byId("find").value.trim(), wanted = typed.toLowerCase();
  const at = (name) => name.toLowerCase().indexOf(wanted);
  const names = [...state.classes.map((name) => [name, name]), [NONE, "none of these"]];
  options = wanted ? names.filter(([, name]) => at(name) >= 0).sort(([, a], [, b]) => (at(a) > 0) - (at(b) > 0)).slice(0, N_FOUND) : [];
  if (wanted && !names.some(([, name]) => name.toLowerCase() === wanted)) options.push([typed, `Add “${typed}” as a class`]);
  active = Math.min(active, Math.max(options.length - 1, 0));
  byId("found").hidden = !options.length;
  byId("find").setAttribute("aria-expanded", options.length > 0);
  byId("found").replaceChildren(...options.map(([value, text], i) => {
    const option = element("li", text, { role: "option", id: `found-${i}`, "aria-selected": i === active });
    // Before the field loses the focus.
    option.addEventListener("mousedown", (event) => event.preventDefault());
    option.addEventListener("click", () => choose(value));
    return option;
  }));
  if (options.length) byId("find").setAttribute("aria-activedescendant", `found-${active}`);
  else byId("find").removeAttribute("aria-activedescendant");
}

function choose(value) {
  leave_find();
  label(value);
}

function leave_find() {
  byId("find").value = "";
  active = 0;
  search();
  byId("now").focus();
}

byId("find").addEventListener("input", () => { active = 0; search(); });
byId("find").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.isComposing) return;
  if (event.key === "Escape") leave_find();
  else if (event.key === "Enter" && options.length) choose(options[active][0]);
  else if (step && options.length) {
    active = (active + step + options.length) % options.length;
    search();
  } else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.isComposing || event.defaultPrevented || event.altKey || event.target.matches("input")) return;
  const commands = event.ctrlKey || event.metaKey
    ? { z: undo }
    : { 0: () => label(NONE), Backspace: undo, ArrowRight: later, "/": () => byId("find").focus() };
  const command = commands[event.key.toLowerCase()] ?? commands[event.key];
  if (command) {
    command();
  } else if (!event.ctrlKey && !event.metaKey && /^[1-9]$/.test(event.key)) {
    const choice = current && choices()[event.key - 1];
    if (choice) label(choice[0]);
  } else {
    // A letter begins the name of a class, and goes into the field.
    if (/^\p{L}$/u.test(event.key) && !event.ctrlKey && !event.metaKey) byId("find").focus();
    return;
  }
  event.preventDefault();
});
byId("none").addEventListener("click", () => label(NONE));
byId("undo").addEventListener("click", undo);
byId("later").addEventListener("click", later);
byId("done").addEventListener("click", done);
byId("check").addEventListener("click", () => act("check", { begin: !state.check?.queue.length }, true));
byId("picture").addEventListener("error", () => {
  if (!current) return;
  note(`${current.name} cannot be shown.`);
  act("state", {}, true);
});
act("state");
