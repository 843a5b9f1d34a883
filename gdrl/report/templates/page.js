"use strict";
addEventListener("error", (event) => { document.body.dataset.error = event.message; });

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const readable = (name) => name.replaceAll("_", " ");
const number = (value) => value.toFixed(2).replace(/^-(?=0\.00)/, "").replace("-", "\u2212");
const signed = (value) => (value >= 0.005 ? "+" : "") + number(value);

/* A line of text beside the pointer. */
const tip = one("#tip");
function showTip(event, title, text) {
  tip.replaceChildren(make("b", "", title), make("span", "", text));
  tip.hidden = false;
  const right = event.clientX + tip.offsetWidth + 24 > innerWidth;
  tip.style.left = `${Math.max(8, event.clientX + (right ? -tip.offsetWidth - 12 : 14))}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
}
const hideTip = () => { tip.hidden = true; };
addEventListener("scroll", hideTip, { passive: true });

/* The graph: layers, threshold, one node alone. */
function graph(root) {
  const slider = one("#threshold", root);
  const panel = one("#node-panel", root);
  const hint = panel.firstElementChild;
  const nodes = all(".node", root);
  let layer = "measured";
  let alone = null;

  function update() {
    let shown = 0;
    for (const group of all(".layer", root)) {
      const current = group.dataset.layer === layer;
      group.style.display = current ? "" : "none";
      for (const edge of group.children) {
        const { source, target, size } = edge.dataset;
        const kept = Number(size) >= Number(slider.value);
        const mine = alone === null || source === alone || target === alone;
        edge.classList.toggle("below", !kept);
        edge.classList.toggle("faded", !mine);
        shown += current && kept && mine;
      }
    }
    const linked = new Set([alone]);
    for (const edge of all(`.layer[data-layer="${layer}"] .edge:not(.below, .faded)`, root)) {
      linked.add(edge.dataset.source).add(edge.dataset.target);
    }
    for (const node of nodes) {
      node.setAttribute("aria-pressed", String(node.dataset.node === alone));
      node.classList.toggle("faded", alone !== null && !linked.has(node.dataset.node));
    }
    one("#threshold-value", root).textContent = number(Number(slider.value));
    one("#edges-shown", root).textContent = shown;
    describe();
  }

  function describe() {
    if (alone === null) { panel.replaceChildren(hint); return; }
    const edges = all(`.layer[data-layer="${layer}"] .edge:not(.below, .faded)`, root)
      .sort((a, b) => b.dataset.size - a.dataset.size);
    const list = make("ul", "edges");
    for (const edge of edges) {
      const item = make("li", edge.classList.contains("positive") ? "positive" : "negative");
      item.append(make("b", "", edge.dataset.name), make("span", "", edge.dataset.text));
      list.append(item);
    }
    panel.replaceChildren(edges.length ? list : make("p", "hint", "No arrow of this size."));
  }

  function choose(node) {
    alone = alone === node.dataset.node ? null : node.dataset.node;
    update();
  }
  for (const node of nodes) {
    node.addEventListener("click", () => choose(node));
    node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(node); }
    });
  }
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && alone !== null) { alone = null; update(); }
  });
  for (const edge of all(".edge", root)) {
    edge.addEventListener("pointermove", (event) => showTip(event, edge.dataset.name, edge.dataset.text));
    edge.addEventListener("pointerleave", hideTip);
  }
  for (const input of all("input[name=layer]", root)) {
    input.addEventListener("change", () => { layer = input.value; update(); });
    if (input.checked) layer = input.value;
  }
  slider.addEventListener("input", update);
  update();
}

/* The matrices: the same cell in all of them at once. */
function matrices(root) {
  const readout = one("#cell-readout", root);
  const maps = all(".heatmap", root);
  const names = all("tbody th", maps[0]).map((header) => header.textContent);
  let marked = [];
  function read(event) {
    const cell = event.target.closest("td[data-cell]");
    if (!cell || cell.classList.contains("self")) return;
    marked.forEach((other) => other.classList.remove("marked"));
    marked = all(`td[data-cell="${cell.dataset.cell}"]`, root);
    marked.forEach((other) => other.classList.add("marked"));
    const [source, target] = cell.dataset.cell.split("-").map(Number);
    const values = marked.map((other) => `${other.closest("table").dataset.map.toLowerCase()} ${other.textContent}`);
    readout.textContent = `${names[source]} \u2192 ${names[target]}: ${values.join(", ")}`;
  }
  for (const map of maps) {
    map.addEventListener("pointerover", read);
    map.addEventListener("click", read);
  }
}

/* The slider: one sprite per attribute, rows are faces, columns are values. */
function mover(root, data) {
  const attribute = one("#attribute", root);
  const level = one("#level", root);
  const propagate = one("#propagate", root);
  const big = one("#frame", root);

  function pictures() {
    const sprite = data.sprites[attribute.value];
    propagate.disabled = sprite.alone === null;
    one("#alone-missing", root).hidden = sprite.alone !== null;
    const uri = propagate.checked || sprite.alone === null ? sprite.graph : sprite.alone;
    root.style.setProperty("--sprite", `url("${uri}")`);
    root.style.setProperty("--columns", sprite.columns);
    root.style.setProperty("--rows", sprite.rows);
    level.max = sprite.columns - 1;
    move();
  }
  function move() {
    const face = one("input[name=face]:checked", root).value;
    const value = data.values[level.value];
    const text = typeof value === "number" ? number(value) : `${Number(level.value) + 1} of ${Number(level.max) + 1}`;
    root.style.setProperty("--column", level.value);
    big.style.setProperty("--row", face);
    big.setAttribute("aria-label", `Face ${Number(face) + 1} with ${readable(attribute.value)} at ${text}`);
    level.setAttribute("aria-valuetext", text);
    one("#level-value", root).textContent = text;
  }
  function effects() {
    const row = data.names.indexOf(attribute.value);
    const moves = data.predicted?.[row] ?? [];
    const truth = data.truth?.[row];
    const others = data.names.map((name, j) => ({ name, value: moves[j], truth: truth?.[j] }))
      .filter((other, j) => j !== row && Object.hasOwn(data.sprites, other.name) && typeof other.value === "number")
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
    one("#effects-name", root).textContent = readable(attribute.value);
    one("#effects", root).replaceChildren(...others.map(effect));
    if (!others.length) one("#effects", root).append(make("li", "missing", "No predicted effects were stored."));
  }
  function effect(other) {
    const item = make("li", other.value < 0 ? "negative" : "positive");
    const track = make("span", "track");
    const bar = make("i", "bar");
    const share = Math.min(Math.abs(other.value), 1) * 50;
    bar.style.left = `${other.value < 0 ? 50 - share : 50}%`;
    bar.style.width = `${share}%`;
    track.append(bar);
    if (typeof other.truth === "number") {
      const tick = make("i", "tick");
      tick.style.left = `${50 + 50 * Math.max(-1, Math.min(1, other.truth))}%`;
      tick.title = `true effect ${signed(other.truth)}`;
      track.append(tick);
    }
    item.append(make("span", "name", readable(other.name)), track, make("span", "n", signed(other.value)));
    return item;
  }
  attribute.addEventListener("change", () => { pictures(); effects(); });
  propagate.addEventListener("change", pictures);
  level.addEventListener("input", move);
  for (const face of all("input[name=face]", root)) face.addEventListener("change", move);
  pictures();
  effects();
}

if (one(".graph")) graph(one("#graph"));
if (one(".heatmap")) matrices(one("#matrix"));
if (one("#mover")) mover(one("#mover"), JSON.parse(one("#interventions").textContent));
document.body.dataset.ready = "true";
