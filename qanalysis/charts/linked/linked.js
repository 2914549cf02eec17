// The linked charts of a page or a report: one state (layer and scheme, or step and dials), controls that move at once,
// every chart drawn from what the browser holds. Who owns the state elsewhere (a server, an address) is asked when the
// hand rests.

import { Chart } from "./chart.js";
import { countSteps, indexDials, listBeside, placeDial, readDial } from "./dials.js";
import { FactTable } from "./facts.js";
import { Grid } from "./grid.js";
import { Gone, PartStore, readStep } from "./parts.js";
import { nearestStep, showPlan } from "./plan.js";
import { Slider } from "./slider.js";
import { Table } from "./table.js";
import { make, plainNumber } from "./words.js";

const REST_MS = 280;
const BUSY_MS = 60; // between two looks at an owner at work
const MOST_WAITS = 60;
const FEW = 8; // layers whose map is no taller than a histogram
const LARGE = 300_000; // values of a layer whose step in sight is fetched before all its steps
const MOST_AHEAD = 2_000_000; // values of a neighbour that is fetched before anybody asks
const KINDS = { chart: Chart, grid: Grid, table: Table, facts: FactTable };

export class Linked {
  // `load(address, options)` gives the bytes of a part, `ask(state)` tells the owner of the state, `isBusy()` says
  // whether the owner is at work, `isAway()` whether it can not be reached.
  constructor(root, { Plotly, looks, load, ask, isBusy = () => false, isAway = () => false }) {
    Object.assign(this, { root, Plotly, looks, ask, isBusy, isAway });
    Object.assign(this, { at: {}, seq: 0, heard: 0, panels: new Map(), dials: new Map() });
    this.store = new PartStore(load);
    this.head = make("div", { className: "ql-headline", role: "heading", "aria-level": 4 });
    this.under = make("div", { className: "ql-remark" });
    this.control = make("div", { className: "ql-control" });
    this.trouble = make("div", { className: "ql-trouble", role: "alert", hidden: "" });
    this.slots = make("div", { className: "ql-slots" });
    this.note = make("div", { className: "ql-remark", role: "status", hidden: "" });
    const parts = [this.head, this.under, this.control, this.trouble, this.note, this.slots];
    this.body = make("div", { className: "ql-body" }, ...parts);
    root.replaceChildren(this.body);
    this.watcher = new ResizeObserver(() => this.resizeSoon());
    this.watcher.observe(root);
  }

  // What the owner says now: the address of the scene, where it stands, and the last question that this answers.
  async update({ scene, at, seq = 0, colours }) {
    const anew = this.colours && this.colours.theme !== colours.theme;
    this.colours = colours;
    // Behind a server that was started again the page counts from the beginning.
    if (seq < this.heard) this.seq = seq;
    this.heard = seq;
    if (!this.resting && seq >= this.seq) {
      this.at = { ...at };
      this.seq = seq;
    }
    if (scene !== this.scene || this.failed === scene) {
      this.scene = scene;
      const part = await this.hold(scene);
      if (!part || scene !== this.scene) return;
      this.part = part;
      this.build();
    } else if (this.failed) this.failed = undefined;
    if (this.part) await this.paint();
    if (anew) this.root.dataset.theme = colours.theme;
  }

  // Fetches a part; what went wrong is told in place, with the next step.
  async hold(address, options) {
    try {
      const part = await this.store.fetch(address, options);
      this.complain("");
      this.failed = undefined;
      this.asked = false;
      return part;
    } catch (error) {
      this.failed = address;
      this.complain(error.message);
      if (error instanceof Gone && !this.asked) {
        this.asked = true;
        this.askAfter(0);
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
    this.slots.toggleAttribute("data-few", (this.part.layers?.listed.length ?? 0) <= FEW);
    this.root.dataset.theme = this.colours.theme;
    if (this.part.control) this.slider ??= new Slider(this.control, { onMove: (place) => this.move(place) });
    this.control.hidden = !this.part.control;
    this.buildDials(this.part.dials ?? []);
    this.names = this.part.layers ? new Map(this.part.layers.names.map((name, place) => [name, place])) : undefined;
  }

  buildDials(wanted) {
    for (const [name, slider] of this.dials) {
      if (wanted.some((dial) => dial.name === name)) continue;
      slider.root.remove();
      this.dials.delete(name);
    }
    for (const { name } of wanted) {
      if (this.dials.has(name)) continue;
      const find = () => this.part.dials.find((dial) => dial.name === name);
      const onMove = (place) => this.go({ [name]: readDial(find(), place) });
      this.dials.set(name, new Slider(this.control, { onMove }));
    }
  }

  // Where the state stands: the family of schemes in view and the place in it, or the step of a scene without families,
  // whose dials may ask for the charts.
  locate() {
    const { families, control, frames } = this.part;
    if (!families) {
      const find = control?.nearest ? nearestStep : (steps, step) => Math.max(0, steps.indexOf(step));
      const place = control ? find(control.steps, this.at.step) : 0;
      return { family: frames && { frames, steps: control.steps }, place };
    }
    for (const family of families) {
      const place = family.schemes.indexOf(this.at.scheme);
      if (place >= 0) return { family, place };
    }
    return { family: families[0], place: 0 };
  }

  move(place) {
    const { family } = this.locate();
    this.go(family?.schemes ? { scheme: family.schemes[place] } : { step: this.part.control.steps[place] });
  }

  // A person chose: the charts follow now, the owner of the state when the hand rests.
  go(change, { now = false } = {}) {
    this.at = { ...this.at, ...change };
    this.failed = undefined;
    this.askAfter(now ? 0 : REST_MS);
    this.paint();
  }

  // An owner that still answers what it was asked before is left to finish, for a while: of an answer that a question
  // waits behind, the server drops what it has not sent. One that is away is asked when it is back: a question that
  // comes first there, before the page does, is lost, and the page with it. Charts that are on their way come before
  // the rest of the page, whose answer would take the owner's time from them.
  askAfter(pause, waits = MOST_WAITS) {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      if (this.isAway()) {
        this.heard = -1; // it speaks first when it is back
        return this.askAfter(BUSY_MS);
      }
      const early = this.wanting || this.heard < this.seq || this.isBusy();
      if (waits > 0 && early) return this.askAfter(BUSY_MS, waits - 1);
      this.resting = undefined;
      this.ask({ ...this.at, seq: ++this.seq });
    }, pause);
  }

  pick({ layer, scheme, row, step, across, moving }) {
    const { control, leads } = this.part;
    const asked = step ?? leads?.[row] ?? this.findNear(across);
    const isStep = control?.steps?.includes(asked) || (control?.nearest && asked !== undefined);
    if (isStep) this.go(row === undefined ? { step: asked } : { step: asked, row });
    else if (row !== undefined) this.go({ row }, { now: true });
    else if (control?.schemes?.includes(scheme)) this.move(control.schemes.indexOf(scheme));
    else if (layer !== undefined) this.go(scheme ? { layer, scheme } : { layer }, { now: !moving });
  }

  // The step of a scene that lies nearest to a place on its charts' common axis; undefined where they have none.
  findNear(across) {
    if (!this.part.leads || typeof across !== "number") return undefined;
    const nearer = (one, other) => (Math.abs(other - across) < Math.abs(one - across) ? other : one);
    return this.part.control?.steps.reduce(nearer);
  }

  async paint() {
    this.again = true;
    if (this.painting || this.gone) return;
    this.painting = true;
    try {
      while (this.again && !this.gone) {
        this.again = false;
        await this.paintOnce();
      }
    } catch (error) {
      this.tellFault(error);
    } finally {
      this.painting = false;
    }
  }

  tellFault(error) {
    const out = "Reload the page; the tables hold the same numbers.";
    this.complain(`The charts could not be drawn (${error.message}). ${out}`);
  }

  async paintOnce() {
    const { family, place } = this.locate();
    const shown = { ...readStep(this.part, this.part.changes.length > 1 ? place : 0) };
    const detail = this.part.plan ? showPlan(this.part, this.at) : family && this.findDetail(family, place);
    this.wanting = Boolean(family && !detail);
    if (detail) Object.assign(shown, detail.panels);
    this.tell(family, place, detail);
    for (const name of this.panels.keys()) if (!(name in shown) && !(family && !detail)) this.drop(name);
    const drawn = Object.values(shown).map((panel) => this.show(panel));
    this.panels.get("heat")?.view.select?.(this.at.layer, this.at.scheme);
    await Promise.all(drawn);
    const dials = (this.part.dials ?? []).map(({ name }) => this.at[name]);
    this.root.dataset.shown = JSON.stringify([this.at.layer ?? null, this.at.scheme ?? this.at.step ?? null, ...dials]);
    this.root.dataset.waiting = String(this.wanting);
  }

  // Where the part of a state lies among those of its family: by its layer, or by the dials.
  addressOf({ frames }, at) {
    const { layers, dials } = this.part;
    return `${frames}/${layers ? this.names.get(at.layer) ?? 0 : indexDials(dials ?? [], at)}`;
  }

  // The panels of the state in view at a place of its family; undefined, and a request, while they are not here.
  findDetail(family, place) {
    const address = this.addressOf(family, this.at);
    const single = `${address}?place=${place}`;
    const whole = this.store.held(address);
    const part = whole ?? this.store.held(single);
    if (!part && [address, single].includes(this.failed)) return { panels: {} };
    if (!part) this.request(address, single);
    else if (whole || this.part.dials) this.lookAhead(family, place);
    if (!part) return undefined;
    const step = Math.min(whole ? place : 0, part.changes.length - 1);
    const [told, head] = [part.told, part.heads].map((texts) => texts?.[Math.min(step, texts.length - 1)]);
    return { panels: readStep(part, step), told, head, note: part.note };
  }

  // Asks for what the state in view lacks. Dials move faster than a server draws: they have one request under way, and
  // what is in view when it is answered is asked for next.
  async request(address, single) {
    const { dials, layers } = this.part;
    if (dials) {
      if (this.asking) return;
      this.asking = true;
      await this.hold(single);
      this.asking = false;
      this.paint();
      return;
    }
    const layer = Number(address.slice(address.lastIndexOf("/") + 1));
    if (layers.numel[layer] > LARGE && (await this.hold(single))) this.paint();
    if (await this.hold(address)) this.paint();
  }

  // What a hand is likely to want next, while nothing else is asked for.
  lookAhead(family, place) {
    clearTimeout(this.ahead);
    const at = this.at;
    this.ahead = setTimeout(async () => {
      for (const address of this.listAhead(family, place, at)) {
        if (this.at !== at || this.asking) return;
        await this.store.fetch(address, { priority: "low" }).catch(() => undefined);
      }
    }, REST_MS);
  }

  // The steps of the state in view and the dials beside it; or the layers beside the one in view, in the map's order.
  listAhead(family, place, at) {
    const { dials, layers, whole } = this.part;
    if (layers) {
      const row = layers.listed.indexOf(this.names.get(at.layer) ?? 0);
      const beside = [layers.listed[row + 1], layers.listed[row - 1]].filter((other) => other !== undefined);
      return beside.filter((other) => layers.numel[other] <= MOST_AHEAD).map((other) => `${family.frames}/${other}`);
    }
    const address = this.addressOf(family, at);
    const steps = [place + 1, place - 1].filter((step) => step >= 0 && step < family.steps.length);
    const here = whole ? [address] : steps.map((step) => `${address}?place=${step}`);
    return [...here, ...listBeside(dials, at).map((moved) => `${this.addressOf(family, moved)}?place=${place}`)];
  }

  tell(family, place, detail) {
    const { control } = this.part;
    for (const dial of this.part.dials ?? []) this.tellDial(dial);
    const texts = family?.heads ?? this.part.heads;
    const head = detail?.head ?? texts?.[texts.length > 1 ? place : 0];
    if (head !== undefined && this.head.textContent !== head) this.head.textContent = head;
    this.head.hidden = !this.head.textContent;
    this.under.textContent = this.part.under ?? "";
    this.under.hidden = !this.part.under;
    this.note.textContent = detail?.note ?? "";
    this.note.hidden = !detail?.note;
    if (!this.slider || !control) return;
    const steps = family ? family.steps : control.steps;
    const told = detail?.told ?? control.told?.[place];
    this.control.hidden = !steps;
    if (!steps) return;
    const marks = (family ?? control).swept;
    this.slider.describe({ label: control.label, count: steps.length, steps, marks });
    const step = control.nearest ? this.at.step ?? steps[place] : steps[place];
    this.slider.set(place, [`${step} ${control.unit ?? ""}`.trim(), told].filter(Boolean).join(", "));
  }

  tellDial(dial) {
    const slider = this.dials.get(dial.name);
    slider.describe({ label: dial.label, count: countSteps(dial) });
    slider.set(placeDial(dial, this.at[dial.name]), `${plainNumber(this.at[dial.name], 6)} ${dial.unit}`.trim());
  }

  show(panel) {
    let held = this.panels.get(panel.name);
    if (!held) {
      const slot = make("div", { className: "ql-slot", "data-panel": panel.name });
      const order = this.part.order ?? [];
      const place = order.indexOf(panel.name);
      const after = [...this.slots.children].find((other) => order.indexOf(other.dataset.panel) > place);
      this.slots.insertBefore(slot, after ?? null);
      slot.toggleAttribute("data-wide", Boolean(this.part.wide?.includes(panel.name)));
      const View = KINDS[panel.kind] ?? Chart;
      // A point of a chart carries layer and scheme, a cell and a row have names for what they are.
      const onPick = (at) => this.pick(Array.isArray(at) ? { layer: at[0], scheme: at[1] } : at ?? {});
      const onFault = (error) => this.tellFault(error);
      held = { slot, view: new View(slot, { onPick, onFault }, this.Plotly) };
      this.panels.set(panel.name, held);
    }
    const drawn = held.view.show(panel, this.colours, this.looks.template);
    // Tables share the scene's chosen rows: each marks the one that it holds.
    const rows = [this.at.row ?? []].flat();
    if (panel.kind === "table") held.view.select(rows.find((row) => panel.table.rows.includes(row)) ?? null);
    return drawn;
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
    this.gone = true;
    clearTimeout(this.sizing);
    clearTimeout(this.resting);
    clearTimeout(this.ahead);
    this.watcher.disconnect();
    for (const name of [...this.panels.keys()]) this.drop(name);
  }
}
