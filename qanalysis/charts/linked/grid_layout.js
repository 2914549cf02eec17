// Where does everything of a heat map stand? Widths of columns, lines of headings, ticks that keep apart, and names cut
// so that the part that differs is left. Pure: texts are measured by the `measure(text, bold)` that is handed in.

const COLUMN = { least: 8, most: 160, gap: 6, upright: 15 };
const HEADING = { line: 15, lines: 3, tallest: 116 };

const isWidth = (text) => /^\d+$/.test(text);

// Left edges and widths of the columns in pixels, and the groups with theirs; as wide as there is room.
export const placeColumns = (schemes, room) => {
  const groups = [];
  schemes.forEach(({ group }, column) => {
    if (groups.at(-1)?.label === group) groups.at(-1).last = column;
    else groups.push({ label: group, first: column, last: column });
  });
  const least = schemes.map(({ tick }) => (isWidth(tick) ? COLUMN.least : COLUMN.upright));
  for (const { first, last } of groups) if (first === last) least[first] = Math.max(least[first], COLUMN.upright);
  const gaps = COLUMN.gap * (groups.length - 1);
  const even = Math.min(COLUMN.most, (room - gaps) / schemes.length);
  const held = least.filter((width) => width > even);
  const spare = room - gaps - held.reduce((sum, width) => sum + width, 0);
  const others = schemes.length - held.length;
  const pitch = others ? Math.min(COLUMN.most, Math.max(COLUMN.least, spare / others)) : 0;
  const widths = least.map((width) => (width > even ? width : Math.max(width, pitch)));
  const lefts = [];
  let left = 0;
  for (const group of groups) {
    group.left = left;
    for (let column = group.first; column <= group.last; column += 1) {
      lefts.push(left);
      left += widths[column];
    }
    group.width = left - group.left;
    left += COLUMN.gap;
  }
  return { lefts, widths, groups, total: left - COLUMN.gap };
};

// Words of a heading on lines of a width, broken after a blank or else after a sign; null where they take too many
// lines, or one word is too wide.
const wrapHeading = (text, width, measure) => {
  for (const breaks of [/(?<= )/, /(?<=[ =:×_-])/]) {
    const lines = [];
    for (const word of text.split(breaks)) {
      const joined = (lines.at(-1) ?? "") + word;
      if (lines.length && measure(joined.trim(), true) <= width) lines[lines.length - 1] = joined;
      else lines.push(word);
    }
    const fits = lines.length <= HEADING.lines && lines.every((line) => measure(line.trim(), true) <= width);
    if (fits) return lines.map((line) => line.trim());
  }
  return null;
};

// The longest head of a text with an ellipsis that fits; the text itself where it does.
export const cutEnd = (text, width, measure, bold = false) => {
  if (measure(text, bold) <= width) return text;
  let length = text.length - 1;
  while (length > 1 && measure(`${text.slice(0, length)}…`, bold) > width) length -= 1;
  return `${text.slice(0, length)}…`;
};

// How each group is headed: by lines that fit its width, or upright where none do.
export const placeHeadings = (groups, measure) => {
  const headings = groups.map(({ label, width }) => {
    const lines = wrapHeading(label, groups.length > 1 ? width : Infinity, measure);
    if (lines) return { text: lines.join("\n"), upright: false, height: HEADING.line * lines.length + 2 };
    const text = cutEnd(label, HEADING.tallest, measure, true);
    return { text, upright: true, height: Math.ceil(measure(text, true)) + 6 };
  });
  return { headings, height: Math.max(...headings.map(({ height }) => height)) };
};

// What stands over each column: numbers only where they keep apart, names of formats upright.
export const placeTicks = (schemes, { lefts, widths }, measure) => {
  let end = -Infinity;
  const ticks = schemes.map(({ tick }, column) => {
    if (!isWidth(tick)) return { text: cutEnd(tick, HEADING.tallest, measure), upright: true };
    const width = measure(tick);
    const left = lefts[column] + (widths[column] - width) / 2;
    if (left < end + 3) return null;
    end = left + width;
    return { text: tick, upright: false };
  });
  const names = ticks.filter((tick) => tick?.upright).map(({ text }) => measure(text));
  const some = ticks.some((tick) => tick && !tick.upright);
  const height = Math.max(some ? HEADING.line : 0, names.length ? Math.ceil(Math.max(...names)) + 6 : 0);
  return { ticks, numbered: some, height };
};

const cutMiddle = (text, length, share) => {
  if (text.length <= length) return text;
  const head = Math.round((length - 1) * share);
  return `${text.slice(0, head)}…${text.slice(text.length - (length - 1 - head))}`;
};

const fitLabel = (text, width, measure, share) => {
  let length = Math.max(3, Math.min(text.length, Math.floor((text.length * width) / Math.max(measure(text), 1)) + 2));
  while (length > 3 && measure(cutMiddle(text, length, share)) > width) length -= 1;
  return cutMiddle(text, length, share);
};

// Labels of neighbours in a width: the end of a name is kept if that tells them apart, else both ends, else the start.
export const fitLabels = (labels, width, measure) => {
  if (labels.every((label) => measure(label) <= width)) return labels;
  const distinct = new Set(labels).size;
  let [best, told] = [labels, 0];
  for (const share of [0, 0.3, 0.5, 0.7, 1]) {
    const cut = labels.map((label) => (measure(label) <= width ? label : fitLabel(label, width, measure, share)));
    const apart = new Set(cut).size;
    if (apart > told) [best, told] = [cut, apart];
    if (apart === distinct) break;
  }
  return best;
};

// The rows that are seen: layers, and a heading for each block, which alone is left of one whose label is in `folded`.
export const listRows = (cells, folded) => {
  const rows = [];
  let row = 0;
  for (const block of cells.blocks) {
    const hidden = folded.has(block.label);
    for (; row < block.start; row += 1) rows.push({ row });
    rows.push({ block, folded: hidden });
    if (!hidden) for (row = block.start; row < block.stop; row += 1) rows.push({ row, inside: block });
    row = block.stop;
  }
  for (; row < cells.layers.length; row += 1) rows.push({ row });
  return rows;
};

const holdsRow = ({ row, block, folded }, wanted) =>
  row === wanted || (folded && wanted >= block.start && wanted < block.stop);

// The place among the rows of a layer, or of the folded block that holds it.
export const findLine = (rows, wanted) => rows.findIndex((line) => holdsRow(line, wanted));

const within = (value, last) => Math.min(last, Math.max(0, value));

// Where a key leads from a cell, by its place among the rows and its column: null for a key that leads nowhere.
// Headings of open blocks hold no cells and are passed over.
export const findTarget = ({ key, ctrlKey }, { index, column }, { rows, columns, page }) => {
  const [lastRow, lastColumn] = [rows.length - 1, columns - 1];
  const targets = {
    ArrowLeft: [index, column - 1], ArrowRight: [index, column + 1], ArrowUp: [index - 1, column],
    ArrowDown: [index + 1, column], PageUp: [index - page, column], PageDown: [index + page, column],
    Home: ctrlKey ? [0, column] : [index, 0], End: ctrlKey ? [lastRow, column] : [index, lastColumn],
  };
  if (!targets[key]) return null;
  const isOpen = (place) => rows[place]?.block && !rows[place].folded;
  const [row, across] = [within(targets[key][0], lastRow), within(targets[key][1], lastColumn)];
  let to = row;
  const step = row < index ? -1 : 1;
  while (isOpen(to)) to += step;
  if (to < 0 || to > lastRow) for (to = row; isOpen(to); ) to -= step;
  return { index: to, column: across };
};
