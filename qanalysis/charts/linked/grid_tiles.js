// How do thousands of cells scroll without being elements? They are painted on canvases of a few dozen rows, made when
// they come near the view and given back when they leave it.

import { make } from "./words.js";

const TILE_HEIGHT = 512;
const CELL_MARGIN = 2;
const CELL_FONT_SIZE = 10;

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
    let longest = 0;
    for (let row = 0; row < this.cells.layers.length; row += 1) {
      for (let column = 0; column < this.cells.columns; column += 1) {
        longest = Math.max(longest, pen.measureText(this.cells.tellShort(row, column)).width);
        if (longest > room) return false;
      }
    }
    return true;
  }

  clear() {
    for (const canvas of this.drawn.values()) canvas.remove();
    this.drawn.clear();
  }

  // Paints what lies between two heights in pixels, one tile more at either end.
  show(top, bottom) {
    const step = this.perTile * this.height;
    const first = Math.max(0, Math.floor(top / step) - 1);
    const last = Math.min(Math.ceil(this.rows.length / this.perTile) - 1, Math.floor(bottom / step) + 1);
    for (const [tile, canvas] of this.drawn) {
      if (tile >= first - 1 && tile <= last + 1) continue;
      canvas.remove();
      this.drawn.delete(tile);
    }
    for (let tile = first; tile <= last; tile += 1) if (!this.drawn.has(tile)) this.draw(tile);
  }

  draw(tile) {
    const rows = this.rows.slice(tile * this.perTile, (tile + 1) * this.perTile);
    const [width, height] = [Math.ceil(this.columns.total), rows.length * this.height];
    // Sheets of hundreds of schemes stay within what a browser gives a canvas.
    const scale = width > 2400 ? 1 : Math.min(2, globalThis.devicePixelRatio || 1);
    const canvas = make("canvas", { className: "heat-tile", "aria-hidden": "true" });
    Object.assign(canvas, { width: width * scale, height: height * scale });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, top: `${tile * this.perTile * this.height}px` });
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = this.font;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    rows.forEach((line, index) => this.drawRow(pen, line, index * this.height));
    this.area.prepend(canvas);
    this.drawn.set(tile, canvas);
  }

  drawRow(pen, { row, block, folded }, top) {
    if (block && !folded) return;
    for (let column = 0; column < this.cells.columns; column += 1) {
      this.drawCell(pen, block ? this.cells.findWorst(block, column) : row, column, top);
    }
  }

  drawCell(pen, row, column, top) {
    const [left, width, height] = [this.columns.lefts[column], this.columns.widths[column] - 1, this.height - 1];
    const place = this.cells.place(row, column);
    if (Number.isNaN(place)) {
      this.crossOut(pen, left, top, width, height);
      return;
    }
    const { fill, ink } = this.cells.shade(place);
    pen.fillStyle = fill;
    pen.fillRect(left, top, width, height);
    if (!this.written) return;
    pen.fillStyle = ink;
    pen.fillText(this.cells.tellShort(row, column), left + width / 2, top + height / 2 + 0.5);
  }

  crossOut(pen, left, top, width, height) {
    pen.fillStyle = this.colours.panel;
    pen.fillRect(left, top, width, height);
    const reach = Math.min(width, height) / 2 - 2;
    const [x, y] = [left + width / 2, top + height / 2];
    pen.strokeStyle = this.colours.muted;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x - reach, y - reach);
    pen.lineTo(x + reach, y + reach);
    pen.moveTo(x - reach, y + reach);
    pen.lineTo(x + reach, y - reach);
    pen.stroke();
  }
}
