// What does a plan look like at a budget? The best point of the front within it, or the exact plan that the owner of
// the state has worked out: chart, bars, totals and table are filled in from the candidates that the part holds once.

import { fixedNumber, plainNumber } from "./words.js";

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const WIDTH = 0.42; // half of a bar, in layers
const NEAR = 1e-9; // of a budget, that sums of bits may miss it by
const POINT_KINDS = {
  hull: "a corner of the lower hull, optimal at its size",
  greedy: "a greedy step between two optima",
  exact: "the exact optimum",
};

const tellBytes = (bytes) => {
  const power = Math.min(Math.max(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 0), BYTES.length - 1);
  return power ? `${(bytes / 1024 ** power).toFixed(2)} ${BYTES[power]}` : `${bytes} B`;
};

// A share of one, as the package's `percent` writes it.
const tellShare = (share) => {
  if (share === 0 || share === 1) return `${100 * share} %`;
  if (share < 1e-4) return "under 0.01 %";
  if (share > 0.999) return "over 99.9 %";
  return `${Number((100 * share).toPrecision(share < 0.01 ? 2 : 3))} %`;
};

// The step of a control nearest to a value that may lie between two.
export const nearestStep = (steps, value) => {
  const wanted = Number(value ?? steps.at(-1));
  const distance = (place) => Math.abs(steps[place] - wanted);
  return steps.reduce((best, _step, place) => (distance(place) < distance(best) ? place : best), 0);
};

// The last point within a budget, the smallest one where none is.
const findPoint = (bits, budget) => {
  let [low, high] = [0, bits.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (bits[middle] <= budget * (1 + NEAR)) low = middle;
    else high = middle - 1;
  }
  return low;
};

const chooseAt = (plan, at) => {
  if (at.exact && at.exact.step === at.step) return { kind: "exact", ...at.exact };
  const point = findPoint(plan.pointBits, at.step ?? Infinity);
  return { choice: plan.choices[point], kind: plan.kinds[point] };
};

// Every layer's figures under a choice, and their sums.
const readChoice = (plan, choice) => {
  const picked = plan.names.map((_, layer) => plan.starts[layer] + choice[layer]);
  const read = (values) => picked.map((place) => values[place]);
  const [bits, sizes, costs, errors] = [plan.bits, plan.sizes, plan.costs, plan.errors].map(read);
  const schemes = picked.map((place) => plan.schemes[place]);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const weights = sum([...plan.numel]);
  const bitsPerWeight = sum(bits.map((value, layer) => value * plan.numel[layer])) / weights;
  const [signal, noise] = [sum([...plan.signal]), sum(errors)];
  const pooled = Number.isFinite(signal) && Number.isFinite(noise) ? 10 * Math.log10(signal / noise) : null;
  const totals = { bits: bitsPerWeight, bytes: sum(sizes) + plan.kept, cost: sum(costs), pooled };
  return { bits, sizes, costs, errors, schemes, totals };
};

// The uniform plan of least error that is no larger.
const findRival = (plan, bits) => {
  const smaller = plan.uniforms.filter((one) => one.bits <= bits * (1 + NEAR));
  return smaller.reduce((best, one) => (best && best.cost <= one.cost ? best : one), undefined);
};

const tellGain = (gain) => `${tellShare(Math.abs(gain))} ${gain >= 0 ? "less" : "more"} error`;

const listTotals = (plan, { totals, kind, facts }, rival) => {
  const { bits, bytes, cost, pooled } = totals;
  const times = `${fixedNumber(plan.float / bytes, 2)} times smaller than ${tellBytes(plan.float)} as it is stored`;
  const kept = plan.kept ? `; ${tellBytes(plan.kept)} of it kept float` : "";
  const lines = [
    { label: "Size", text: `${fixedNumber(bits, 3)} bits per weight`, note: "codes, scales and zero points" },
    { label: "Bytes", text: tellBytes(bytes), note: times + kept },
    { label: "Error", text: plainNumber(cost), note: `${plan.objective}, summed over ${plan.names.length} layers` },
  ];
  const known = pooled === null ? plan.nothing : `${fixedNumber(pooled, 2)} dB`;
  if (pooled !== null) lines.push({ label: "Pooled SQNR", text: known, note: "of all weights with a scheme" });
  if (rival) {
    const beside = `${fixedNumber(rival.bits, 2)} bit, ${plainNumber(rival.cost)}`;
    const note = `than ${rival.scheme} for all layers, the best uniform plan of no larger size: ${beside}`;
    lines.push({ label: "Gain", text: tellGain(1 - cost / rival.cost), note });
  } else lines.push({ label: "Gain", text: plan.nothing, note: "no uniform plan is as small" });
  lines.push({ label: "What it is", text: POINT_KINDS[kind] ?? kind, note: "" }, ...(facts ?? []));
  return lines;
};

const moveBars = (plan, traces, { bits, schemes }) => {
  const corners = plan.formats.map(() => ({ x: [], y: [] }));
  for (const [layer, height] of bits.entries()) {
    const { x, y } = corners[plan.formatOf[schemes[layer]]];
    x.push(layer - WIDTH, layer - WIDTH, layer + WIDTH, layer + WIDTH, null);
    y.push(0, height, height, 0, null);
  }
  const text = schemes.map((scheme, layer) => `${plan.labels[layer]}<br>${plan.words[scheme]}`);
  return traces.map((trace, place) => ({ ...trace, ...(corners[place] ?? { y: bits, text }) }));
};

const fillColumn = (plan, { name }, read, { stability, kept }) => {
  const total = read.totals.cost;
  const dash = plan.nothing;
  switch (name) {
    case "scheme":
      return { texts: read.schemes.map((scheme) => plan.words[scheme]) };
    case "bits_per_weight":
      return { texts: read.bits.map((value) => fixedNumber(value, 2)), values: read.bits };
    case "size_bytes":
      return { texts: read.sizes.map(tellBytes), values: read.sizes };
    case "cost":
      return { texts: read.costs.map((value) => plainNumber(value)), values: read.costs };
    case "cost_share": {
      const shares = read.costs.map((value) => (total > 0 ? value / total : null));
      return { texts: shares.map((share) => (share === null || share < 0 ? dash : tellShare(share))), values: shares };
    }
    case "sqnr_db": {
      const tell = (error, layer) => (error > 0 ? 10 * Math.log10(plan.signal[layer] / error) : null);
      const values = read.errors.map(tell);
      return { texts: values.map((value) => (Number.isFinite(value ?? NaN) ? fixedNumber(value, 2) : dash)), values };
    }
    case "stability": {
      const values = stability ?? read.bits.map(() => null);
      const tell = (share, layer) => (share === null ? dash : kept?.[layer] ?? tellShare(share));
      return { texts: values.map(tell), values };
    }
    default:
      return {};
  }
};

// The front with the plan in view marked: its lines stand still.
const markFront = (front, { bits, cost }, alt) => {
  const { layout, data } = front.figure;
  const y = layout.yaxis.type === "log" ? Math.log10(cost) : cost;
  const annotations = layout.annotations.map((note) => (note.name === "mark-plan" ? { ...note, x: bits, y } : note));
  return { ...front, figure: { data, layout: { ...layout, annotations } }, alt };
};

const withTraces = (panel, data, alt) => ({ ...panel, figure: { ...panel.figure, data }, alt });

// The panels of a part at a state, its headline and what its slider reads.
export const showPlan = (part, at) => {
  const { plan, panels } = part;
  const { choice, kind, facts, ...sure } = chooseAt(plan, at);
  const read = readChoice(plan, choice);
  const { bits, bytes, cost } = read.totals;
  const rival = findRival(plan, bits);
  const [front, bars, totals, layers] = ["p-front", "p-bits", "p-totals", "p-layers"].map((name) => panels[name]);
  const columns = layers.table.columns.map((column) => ({ ...column, ...fillColumn(plan, column, read, sure) }));
  const error = plainNumber(cost);
  const size = `${fixedNumber(bits, 3)} bits per weight, ${tellBytes(bytes)}`;
  const own = read.schemes.map((scheme) => plan.formatOf[scheme]);
  const counted = plan.formats.map((format, number) => [format, own.filter((one) => one === number).length]);
  const mix = counted.filter(([, count]) => count).map(([format, count]) => `${count} at ${format}`).join(", ");
  const gain = rival ? `: ${tellGain(1 - cost / rival.cost)} than ${rival.scheme} for all layers` : "";
  return {
    head: `${size}${gain}`,
    told: `${tellBytes(bytes)}, error ${error}`,
    panels: {
      "p-front": markFront(front, read.totals, `Error against size: the plan in view has ${size}, error ${error}.`),
      "p-bits": withTraces(bars, moveBars(plan, bars.figure.data, read), `Bits of ${own.length} layers: ${mix}.`),
      "p-totals": { ...totals, lines: listTotals(plan, { ...read, kind, facts }, rival) },
      "p-layers": { ...layers, table: { ...layers.table, columns, moves: true } },
    },
  };
};
