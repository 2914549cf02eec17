// What every chart offers besides being looked at: its numbers as a table, the lines of Python that make them, and a
// picture of it.

import { recolour } from "./colours.js";
import { make, plainText, tellNumber } from "./words.js";

const MOST_LINES = 2000;
const ICONS = {
  Numbers: "M2 3h12v10H2zM2 6.3h12M2 9.6h12M6 3v10",
  Python: "M6 4L2.5 8 6 12M10 4l3.5 4L10 12",
  Picture: "M2 4.5h3l1-1.5h4l1 1.5h3V13H2zM8 6.2a2.4 2.4 0 1 0 0 4.8a2.4 2.4 0 1 0 0-4.8",
};

const drawIcon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", width: 16, height: 16, fill: "none", stroke: "currentColor", "stroke-width": 1.3, "aria-hidden": "true" })) svg.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
};

const unitOf = (title) => /\(([^()]*)\)\s*$/.exec(title)?.[1] ?? "";

// The numbers of a figure as columns and lines: one line per point, series by series.
export const listNumbers = (figure) => {
  const lines = [];
  const titles = new Set();
  for (const trace of figure.data) {
    if (!trace.x || !trace.y || trace.hoverinfo === "skip" || trace.z) continue;
    const suffix = trace.yaxis?.slice(1) ?? "";
    const [across, up] = [figure.layout[`xaxis${trace.xaxis?.slice(1) ?? ""}`], figure.layout[`yaxis${suffix}`]].map((axis) => plainText(axis?.title?.text ?? ""));
    titles.add(`${across}\u0000${up}`);
    for (let place = 0; place < trace.x.length; place += 1) {
      if (trace.y[place] === null || Number.isNaN(trace.y[place]) || trace.x[place] === null) continue;
      lines.push({ series: plainText(trace.name ?? ""), x: trace.x[place], y: trace.y[place], across, up });
    }
  }
  return { lines, titles: [...titles].map((title) => title.split("\u0000")) };
};

const spell = (value) => (typeof value === "number" ? tellNumber(value, "", 6) : String(value));

// The points of a figure as a table: what heads its columns, and the cells of each line.
const listPoints = (figure) => {
  const { lines } = listNumbers(figure);
  const one = lines[0] ?? { across: "x", up: "y" };
  const uniform = lines.every((line) => line.across === one.across && line.up === one.up);
  const heads = ["Series", ...(uniform ? [one.across || "x", one.up || "y"] : ["x", "y", "of"])];
  return { heads, lines: lines.map((line) => [line.series, line.x, line.y, ...(uniform ? [] : [line.up])]) };
};

const buildTable = ({ heads, lines }) => {
  const head = make("tr", {}, ...heads.map((text) => make("th", { text, scope: "col" })));
  const body = make("tbody");
  for (const [first, ...cells] of lines.slice(0, MOST_LINES)) {
    body.append(make("tr", {}, make("th", { text: first, scope: "row" }), ...cells.map((cell) => make("td", { text: spell(cell) }))));
  }
  const table = make("table", {}, make("thead", {}, head), body);
  const more = lines.length > MOST_LINES ? `The first ${MOST_LINES} of ${lines.length} lines; the copy holds all.` : "";
  return { table, more, text: [heads, ...lines].map((line) => line.join("\t")).join("\n") };
};

const copyText = async (button, text) => {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
};

const drawNumbers = (drawer, { panel, listCells }) => {
  const { table, more, text } = buildTable(listCells?.() ?? listPoints(panel.figure));
  const copy = make("button", { type: "button", text: "Copy numbers", className: "ql-tool" });
  copy.addEventListener("click", () => copyText(copy, text));
  drawer.replaceChildren(make("div", { className: "ql-row" }, copy, make("span", { text: more })), make("div", { className: "ql-scroll", tabindex: 0, role: "region", "aria-label": `Numbers: ${plainText(panel.figure.layout.title?.text)}` }, table));
};

const drawPython = (drawer, { panel }) => {
  const copy = make("button", { type: "button", text: "Copy Python", className: "ql-tool" });
  copy.addEventListener("click", () => copyText(copy, panel.python));
  drawer.replaceChildren(make("div", { className: "ql-row" }, copy), make("pre", { text: panel.python, tabindex: 0 }));
};

const savePicture = ({ panel, colours, template, Plotly, plot }) => {
  const { data, layout } = recolour(panel.figure, colours);
  const figure = { data, layout: { ...layout, template: recolour(template, colours), paper_bgcolor: colours.background, plot_bgcolor: colours.background } };
  return Plotly.downloadImage(figure, { format: "png", scale: 2, width: Math.max(plot.clientWidth, panel.meta?.cells?.width ?? 640), height: panel.meta?.cells?.height ?? 480, filename: panel.name });
};

// The bar of buttons, and the drawer below the chart that they open; `chart` is asked for its panel when one is pressed.
export const buildTools = (chart) => {
  const bar = make("div", { className: "ql-tools" });
  const drawer = make("div", { className: "ql-drawer", hidden: "" });
  const fill = { numbers: drawNumbers, python: drawPython };
  let open = "";
  const press = (kind) => {
    open = open === kind ? "" : kind;
    drawer.hidden = !open;
    for (const button of bar.querySelectorAll("[data-opens]")) button.setAttribute("aria-expanded", String(button.dataset.opens === open));
    if (open) fill[open](drawer, chart);
  };
  const add = (name, title, run, opens) => {
    const button = make("button", { type: "button", className: "ql-tool", title, "aria-label": name, "data-opens": opens, "aria-expanded": opens ? "false" : undefined }, drawIcon(name));
    button.addEventListener("click", run);
    bar.append(button);
    return button;
  };
  add("Numbers", "Show the numbers of this chart as a table", () => press("numbers"), "numbers");
  const python = add("Python", "Show the lines of Python that make these numbers", () => press("python"), "python");
  add("Picture", "Save this chart as a picture (PNG)", () => savePicture(chart));
  const refresh = () => {
    python.hidden = !chart.panel.python;
    if (open) fill[open](drawer, chart);
  };
  return { bar, drawer, refresh };
};
