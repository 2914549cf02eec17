// What every chart offers besides being looked at: its numbers as a table, the lines of Python that make them, and a
// picture of it.

import { putOnClipboard } from "./clipboard.js";
import { recolour } from "./colours.js";
import { Table } from "./table.js";
import { make, plainText, tellNumber } from "./words.js";

const SETTLED_MS = 120; // an open table follows when the hand pauses, so that the charts keep their pace
const NUMBERS_HEIGHT = 260;
const MOST_LINES = 20_000; // of a table; what a heat map of a thousand layers has more of is in the downloads
const ICONS = {
  Numbers: "M2 3h12v10H2zM2 6.3h12M2 9.6h12M6 3v10",
  Python: "M6 4L2.5 8 6 12M10 4l3.5 4L10 12",
  Picture: "M2 4.5h3l1-1.5h4l1 1.5h3V13H2zM8 6.2a2.4 2.4 0 1 0 0 4.8a2.4 2.4 0 1 0 0-4.8",
};

const drawIcon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const pen = { fill: "none", stroke: "currentColor", "stroke-width": 1.3 };
  const look = { viewBox: "0 0 16 16", width: 16, height: 16, ...pen, "aria-hidden": "true" };
  for (const [key, value] of Object.entries(look)) svg.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
};

const titleOf = (axis) => plainText(axis?.title?.text ?? "");

// The numbers of a figure: one line per point, series by series. Where the vertical axis is not shown, a point is its
// place alone, once.
const listMarks = ({ data, layout }) => {
  const lines = [];
  for (const trace of data) {
    if (!trace.x || !trace.y || trace.hoverinfo === "skip") continue;
    const [xaxis, yaxis] = ["x", "y"].map((letter) => layout[`${letter}axis${trace[`${letter}axis`]?.slice(1) ?? ""}`]);
    const [across, up] = [titleOf(xaxis), titleOf(yaxis)];
    const flat = yaxis?.visible === false;
    for (let place = 0; place < trace.x.length; place += 1) {
      const [x, y] = [trace.x[place], trace.y[place]];
      if (y === null || Number.isNaN(y) || x === null || (flat && x === lines.at(-1)?.x)) continue;
      lines.push({ series: plainText(trace.name ?? ""), x, y, across, up, flat });
    }
  }
  return lines;
};

const spell = (value) => (typeof value === "number" ? tellNumber(value, "", 6) : String(value));

// The points of a figure as a table: what heads its columns, and the cells of each line.
const listPoints = (figure) => {
  const points = listMarks(figure);
  const one = points[0] ?? { across: "x", up: "y" };
  const uniform = points.every((point) => point.across === one.across && point.up === one.up);
  const [across, up] = uniform ? [one.across || "x", one.up || "y"] : ["x", "y"];
  const heads = ["Series", across, ...(one.flat ? [] : [up]), ...(uniform ? [] : ["of"])];
  const tell = ({ series, x, y, up: of }) => [series, x, ...(one.flat ? [] : [y]), ...(uniform ? [] : [of])];
  return { heads, lines: points.map(tell) };
};

// The cells of a map whose colours are powers of ten: where each lies, and its value.
const listMap = ({ data: [trace], layout: { xaxis, yaxis, coloraxis } }) => {
  const lines = trace.z.flatMap((row, up) =>
    Array.from(row, (power, across) => {
      const [x, y] = [trace.x0 + across * trace.dx, trace.y0 + up * trace.dy];
      return [x, y, 10 ** (power ?? Number.NaN)];
    }));
  const heads = [titleOf(xaxis), titleOf(yaxis), titleOf(coloraxis.colorbar)];
  return { heads, lines: lines.filter((line) => !Number.isNaN(line[2])) };
};

// The cells of a map of named rows and columns, which carry both names and the value.
const listNamed = ({ data: [trace] }) => {
  const lines = trace.customdata.flat().filter((line) => line.at(-1) !== null);
  return { heads: trace.meta, lines };
};

const listFigure = (figure) => {
  if (!figure.data[0]?.z) return listPoints(figure);
  return figure.layout.coloraxis ? listMap(figure) : listNamed(figure);
};

// Lines of cells as a table to sort and copy. In a column of numbers a word says why there is none.
const tabulate = ({ heads, lines }) => {
  const shown = lines.slice(0, MOST_LINES);
  const columns = heads.map((heading, place) => {
    const cells = shown.map((line) => line[place]);
    const values = cells.map((cell) => (typeof cell === "number" ? cell : null));
    const numeric = values.some((value) => value !== null);
    return { name: heading, heading, note: "", texts: cells.map(spell), values: numeric ? values : null };
  });
  const caption = lines.length > MOST_LINES ? `The first ${MOST_LINES} of ${lines.length} lines.` : "";
  return { columns, rows: columns[0].texts, pick: false, height: NUMBERS_HEIGHT, caption };
};

const fillNumbers = (holder) => {
  const view = new Table(holder, {});
  const show = ({ panel, colours, listCells }) => {
    const table = tabulate(listCells?.() ?? listFigure(panel.figure));
    view.show({ alt: `Numbers: ${plainText(panel.figure.layout.title?.text)}`, table }, colours);
  };
  return { show, destroy: () => view.destroy() };
};

const fillPython = (holder) => {
  const copy = make("button", { type: "button", text: "Copy Python", className: "ql-tool" });
  const said = make("span", { role: "status" });
  const lines = make("pre", { tabindex: 0 });
  copy.addEventListener("click", async () => {
    const done = await putOnClipboard(lines.textContent, holder);
    said.textContent = done ? "Copied" : "Mark the lines and copy them";
  });
  holder.replaceChildren(make("div", { className: "ql-row" }, copy, said), lines);
  const show = ({ panel }) => {
    if (lines.textContent !== panel.python) said.textContent = "";
    lines.textContent = panel.python;
  };
  return { show, destroy: () => holder.replaceChildren() };
};

const savePicture = ({ panel, colours, template, Plotly, plot }) => {
  const { data, layout } = recolour(panel.figure, colours);
  const back = { paper_bgcolor: colours.background, plot_bgcolor: colours.background };
  const figure = { data, layout: { ...layout, template: recolour(template, colours), ...back } };
  const { width = 640, height = 480 } = panel.meta?.cells ?? {};
  const size = { width: Math.max(plot.clientWidth, width), height };
  return Plotly.downloadImage(figure, { format: "png", scale: 2, ...size, filename: panel.name });
};

// The bar of buttons, and the drawer below the chart that they open; `chart` is asked for its panel when one is
// pressed.
export const buildTools = (chart) => {
  const bar = make("div", { className: "ql-tools" });
  const drawer = make("div", { className: "ql-drawer", hidden: "" });
  const fill = { numbers: fillNumbers, python: fillPython };
  let open = "";
  let view;
  let waiting;
  const press = (kind) => {
    open = open === kind ? "" : kind;
    drawer.hidden = !open;
    for (const button of bar.querySelectorAll("[data-opens]"))
      button.setAttribute("aria-expanded", String(button.dataset.opens === open));
    view?.destroy();
    view = open ? fill[open](drawer) : undefined;
    view?.show(chart);
  };
  const add = (name, title, run, opens) => {
    const told = { title, "aria-label": name, "data-opens": opens, "aria-expanded": opens ? "false" : undefined };
    const button = make("button", { type: "button", className: "ql-tool", ...told }, drawIcon(name));
    button.addEventListener("click", run);
    bar.append(button);
    return button;
  };
  add("Numbers", "Show the numbers of this chart as a table", () => press("numbers"), "numbers");
  const python = add("Python", "Show the lines of Python that make these numbers", () => press("python"), "python");
  add("Picture", "Save this chart as a picture (PNG)", () => savePicture(chart));
  const refresh = () => {
    python.hidden = !chart.panel.python;
    clearTimeout(waiting);
    if (view) waiting = setTimeout(() => view?.show(chart), SETTLED_MS);
  };
  return { bar, drawer, refresh };
};
