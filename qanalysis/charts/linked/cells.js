// What is in the cells of a heat map? Its figure and facts as one table of numbers that can be asked for a cell's
// value, words and colour, whichever rows are folded.

import { fixedNumber, plainNumber, tellNumber } from "./words.js";

const WHOLE_LAYER = -1;
const SHADE_COUNT = 256;
const SHORT_DECIMALS = { dB: 1, bit: 2, LSB: 2 };

const readChannels = (colour) => {
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour);
  if (hex) return hex.slice(1).map((part) => Number.parseInt(part, 16));
  return (colour.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
};

const lightOf = (parts) => {
  const linear = (share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
  const [red, green, blue] = parts.map((part) => linear(part / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const contrastOf = (first, second) => (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);

export class Cells {
  // A panel whose figure has heat maps on a colour axis and whose facts are those of `describe_cells`.
  constructor(panel) {
    const { cells: facts } = panel.meta;
    const { layers, schemes, blocks, metric } = facts;
    Object.assign(this, { layers, schemes, blocks, metric, facts });
    this.axis = panel.figure.layout.coloraxis;
    this.columns = this.schemes.length;
    this.places = this.readPlaces(panel.figure.data.filter((trace) => trace.type === "heatmap" && trace.coloraxis));
    this.infinite = new Map(facts.infinite.map(([row, column, sign]) => [row * this.columns + column, sign]));
    this.reasons = new Map(facts.without.map(([row, column, reason]) => [`${row} ${column}`, facts.reasons[reason]]));
  }

  readPlaces(traces) {
    const places = new Float64Array(this.layers.length * this.columns);
    let start = 0;
    for (const { z } of traces) {
      const width = z[0]?.length ?? 0;
      z.forEach((line, row) => line.forEach((value, column) => {
        places[row * this.columns + start + column] = value ?? Number.NaN;
      }));
      start += width;
    }
    return places;
  }

  place(row, column) {
    return this.places[row * this.columns + column];
  }

  value(row, column) {
    const sign = this.infinite.get(row * this.columns + column);
    if (sign) return sign * Infinity;
    const place = this.place(row, column);
    return this.facts.logarithmic ? 10 ** place : place;
  }

  // The value with its unit, or why there is none.
  tell(row, column) {
    const value = this.value(row, column);
    if (!Number.isNaN(value)) return tellNumber(value, this.metric.unit);
    return this.reasons.get(`${row} ${WHOLE_LAYER}`) ?? this.reasons.get(`${row} ${column}`) ?? this.facts.otherwise;
  }

  // The value as a cell has room for it; empty without one.
  tellShort(row, column) {
    const value = this.value(row, column);
    if (Number.isNaN(value)) return "";
    const digits = SHORT_DECIMALS[this.metric.unit];
    if (digits === undefined || !Number.isFinite(value)) return plainNumber(value, 2);
    return fixedNumber(value, digits);
  }

  // How the short texts look, each digit a zero: few, so that their widths are known at once.
  listShapes() {
    if (!this.shapes) {
      this.shapes = new Set();
      for (let row = 0; row < this.layers.length; row += 1) {
        for (let column = 0; column < this.columns; column += 1) {
          this.shapes.add(this.tellShort(row, column).replace(/\d/g, "0"));
        }
      }
    }
    return [...this.shapes];
  }

  // The layer of a block that is worst under a scheme, its first one where none has a value.
  findWorst(block, column) {
    const rank = { higher: (place) => -place, lower: (place) => place }[this.metric.better] ?? Math.abs;
    let worst = block.start;
    let most = -Infinity;
    for (let row = block.start; row < block.stop; row += 1) {
      const place = this.place(row, column);
      if (rank(place) > most) [worst, most] = [row, rank(place)];
    }
    return worst;
  }

  find(tensor, scheme) {
    const row = this.layers.findIndex((layer) => layer.name === tensor);
    const column = this.schemes.findIndex((found) => found.scheme === scheme);
    return row < 0 || column < 0 ? null : { row, column };
  }

  blockOf(row) {
    return this.blocks.find((block) => row >= block.start && row < block.stop);
  }

  // Shades of the colour axis in a theme, from its lower end, and the ink that stands out on each.
  paint(colours) {
    const stops = this.axis.colorscale.map(([place, colour]) => [place, readChannels(colours.map(colour))]);
    const inks = [colours.text, colours.background].map((ink) => [ink, lightOf(readChannels(ink))]);
    this.absent = readChannels(colours.panel);
    this.shades = Array.from({ length: SHADE_COUNT }, (_, index) => {
      const share = index / (SHADE_COUNT - 1);
      const place = this.axis.reversescale ? 1 - share : share;
      const above = Math.max(1, stops.findIndex(([stop]) => stop >= place));
      const [[low, from], [high, to]] = [stops[above - 1], stops[above]];
      const way = (place - low) / (high - low);
      const parts = from.map((part, channel) => Math.round(part + (to[channel] - part) * way));
      const own = lightOf(parts);
      const [best] = [...inks].sort((one, other) => contrastOf(own, other[1]) - contrastOf(own, one[1]))[0];
      return { parts, fill: `rgb(${parts.join(",")})`, ink: best };
    });
  }

  shade(place) {
    const share = (place - this.axis.cmin) / (this.axis.cmax - this.axis.cmin);
    return this.shades[Math.round(Math.min(1, Math.max(0, share)) * (SHADE_COUNT - 1))];
  }
}
