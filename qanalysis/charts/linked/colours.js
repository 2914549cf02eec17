// Which theme does the page wear, and what is a colour of a figure in it? Figures come in the light theme; each of its
// colours stands for one of the dark theme.

const RGBA = /^rgba?\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?:,\s*([\d.]+)\s*)?\)$/;

const toHex = (parts) => "#" + parts.map((part) => Number(part).toString(16).padStart(2, "0")).join("");
const toParts = (hex) => [1, 3, 5].map((start) => Number.parseInt(hex.slice(start, start + 2), 16));

const luminance = (parts) => (0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2]) / 255;

// "dark" or "light" of a CSS colour as the browser computes it.
export const themeOf = (computed) => {
  const match = RGBA.exec(computed);
  return match && luminance(match.slice(1, 4).map(Number)) < 0.5 ? "dark" : "light";
};

// Colours of a theme: the roles of the palette, and a map for any colour of a light figure.
export const makeColours = (palettes, theme) => {
  const twin = new Map(palettes.twins);
  const mapHex = (hex) => (theme === "dark" ? twin.get(hex.toLowerCase()) ?? hex : hex);
  const map = (colour) => {
    if (typeof colour !== "string" || theme === "light") return colour;
    if (/^#[0-9a-f]{6}$/i.test(colour)) return mapHex(colour);
    const match = RGBA.exec(colour);
    if (!match) return colour;
    return `rgba(${toParts(mapHex(toHex(match.slice(1, 4)))).join(",")},${match[4] ?? 1})`;
  };
  return { theme, map, ...palettes[theme] };
};

// A figure's tree with every colour of the theme; arrays of numbers are the figure's own. A stop of a
// colour scale is a number and a colour.
export const recolour = (value, colours) => {
  if (colours.theme === "light") return value;
  if (typeof value === "string") return colours.map(value);
  const turn = (inner) => recolour(inner, colours);
  if (Array.isArray(value)) return typeof value.at(-1) === "number" ? value : value.map(turn);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, turn(inner)]));
};
