// What is drawn over a plot as elements: shapes and annotations that a figure names "mark…" move with the control, and
// an element that moves costs a hundredth of a plot that is drawn anew.

import { make, writeLabel } from "./words.js";

export const isMark = (item) => String(item.name ?? "").startsWith("mark");

// Pixels of a place on an axis, or on the plot's side for "paper".
const placeOf = (layout, ref, value, letter) => {
  const size = layout._size;
  if (ref === "paper") return letter === "x" ? size.l + value * size.w : size.t + (1 - value) * size.h;
  const axis = layout[`${letter}axis${ref.slice(1)}`];
  const moved = axis.type === "log" && typeof value === "number" ? axis.l2p(value) : axis.d2p(value);
  return axis._offset + moved;
};

const drawShape = (layout, shape) => {
  const [x0, x1] = [shape.x0, shape.x1].map((value) => placeOf(layout, shape.xref ?? "x", value, "x"));
  const [y0, y1] = [shape.y0, shape.y1].map((value) => placeOf(layout, shape.yref ?? "y", value, "y"));
  const line = shape.line ?? {};
  const style = line.dash === "dot" ? "dotted" : line.dash && line.dash !== "solid" ? "dashed" : "solid";
  const element = make("div", { className: "ql-shape" });
  const width = line.width ?? 2;
  const [left, top] = [`${Math.min(x0, x1)}px`, `${Math.min(y0, y1)}px`];
  Object.assign(element.style, { left, top, width: `${Math.abs(x1 - x0)}px`, height: `${Math.abs(y1 - y0)}px` });
  const side = shape.type !== "line" ? "border" : x0 === x1 ? "borderLeft" : "borderTop";
  element.style[side] = `${width}px ${style} ${line.color}`;
  if (shape.type === "circle") element.style.borderRadius = "50%";
  return element;
};

const APART = 14; // pixels between the names of two lines

// Moves the names at the ends of lines apart, from the lowest upwards, and back below the top of the plot.
const spread = (notes, top, bottom) => {
  const sorted = [...notes].sort((first, second) => second.y - first.y);
  let ceiling = bottom + APART / 2;
  for (const note of sorted) {
    note.y = Math.min(note.y, ceiling);
    ceiling = note.y - APART;
  }
  let floor = top;
  for (const note of sorted.reverse()) {
    note.y = Math.max(note.y, floor);
    floor = note.y + APART;
    note.element.style.top = `${note.y}px`;
  }
};

const drawNote = (layout, note) => {
  const element = make("div", { className: "ql-note" });
  writeLabel(element, note.text);
  const x = placeOf(layout, note.xref ?? "x", note.x, "x") + (note.xshift ?? 0);
  const y = placeOf(layout, note.yref ?? "y", note.y, "y") - (note.yshift ?? 0);
  const across = { left: "0", right: "-100%", center: "-50%" }[note.xanchor ?? "center"] ?? "-50%";
  const down = { top: "0", bottom: "-100%", middle: "-50%" }[note.yanchor ?? "middle"] ?? "-50%";
  const transform = `translate(${across}, ${down})`;
  Object.assign(element.style, { left: `${x}px`, top: `${y}px`, transform, color: note.font?.color ?? "inherit" });
  if (note.font?.size) element.style.fontSize = `${note.font.size}px`;
  return { element, y, isEnd: note.name === "mark-end" };
};

export class Marks {
  constructor(holder) {
    this.root = make("div", { className: "ql-over", "aria-hidden": "true" });
    holder.append(this.root);
  }

  // Draws marks over a plot that stands; a plot without axes keeps none.
  show(plot, { shapes, annotations }) {
    const full = plot._fullLayout;
    if (!full?._size) return;
    const notes = annotations.map((note) => drawNote(full, note));
    spread(notes.filter((note) => note.isEnd), full._size.t, full._size.t + full._size.h);
    this.root.replaceChildren(...shapes.map((shape) => drawShape(full, shape)), ...notes.map((note) => note.element));
  }
}
