// Where does quantization hurt? The heat map of layers by schemes: names and headings are elements, cells are painted,
// and a cell is picked by the pointer or the keyboard at any size.

import { Cells } from "./cells.js";
import { fitLabels, listRows, placeColumns, placeHeadings, placeTicks } from "./grid_layout.js";
import { Scale } from "./grid_scale.js";
import { Tiles } from "./grid_tiles.js";
import { buildTools } from "./tools.js";
import { make, plainText } from "./words.js";

const LABEL_SHARE = 0.38;
const BLOCK_INDENT = 12;
const ROW = { least: 16, most: 24, few: 12, tallest: 44 };
const LABEL_SIZE = 12;
const keepWithin = (value, low, high) => Math.min(high, Math.max(low, value));

let gridCount = 0;

// Widths of texts in a font, each measured once.
const makeMeasure = (family) => {
  const pen = make("canvas").getContext("2d");
  const widths = new Map();
  return (text, bold = false) => {
    const key = bold ? `b${text}` : text;
    if (!widths.has(key)) {
      pen.font = `${bold ? "600 " : ""}${LABEL_SIZE}px ${family}`;
      widths.set(key, pen.measureText(text).width);
    }
    return widths.get(key);
  };
};

// Every cell in words, for the table of numbers.
const listCells = (cells) => {
  const { label, unit } = cells.metric;
  const lines = cells.layers.flatMap(({ name, numel }, row) => cells.schemes.map(({ scheme }, column) => {
    const value = cells.value(row, column);
    return [name, scheme, Number.isNaN(value) ? cells.tell(row, column) : value, numel];
  }));
  return { heads: ["Layer", "Scheme", unit ? `${label} (${unit})` : label, "Weights"], lines };
};

export class Grid {
  // `hooks.onPick({ layer, scheme, moving })` is told of the cell that a person chooses, `moving` where a key may be
  // held down; Plotly makes the picture that can be saved.
  constructor(holder, hooks = {}, Plotly = undefined) {
    Object.assign(this, { hooks, Plotly });
    this.name = `heat-${(gridCount += 1)}`;
    this.folded = new Set();
    this.build();
    holder.replaceChildren(this.root);
    this.tiles = new Tiles(this.area);
    this.listen();
    // Names that were measured in the font before are measured again in the one that arrived.
    document.fonts?.ready.then(() => {
      this.family = undefined;
      if (this.width) this.place();
    });
  }

  build() {
    this.fold = make("button", { text: "Fold blocks", className: "ql-tool heat-fold", type: "button", title: "One row for each block of layers, with its worst values" });
    this.scale = new Scale();
    this.note = make("div", { className: "heat-note" });
    this.listCells = () => listCells(this.cells);
    this.corner = make("div", { className: "heat-corner", "aria-hidden": "true" });
    this.head = make("div", { className: "heat-head", "aria-hidden": "true" });
    this.labels = make("div", { className: "heat-labels", "aria-hidden": "true" });
    this.frame = make("div", { className: "heat-frame", role: "gridcell" });
    this.line = make("div", { className: "heat-line", role: "row" }, this.frame);
    this.area = make("div", { className: "heat-area", role: "presentation" }, this.line);
    this.box = make("div", { className: "heat-box", role: "grid", tabindex: "0" }, this.corner, this.head, this.labels, this.area);
    this.tip = make("div", { className: "heat-tip", "aria-hidden": "true" });
    this.tip.hidden = true;
    this.empty = make("div", { className: "heat-empty" });
    this.plot = this.box;
    this.tools = buildTools(this);
    this.tools.bar.prepend(this.fold);
    this.top = make("figcaption", { className: "heat-top" }, this.scale.root, this.tools.bar);
    this.root = make("figure", { className: "ql-chart heat" }, this.top, this.note, this.box, this.empty, this.tools.drawer, this.tip);
  }

  listen() {
    this.box.addEventListener("scroll", () => { this.tip.hidden = true; this.paint(); }, { passive: true });
    this.box.addEventListener("pointermove", (event) => this.hover(event));
    this.box.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.box.addEventListener("click", (event) => this.press(event));
    this.box.addEventListener("keydown", (event) => this.type(event));
    this.onPrint = () => { if (this.rows) this.tiles.show(0, this.rows.length * this.height); };
    globalThis.addEventListener("beforeprint", this.onPrint);
    this.fold.addEventListener("click", () => this.foldAll(this.folded.size < this.cells.blocks.length));
  }

  // Draws a panel of kind "grid" in the colours of a theme.
  show(panel, colours, template) {
    const drawn = this.panel?.figure === panel.figure && this.colours === colours;
    Object.assign(this, { panel, colours, template });
    for (const role of ["text", "muted", "grid", "panel", "background", "kept"]) this.root.style.setProperty(`--heat-${role}`, colours[role]);
    const filled = Boolean((panel.meta ?? panel.figure.layout.meta)?.cells);
    for (const part of [this.top, this.note, this.box]) part.hidden = !filled;
    this.empty.hidden = filled;
    this.empty.textContent = filled ? "" : panel.alt ?? plainText(panel.figure.layout.title?.text);
    if (!filled) {
      this.cells = undefined;
      return;
    }
    if (drawn && this.cells) return;
    this.cells = new Cells(panel);
    this.cells.paint(colours);
    this.box.setAttribute("aria-label", panel.alt ?? panel.figure.layout.meta?.alt ?? "");
    this.folded = new Set(this.cells.blocks.map((block) => block.start).filter((start) => this.folded.has(start)));
    this.writeNote();
    this.scale.show(this.cells);
    this.tools.refresh();
    this.place();
    this.scale.place();
  }

  writeNote() {
    const { prefix, suffix } = this.cells.facts;
    const parts = [prefix && `begin with “${prefix}”`, suffix && `end in “${suffix}”`].filter(Boolean);
    this.note.textContent = parts.length ? `Names ${parts.join(" and ")}.` : "";
    this.note.hidden = !parts.length;
  }

  // Where everything stands for the width and height there is.
  place(again = false) {
    const { cells } = this;
    const family = getComputedStyle(this.root).fontFamily;
    if (family !== this.family) Object.assign(this, { family, measure: makeMeasure(family) });
    const { measure } = this;
    this.rows = listRows(cells, this.folded);
    this.width = this.box.clientWidth;
    if (!this.width) return;
    const limit = Math.floor(LABEL_SHARE * this.width);
    const wanted = Math.max(...cells.layers.map(({ label }) => measure(label) + (cells.blocks.length ? BLOCK_INDENT : 0)), 30);
    this.beside = Math.ceil(Math.min(limit, wanted + 14));
    this.columns = placeColumns(cells.schemes, this.width - this.beside - 2);
    const headings = placeHeadings(this.columns.groups, measure);
    const ticks = placeTicks(cells.schemes, this.columns, measure);
    this.above = headings.height + ticks.height + 2;
    this.height = this.chooseHeight();
    this.box.style.gridTemplate = `${this.above}px ${this.rows.length * this.height}px / ${this.beside}px ${Math.ceil(this.columns.total)}px`;
    // A bar for scrolling that came or went with the rows takes or leaves width.
    if (this.box.clientWidth !== this.width && !again) {
      this.place(true);
      return;
    }
    this.writeHead(headings, ticks);
    this.writeLabels();
    this.fold.hidden = !cells.blocks.length;
    this.fold.setAttribute("aria-pressed", String(this.folded.size > 0 && this.folded.size === cells.blocks.length));
    this.box.setAttribute("aria-rowcount", this.rows.length);
    this.box.setAttribute("aria-colcount", cells.columns);
    this.tiles.set({ rows: this.rows, height: this.height, columns: this.columns, cells, colours: this.colours, family });
    this.paint();
    this.mark();
  }

  chooseHeight() {
    const most = Number.parseFloat(getComputedStyle(this.box).maxHeight) || 600;
    const tallest = this.rows.length <= ROW.few ? ROW.tallest : ROW.most;
    return keepWithin(Math.floor((Math.min(most, this.rows.length <= ROW.few ? 340 : most) - this.above - 4) / this.rows.length), ROW.least, tallest);
  }

  writeHead(headings, ticks) {
    const groups = this.columns.groups.map(({ label, left, width }, index) => {
      const { text, upright } = headings.headings[index];
      const heading = make("div", { text, className: upright ? "heat-group heat-upright" : "heat-group", title: label });
      Object.assign(heading.style, { left: `${left}px`, width: `${width}px`, height: `${headings.height}px` });
      return heading;
    });
    const names = ticks.ticks.flatMap((tick, column) => {
      if (!tick) return [];
      const name = make("div", { text: tick.text, className: tick.upright ? "heat-tick heat-upright" : "heat-tick", title: this.cells.schemes[column].scheme });
      Object.assign(name.style, { left: `${this.columns.lefts[column]}px`, width: `${this.columns.widths[column]}px`, height: `${ticks.height}px` });
      return [name];
    });
    this.head.replaceChildren(...groups, ...names);
    this.corner.textContent = ticks.numbered ? "bits" : "";
  }

  writeLabels() {
    const texts = this.cutLabels();
    this.labelled = this.rows.map((line, index) => {
      const label = make("div", { className: "heat-label" });
      label.style.top = `${index * this.height}px`;
      label.style.height = label.style.lineHeight = `${this.height}px`;
      if (line.block) {
        label.classList.add("heat-block");
        label.classList.toggle("heat-open", !line.folded);
        const room = (line.folded ? this.beside : this.width) - 26;
        const size = ` (${line.block.stop - line.block.start})`;
        label.textContent = fitLabels([line.block.label], room - this.measure(size, true), (text) => this.measure(text, true))[0] + size;
      } else {
        label.textContent = texts.get(line.row);
        label.classList.toggle("heat-inside", Boolean(line.inside));
      }
      return label;
    });
    this.labels.replaceChildren(...this.labelled);
  }

  // Labels by row: those of a block are cut together, and those that stand alone.
  cutLabels() {
    const sets = new Map();
    for (const { row, inside, block } of this.rows) {
      if (block) continue;
      if (!sets.has(inside)) sets.set(inside, []);
      sets.get(inside).push(row);
    }
    const texts = new Map();
    for (const [inside, rows] of sets) {
      const room = this.beside - 12 - (inside ? BLOCK_INDENT : 0);
      const cut = fitLabels(rows.map((row) => this.cells.layers[row].label), room, this.measure);
      rows.forEach((row, index) => texts.set(row, cut[index]));
    }
    return texts;
  }

  paint() {
    if (this.rows) this.tiles.show(this.box.scrollTop, this.box.scrollTop + this.box.clientHeight);
  }

  // Frames the cell of a layer and a scheme, and brings it into the box; one that no row has frames nothing.
  select(tensor, scheme) {
    this.wanted = { tensor, scheme };
    this.mark();
  }

  mark() {
    this.chosen = this.cells && this.wanted ? this.cells.find(this.wanted.tensor, this.wanted.scheme) : null;
    const index = this.chosen ? this.rows.findIndex((line) => line.row === this.chosen.row || (line.folded && this.chosen.row >= line.block.start && this.chosen.row < line.block.stop)) : -1;
    this.line.hidden = index < 0;
    this.marked?.classList.remove("heat-chosen");
    if (index < 0) {
      this.box.removeAttribute("aria-activedescendant");
      return;
    }
    const { row, column } = this.chosen;
    this.marked = this.labelled[index];
    this.marked.classList.add("heat-chosen");
    this.line.style.transform = `translateY(${index * this.height}px)`;
    this.line.style.height = `${this.height - 1}px`;
    this.frame.style.transform = `translateX(${this.columns.lefts[column]}px)`;
    this.frame.style.width = `${this.columns.widths[column] - 1}px`;
    // A screen reader speaks again where the name of the active element changes.
    this.frame.id = `${this.name}-${index}-${column}`;
    this.line.setAttribute("aria-rowindex", index + 1);
    this.frame.setAttribute("aria-colindex", column + 1);
    this.frame.setAttribute("aria-label", this.describe(index, row, column).join(", "));
    this.box.setAttribute("aria-activedescendant", this.frame.id);
    this.index = index;
    this.reveal(index, column);
  }

  reveal(index, column) {
    const [left, top] = [this.columns.lefts[column], index * this.height];
    const [wide, tall] = [this.box.clientWidth - this.beside, this.box.clientHeight - this.above];
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + tall) this.box.scrollTop = top + this.height - tall;
    if (left < this.box.scrollLeft) this.box.scrollLeft = left;
    else if (left + this.columns.widths[column] > this.box.scrollLeft + wide) this.box.scrollLeft = left + this.columns.widths[column] - wide;
  }

  // What is told of a cell: the layer, the scheme, the value or why there is none, and how much it holds.
  describe(index, row, column) {
    const layer = this.cells.layers[row];
    const { block, folded } = this.rows[index];
    const told = [layer.name, this.cells.schemes[column].scheme, this.cells.tell(row, column), `${layer.numel.toLocaleString("en-US")} weights`];
    return folded ? [...told, `worst of ${block.stop - block.start} layers of ${block.label}; Enter unfolds`] : told;
  }

  // The row and column below a pointer; a column of -1 is the row's name.
  locate(event) {
    const bounds = this.area.getBoundingClientRect();
    const frame = this.box.getBoundingClientRect();
    if (event.clientY < frame.top + this.above) return null;
    const index = Math.floor((event.clientY - bounds.top) / this.height);
    if (index < 0 || index >= this.rows.length) return null;
    if (event.clientX < frame.left + this.beside) return { index, column: -1 };
    const x = event.clientX - bounds.left;
    const column = this.columns.lefts.findIndex((left, place) => x >= left && x < left + this.columns.widths[place]);
    return column < 0 ? null : { index, column };
  }

  rowAt({ index, column }) {
    const line = this.rows[index];
    return line.block ? this.cells.findWorst(line.block, column) : line.row;
  }

  hover(event) {
    const at = this.cells && this.rows ? this.locate(event) : null;
    const line = at && this.rows[at.index];
    const silent = !at || (line.block && (!line.folded || at.column < 0));
    this.box.style.cursor = at ? "pointer" : "";
    this.tip.hidden = Boolean(silent) && !(line?.block);
    if (this.tip.hidden) return;
    const told = this.tellAt(at, line);
    this.tip.replaceChildren(...told.map((text, place) => make(place ? "div" : "strong", { text })));
    const frame = this.root.getBoundingClientRect();
    const [wide, tall] = [this.tip.offsetWidth, this.tip.offsetHeight];
    const left = keepWithin(event.clientX - frame.left + 14, 0, Math.max(0, frame.width - wide));
    const below = event.clientY + 18 + tall < globalThis.innerHeight;
    this.tip.style.transform = `translate(${left}px, ${event.clientY - frame.top + (below ? 18 : -tall - 12)}px)`;
  }

  tellAt(at, line) {
    if (line.block && (!line.folded || at.column < 0)) {
      return [line.block.label, `${line.block.stop - line.block.start} layers; a click ${line.folded ? "unfolds" : "folds"} them`];
    }
    const row = this.rowAt(at);
    const layer = this.cells.layers[row];
    if (at.column < 0) return [layer.name, `${layer.numel.toLocaleString("en-US")} weights`];
    return this.describe(at.index, row, at.column).map((text) => text.replace("; Enter unfolds", ""));
  }

  press(event) {
    const at = this.locate(event);
    if (!at) return;
    const line = this.rows[at.index];
    if (line.block && (!line.folded || at.column < 0)) this.toggle(line.block);
    else this.pick(at.column < 0 ? { ...at, column: this.chosen?.column ?? 0 } : at);
  }

  pick(at, moving = false) {
    const layer = this.cells.layers[this.rowAt(at)].name;
    const { scheme } = this.cells.schemes[at.column];
    this.select(layer, scheme);
    this.hooks.onPick?.({ layer, scheme, moving });
  }

  toggle(block) {
    if (!this.folded.delete(block.start)) this.folded.add(block.start);
    this.place();
  }

  foldAll(folded) {
    this.folded = new Set(folded ? this.cells.blocks.map((block) => block.start) : []);
    this.place();
  }

  // Arrows move the cell in view, Home and End to the ends of its row (with Ctrl: of its column), Enter folds its block.
  type(event) {
    if (!this.cells || event.altKey || event.metaKey) return;
    if (event.key === "Escape") this.tip.hidden = true;
    const block = this.chosen && this.cells.blockOf(this.chosen.row);
    if ((event.key === "Enter" || event.key === " ") && block) this.toggle(block);
    else if (!this.move(event)) return;
    event.preventDefault();
  }

  move(event) {
    const [index, column] = this.chosen && this.index !== undefined ? [this.index, this.chosen.column] : [-1, 0];
    const page = Math.max(1, Math.floor((this.box.clientHeight - this.above) / this.height) - 1);
    const last = this.rows.length - 1;
    const targets = {
      ArrowLeft: [index, column - 1], ArrowRight: [index, column + 1], ArrowUp: [index - 1, column], ArrowDown: [index + 1, column],
      PageUp: [index - page, column], PageDown: [index + page, column],
      Home: event.ctrlKey ? [0, column] : [index, 0], End: event.ctrlKey ? [last, column] : [index, this.cells.columns - 1],
    };
    const target = targets[event.key];
    if (!target) return false;
    let [to, across] = [keepWithin(target[0], 0, last), keepWithin(target[1], 0, this.cells.columns - 1)];
    const step = to < index ? -1 : 1;
    const open = (place) => this.rows[place]?.block && !this.rows[place].folded;
    while (open(to)) to += to + step < 0 || to + step > last ? 1 : step;
    if (to !== index || across !== column) this.pick({ index: to, column: across }, true);
    return true;
  }

  resize() {
    if (!this.cells || this.box.clientWidth === this.width) return;
    this.place();
    this.scale.place();
    this.tip.hidden = true;
  }

  destroy() {
    globalThis.removeEventListener("beforeprint", this.onPrint);
    this.tiles.clear();
    this.root.remove();
  }
}
