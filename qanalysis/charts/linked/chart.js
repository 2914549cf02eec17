// One chart of a scene. Plotly draws its axes and traces; title, legend and marks are elements of ours, because a step
// that moves those alone, and the heights of lines, then costs a quarter of a plot that is drawn anew.

import { recolour } from "./colours.js";
import { Legend } from "./legend.js";
import { Marks, isMark } from "./marks.js";
import { buildTools } from "./tools.js";
import { make, writeLabel } from "./words.js";

const MOVING = new Set(["x", "y", "customdata", "text", "name", "hovertemplate"]);
const AT_ONCE = { mode: "immediate", transition: { duration: 0 }, frame: { duration: 0, redraw: false } };
const LEFT_OUT = ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "toImage"];
const CONFIG = { displaylogo: false, showSendToCloud: false, responsive: false, modeBarButtonsToRemove: LEFT_OUT };
const LONGEST_MOVE_MS = 400;
const BOTTOM = 48;
const HEADER = 72; // of a figure's top margin, that its title takes; ours stands above the plot

const keep = (items) => (items ?? []).filter((item) => !isMark(item));
const same = (first, second) => {
  if (first === second) return true;
  if (![first, second].every(ArrayBuffer.isView)) return JSON.stringify(first) === JSON.stringify(second);
  return first.length === second.length && first.every((value, place) => Object.is(value, second[place]));
};

// The layout that plotly is given: without what we draw ourselves.
const layOut = (layout, template, height) => {
  const { title: _title, legend, ...rest } = structuredClone(layout); // plotly writes into what it is given
  const margin = { l: 60, r: 24, t: 84, b: BOTTOM, ...layout.margin };
  const lies = (legend?.orientation ?? "h") === "h" && (legend?.yref === "container" || (legend?.y ?? 1) < 0);
  const below = layout.showlegend !== false && lies;
  return {
    ...rest,
    template,
    height,
    autosize: true,
    showlegend: false,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    shapes: keep(layout.shapes),
    annotations: keep(layout.annotations),
    margin: { ...margin, t: Math.max(14, margin.t - HEADER), b: below ? BOTTOM : margin.b },
  };
};

// The ends of a layout's axes, which may move in place, and everything else of it.
const splitEnds = (layout) => {
  const [ends, rest] = [{}, {}];
  for (const [name, value] of Object.entries(layout)) {
    rest[name] = value;
    if (!/^[xy]axis\d*$/.test(name) || !value.range) continue;
    const { range, ...axis } = value;
    Object.assign(rest, { [name]: axis });
    ends[name] = range;
  }
  return [ends, rest];
};

// Which attributes of which traces and which ends of axes differ, or null where more than those that move in place
// does.
const findMoves = (before, after) => {
  if (!before || before.data.length !== after.data.length) return null;
  const { title: _old, shapes: oldShapes, annotations: oldNotes, ...oldLayout } = before.layout;
  const { title: _new, shapes, annotations, ...layout } = after.layout;
  const [[oldEnds, oldRest], [ends, rest]] = [splitEnds(oldLayout), splitEnds(layout)];
  const kept = same(keep(oldShapes), keep(shapes)) && same(keep(oldNotes), keep(annotations));
  if (!kept || !same(oldRest, rest)) return null;
  if (Object.keys(oldEnds).join() !== Object.keys(ends).join()) return null;
  const moved = Object.entries(ends).filter(([name, range]) => !same(oldEnds[name], range));
  const traces = [];
  for (const [place, trace] of after.data.entries()) {
    const old = before.data[place];
    if (old === trace) continue;
    if (trace.type && trace.type !== "scatter") return null;
    const names = new Set([...Object.keys(old), ...Object.keys(trace)]);
    const changed = [...names].filter((name) => old[name] !== trace[name] && !same(old[name], trace[name]));
    if (changed.some((name) => !MOVING.has(name) || !(name in trace))) return null;
    if (changed.length) traces.push([place, Object.fromEntries(changed.map((name) => [name, trace[name]]))]);
  }
  return { traces, layout: Object.fromEntries(moved.map(([name, range]) => [name, { range: [...range] }])) };
};

// Pixels of the plot with its axes: the figure's height without the room of title and legend.
const plotHeight = ({ height, figure: { layout } }) => {
  const margin = { t: 84, b: BOTTOM, ...layout.margin };
  return (height ?? 380) - (margin.t - Math.max(14, margin.t - HEADER)) - Math.max(0, margin.b - BOTTOM);
};

export class Chart {
  constructor(holder, hooks, Plotly) {
    this.hooks = hooks;
    this.Plotly = Plotly;
    this.hidden = new Set();
    this.title = make("div", { className: "ql-title" });
    this.subtitle = make("div", { className: "ql-subtitle" });
    this.plot = make("div", { className: "ql-plot", role: "img" });
    this.frame = make("div", { className: "ql-frame" }, this.plot);
    this.marks = new Marks(this.frame);
    this.tools = buildTools(this);
    const heads = make("div", { className: "ql-heads" }, this.title, this.subtitle);
    this.root = make("figure", { className: "ql-chart" }, make("figcaption", {}, heads, this.tools.bar), this.frame);
    this.legend = new Legend(this.root, { onToggle: (place) => this.toggle(place) });
    this.root.append(this.tools.drawer);
    holder.replaceChildren(this.root);
  }

  // Draws the panel, or moves what stands to it.
  async show(panel, colours, template) {
    if (!this.panel) this.frame.style.setProperty("--ql-height", `${plotHeight(panel)}px`);
    const height = Math.round(this.frame.clientHeight);
    const anew = this.colours !== colours || this.height !== height;
    // Places of hidden traces mean others in a chart of as many more or fewer.
    if (this.panel && this.panel.figure.data.length !== panel.figure.data.length) this.hidden.clear();
    const moves = anew || this.drawing ? null : findMoves(this.panel?.figure, panel.figure);
    Object.assign(this, { panel, colours, template, height });
    const { layout } = panel.figure;
    this.write(layout);
    const looks = panel.figure.data.map(({ x: _x, y: _y, z: _z, customdata: _c, text: _t, ...look }) => look);
    this.legend.show(recolour(looks, colours), this.hidden, { redraw: !moves });
    if (moves) await this.move(moves);
    else await this.draw();
    this.mark();
    this.tools.refresh();
  }

  mark() {
    const { layout } = this.panel.figure;
    const moving = this.panel.marks ?? {};
    const collect = (kind) => [...(layout[kind] ?? []).filter(isMark), ...(moving[kind] ?? [])];
    const [shapes, annotations] = ["shapes", "annotations"].map(collect);
    this.marks.show(this.plot, recolour({ shapes, annotations }, this.colours));
  }

  write(layout) {
    const { text, subtitle } = layout.title ?? {};
    if (this.written !== text) writeLabel(this.title, text);
    if (this.writtenBelow !== subtitle?.text) writeLabel(this.subtitle, subtitle?.text);
    Object.assign(this, { written: text, writtenBelow: subtitle?.text });
    this.plot.setAttribute("aria-label", this.panel.alt);
  }

  async move({ traces, layout }) {
    if (!traces.length && !Object.keys(layout).length) return;
    const data = traces.map(([, change]) => change);
    // Animate's own promise comes a frame late, and not at all where a frame is dropped. The events say that the move
    // stands: of traces alone already that it began, in the same breath, while axes take a frame more. A chart that
    // never says it must not hold the others.
    const moved = new Promise((done) => {
      this.plot.once(Object.keys(layout).length ? "plotly_transitioned" : "plotly_transitioning", done);
      setTimeout(done, LONGEST_MOVE_MS);
    });
    const frame = { data, layout, traces: traces.map(([place]) => place) };
    this.Plotly.animate(this.plot, frame, AT_ONCE).catch(() => undefined);
    await moved;
  }

  async draw() {
    const { data, layout } = recolour(this.panel.figure, this.colours);
    const traces = data.map((trace, place) => (this.hidden.has(place) ? { ...trace, visible: false } : { ...trace }));
    this.drawing = true;
    try {
      const laid = layOut(layout, recolour(this.template, this.colours), this.height);
      await this.Plotly.react(this.plot, traces, laid, CONFIG);
    } finally {
      this.drawing = false;
    }
    if (!this.wired && this.hooks.onPick)
      this.plot.on("plotly_click", ({ points: [at] }) => this.hooks.onPick(at?.customdata ?? { across: at?.x }));
    this.wired = true;
  }

  toggle(place) {
    if (this.hidden.has(place)) this.hidden.delete(place);
    else this.hidden.add(place);
    const panel = this.panel;
    this.panel = undefined;
    this.show(panel, this.colours, this.template).catch(this.hooks.onFault);
  }

  resize() {
    if (!this.panel || !this.root.isConnected) return;
    // A headline that takes one line more moves the charts, and leaves them as large as they are.
    const { width, height } = this.plot._fullLayout ?? {};
    if (width === this.plot.clientWidth && height === Math.round(this.frame.clientHeight)) return;
    this.height = Math.round(this.frame.clientHeight);
    this.draw().then(() => this.mark()).catch(this.hooks.onFault);
  }

  destroy() {
    this.Plotly.purge(this.plot);
    this.root.remove();
  }
}
