// What stands above and beside the cells of a heat map? Groups, widths and formats over the columns, names and headings
// of blocks beside the rows, as elements.

import { fitLabels } from "./grid_layout.js";
import { make } from "./words.js";

const LABEL_SIZE = 12;
const BLOCK_INDENT = 12;
const LABEL_PADDING = 14;
const HEADING_PADDING = 26;

const countLayers = ({ start, stop }) => ` (${stop - start})`;

// Widths of texts in a font, each measured once.
export const makeMeasure = (family) => {
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

// Pixels that the longest label in sight asks for; the heading of an open block has the whole row.
export const askWidth = (rows, cells, measure) => {
  const widths = rows.map(({ row, block, folded, inside }) => {
    if (block) return folded ? measure(block.label + countLayers(block), true) + HEADING_PADDING : 0;
    return measure(cells.layers[row].label) + (inside ? BLOCK_INDENT : 0) + LABEL_PADDING;
  });
  return Math.max(44, ...widths);
};

const makeName = (className, { text, upright }, title, style) => {
  const name = make("div", { text, title, className: upright ? `${className} heat-upright` : className });
  for (const [side, pixels] of Object.entries(style)) name.style[side] = `${pixels}px`;
  return name;
};

// The names over the columns; the whole text of one that is cut is told on hover.
export const makeHead = ({ headings, height }, ticks, columns, schemes) => [
  ...columns.groups.map(({ label, left, width }, index) =>
    makeName("heat-group", headings[index], label, { left, width, height })),
  ...ticks.ticks.flatMap((tick, column) => {
    const place = { left: columns.lefts[column], width: columns.widths[column], height: ticks.height };
    return tick ? [makeName("heat-tick", tick, schemes[column].scheme, place)] : [];
  }),
];

// Labels by row: those of a block are cut together, and so are those that stand alone.
const cutLabels = ({ rows, cells, beside, measure }) => {
  const sets = new Map();
  for (const { row, inside, block } of rows) {
    if (block) continue;
    if (!sets.has(inside)) sets.set(inside, []);
    sets.get(inside).push(row);
  }
  const texts = new Map();
  for (const [inside, members] of sets) {
    const room = beside - LABEL_PADDING + 2 - (inside ? BLOCK_INDENT : 0);
    const cut = fitLabels(members.map((row) => cells.layers[row].label), room, measure);
    members.forEach((row, index) => texts.set(row, cut[index]));
  }
  return texts;
};

const headBlock = ({ block, folded }, { beside, width, measure }) => {
  const count = countLayers(block);
  const room = (folded ? beside : width) - HEADING_PADDING - measure(count, true);
  return fitLabels([block.label], room, (text) => measure(text, true))[0] + count;
};

// The element of each row; a heading of an open block may reach over the cells, which are none there.
export const makeLabels = (grid) => {
  const texts = cutLabels(grid);
  return grid.rows.map((line, index) => {
    const classes = ["heat-label", line.block && "heat-block", line.block && !line.folded && "heat-open"];
    const text = line.block ? headBlock(line, grid) : texts.get(line.row);
    const label = make("div", { text, className: classes.filter(Boolean).join(" ") });
    label.style.top = `${index * grid.height}px`;
    label.style.height = label.style.lineHeight = `${grid.height}px`;
    return label;
  });
};
