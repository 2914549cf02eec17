// How the page's server and the charts meet: the component's element, what it is told, and the scripts it needs.

import { makeColours, themeOf } from "./colours.js";
import { Linked } from "./linked.js";
import { Gone } from "./parts.js";

const held = new WeakMap();
let plotly;

const NEEDED = ["react", "animate", "purge", "downloadImage"];
const isUsable = (candidate) => NEEDED.every((name) => typeof candidate?.[name] === "function");

// Plotly of the installed package, fetched once; a copy that the page brought along keeps its place.
const loadPlotly = (address) => {
  plotly ??= new Promise((resolve, reject) => {
    const before = window.Plotly;
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => {
      const loaded = window.Plotly;
      if (before) window.Plotly = before;
      if (isUsable(loaded)) resolve(loaded);
      else reject(new Error("the script that draws charts is not the one of the installed package"));
    };
    script.onerror = () => reject(new Error(`${address} could not be loaded`));
    document.head.append(script);
  }).catch((error) => {
    plotly = undefined;
    throw error;
  });
  return plotly;
};

const loadStyles = (address) =>
  new Promise((resolve, reject) => {
    if (document.querySelector(`link[href="${address}"]`)) return resolve();
    const link = document.createElement("link");
    const onerror = () => {
      link.remove();
      reject(new Error(`${address} could not be loaded`));
    };
    Object.assign(link, { rel: "stylesheet", href: address, onload: resolve, onerror });
    document.head.append(link);
  });

const loadLooks = async (address) => {
  const reply = await fetch(address);
  if (!reply.ok) throw new Error(`${address} could not be loaded`);
  return reply.json();
};

const loadPart = (base) => async (address, options) => {
  let reply;
  try {
    reply = await fetch(new URL(address, base), options);
  } catch {
    throw new Error("The server does not answer. Start it again, or wait until it is back; the charts then go on.");
  }
  if (reply.ok) return reply.arrayBuffer();
  if (reply.status === 404)
    throw new Gone("The server no longer holds these charts. If they do not come back by themselves, reload the page.");
  if (reply.status >= 500)
    throw new Error("The server could not make these charts. Choose another layer, or reload the page.");
  throw new Error(await reply.text());
};

// What the frame around the page says of its server.
const readFrame = (name) => document.querySelector(`[${name}]`)?.getAttribute(name);
const isBusy = () => readFrame("data-test-script-state") === "running";
const isAway = () => (readFrame("data-test-connection-state") ?? "CONNECTED") !== "CONNECTED";

const begin = async (root, { base, data }) => {
  const at = (address) => new URL(address, base).href;
  const scripts = [loadPlotly(at(data.plotly)), loadLooks(at(data.looks)), loadStyles(at(data.styles))];
  const [Plotly, looks] = await Promise.all(scripts);
  const ask = (state) => held.get(root)?.send(state);
  return new Linked(root, { Plotly, looks, load: loadPart(base), isBusy, isAway, ask });
};

// Called by the component each time that the server has said something, or the page's theme has changed.
export const mount = async ({ parentElement, data, setStateValue }) => {
  let root = parentElement.querySelector(":scope > .ql-root");
  if (!root) {
    root = document.createElement("div");
    root.className = "ql-root";
    parentElement.append(root);
  }
  const base = window.__streamlit?.BACKEND_BASE_URL ?? new URL(".", window.location.href).href;
  const entry = held.get(root) ?? {};
  entry.send = (state) => setStateValue("asked", state);
  held.set(root, entry);
  entry.linked ??= begin(root, { base, data }).catch((error) => {
    entry.linked = undefined; // the next time that the server says something, the scripts are tried again
    throw error;
  });
  const linked = await entry.linked;
  parentElement.querySelectorAll(".ql-before").forEach((element) => element.remove());
  entry.tell = () => linked.update({ ...data, colours: coloursOf(linked, parentElement) });
  entry.onPaper ??= () => entry.tell();
  paper.addEventListener("change", entry.onPaper);
  entry.tell();
  return () => {
    // Also called when the page has said something newer before this call was through: the charts then stand and go on.
    if (root.isConnected || held.get(root) !== entry) return;
    paper.removeEventListener("change", entry.onPaper);
    linked.destroy();
    held.delete(root);
  };
};

const paper = matchMedia("print");
const known = new Map();

// Colours by theme, the same object for the same theme: a chart is drawn anew where they are another.
const coloursOf = (linked, element) => {
  const probe = document.createElement("span");
  probe.style.color = "var(--st-background-color)";
  element.append(probe);
  const theme = paper.matches ? "light" : themeOf(getComputedStyle(probe).color);
  probe.remove();
  if (!known.has(theme)) known.set(theme, makeColours(linked.looks, theme));
  return known.get(theme);
};
