// A table of figures that follows the control: each quantity with its value and the convention that it follows. Cells
// stay, so that a step writes only the texts that changed.

import { make } from "./words.js";

const HEADS = ["Quantity", "Value", "Convention"];

export class FactTable {
  constructor(holder) {
    this.body = make("tbody");
    this.root = make("table", { className: "ql-facts" }, make("thead", {}, make("tr", {}, ...HEADS.map((text) => make("th", { text, scope: "col" })))), this.body);
    holder.replaceChildren(make("div", { className: "ql-wide" }, this.root));
  }

  show({ alt, lines }) {
    this.root.setAttribute("aria-label", alt);
    while (this.body.rows.length > lines.length) this.body.deleteRow(-1);
    while (this.body.rows.length < lines.length) this.body.append(make("tr", {}, make("th", { scope: "row" }), make("td"), make("td")));
    for (const [place, { label, text, note }] of lines.entries()) {
      for (const [column, wanted] of [label, text, note].entries()) {
        const cell = this.body.rows[place].cells[column];
        if (cell.textContent !== wanted) cell.textContent = wanted;
      }
    }
  }

  destroy() {
    this.root.remove();
  }
}
