// The linked charts of a page or a report: one state (layer, scheme), one control that moves at once, every chart drawn
// from what the browser holds. Who owns the state elsewhere (a server, an address) is asked when the hand rests.

import { Chart } from "./chart.js";
import { Grid } from "./grid.js";
import { PartStore, readStep } from "./parts.js";
import { Slider } from "./slider.js";
import { make } from "./words.js";

const REST_MS = 280;
const LARGE = 300_000; // values of a layer whose step in sight is fetched before all its steps
const MOST_AHEAD = 2_000_000; // values of a neighbour that is fetched before anybody asks
const KINDS = { chart: Chart, grid: Grid };

export class Linked {
  // `load(address, options)` gives the bytes of a part, `ask(state)` tells the owner of the state.
  constructor(root, { Plotly, looks, load, ask }) {
    Object.assign(this, { root, Plotly, looks, ask, at: {}, seq: 0, panels: new Map(), waiting: false });
    this.store = new PartStore(load);
    this.head = make("div", { className: "ql-headline", role: "heading", "aria-level": 4 });
    this.control = make("div", { className: "ql-control" });
    this.trouble = make("div", { className: "ql-trouble", role: "alert", hidden: "" });
    this.slots = make("div", { className: "ql-slots" });
    this.note = make("div", { className: "ql-remark", role: "status", hidden: "" });
    this.body = make("div", { className: "ql-body" }, this.head, this.control, this.trouble, this.note, this.slots);
    root.replaceChildren(this.body);
    this.watcher = new ResizeObserver(() => this.resizeSoon());
    this.watcher.observe(root);
    this.onPrint = () => this.paint();
  }

  // What the owner says now: the address of the scene, where it stands, and the last question that this answers.
  async update({ scene, at, seq = 0, colours }) {
    const anew = this.colours && this.colours.theme !== colours.theme;
    this.colours = colours;
    if (!this.resting && seq >= this.seq) {
      this.at = { ...at };
      this.seq = seq;
    }
    if (scene !== this.scene) {
      this.scene = scene;
      const part = await this.hold(scene);
      if (!part || scene !== this.scene) return;
      this.part = part;
      this.build();
    } else if (this.failed) this.failed = undefined;
    if (this.part) this.paint();
    if (anew) this.root.dataset.theme = colours.theme;
  }

  // Fetches a part; what went wrong is told in place, with the next step.
  async hold(address, options) {
    try {
      const part = await this.store.fetch(address, options);
      this.complain("");
      return part;
    } catch (error) {
      this.failed = address;
      this.complain(error.message);
      if (error.name === "Gone" && !this.asked) {
        this.asked = true;
        this.ask({ ...this.at, seq: ++this.seq });
      }
      return undefined;
    }
  }

  complain(text) {
    this.trouble.textContent = text;
    this.trouble.hidden = !text;
  }

  build() {
    this.body.dataset.layout = this.part.layout ?? "plain";
    this.root.dataset.theme = this.colours.theme;
    if (this.part.control && !this.slider) this.slider = new Slider(this.control, { onMove: (place) => this.move(place) });
    this.control.hidden = !this.part.control;
    this.names = this.part.layers ? new Map(this.part.layers.names.map((name, place) => [name, place])) : undefined;
  }

  // Where the state stands: the family of schemes in view and the place in it, or the step of a scene without families.
  locate() {
    const { families, control } = this.part;
    if (!families) return { place: control ? Math.max(0, control.steps.indexOf(this.at.step)) : 0 };
    for (const family of families) {
      const place = family.schemes.indexOf(this.at.scheme);
      if (place >= 0) return { family, place };
    }
    return { family: families[0], place: 0 };
  }

  move(place) {
    const { family } = this.locate();
    this.go(family ? { scheme: family.schemes[place] } : { step: this.part.control.steps[place] });
  }

  // A person chose: the charts follow now, the owner of the state when the hand rests.
  go(change, { now = false } = {}) {
    this.at = { ...this.at, ...change };
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.resting = undefined;
      this.ask({ ...this.at, seq: ++this.seq });
    }, now ? 0 : REST_MS);
    this.paint();
  }

  pick({ layer, scheme, row, moving }) {
    if (row !== undefined) this.ask({ ...this.at, row, seq: ++this.seq });
    else if (layer !== undefined) this.go(scheme ? { layer, scheme } : { layer }, { now: !moving });
  }

  async paint() {
    this.again = true;
    if (this.painting) return;
    this.painting = true;
    try {
      while (this.again) {
        this.again = false;
        await this.paintOnce();
      }
    } catch (error) {
      this.complain(`The charts could not be drawn (${error.message}). Reload the page; the tables hold the same numbers.`);
    } finally {
      this.painting = false;
    }
  }

  async paintOnce() {
    const { family, place } = this.locate();
    const shown = { ...readStep(this.part, this.part.changes.length > 1 ? place : 0) };
    const detail = family && this.findDetail(family, place);
    if (detail) Object.assign(shown, detail.panels);
    this.tell(family, place, detail);
    for (const name of this.panels.keys()) if (!(name in shown) && !(family && !detail)) this.drop(name);
    const drawn = Object.values(shown).map((panel) => this.show(panel));
    this.panels.get("heat")?.view.select?.(this.at.layer, this.at.scheme);
    await Promise.all(drawn);
    this.root.dataset.shown = JSON.stringify([this.at.layer ?? null, this.at.scheme ?? this.at.step ?? null]);
    this.root.dataset.waiting = String(Boolean(family && !detail));
  }

  // The panels of the layer in view at a place of its family; undefined, and a request, while they are not here.
  findDetail(family, place) {
    const layer = this.names.get(this.at.layer) ?? 0;
    const address = `${family.frames}/${layer}`;
    const whole = this.store.held(address);
    const part = whole ?? this.store.held(`${address}?place=${place}`);
    if (!part) this.request(address, place, this.part.layers.numel[layer]);
    else if (whole) this.lookAhead(family, layer);
    if (!part) return undefined;
    const step = whole ? place : 0;
    return { panels: readStep(part, Math.min(step, part.changes.length - 1)), told: part.told?.[Math.min(step, part.told.length - 1)], note: part.note };
  }

  async request(address, place, numel) {
    if (this.failed === address) return;
    const first = numel > LARGE ? this.hold(`${address}?place=${place}`) : undefined;
    if (first && (await first)) this.paint();
    if (await this.hold(address)) this.paint();
  }

  // The layers beside the one in view, in the order of the map, while nothing else is asked for.
  lookAhead(family, layer) {
    clearTimeout(this.ahead);
    this.ahead = setTimeout(async () => {
      for (const beside of [layer + 1, layer - 1]) {
        if (beside < 0 || beside >= this.names.size || this.part.layers.numel[beside] > MOST_AHEAD) continue;
        await this.store.fetch(`${family.frames}/${beside}`, { priority: "low" }).catch(() => undefined);
      }
    }, REST_MS);
  }

  tell(family, place, detail) {
    const { control } = this.part;
    const head = family ? family.heads[place] : this.part.heads?.[this.part.heads.length > 1 ? place : 0];
    if (head !== undefined && this.head.textContent !== head) this.head.textContent = head;
    this.head.hidden = head === undefined;
    this.note.textContent = detail?.note ?? "";
    this.note.hidden = !detail?.note;
    if (!this.slider || !control) return;
    const steps = family ? family.steps : control.steps;
    const told = detail?.told ?? control.told?.[place];
    this.control.hidden = !steps;
    if (!steps) return;
    this.slider.describe({ label: control.label, steps, marks: family?.swept });
    this.slider.set(place, [`${steps[place]} ${control.unit ?? ""}`.trim(), told].filter(Boolean).join(", "));
  }

  show(panel) {
    let held = this.panels.get(panel.name);
    if (!held) {
      const slot = make("div", { className: "ql-slot", "data-panel": panel.name });
      const order = this.part.order ?? [];
      const after = [...this.slots.children].find((other) => order.indexOf(other.dataset.panel) > order.indexOf(panel.name));
      this.slots.insertBefore(slot, after ?? null);
      const View = KINDS[panel.kind] ?? Chart;
      held = { slot, view: new View(slot, { onPick: (picked) => this.pick(Array.isArray(picked) ? { layer: picked[0], scheme: picked[1] } : picked ?? {}) }, this.Plotly) };
      this.panels.set(panel.name, held);
    }
    return held.view.show(panel, this.colours, this.looks.template);
  }

  drop(name) {
    const { slot, view } = this.panels.get(name);
    view.destroy();
    slot.remove();
    this.panels.delete(name);
  }

  resizeSoon() {
    clearTimeout(this.sizing);
    this.sizing = setTimeout(() => {
      for (const { view } of this.panels.values()) view.resize?.();
    }, 120);
  }

  destroy() {
    clearTimeout(this.resting);
    clearTimeout(this.ahead);
    this.watcher.disconnect();
    for (const name of [...this.panels.keys()]) this.drop(name);
  }
}
