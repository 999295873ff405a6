(() => {
  const problems = [],
    say = (...parts) => problems.push(parts.join(" "));
  const seen = (e) =>
    e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
    e.getBoundingClientRect().width > 1;
  if (document.documentElement.scrollWidth > innerWidth)
    say("scrolls", document.documentElement.scrollWidth);
  for (const e of document.querySelectorAll("main *, header *")) {
    const r = e.getBoundingClientRect();
    if (seen(e) && r.right > innerWidth + 1 && !e.closest("dialog"))
      say("out right", e.tagName, e.id, e.className, r.right);
  }
  const inView = (e) => {
    const r = e.getBoundingClientRect();
    const at = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2);
    return (
      r.top >= 0 &&
      r.bottom <= innerHeight &&
      r.left >= 0 &&
      r.right <= innerWidth &&
      (at === e || e.contains(at))
    );
  };
  for (const e of [
    document.getElementById("done"),
    ...document.querySelectorAll(".find, #own-name, #class-find"),
  ])
    if (seen(e) && !inView(e)) say("not in view", e.id);
  for (const e of document.querySelectorAll("button, a, input, select, [role=option]")) {
    if (!seen(e) || e.closest("dialog:not([open])")) continue;
    const r = e.getBoundingClientRect();
    if (Math.min(r.width, r.height) < 24)
      say("small", e.id || e.className || e.textContent, r.width, r.height);
  }
  const channel = (c) => {
    c /= 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (t) => {
    const n = t.match(/[\d.]+/g).map(Number);
    return t.startsWith("color(")
      ? [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1]
      : [n[0], n[1], n[2], n[3] ?? 1];
  };
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const told = new Set();
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (
      !walk.currentNode.data.trim() ||
      !seen(e) ||
      e.closest("noscript, script, dialog:not([open]), :disabled")
    )
      continue;
    const a = light(parse(getComputedStyle(e).color)),
      b = light(back(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) {
      const key = `contrast ${ratio.toFixed(2)} ${e.tagName} ${e.className} ${e.parentElement.id}`;
      if (!told.has(key)) {
        told.add(key);
        say(key);
      }
    }
  }
  return problems;
})();
