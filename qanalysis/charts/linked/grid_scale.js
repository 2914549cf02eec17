// Which value has which colour? The bar above a heat map, with the numbers and the unit of the figure's colour axis.

import { make, plainText } from "./words.js";

export class Scale {
  constructor() {
    this.title = make("span", { className: "heat-scale-title" });
    this.bar = make("div", { className: "heat-bar" });
    this.ticks = make("div", { className: "heat-bar-ticks" });
    this.better = make("span", { className: "heat-scale-better" });
    const head = make("div", { className: "heat-scale-head" }, this.title, this.better);
    this.root = make("div", { className: "heat-scale" }, head, this.bar, this.ticks);
  }

  // `cells` has been painted in the theme's colours.
  show(cells) {
    const { axis, metric, shades } = cells;
    this.title.textContent = plainText(axis.colorbar.title?.text ?? metric.label);
    const stops = Array.from({ length: 17 }, (_, index) => shades[Math.round((index * (shades.length - 1)) / 16)].fill);
    this.bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    this.better.textContent = metric.better ? `${metric.better} is better` : "";
    this.axis = axis;
  }

  // The numbers that keep apart: all, or every second, third …
  place() {
    if (!this.axis) return;
    const { cmin, cmax, colorbar } = this.axis;
    const ticks = Array.from(colorbar.tickvals ?? [], (value, place) => {
      const tick = make("span", { text: plainText(colorbar.ticktext[place]) });
      tick.style.left = `${(100 * (value - cmin)) / (cmax - cmin)}%`;
      return tick;
    });
    this.ticks.replaceChildren(...ticks);
    const spans = ticks.map((tick) => tick.getBoundingClientRect());
    let every = 1;
    const apart = (span, place) => place < every || place % every || span.left > spans[place - every].right + 4;
    while (every < ticks.length && !spans.every(apart)) every += 1;
    const edge = this.bar.getBoundingClientRect().left;
    ticks.forEach((tick, place) => {
      if (place % every) tick.remove();
      else if (spans[place].left < edge) tick.style.marginLeft = `${edge - spans[place].left}px`;
    });
  }
}
