// One control that moves at once: a native range input (keys, pointer, role and value text come with it), the wheel,
// and a mark below each step that says whether it was measured for every layer.

import { make } from "./words.js";

const MOST_MARKS = 24; // that have room below a track

export class Slider {
  constructor(holder, { onMove }) {
    this.input = make("input", { type: "range", className: "ql-range", step: 1, min: 0 });
    this.output = make("output", { className: "ql-value" });
    this.label = make("label", { className: "ql-label" });
    this.marks = make("div", { className: "ql-marks", "aria-hidden": "true" });
    this.label.append(make("span", { className: "ql-name" }), this.output);
    const track = make("div", { className: "ql-track" }, this.input, this.marks);
    this.root = make("div", { className: "ql-slider" }, this.label, track);
    holder.append(this.root);
    this.onMove = onMove;
    this.input.addEventListener("input", () => this.onMove(Number(this.input.value)));
    this.root.addEventListener("wheel", (event) => this.roll(event), { passive: false });
  }

  // A slider of many steps stays in sight above its charts: there the wheel is the page's.
  roll(event) {
    if (event.ctrlKey || !event.deltaY || this.input.disabled || this.root.classList.contains("ql-long")) return;
    event.preventDefault();
    const place = Number(this.input.value) + (event.deltaY < 0 ? 1 : -1);
    if (place >= 0 && place <= Number(this.input.max)) {
      this.input.value = place;
      this.onMove(place);
    }
  }

  // What it moves through: a name, how many steps, a label below each where it has one, and which of these are marked
  // as measured everywhere.
  describe({ label, count, steps = [], marks }) {
    const key = JSON.stringify([label, count, steps, marks]);
    if (key === this.described) return;
    this.described = key;
    this.label.firstChild.textContent = label;
    this.input.max = count - 1;
    this.input.setAttribute("aria-label", label);
    this.input.disabled = count < 2;
    this.root.classList.toggle("ql-bare", !steps.length);
    this.root.classList.toggle("ql-long", steps.length > MOST_MARKS);
    this.marked = new Map(listMarked(steps).map((place) => {
      const className = marks?.[place] === false ? "ql-mark ql-apart" : "ql-mark";
      const mark = make("span", { text: String(steps[place]), className });
      mark.style.setProperty("--at", steps.length > 1 ? place / (steps.length - 1) : 0);
      return [place, mark];
    }));
    this.marks.replaceChildren(...this.marked.values());
  }

  // Where it stands, and how that reads: "4 bit, 19.84 dB".
  set(place, text) {
    if (Number(this.input.value) !== place) this.input.value = place;
    this.input.style.setProperty("--ql-done", `${(100 * place) / Math.max(1, Number(this.input.max))}%`);
    this.input.setAttribute("aria-valuetext", text);
    this.output.textContent = text;
    this.marks.querySelector("[data-here]")?.removeAttribute("data-here");
    this.marked?.get(place)?.setAttribute("data-here", "");
  }

  focus() {
    this.input.focus();
  }
}

// Places of the steps that are named below the track: whole numbers among fractions, else all of a few, and of many the
// first, the last and some between.
const listMarked = (steps) => {
  const whole = steps.flatMap((step, place) => (Number.isInteger(step) ? [place] : []));
  if (whole.length > 1 && whole.length < Math.min(steps.length, MOST_MARKS)) return whole;
  const apart = steps.length > MOST_MARKS ? Math.ceil((steps.length - 1) / 6) : 1;
  const places = steps.map((_, place) => place);
  const last = steps.length - 1;
  return places.filter((place) => place === last || (place % apart === 0 && (apart === 1 || last - place > apart / 2)));
};
