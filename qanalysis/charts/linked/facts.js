// A table of figures that follows the control: each quantity with its value and, in small print behind it, the
// convention that the value follows. Cells stay, so that a step writes only the texts that changed.

import { make } from "./words.js";

const HEADS = ["Quantity", "Value, by which convention"];

export class FactTable {
  constructor(holder) {
    this.body = make("tbody");
    const heads = HEADS.map((text) => make("th", { text, scope: "col" }));
    this.root = make("table", { className: "ql-facts" }, make("thead", {}, make("tr", {}, ...heads)), this.body);
    holder.replaceChildren(make("div", { className: "ql-wide" }, this.root));
  }

  show({ alt, lines }) {
    this.root.setAttribute("aria-label", alt);
    while (this.body.rows.length > lines.length) this.body.deleteRow(-1);
    while (this.body.rows.length < lines.length) {
      const value = make("td", {}, make("strong"), make("small"));
      this.body.append(make("tr", {}, make("th", { scope: "row" }), value));
    }
    for (const [place, { label, text, note }] of lines.entries()) {
      const [name, value] = this.body.rows[place].cells;
      for (const [element, wanted] of [[name, label], [value.firstChild, text], [value.lastChild, note]]) {
        if (element.textContent !== wanted) element.textContent = wanted;
      }
    }
  }

  destroy() {
    this.root.remove();
  }
}
