// Where does quantization hurt? The heat map of layers by schemes: names and headings are elements, cells are painted,
// and a cell is picked by the pointer or the keyboard at any size.

import { Cells } from "./cells.js";
import { findLine, findTarget, listRows, placeColumns, placeHeadings, placeTicks } from "./grid_layout.js";
import { askWidth, makeHead, makeLabels, makeMeasure } from "./grid_names.js";
import { Scale } from "./grid_scale.js";
import { Tiles } from "./grid_tiles.js";
import { buildTools } from "./tools.js";
import { make, plainText } from "./words.js";

const LABEL_SHARE = 0.38;
const ROW_HEIGHT = { least: 16, most: 24, few: 12, tallest: 52, room: 380 };
const GRID_ROLES = ["text", "muted", "panel", "background", "kept"];
const keepWithin = (value, low, high) => Math.min(high, Math.max(low, value));
const countWeights = ({ numel }) => `${numel.toLocaleString("en-US")} weights`;

// Every cell in words, for the table of numbers.
const listCells = (cells) => {
  const { label, unit } = cells.metric;
  const has = (row, column) => !Number.isNaN(cells.place(row, column));
  const tell = (row, column) => (has(row, column) ? cells.value(row, column) : cells.tell(row, column));
  const lines = cells.layers.flatMap(({ name, numel }, row) =>
    cells.schemes.map(({ scheme }, column) => [name, scheme, tell(row, column), numel]));
  return { heads: ["Layer", "Scheme", unit ? `${label} (${unit})` : label, "Weights"], lines };
};

let gridCount = 0;

export class Grid {
  // `hooks.onPick({ layer, scheme, moving })` is told of the cell that a person chooses, `moving` where a key may be
  // held down; Plotly makes the picture that can be saved.
  constructor(holder, hooks = {}, Plotly = undefined) {
    Object.assign(this, { hooks, Plotly, name: `heat-${(gridCount += 1)}`, folded: new Set() });
    this.buildBox();
    this.build();
    holder.replaceChildren(this.root);
    this.tiles = new Tiles(this.area);
    this.listen();
    // Names that were measured in the font before are measured again in the one that arrived.
    document.fonts?.ready.then(() => {
      this.family = undefined;
      if (this.columns && this.cells) this.place();
    });
  }

  buildBox() {
    const hidden = (className) => make("div", { className, "aria-hidden": "true" });
    [this.corner, this.head, this.labels] = ["heat-corner", "heat-head", "heat-labels"].map(hidden);
    this.frame = make("div", { className: "heat-frame", role: "gridcell" });
    this.line = make("div", { className: "heat-line", role: "row" }, this.frame);
    this.area = make("div", { className: "heat-area", role: "presentation" }, this.line);
    this.box = make("div", { className: "heat-box", role: "grid", tabindex: "0" });
    this.box.append(this.corner, this.head, this.labels, this.area);
    this.tip = hidden("heat-tip");
    this.tip.hidden = true;
  }

  build() {
    const title = "One row for each block of layers, with its worst values";
    this.fold = make("button", { text: "Fold blocks", className: "ql-tool heat-fold", type: "button", title });
    this.scale = new Scale();
    this.note = make("div", { className: "heat-note" });
    this.empty = make("div", { className: "heat-empty" });
    this.plot = this.box;
    this.listCells = () => listCells(this.cells);
    this.tools = buildTools(this);
    this.tools.bar.prepend(this.fold);
    this.top = make("figcaption", { className: "heat-top" }, this.scale.root, this.tools.bar);
    this.root = make("figure", { className: "ql-chart heat" }, this.top, this.note, this.box, this.empty);
    this.root.append(this.tools.drawer, this.tip);
  }

  listen() {
    this.box.addEventListener("scroll", () => {
      this.tip.hidden = true;
      this.paint();
    }, { passive: true });
    this.box.addEventListener("pointermove", (event) => this.hover(event));
    this.box.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.box.addEventListener("click", (event) => this.press(event));
    this.box.addEventListener("keydown", (event) => this.type(event));
    this.fold.addEventListener("click", () => this.foldAll(!this.isFolded()));
    this.onPrint = () => { if (this.columns) this.tiles.show(0, this.rows.length * this.height); };
    globalThis.addEventListener("beforeprint", this.onPrint);
  }

  // Draws a panel of kind "grid" in the colours of a theme.
  show(panel, colours, template) {
    const drawn = this.cells && this.panel?.figure === panel.figure && this.colours === colours;
    Object.assign(this, { panel, colours, template });
    for (const role of GRID_ROLES) this.root.style.setProperty(`--heat-${role}`, colours[role]);
    const filled = Boolean(panel.meta?.cells);
    for (const part of [this.top, this.note, this.box]) part.hidden = !filled;
    this.empty.hidden = filled;
    this.empty.textContent = filled ? "" : panel.alt ?? plainText(panel.figure.layout.title?.text);
    if (!filled) this.cells = undefined;
    if (!filled || drawn) return;
    this.cells = new Cells(panel);
    this.cells.paint(colours);
    this.box.setAttribute("aria-label", panel.alt);
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

  // Where everything stands for the width and height there is; nothing while there is no width, in a hidden tab.
  place(again = false) {
    const { cells } = this;
    this.rows = listRows(cells, this.folded);
    this.width = this.box.clientWidth;
    if (!this.width) return;
    const family = getComputedStyle(this.root).fontFamily;
    if (family !== this.family) Object.assign(this, { family, measure: makeMeasure(family) });
    this.beside = Math.ceil(Math.min(LABEL_SHARE * this.width, askWidth(this.rows, cells, this.measure)));
    this.columns = placeColumns(cells.schemes, this.width - this.beside - 2);
    const headings = placeHeadings(this.columns.groups, this.measure);
    const ticks = placeTicks(cells.schemes, this.columns, this.measure);
    this.above = headings.height + ticks.height + 2;
    this.height = this.chooseHeight();
    const sizes = [this.above, this.rows.length * this.height, this.beside, Math.ceil(this.columns.total)];
    const [above, below, beside, across] = sizes.map((size) => `${size}px`);
    this.box.style.gridTemplate = `${above} ${below} / ${beside} ${across}`;
    // A bar for scrolling that came or went with the rows takes or leaves width.
    if (this.box.clientWidth !== this.width && !again) this.place(true);
    else this.write(headings, ticks);
  }

  chooseHeight() {
    const most = Number.parseFloat(getComputedStyle(this.box).maxHeight) || 600;
    const few = this.rows.length <= ROW_HEIGHT.few;
    const room = (few ? Math.min(most, ROW_HEIGHT.room) : most) - this.above - 4;
    const { least, most: usual, tallest } = ROW_HEIGHT;
    return keepWithin(Math.floor(room / this.rows.length), least, few ? tallest : usual);
  }

  write(headings, ticks) {
    const { rows, height, columns, cells, colours, family } = this;
    this.head.replaceChildren(...makeHead(headings, ticks, columns, cells.schemes));
    this.corner.textContent = ticks.numbered ? "bits" : "";
    this.labelled = makeLabels(this);
    this.labels.replaceChildren(...this.labelled);
    this.fold.hidden = !cells.blocks.length;
    this.fold.setAttribute("aria-pressed", String(this.isFolded()));
    this.box.setAttribute("aria-rowcount", rows.length);
    this.box.setAttribute("aria-colcount", cells.columns);
    this.tiles.set({ rows, height, columns, cells, colours, family });
    this.paint();
    this.mark();
  }

  paint() {
    if (this.columns) this.tiles.show(this.box.scrollTop, this.box.scrollTop + this.box.clientHeight);
  }

  // Frames the cell of a layer and a scheme, and brings it into the box where it is another one than before; one that
  // no row has frames nothing.
  select(tensor, scheme) {
    const moved = this.wanted?.tensor !== tensor || this.wanted?.scheme !== scheme;
    this.wanted = { tensor, scheme };
    this.mark();
    if (moved) this.reveal();
  }

  mark() {
    const found = this.cells && this.columns && this.wanted && this.cells.find(this.wanted.tensor, this.wanted.scheme);
    this.chosen = found ? { ...found, index: findLine(this.rows, found.row) } : null;
    this.line.hidden = !found;
    this.marked?.classList.remove("heat-chosen");
    this.box.removeAttribute("aria-activedescendant");
    if (!found) return;
    const { index, row, column } = this.chosen;
    this.marked = this.labelled[index];
    this.marked.classList.add("heat-chosen");
    this.line.style.transform = `translateY(${index * this.height}px)`;
    this.line.style.height = `${this.height - 1}px`;
    this.frame.style.transform = `translateX(${this.columns.lefts[column]}px)`;
    this.frame.style.width = `${this.columns.widths[column] - 1}px`;
    this.line.setAttribute("aria-rowindex", index + 1);
    this.frame.setAttribute("aria-colindex", column + 1);
    const { block } = this.rows[index];
    const folded = block ? [`folded into ${block.label}, Enter unfolds`] : [];
    this.frame.setAttribute("aria-label", [...this.describe(row, column), ...folded].join(", "));
    // A screen reader speaks again where the name of the active element changes.
    this.frame.id = `${this.name}-${index}-${column}`;
    this.box.setAttribute("aria-activedescendant", this.frame.id);
  }

  // Scrolls the box, and nothing else, until the cell in view is in it.
  reveal() {
    if (!this.chosen) return;
    const { box, chosen, columns } = this;
    const bring = (side, start, size, room) => {
      if (start < box[side]) box[side] = start;
      else if (start + size > box[side] + room) box[side] = start + size - room;
    };
    bring("scrollTop", chosen.index * this.height, this.height, box.clientHeight - this.above);
    bring("scrollLeft", columns.lefts[chosen.column], columns.widths[chosen.column], box.clientWidth - this.beside);
  }

  // What is told of a cell: the layer, the scheme, the value or why there is none, and how much it holds.
  describe(row, column) {
    const layer = this.cells.layers[row];
    return [layer.name, this.cells.schemes[column].scheme, this.cells.tell(row, column), countWeights(layer)];
  }

  // The row and column below a pointer; a column of -1 is the row's name.
  locate(event) {
    if (!this.cells || !this.columns) return null;
    const bounds = this.area.getBoundingClientRect();
    const frame = this.box.getBoundingClientRect();
    const index = Math.floor((event.clientY - bounds.top) / this.height);
    if (event.clientY < frame.top + this.above || index < 0 || index >= this.rows.length) return null;
    if (event.clientX < frame.left + this.beside) return { index, column: -1 };
    const { lefts, widths } = this.columns;
    const x = event.clientX - bounds.left;
    const column = lefts.findIndex((left, place) => x >= left && x < left + widths[place]);
    return column < 0 ? null : { index, column };
  }

  // Whether a place belongs to the heading of a block, not to a cell.
  isHeading({ index, column }) {
    const { block, folded } = this.rows[index];
    return Boolean(block) && (!folded || column < 0);
  }

  rowAt({ index, column }) {
    const { block, row } = this.rows[index];
    return block ? this.cells.findWorst(block, column) : row;
  }

  hover(event) {
    const at = this.locate(event);
    this.tip.hidden = !at;
    if (!at) return;
    this.tip.replaceChildren(...this.tellAt(at).map((text, place) => make(place ? "div" : "strong", { text })));
    const frame = this.root.getBoundingClientRect();
    const [wide, tall] = [this.tip.offsetWidth, this.tip.offsetHeight];
    const left = keepWithin(event.clientX - frame.left + 14, 0, Math.max(0, frame.width - wide));
    const below = event.clientY + 18 + tall < globalThis.innerHeight;
    this.tip.style.transform = `translate(${left}px, ${event.clientY - frame.top + (below ? 18 : -tall - 12)}px)`;
  }

  tellAt(at) {
    const { block, folded } = this.rows[at.index];
    const count = block && block.stop - block.start;
    if (this.isHeading(at)) return [block.label, `${count} layers; a click ${folded ? "unfolds" : "folds"} them`];
    const row = this.rowAt(at);
    if (at.column < 0) return [this.cells.layers[row].name, countWeights(this.cells.layers[row])];
    return [...this.describe(row, at.column), ...(block ? [`worst of the ${count} layers of ${block.label}`] : [])];
  }

  press(event) {
    const at = this.locate(event);
    if (!at) return;
    if (this.isHeading(at)) this.toggle(this.rows[at.index].block);
    else this.pick({ ...at, column: at.column < 0 ? this.chosen?.column ?? 0 : at.column });
  }

  pick(at, moving = false) {
    const layer = this.cells.layers[this.rowAt(at)].name;
    const { scheme } = this.cells.schemes[at.column];
    this.select(layer, scheme);
    this.hooks.onPick?.({ layer, scheme, moving });
  }

  isFolded() {
    return this.cells.blocks.length > 0 && this.cells.blocks.every((block) => this.folded.has(block.label));
  }

  toggle(block) {
    if (!this.folded.delete(block.label)) this.folded.add(block.label);
    this.place();
  }

  foldAll(folded) {
    this.folded = new Set(folded ? this.cells.blocks.map((block) => block.label) : []);
    this.place();
    this.reveal();
  }

  // Arrows and pages move the cell in view, Home and End lead to the ends of its row (with Ctrl: of its column), Enter
  // folds its block and unfolds it.
  type(event) {
    if (!this.columns || event.altKey || event.metaKey) return;
    if (event.key === "Escape") this.tip.hidden = true;
    const block = this.chosen && this.cells.blockOf(this.chosen.row);
    if ((event.key === "Enter" || event.key === " ") && block) {
      this.toggle(block);
      this.reveal();
    } else if (!this.move(event)) return;
    event.preventDefault();
  }

  move(event) {
    const from = this.chosen ?? { index: 0, column: 0 };
    const page = Math.max(1, Math.floor((this.box.clientHeight - this.above) / this.height) - 1);
    const target = findTarget(event, from, { rows: this.rows, columns: this.cells.columns, page });
    if (!target) return false;
    if (!this.chosen || target.index !== from.index || target.column !== from.column) this.pick(target, true);
    return true;
  }

  resize() {
    if (!this.cells || this.box.clientWidth === this.width) return;
    this.tip.hidden = true;
    this.place();
    this.scale.place();
  }

  destroy() {
    globalThis.removeEventListener("beforeprint", this.onPrint);
    this.tiles.clear();
    this.root.remove();
  }
}
