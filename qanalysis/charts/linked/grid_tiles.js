// How do thousands of cells scroll without being elements? They are painted on canvases of a few dozen rows, made when
// they come near the view and given back when they leave it.

import { make } from "./words.js";

const TILE_HEIGHT = 512;
const CELL_MARGIN = 2;
const CELL_FONT_SIZE = 10;
const AHEAD_MS = 30;

export class Tiles {
  constructor(area) {
    this.area = area;
    this.drawn = new Map();
  }

  // What is to be painted from now on: `rows` of listRows at a height, `columns` of placeColumns, cells and colours.
  // Values are written where every one of them has room.
  set({ rows, height, columns, cells, colours, family }) {
    this.clear();
    Object.assign(this, { rows, height, columns, cells, colours, font: `${CELL_FONT_SIZE}px ${family}` });
    this.perTile = Math.max(1, Math.floor(TILE_HEIGHT / height));
    this.written = this.canWrite();
  }

  canWrite() {
    const room = Math.min(...this.columns.widths) - 2 * CELL_MARGIN;
    if (room < 12 || this.height < 15) return false;
    const pen = make("canvas").getContext("2d");
    pen.font = this.font;
    return this.cells.listShapes().every((text) => pen.measureText(text).width <= room);
  }

  clear() {
    clearTimeout(this.ahead);
    for (const canvas of this.drawn.values()) canvas.remove();
    this.drawn.clear();
  }

  // Paints what lies between two heights in pixels now, and the tiles beside it when nothing else is to be done.
  show(top, bottom) {
    const step = this.perTile * this.height;
    const [first, last] = [Math.floor(top / step), Math.floor(bottom / step)];
    for (const [tile, canvas] of this.drawn) {
      if (tile >= first - 2 && tile <= last + 2) continue;
      canvas.remove();
      this.drawn.delete(tile);
    }
    for (let tile = first; tile <= last; tile += 1) this.draw(tile);
    clearTimeout(this.ahead);
    this.ahead = setTimeout(() => [last + 1, first - 1].forEach((tile) => this.draw(tile)), AHEAD_MS);
  }

  draw(tile) {
    if (tile < 0 || tile * this.perTile >= this.rows.length || this.drawn.has(tile)) return;
    const rows = this.rows.slice(tile * this.perTile, (tile + 1) * this.perTile);
    const [width, height] = [Math.ceil(this.columns.total), rows.length * this.height];
    // Sheets of hundreds of schemes stay within what a browser gives a canvas.
    const scale = width > 2400 ? 1 : Math.min(2, globalThis.devicePixelRatio || 1);
    const canvas = make("canvas", { className: "heat-tile", "aria-hidden": "true" });
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const top = tile * this.perTile * this.height;
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, top: `${top}px` });
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    this.fill(pen, rows);
    if (this.written) this.write(pen, rows);
    this.area.prepend(canvas);
    this.drawn.set(tile, canvas);
  }

  // One pixel a cell, stretched column by column: hundreds of schemes cost no more than a few.
  fill(pen, rows) {
    const small = make("canvas");
    Object.assign(small, { width: this.cells.columns, height: rows.length });
    const image = new ImageData(small.width, small.height);
    const absent = [];
    this.eachCell(rows, (row, column, index) => {
      const place = this.cells.place(row, column);
      if (Number.isNaN(place)) absent.push([index, column]);
      const parts = Number.isNaN(place) ? this.cells.absent : this.cells.shade(place).parts;
      image.data.set([...parts, 255], 4 * (index * this.cells.columns + column));
    });
    small.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    const { lefts, widths, total } = this.columns;
    const count = rows.length;
    lefts.forEach((left, column) => {
      pen.drawImage(small, column, 0, 1, count, left, 0, widths[column] - 1, count * this.height);
    });
    rows.forEach((_, index) => pen.clearRect(0, (index + 1) * this.height - 1, total, 1));
    pen.strokeStyle = this.colours.muted;
    for (const [index, column] of absent) {
      this.crossOut(pen, lefts[column], index * this.height, widths[column] - 1, this.height - 1);
    }
  }

  write(pen, rows) {
    Object.assign(pen, { font: this.font, textAlign: "center", textBaseline: "middle" });
    const { lefts, widths } = this.columns;
    this.eachCell(rows, (row, column, index) => {
      const text = this.cells.tellShort(row, column);
      if (!text) return;
      pen.fillStyle = this.cells.shade(this.cells.place(row, column)).ink;
      pen.fillText(text, lefts[column] + (widths[column] - 1) / 2, index * this.height + this.height / 2);
    });
  }

  // Layer, column and place among the rows of each cell; a folded block's are those of its worst layers.
  eachCell(rows, tell) {
    rows.forEach(({ row, block, folded }, index) => {
      if (block && !folded) return;
      for (let column = 0; column < this.cells.columns; column += 1) {
        tell(block ? this.cells.findWorst(block, column) : row, column, index);
      }
    });
  }

  crossOut(pen, left, top, width, height) {
    const reach = Math.min(width, height) / 2 - 2;
    const [x, y] = [left + width / 2, top + height / 2];
    pen.beginPath();
    pen.moveTo(x - reach, y - reach);
    pen.lineTo(x + reach, y + reach);
    pen.moveTo(x - reach, y + reach);
    pen.lineTo(x + reach, y - reach);
    pen.stroke();
  }
}
