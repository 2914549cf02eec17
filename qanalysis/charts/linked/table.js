// How does a person read, sort and copy a table, and choose a row of it? Focus only looks: a click, Enter or Space
// chooses. Only the rows in sight are in the document, so a thousand of them cost as little as thirty.

import { putOnClipboard } from "./clipboard.js";
import { make } from "./words.js";

const USUAL_HEIGHT = 29; // pixels of a row, until one is measured
const SPARE_ROWS = 12; // rows kept above and below the sight, for a wheel that is faster than a frame
const MOST_FIRST = 0.62; // of the room; a wider first column is folded, or nothing else could be seen
const FOLDED = 0.46; // of the room, that it then takes
const PADDING = 32; // pixels beside its text
const SIZERS = 4; // texts of a column, the longest ones, that hold its width while rows come and go
const COPIED_MS = 1500;
const RUN_BY_SPREADSHEETS = /^'*(?:[\s\ufeff\u200b]*[=+\-@＝＋－＠]|[\t\r\n\x1b])/;
const WORDS = new Intl.Collator("en", { numeric: true });

export class Table {
  constructor(holder, hooks) {
    this.hooks = hooks;
    this.caption = make("div", { className: "ql-table-caption" });
    this.said = make("span", { className: "ql-table-said", role: "status" });
    const title = "The table for a spreadsheet, with every digit";
    this.copy = make("button", { className: "ql-table-copy", type: "button", text: "Copy", title });
    this.box = make("div", { className: "ql-table-box" });
    const top = make("div", { className: "ql-table-top" }, this.caption, this.said, this.copy);
    this.root = make("div", { className: "ql-table-frame" }, top, this.box);
    holder.replaceChildren(this.root);
    this.chosen = null;
    this.active = null;
    this.rowHeight = USUAL_HEIGHT;
    this.sorted = { name: "", direction: 0 };
    this.copy.addEventListener("click", () => this.copyAll());
    this.box.addEventListener("scroll", () => this.drawLater(), { passive: true });
    this.box.addEventListener("click", (event) => this.takeClick(event));
    this.box.addEventListener("focusin", ({ target }) => this.takeFocus(target));
    this.box.addEventListener("keydown", (event) => this.takeKey(event));
    this.draw = this.draw.bind(this);
    this.paper = matchMedia("print");
    this.paper.addEventListener("change", this.draw);
  }

  // Draw a panel, or what is new in it; the sorting, the place scrolled to and the focus stay.
  show(panel, colours) {
    for (const role of ["text", "muted", "grid", "panel", "background", "kept"])
      this.root.style.setProperty(`--table-${role}`, colours[role]);
    const { table } = panel;
    if (table === this.table || refill(this, table)) return;
    const same = isSame(table.rows, this.table?.rows);
    const focused = this.body && this.findFocused();
    const { scrollTop, scrollLeft } = this.box;
    this.table = table;
    if (!same) this.active = null;
    this.build(panel.alt);
    this.sort();
    this.resize();
    if (same) this.box.scrollTo(scrollLeft, scrollTop);
    else this.meet();
    this.draw();
    if (focused) this.refocus(focused);
  }

  // Mark the row in view, by its name; null marks none.
  select(name) {
    const moved = name !== this.chosen;
    this.chosen = name;
    for (const [row, line] of this.lines) this.mark(row, line);
    if (moved && !this.root.contains(this.findFocus())) this.meet();
  }

  // Bring the row in view into sight; the keys go on from there.
  meet() {
    const row = this.table.rows.indexOf(this.chosen);
    if (row < 0) return;
    this.activate(row);
    this.reveal(row);
  }

  // Where names would take most of the room they run over several lines, as many in every row.
  resize() {
    this.root.classList.remove("ql-table-narrow");
    const [natural, room] = [this.head.firstElementChild?.offsetWidth ?? 0, this.root.clientWidth];
    if (natural > MOST_FIRST * room && room) {
      const lines = Math.ceil((natural - PADDING) / Math.max(FOLDED * room - PADDING, 1));
      this.root.style.setProperty("--table-first", `${Math.round(FOLDED * room)}px`);
      this.root.style.setProperty("--table-lines", lines);
      this.root.classList.add("ql-table-narrow");
    }
    this.draw();
  }

  destroy() {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.paper.removeEventListener("change", this.draw);
    this.root.remove();
  }

  build(label) {
    const { columns, rows, height, caption, pick } = this.table;
    this.lines = new Map();
    this.caption.textContent = caption ?? "";
    this.box.style.maxHeight = height ? `${height}px` : "";
    this.head = make("tr", {}, ...columns.map((column, place) => this.buildHeading(column, place)));
    this.body = make("tbody");
    const told = { role: pick ? "grid" : undefined, "aria-label": label, "aria-rowcount": rows.length + 1 };
    const grid = make("table", { className: "ql-table", ...told });
    grid.append(make("thead", {}, this.head), this.buildSizers(), this.body);
    this.box.replaceChildren(grid);
    this.box.tabIndex = pick ? -1 : 0;
  }

  buildHeading({ heading, note, values }, place) {
    const told = { text: heading, title: note || undefined, tabindex: place ? -1 : 0 };
    const button = make("button", { className: "ql-table-sort", type: "button", ...told });
    return make("th", { scope: "col", className: values ? "ql-table-number" : "" }, button);
  }

  // Rows that take no height, but hold the width of each column.
  buildSizers() {
    const longest = this.table.columns.map(({ texts }) =>
      [...new Set(texts)].sort((one, other) => other.length - one.length).slice(0, SIZERS),
    );
    const ranks = Array.from({ length: SIZERS }, (_, rank) => rank);
    const buildRank = (rank) => longest.map((texts, place) => this.buildCell(place, texts[rank] ?? ""));
    const lines = ranks.map((rank) => make("tr", {}, ...buildRank(rank)));
    return make("tbody", { className: "ql-table-sizers" }, ...lines);
  }

  buildCell(place, text) {
    const className = this.table.columns[place].values ? "ql-table-number" : "";
    return place ? make("td", { text, className }) : make("th", { text, className, scope: "row" });
  }

  // The line of a row, made when it is first in sight, at its place in the order.
  line(row, place) {
    const line = this.lines.get(row) ?? this.buildLine(row);
    line.setAttribute("aria-rowindex", place + 2);
    return line;
  }

  buildLine(row) {
    const cells = this.table.columns.map(({ texts }, place) => this.buildCell(place, texts[row]));
    const line = make("tr", { className: "ql-table-row", "data-row": row }, ...cells);
    const name = this.table.rows[row];
    if (name !== cells[0].textContent) cells[0].title = name;
    this.mark(row, line);
    this.lines.set(row, line);
    return line;
  }

  mark(row, line) {
    if (!this.table.pick) return;
    line.setAttribute("aria-selected", this.table.rows[row] === this.chosen);
    line.tabIndex = row === this.active ? 0 : -1;
  }

  // Bring the rows into the order asked for: numbers and words, rows without a value last in either direction.
  sort() {
    const { columns, rows } = this.table;
    const place = columns.findIndex((column) => column.name === this.sorted.name);
    if (place < 0) this.sorted = { name: "", direction: 0 };
    const { direction } = this.sorted;
    this.order = Array.from(rows, (_, row) => row);
    if (direction) this.order.sort(compareBy(columns[place], direction));
    [...this.head.children].forEach((heading, index) => {
      if (direction && index === place)
        heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
  }

  sortBy(place) {
    const { name } = this.table.columns[place];
    const next = { 0: 1, 1: -1, [-1]: 0 };
    this.sorted = { name, direction: this.sorted.name === name ? next[this.sorted.direction] : 1 };
    this.sort();
    this.box.scrollTop = 0;
    if (!this.hasRowFocus()) this.activate(this.order[0]);
    this.draw();
  }

  drawLater() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(this.draw);
  }

  // The places, among all rows, of the first in sight and of those to be in the document; on paper that is all.
  findSight() {
    const count = this.order.length;
    if (this.paper.matches || !this.table.height) return { top: 0, first: 0, last: count };
    const sight = Math.ceil((this.box.clientHeight || this.table.height) / this.rowHeight);
    const top = Math.max(0, Math.min(Math.ceil(this.box.scrollTop / this.rowHeight), count - sight));
    return { top, first: Math.max(0, top - SPARE_ROWS), last: Math.min(count, top + sight + SPARE_ROWS) };
  }

  // Put the rows in sight into the document.
  draw() {
    const { top, first, last } = this.findSight();
    const shown = this.order.slice(first, last);
    if (!this.body.hasChildNodes() || !isSame(shown, this.shown)) {
      const focused = this.hasRowFocus() || this.findFocus() === this.box;
      // Tab enters the rows at one in sight.
      if (!focused && !shown.includes(this.active)) this.activate(this.order[top]);
      this.shown = shown;
      const lines = shown.map((row, place) => this.line(row, first + place));
      const gaps = [first, this.order.length - last].map((count) => makeGap(count * this.rowHeight));
      this.body.replaceChildren(gaps[0], ...lines, gaps[1], ...(shown.length ? [] : [this.buildEmpty()]));
      if (focused && this.table.pick) this.focusActive();
    }
    this.measure();
  }

  // How high rows are where this page's font and zoom draw them; the gaps above and below follow.
  measure() {
    const height = this.lines.get(this.shown[0])?.getBoundingClientRect().height;
    if (!height || this.paper.matches || Math.abs(height - this.rowHeight) < 0.01) return;
    this.rowHeight = height;
    this.shown = [];
    this.drawLater();
  }

  buildEmpty() {
    const colspan = this.table.columns.length;
    return make("tr", {}, make("td", { className: "ql-table-empty", text: "No rows.", colspan }));
  }

  // A focused row that was scrolled away leaves the focus to the box, where the arrow keys find it again.
  focusActive() {
    (this.shown.includes(this.active) ? this.lines.get(this.active) : this.box).focus({ preventScroll: true });
  }

  findFocus() {
    return this.root.getRootNode().activeElement;
  }

  // What has the focus inside the box: a row, the heading of a column by its name, or nothing.
  findFocused() {
    const focus = this.findFocus();
    if (this.body.contains(focus)) return { row: true };
    const place = [...this.head.children].findIndex((heading) => heading.contains(focus));
    return place < 0 ? null : { column: this.table.columns[place].name };
  }

  refocus({ row, column }) {
    const place = this.table.columns.findIndex(({ name }) => name === column);
    if (row && this.table.pick) this.focusActive();
    else if (place >= 0) this.focusHeading(place);
  }

  focusHeading(goal) {
    const buttons = [...this.head.querySelectorAll("button")];
    buttons.forEach((button, place) => (button.tabIndex = place === goal ? 0 : -1));
    buttons[goal].focus();
  }

  hasRowFocus() {
    return this.body.contains(this.findFocus());
  }

  activate(row) {
    const before = this.active;
    this.active = row ?? null;
    for (const place of [before, this.active]) {
      const line = this.lines.get(place);
      if (line) this.mark(place, line);
    }
  }

  // Scroll the box, and nothing else, until a row is in sight below the headings.
  reveal(row) {
    const height = this.rowHeight;
    const top = this.order.indexOf(row) * height;
    const sight = this.box.clientHeight - this.head.offsetHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + height > this.box.scrollTop + sight) this.box.scrollTop = top + height - sight;
    this.draw();
  }

  pick(row) {
    this.activate(row);
    this.select(this.table.rows[row]);
    this.hooks.onPick?.({ row: this.table.rows[row] });
  }

  takeFocus(target) {
    const { row } = target.closest("tr")?.dataset ?? {};
    if (row !== undefined) this.activate(Number(row));
  }

  takeClick(event) {
    const button = event.target.closest("button");
    if (button) {
      this.sortBy([...this.head.children].indexOf(button.parentElement));
      return;
    }
    const line = event.target.closest("tr[data-row]");
    const marked = this.root.getRootNode().getSelection?.() ?? window.getSelection();
    // Text that was marked with the pointer is to be copied, not chosen.
    if (!this.table.pick || !line || (marked && !marked.isCollapsed && line.contains(marked.anchorNode))) return;
    this.pick(Number(line.dataset.row));
  }

  takeKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const button = event.target.closest?.("button");
    const taken = button ? this.takeHeadingKey(event.key, button) : this.table.pick && this.takeRowKey(event.key);
    if (!taken) return;
    event.preventDefault();
    event.stopPropagation();
  }

  takeHeadingKey(key, button) {
    const buttons = [...this.head.querySelectorAll("button")];
    const place = buttons.indexOf(button);
    if (key === "ArrowDown" && this.table.pick && this.order.length) {
      this.reveal(this.active);
      this.focusActive();
      return true;
    }
    const goal = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: buttons.length - 1 }[key];
    if (!(goal in buttons)) return false;
    this.focusHeading(goal);
    return true;
  }

  takeRowKey(key) {
    if (key === "Enter" || key === " ") {
      if (this.active !== null) this.pick(this.active);
      return true;
    }
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.rowHeight) - 2);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (!(key in steps) || !this.order.length) return false;
    const place = this.order.indexOf(this.active);
    if (key === "ArrowUp" && place === 0) {
      this.head.querySelector('button[tabindex="0"]').focus();
      return true;
    }
    this.activate(this.order[Math.min(Math.max(place + steps[key], 0), this.order.length - 1)]);
    this.reveal(this.active);
    this.focusActive();
    return true;
  }

  async copyAll() {
    const done = await putOnClipboard(writeTabs(this.table, this.order), this.root);
    this.said.textContent = done ? "Copied" : "This browser does not let pages copy";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.said.textContent = ""), COPIED_MS);
  }
}

// The rows in the order in sight as tab-separated text, for a spreadsheet: names of columns as in files, whole names,
// every digit, nothing where there is no value, and no text that a spreadsheet would run.
export function writeTabs({ columns, rows }, order) {
  const tell = (column, place, row) => {
    if (column.values) return String(column.values[row] ?? "").replace("Infinity", "inf");
    const text = (place === 0 && rows[row]) || column.texts[row];
    return RUN_BY_SPREADSHEETS.test(text) ? `'${text}` : text;
  };
  const lines = order.map((row) => columns.map((column, place) => tell(column, place, row)));
  return [columns.map(({ name }) => name), ...lines]
    .map((cells) => cells.map((cell) => cell.replace(/[\t\r\n]+/g, " ")).join("\t"))
    .join("\n");
}

function compareBy(column, direction) {
  const keys = column.values
    ? column.values.map((value) => (value === null ? NaN : Number(value)))
    : column.texts.map((text) => text || null);
  const lacks = (key) => key === null || Number.isNaN(key);
  const compare = column.values ? (one, other) => (one > other) - (one < other) : WORDS.compare;
  return (one, other) => {
    const missing = lacks(keys[one]) - lacks(keys[other]);
    return missing || (lacks(keys[one]) ? 0 : direction * compare(keys[one], keys[other]));
  };
}

// A row as high as those left out.
function makeGap(height) {
  const gap = make("tr", { "aria-hidden": "true" });
  gap.style.height = `${height}px`;
  gap.hidden = height <= 0;
  return gap;
}

// Whether the lines that stand could be written over: where cells alone move, and no order follows them.
function refill(view, table) {
  const list = ({ rows, columns }) => [...columns.map(({ name }) => name), ...rows];
  if (!table.moves || !view.table?.moves || view.sorted.direction) return false;
  if (!isSame(list(table), list(view.table))) return false;
  view.table = table;
  for (const [row, { cells }] of view.lines)
    for (const [place, { texts }] of table.columns.entries())
      if (cells[place].textContent !== texts[row]) cells[place].textContent = texts[row];
  return true;
}

const isSame = (one, other) => one.length === other?.length && one.every((item, place) => item === other[place]);
