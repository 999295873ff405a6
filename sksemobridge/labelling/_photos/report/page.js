"use strict";
// Texts from files go into the page by textContent alone, so that no name of a file or class
// becomes markup.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const NONE = "",
  UNSAID = "\u0000unsaid",
  ANOTHER = "\u0000another",
  AT_ONCE = 120;
const corrections = new Map(Object.entries(data.corrections));
// Paths of what is ticked as wrong, while nobody has said yet what it is.
const unsaid = new Set();
const classes = [...data.classes];
let saved = true,
  shown = [],
  n_drawn = 0;

const is_shot = (item) => "likely" in item;
const sureness = (item) => item.probability ?? item.runner_up_probability ?? 0;
const by_doubt = (a, b) => sureness(a) - sureness(b);
const predicted = data.pictures.filter((item) => item.label !== null);
const turned_away = data.pictures.filter((item) => item.label === null && item.readable);
const { doubtful } = data;
const unread = data.pictures.filter((item) => !item.readable);

// What can be shown: its name, its items, and a sentence about it.
const VIEWS = {
  all: ["All pictures", () => [...predicted, ...turned_away], ""],
  next: [
    "Label next",
    () => data.next.map((i) => data.pictures[i]),
    "Labels of these teach the classifier most.",
  ],
  none: [
    "None of these",
    () => turned_away,
    "These look like none of the classes, or somebody marked them so.",
  ],
  doubtful: [
    "Doubtful shots",
    () => doubtful,
    "Shots whose label is more likely wrong than right. Wrong and “none of these” takes a shot back.",
  ],
  ticked: [
    "Ticked here",
    () =>
      [...data.pictures, ...doubtful].filter(
        (item) => is_wrong(item) || corrections.has(item.path),
      ),
    "",
  ],
  unread: ["Not read", () => unread, "Files that could not be read, with the reason."],
};

const percent = (p) => (p === null ? "" : `${Math.round(100 * p)}%`);
const name_of = (path) => path.split(/[\\/]/).pop();

function describe(item) {
  if (is_shot(item)) {
    return [
      `${item.label}?`,
      `looks like ${item.likely}; label right: ${percent(item.probability)}`,
    ];
  }
  if (!item.readable) return ["Not read", item.problem];
  const second =
    item.runner_up === null ? "" : `${item.runner_up} ${percent(item.runner_up_probability)}`;
  if (item.label === null) return ["None of these", second && `else ${second}`];
  return [
    item.given ? `${item.label} (given)` : `${item.label} ${percent(item.probability)}`,
    second && `or ${second}`,
  ];
}

const parts_of = (article) => (name) => article.querySelector(`.${name}`);

function card(item) {
  const article = byId("card").content.firstElementChild.cloneNode(true),
    part = parts_of(article);
  const link = article.querySelector("a");
  link.href = item.address;
  link.tabIndex = -1;
  if (item.readable)
    Object.assign(article.querySelector("img"), {
      alt: item.path,
      src: item.thumbnail ?? item.address,
    });
  else link.remove();
  [part("label").textContent, part("other").textContent] = describe(item);
  part("path").textContent = name_of(item.path);
  part("path").title = item.path;
  article.setAttribute("aria-label", `${item.path}: ${part("label").textContent}`);
  if (!item.readable) {
    part("ticks").remove();
    return article;
  }
  part("right").addEventListener("click", () => {
    const label = item.label ?? NONE;
    correct(item.path, corrections.get(item.path) === label ? undefined : label);
    mark(article, item);
  });
  part("wrong").addEventListener("click", () => {
    const was_open = !part("choice").hidden;
    if (was_open) correct(item.path, undefined);
    else leave_open(item.path);
    mark(article, item);
    if (!was_open) part("choice").focus();
  });
  part("choice").addEventListener("change", (event) => {
    part("another").hidden = event.target.value !== ANOTHER;
    if (event.target.value !== ANOTHER) return correct(item.path, event.target.value);
    leave_open(item.path);
    part("another").focus();
  });
  part("another").addEventListener("change", (event) => {
    const label = event.target.value.trim();
    if (!label) return leave_open(item.path);
    if (!classes.includes(label)) classes.push(label);
    correct(item.path, label);
  });
  mark(article, item);
  return article;
}

const is_wrong = (item) =>
  unsaid.has(item.path) ||
  (corrections.has(item.path) && corrections.get(item.path) !== (item.label ?? NONE));

// Show on a card what was ticked.
function mark(article, item) {
  const part = parts_of(article);
  const wrong = is_wrong(item),
    right = corrections.has(item.path) && !wrong;
  part("right").setAttribute("aria-pressed", right);
  part("wrong").setAttribute("aria-pressed", wrong);
  part("choice").hidden = !wrong;
  part("another").hidden = true;
  if (wrong) {
    offer_classes(part("choice"), item);
    part("choice").value = corrections.get(item.path) ?? UNSAID;
  }
}

// Made only on request: a thousand classes on each card would be too many.
function offer_classes(select, item) {
  const first = is_shot(item) ? item.likely : item.runner_up;
  const others = classes.filter((name) => name !== item.label && name !== first);
  const options = [
    [UNSAID, "what is it?"],
    ...[first, ...others].filter((name) => name !== null).map((name) => [name, name]),
  ];
  if (item.label !== null) options.push([NONE, "none of these"]);
  options.push([ANOTHER, "another class …"]);
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.options[0].disabled = true;
}

function correct(path, label) {
  unsaid.delete(path);
  if (label === undefined) corrections.delete(path);
  else corrections.set(path, label);
  saved = false;
  count();
}

function leave_open(path) {
  correct(path, undefined);
  unsaid.add(path);
  count();
}

function count() {
  const open = unsaid.size ? `, ${unsaid.size} wrong without a class` : "";
  byId("count").textContent =
    (corrections.size === 1 ? "1 correction" : `${corrections.size} corrections`) + open;
  for (const id of ["copy", "save"]) byId(id).disabled = corrections.size === 0;
  label_views();
}

// As a spreadsheet opens it too: with quotes, and with ' before a formula (the rule of
// without_formulas in user_tables.py).
function table() {
  const cell = (text) =>
    `"${text.replace(/(?:^|(?<=[,;\t\r\n"]))(?='*[=+\-@\t＝＋－＠])/g, "'").replaceAll('"', '""')}"`;
  return ["path,label", ...[...corrections].map((row) => row.map(cell).join(",")), ""].join("\r\n");
}

function label_views() {
  const select = byId("view");
  for (const [key, [name, items]] of Object.entries(VIEWS)) {
    const option =
      select.querySelector(`[value="${key}"]`) ?? select.appendChild(new Option("", key));
    option.textContent = `${name} (${items().length})`;
  }
}

function label_classes() {
  const counts = new Map(classes.map((name) => [name, 0]));
  for (const { label } of predicted) counts.set(label, (counts.get(label) ?? 0) + 1);
  const options = [...counts].map(([name, n], i) => new Option(`${name} (${n})`, i + 1));
  byId("class").replaceChildren(new Option("all", 0), ...options);
}

function show() {
  const [, items, about] = VIEWS[byId("view").value];
  const chosen = Number(byId("class").value),
    wanted = chosen && classes[chosen - 1];
  const grouped = byId("sort").value === "class" && byId("view").value === "all";
  shown = items().filter((item) => !chosen || item.label === wanted);
  if (byId("view").value !== "next") shown.sort(by_doubt);
  if (grouped) {
    const groups = new Map([...classes, null].map((name) => [name, []]));
    for (const item of shown) groups.get(item.label).push(item);
    shown = [...groups]
      .filter(([, group]) => group.length)
      .flatMap(([name, group]) => [`${name ?? "None of these"} (${group.length})`, ...group]);
  }
  byId("about").textContent = shown.length ? about : "Nothing to show.";
  n_drawn = 0;
  byId("grid").replaceChildren();
  draw_more();
}

function draw_more() {
  const part = shown.slice(n_drawn, n_drawn + AT_ONCE);
  n_drawn += part.length;
  byId("grid").append(
    ...part.map((item) => {
      if (typeof item !== "string") return card(item);
      const heading = document.createElement("h2");
      heading.textContent = item;
      return heading;
    }),
  );
  // Again if the end is still in sight.
  end_in_sight.unobserve(byId("end"));
  if (n_drawn < shown.length) end_in_sight.observe(byId("end"));
}
const end_in_sight = new IntersectionObserver(
  (entries) => entries.some((entry) => entry.isIntersecting) && draw_more(),
  { rootMargin: "1000px" },
);

function move(article, step) {
  const cards = [...byId("grid").querySelectorAll("article")];
  const next = cards[article ? cards.indexOf(article) + step : 0];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input"))
    return;
  const article = event.target.closest("article");
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    move(article, event.key === "ArrowRight" ? 1 : -1);
  } else {
    const name = { r: "right", w: "wrong" }[event.key.toLowerCase()];
    const button = name && article?.querySelector(`.${name}`);
    if (!button) return;
    button.click();
  }
  event.preventDefault();
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["view", "class", "sort"]) byId(id).addEventListener("change", show);
byId("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", table()], { type: "text/csv" }));
  link.download = "corrections.csv";
  link.click();
  saved = true;
});
byId("copy").addEventListener("click", async () => {
  const list = byId("list");
  list.value = table();
  list.hidden = false;
  list.select();
  try {
    await navigator.clipboard.writeText(list.value);
    byId("count").textContent = "Copied";
    saved = true;
  } catch {
    byId("count").textContent = "Copy it from here";
  }
});
window.addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});

label_classes();
count();
show();
