// The legend of a chart as buttons: a swatch drawn as the trace is, its name, which moves with every step, and a click
// that hides the trace or brings it back.

import { make, writeLabel } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const DASH = { dash: "6 3", dot: "2 2", dashdot: "6 2 2 2", longdash: "9 3", longdashdot: "9 2 2 2" };
const SHAPES = {
  circle: "M13 7a3 3 0 1 0-6 0a3 3 0 1 0 6 0",
  square: "M7 4h6v6h-6z",
  diamond: "M10 3l4 4-4 4-4-4z",
  "triangle-up": "M10 3l4 7h-8z",
  "triangle-down": "M10 11l4-7h-8z",
  x: "M7 4l6 6M13 4l-6 6",
  cross: "M10 3v8M6 7h8",
  star: "M10 2l1.3 3.4 3.7.2-2.9 2.3 1 3.6-3.1-2-3.1 2 1-3.6L5 5.6l3.7-.2z",
};

const draw = (name, attributes) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(key, value);
  return element;
};

const swatch = (trace) => {
  const svg = draw("svg", { viewBox: "0 0 20 14", width: 20, height: 14, "aria-hidden": "true" });
  const line = trace.line ?? {};
  const marker = trace.marker ?? {};
  const colour = line.color ?? (typeof marker.color === "string" ? marker.color : undefined) ?? "currentColor";
  const fill = trace.fillcolor ?? colour;
  if (trace.fill || trace.type === "bar") svg.append(draw("rect", { x: 1, y: 2, width: 18, height: 10, fill }));
  if (trace.fillpattern?.shape) {
    const d = trace.fillpattern.shape === "x" ? "M2 12L10 2M8 12L18 2M2 2L10 12M8 2L18 12" : "M2 12L10 2M8 12L16 2";
    svg.append(draw("path", { d, stroke: colour, "stroke-width": 1, fill: "none" }));
  }
  const mode = trace.mode ?? "lines";
  if (mode.includes("lines") && trace.type !== "bar") {
    const pen = { "stroke-width": Math.min(line.width ?? 2, 3), "stroke-dasharray": DASH[line.dash] };
    svg.append(draw("path", { d: "M1 7H19", stroke: colour, fill: "none", ...pen }));
  }
  if (mode.includes("markers")) {
    const symbol = Array.isArray(marker.symbol) ? marker.symbol[0] : marker.symbol ?? "circle";
    const filled = /^x|cross|open/.test(symbol) ? "none" : colour;
    svg.append(draw("path", { d: SHAPES[symbol.replace("-open", "")] ?? SHAPES.circle, fill: filled, stroke: colour }));
  }
  return svg;
};

const isNamed = (trace) => trace.showlegend !== false && Boolean(trace.name);

export class Legend {
  constructor(holder, { onToggle }) {
    this.root = make("div", { className: "ql-legend" });
    holder.append(this.root);
    this.onToggle = onToggle;
    this.entries = new Map();
  }

  // Draws the entries anew where the traces are others, and writes the names alone where they are the same.
  show(traces, hidden, { redraw }) {
    const named = traces.map((trace, place) => [place, trace]).filter(([, trace]) => isNamed(trace));
    const rank = ([, trace]) => trace.legendrank ?? 1000;
    const ranked = named.sort((one, other) => rank(one) - rank(other) || one[0] - other[0]);
    if (redraw || ranked.length !== this.entries.size || ranked.some(([place]) => !this.entries.has(place))) {
      this.entries = new Map(ranked.map(([place, trace]) => [place, this.build(place, trace)]));
      this.root.replaceChildren(...[...this.entries.values()].map((entry) => entry.button));
    }
    for (const [place, trace] of ranked) {
      const entry = this.entries.get(place);
      if (entry.name !== trace.name) writeLabel(entry.text, trace.name);
      entry.name = trace.name;
      entry.button.setAttribute("aria-pressed", String(!hidden.has(place)));
    }
    this.root.hidden = !ranked.length;
  }

  build(place, trace) {
    const text = make("span");
    const look = { type: "button", className: "ql-entry", title: "Show or hide" };
    const button = make("button", look, swatch(trace), text);
    button.addEventListener("click", () => this.onToggle(place));
    return { button, text, name: undefined };
  }
}
