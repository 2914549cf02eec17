// What does the browser hold of the charts? Parts of a scene: unpacked once, their packed arrays turned into typed
// ones, and read step by step without touching what the steps share.

const FLOATS = { f8: Float64Array, f4: Float32Array };
const SIGNED = { i4: Int32Array, i2: Int16Array, i1: Int8Array };
const TYPES = { ...FLOATS, ...SIGNED, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };
const MOST_PARTS = 48;

export const inflate = async (bytes) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
};

export const decodeBase64 = (text) => Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));

const decodeArray = ({ dtype, bdata, shape }) => {
  const flat = new TYPES[dtype](decodeBase64(bdata).buffer);
  if (!shape) return flat;
  const [rows, columns] = String(shape).split(",").map(Number);
  return Array.from({ length: rows }, (_, row) => flat.subarray(row * columns, (row + 1) * columns));
};

// Every packed array below a value becomes a typed one.
export const decodeArrays = (value) => {
  if (Array.isArray(value)) {
    if (typeof value[0] !== "object") return value;
    return value.map(decodeArrays);
  }
  if (value === null || typeof value !== "object") return value;
  if ("bdata" in value) return decodeArray(value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decodeArrays(inner)]));
};

const isTree = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && !ArrayBuffer.isView(value);

// The tree that a step's changes make of a base: what is not changed is the base's own value, the same object.
export const applyChanges = (base, changes) => {
  if (!isTree(changes)) return changes;
  if (Array.isArray(base))
    return base.map((item, place) => (place in changes ? applyChanges(item, changes[place]) : item));
  if (!isTree(base)) return changes;
  const made = { ...base };
  for (const [key, change] of Object.entries(changes)) {
    if (change === null) delete made[key];
    else made[key] = applyChanges(base[key], change);
  }
  return made;
};

export const readPart = async (bytes) => decodeArrays(JSON.parse(await inflate(bytes)));

// The panels of a part at a place among its steps, by name.
export const readStep = (part, place) => {
  part.read ??= new Map();
  if (!part.read.has(place)) part.read.set(place, applyChanges(part.panels, part.changes[place]));
  return part.read.get(place);
};

export class Gone extends Error {}

// Parts by address, each fetched once; the ones used longest ago make room.
export class PartStore {
  constructor(load) {
    this.load = load;
    this.parts = new Map();
    this.asked = new Map();
  }

  held(address) {
    const part = this.parts.get(address);
    if (part) {
      this.parts.delete(address);
      this.parts.set(address, part);
    }
    return part;
  }

  async fetch(address, options = {}) {
    const held = this.held(address);
    if (held) return held;
    if (!this.asked.has(address)) {
      const asked = this.load(address, options).then(readPart).then((part) => {
        this.parts.set(address, part);
        while (this.parts.size > MOST_PARTS) this.parts.delete(this.parts.keys().next().value);
        return part;
      }).finally(() => this.asked.delete(address));
      this.asked.set(address, asked);
    }
    return this.asked.get(address);
  }
}
