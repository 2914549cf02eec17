// The charts of a report: every part lies in the file itself, nobody is asked, and the theme is that of the reader's
// system; on paper the light one.

import { makeColours } from "./colours.js";
import { Linked } from "./linked.js";
import { decodeBase64, inflate } from "./parts.js";

const readElement = async (id) => decodeBase64(document.getElementById(id).textContent);

// What an element of the file holds packed, as text.
export const readText = async (id) => inflate(await readElement(id));

const startPlotly = async () => {
  const script = document.createElement("script");
  script.textContent = await readText("packed-plotly");
  document.head.append(script);
  return window.Plotly;
};

// Draws every scene of the file, and again when the reader's theme changes or the page goes to paper.
export const drawScenes = async (places) => {
  if (!places.length) return;
  const [Plotly, looks] = await Promise.all([startPlotly(), readText("packed-looks").then(JSON.parse)]);
  const dark = matchMedia("screen and (prefers-color-scheme: dark)");
  const themes = { light: makeColours(looks, "light"), dark: makeColours(looks, "dark") };
  const scenes = [...places].map((place) => ({
    linked: new Linked(place, { Plotly, looks, load: readElement, ask: () => undefined }),
    scene: place.dataset.part,
    at: place.dataset.step ? { step: JSON.parse(place.dataset.step) } : {},
  }));
  const draw = () => {
    const colours = themes[dark.matches ? "dark" : "light"];
    return Promise.all(scenes.map(({ linked, scene, at }) => linked.update({ scene, at, colours })));
  };
  await draw();
  dark.addEventListener("change", draw);
};
