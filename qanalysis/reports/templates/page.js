(async () => {
  const PAGE = 100;
  // Control characters and marks that turn the reading direction; shown as escapes, as everywhere on the page.
  const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const escape = (letter) => {
    const code = letter.charCodeAt(0).toString(16);
    return code.length < 3 ? "\\x" + code.padStart(2, "0") : "\\u" + code.padStart(4, "0");
  };
  const clean = (text) => String(text).replace(HIDDEN, escape);
  const byId = (id) => document.getElementById(id);

  const unpack = async (id) => JSON.parse(await readText(id));
  const done = () => { document.documentElement.dataset.ready = "yes"; };
  if (!byId("rows")) {
    await drawScenes(document.querySelectorAll(".scene"));
    done();
    return;
  }

  // rows

  const firstColumns = byId("rows").dataset.first.split(" ");
  const filters = [...document.querySelectorAll("[data-filter]")].map((element) => element.dataset.filter);
  const head = await unpack("packed-head");
  const columns = {};
  for (const element of document.querySelectorAll("script[data-column]")) {
    columns[element.dataset.column] = await unpack(element.id);
  }
  const names = Object.keys(columns);
  const facts = (name) => byId("column-" + name).dataset; // kind, unit, meaning
  const textual = new Set(names.filter((name) => facts(name).kind === "text"));
  for (const name of names) {
    if (!textual.has(name)) columns[name] = columns[name].map((value) => (value === null ? null : Number(value === "inf" ? Infinity : value === "-inf" ? -Infinity : value)));
  }
  const searched = names.filter((name) => textual.has(name) && (firstColumns.includes(name) || filters.includes(name)));
  const count = columns[names[0]].length;
  const haystack = Array.from({ length: count }, (_, i) => searched.map((name) => columns[name][i]).join(" ").toLowerCase());
  const hasFigures = (i) => (!columns.status || columns.status[i] === "ok") && (!columns.measurable || columns.measurable[i]);
  const state = { words: [], chosen: {}, sort: null, descending: false, page: 0, all: false, shown: [] };

  const show = (name, value) => {
    if (value === null) return "–";
    if (textual.has(name)) return clean(value);
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
    if (facts(name).unit === "dB") return fixedNumber(value, 2);
    return String(Number(value.toPrecision(4))).replace("-", "−");
  };

  const select = () => {
    const list = [];
    for (let i = 0; i < count; i += 1) {
      if (filters.some((name) => state.chosen[name] && columns[name][i] !== state.chosen[name])) continue;
      if (state.words.every((word) => haystack[i].includes(word))) list.push(i);
    }
    if (!state.sort) {
      list.sort((a, b) => hasFigures(b) - hasFigures(a) || a - b);
    } else {
      const values = columns[state.sort];
      const sign = state.descending ? -1 : 1;
      list.sort((a, b) => {
        const [x, y] = [values[a], values[b]];
        if (x === y) return a - b;
        if (x === null) return 1;
        if (y === null) return -1;
        return x < y ? -sign : sign;
      });
    }
    state.shown = list;
  };

  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  const drawTable = () => {
    const visible = state.all ? names : firstColumns.filter((name) => names.includes(name));
    const top = make("tr");
    for (const name of visible) {
      const cell = make("th", undefined, textual.has(name) ? "" : "number");
      const button = make("button", name);
      cell.scope = "col";
      button.title = facts(name).meaning;
      button.type = "button";
      button.dataset.sort = name;
      cell.setAttribute("aria-sort", state.sort === name ? (state.descending ? "descending" : "ascending") : "none");
      cell.append(button);
      top.append(cell);
    }
    const body = document.createDocumentFragment();
    const from = state.page * PAGE;
    for (const i of state.shown.slice(from, from + PAGE)) {
      const line = make("tr");
      visible.forEach((name, position) => {
        const value = columns[name][i];
        const cell = make(position === 0 ? "th" : "td", show(name, value), textual.has(name) ? "name" : "number");
        if (position === 0) cell.scope = "row";
        if (name === "status" && value !== "ok") cell.classList.add("status");
        if (typeof value === "number") cell.title = name + " = " + value;
        if (name === "status" && columns.reason) cell.title = clean(columns.reason[i]);
        line.append(cell);
      });
      body.append(line);
    }
    byId("rows").tHead.replaceChildren(top);
    byId("rows").tBodies[0].replaceChildren(body);
    const last = Math.min(from + PAGE, state.shown.length);
    const total = state.shown.length.toLocaleString("en");
    byId("count").textContent = state.shown.length ? (from + 1).toLocaleString("en") + "–" + last.toLocaleString("en") + " of " + total + " rows" : "No row fits; clear the search.";
    byId("previous").disabled = state.page === 0;
    byId("next").disabled = last >= state.shown.length;
    for (const kind of ["csv", "json"]) byId(kind).disabled = state.shown.length === 0;
  };

  const update = (change, { keepPage = false } = {}) => {
    Object.assign(state, change);
    if (!keepPage) state.page = 0;
    select();
    drawTable();
  };

  // downloads: exactly the rows that the search leaves, in the order on screen

  const save = (text, type, suffix) => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = document.body.dataset.name + suffix;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const csvCell = (name, value) => {
    if (value === null) return "";
    if (!textual.has(name)) return Number.isFinite(value) ? String(value) : value > 0 ? "inf" : "-inf";
    const text = /^'*(?:[\s\u200b]*[=+\-@＝＋－＠]|[\t\r\n\x1b])/.test(value) ? "'" + value : String(value);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  const saveCsv = () => {
    const lines = [names.join(","), ...state.shown.map((i) => names.map((name) => csvCell(name, columns[name][i])).join(","))];
    save(lines.join("\n") + "\n", "text/csv;charset=utf-8", ".csv");
  };
  const saveJson = () => {
    const plain = (value) => (typeof value === "number" && !Number.isFinite(value) ? null : value);
    const rows = state.shown.map((i) => Object.fromEntries(names.map((name) => [name, plain(columns[name][i])])));
    const { totals, rows: _none, ...rest } = head;
    save(JSON.stringify({ ...rest, rows, totals }, null, 1) + "\n", "application/json", ".json");
  };

  const fill = (id, values) => {
    for (const value of new Set(values)) {
      const option = make("option", value);
      option.value = value;
      byId(id).append(option);
    }
  };
  for (const name of filters) {
    fill(name, columns[name]);
    byId(name).addEventListener("change", (event) => update({ chosen: { ...state.chosen, [name]: event.target.value } }));
  }
  byId("search").addEventListener("input", (event) => update({ words: event.target.value.toLowerCase().split(/\s+/).filter(Boolean) }));
  byId("all").addEventListener("change", (event) => update({ all: event.target.checked }, { keepPage: true }));
  byId("previous").addEventListener("click", () => update({ page: state.page - 1 }, { keepPage: true }));
  byId("next").addEventListener("click", () => update({ page: state.page + 1 }, { keepPage: true }));
  byId("csv").addEventListener("click", saveCsv);
  byId("json").addEventListener("click", saveJson);
  byId("rows").tHead.addEventListener("click", (event) => {
    const name = event.target.dataset.sort;
    if (!name) return;
    update({ sort: name, descending: state.sort === name ? !state.descending : false });
    document.querySelector('[data-sort="' + name + '"]').focus();
  });
  update({});

  await drawScenes(document.querySelectorAll(".scene"));
  done();
})().catch((error) => {
  const place = document.getElementById("trouble");
  place.textContent = "The charts and the table of all rows need a browser of 2023 or later (" + error.message + "). The figures above and below stand without them.";
  place.hidden = false;
});
