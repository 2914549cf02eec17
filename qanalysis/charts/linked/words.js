// How do names and numbers read in the browser? Text of a figure becomes elements without ever being parsed as HTML,
// and numbers are spelled as the package's `notation` spells them.

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&#x27;": "'", "&nbsp;": "\u00a0" };
const TAGS = { b: "strong", i: "em", sub: "sub", sup: "sup" };
const SMALL = { "-15": "f", "-12": "p", "-9": "n", "-6": "µ", "-3": "m" };
const PREFIXES = { ...SMALL, 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P" };
const DECIMALS = { dB: 2, bit: 2, LSB: 2 };
const POWERS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

const decode = (text) =>
  text.replace(/&(?:lt|gt|amp|quot|nbsp|#x27);/g, (entity) => ENTITIES[entity]).replaceAll("%\u200b{", "%{");

// An element with a text and attributes; what is undefined is left out.
export const make = (tag, { text, className, ...attributes } = {}, ...children) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// The text of a label as a person reads it: without marks, lines joined by a blank.
export const plainText = (text) =>
  decode(String(text ?? "").replace(/<br\s*\/?>/g, " ").replace(/<\/?(?:b|i|sub|sup|extra)>/g, ""));

// Puts a label of a figure into an element: line breaks and bold as elements, everything else as text.
export const writeLabel = (element, text) => {
  const stack = [element];
  element.replaceChildren();
  for (const part of String(text ?? "").split(/(<br\s*\/?>|<\/?(?:b|i|sub|sup)>)/g)) {
    const open = /^<(b|i|sub|sup)>$/.exec(part);
    if (/^<br/.test(part)) stack.at(-1).append(document.createElement("br"));
    else if (open) {
      const inner = document.createElement(TAGS[open[1]]);
      stack.at(-1).append(inner);
      stack.push(inner);
    } else if (/^<\//.test(part)) {
      if (stack.length > 1) stack.pop();
    } else if (part) stack.at(-1).append(decode(part));
  }
};

const minus = (text) => text.replace("-", "−");

// A number with a fixed count of decimals; what rounds to nothing has no sign.
export const fixedNumber = (value, decimals) => {
  const text = value.toFixed(decimals);
  return minus(Number(text) ? text : text.replace("-", ""));
};

// A number without a unit: plain from 0.001 to below a million, else with a power of ten.
export const plainNumber = (value, digits = 4) => {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "n/a" : value > 0 ? "∞" : "−∞";
  const rounded = Number(value.toPrecision(digits));
  if (rounded === 0 || (Math.abs(rounded) >= 1e-3 && Math.abs(rounded) < 1e6)) return minus(String(rounded));
  const [mantissa, power] = rounded.toExponential(digits - 1).split("e");
  const head = mantissa.includes(".") ? mantissa.replace(/0+$/, "").replace(/\.$/, "") : mantissa;
  return minus(head) + "·10" + [...String(Number(power))].map((letter) => POWERS[letter]).join("");
};

// A figure with its unit: dB, bit and LSB with two decimals, everything else with an SI prefix.
export const tellNumber = (value, unit, digits = 4) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "n/a";
  const bare = !unit || unit === "%" || unit === "ppm" || !Number.isFinite(value);
  if (bare) return (plainNumber(value, digits) + " " + (unit ?? "")).trimEnd();
  if (unit in DECIMALS) return fixedNumber(value, DECIMALS[unit]) + " " + unit;
  const rounded = Number(value.toPrecision(digits));
  const power = rounded ? 3 * Math.floor(Math.log10(Math.abs(rounded)) / 3) : 0;
  if (!(power in PREFIXES)) return plainNumber(value, digits) + " " + unit;
  return minus(String(Number((rounded / 10 ** power).toPrecision(digits)))) + " " + PREFIXES[power] + unit;
};
