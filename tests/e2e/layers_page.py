"""How a person works page Layers in a browser, and how a test knows that the page has answered: by states, never by time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from safetensors.numpy import save_file

ROOT = ".st-key-charts .ql-root"
SLIDER = ".st-key-charts .ql-range"
# A place in the cell of a layer and a scheme, found as a person finds it: where the tip names both.
_FIND_CELL = """([tensor, scheme]) => {
  const grid = document.querySelector(".st-key-charts .heat");
  if (!grid || grid.querySelector(".heat-box").hidden) return null;
  const box = grid.querySelector(".heat-box"), tip = grid.querySelector(".heat-tip");
  const told = (x, y) => {
    box.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y, bubbles: true }));
    return tip.hidden ? [] : [...tip.children].map((line) => line.textContent);
  };
  for (const label of grid.querySelectorAll(".heat-label")) {
    label.scrollIntoView({ block: "center" });
    const row = label.getBoundingClientRect(), y = row.top + row.height / 2;
    if (told(row.left + 20, y)[0] !== tensor) continue;
    for (let x = row.right + 1; x < box.getBoundingClientRect().right; x += 2) if (told(x, y)[1] === scheme) return [x + 2, y];
  }
  return null;
}"""
# What a person and a screen reader find in each chart: the traces as they are drawn, and everything around them.
_READ_CHARTS = """() => Object.fromEntries([...document.querySelectorAll(".st-key-charts .ql-slot")].map((slot) => {
  const plot = slot.querySelector(".js-plotly-plot");
  const list = (values) => (values === undefined ? null : Array.from(values, (value) => (ArrayBuffer.isView(value) || Array.isArray(value) ? Array.from(value) : value)));
  const traces = plot ? plot.data.map(({ x, y, name, customdata, visible }) => ({ x: list(x), y: list(y), name: name ?? null, customdata: list(customdata), visible: visible ?? true })) : [];
  const words = [...slot.querySelectorAll(".ql-title, .ql-subtitle, .ql-legend, .heat-note, .heat-bar-ticks")].map((element) => element.textContent);
  const marks = slot.querySelector(".ql-over")?.innerHTML ?? "";
  const told = (slot.querySelector(".ql-plot") ?? slot.querySelector(".heat-box")).getAttribute("aria-label");
  const chosen = slot.querySelector(".heat-frame")?.getAttribute("aria-label") ?? "";
  return [slot.dataset.panel, { traces, words, marks, told, chosen }];
}))"""


def wait_until_idle(page: Any) -> None:
    page.wait_for_selector(
        '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
    )


def wait_for_headline(page: Any, pattern: str) -> str:
    heading = page.locator("h4, .ql-headline", has_text=re.compile(pattern))
    heading.wait_for(timeout=60_000)
    wait_until_idle(page)
    return str(heading.inner_text())


def wait_for_charts(page: Any, *, layer: str | None = None, scheme: str | None = None) -> None:
    """Until the charts of a layer under a scheme are painted; of any where None is asked for."""
    page.wait_for_selector(f'{ROOT}[data-shown][data-waiting="false"]', timeout=60_000)
    page.wait_for_function(
        """([root, layer, scheme]) => {
          const { shown, waiting } = document.querySelector(root)?.dataset ?? {};
          const [one, other] = JSON.parse(shown ?? "[]");
          return waiting === "false" && (layer ?? one) === one && (scheme ?? other) === other;
        }""",
        arg=[ROOT, layer, scheme],
        timeout=60_000,
    )


def wait_for_query(page: Any, **wanted: str | None) -> None:
    """Until the address holds these words, None for a word that is not in it, and the script behind it has ended."""
    page.wait_for_function(
        """(wanted) => {
          const query = new URLSearchParams(window.location.search);
          return Object.entries(wanted).every(([name, word]) => query.get(name) === word);
        }""",
        arg=wanted,
        timeout=60_000,
    )
    wait_until_idle(page)


def wait_for_layer(page: Any, name: str) -> None:
    """Until charts, address and the box of the sidebar, which may leave out the middle or the ends, show a chosen layer."""
    wait_for_charts(page, layer=name)
    wait_for_query(page, layer=name)
    page.wait_for_function(
        "name => document.querySelector('.st-key-layer input').value.split('…').every((part) => name.includes(part))",
        arg=name,
    )


def read_query(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def read_charts(page: Any) -> dict[str, Any]:
    charts: dict[str, Any] = page.evaluate(_READ_CHARTS)
    return charts


def read_headline(page: Any) -> str:
    return str(page.locator(f"{ROOT} .ql-headline").inner_text())


def choose_source(page: Any, text: str) -> None:
    box = page.locator(".st-key-source input")
    box.click()
    box.fill(text)
    page.keyboard.press("Enter")


def click_cell(page: Any, tensor: str, scheme: str) -> None:
    page.locator(f"{ROOT} .heat-box").scroll_into_view_if_needed()
    page.wait_for_function(_FIND_CELL, arg=[tensor, scheme], timeout=60_000)  # a sweep under way shows the last result
    wait_until_idle(page)
    page.mouse.click(*page.evaluate(_FIND_CELL, [tensor, scheme]))


def find_row(page: Any, table: str, name: str) -> Any:
    """The line of a table whose first cell reads so."""
    head = page.locator("th", has_text=re.compile(f"^{re.escape(name)}$"))
    return page.locator(f".st-key-{table} tr.ql-table-row", has=head)


def focus_slider(page: Any) -> Any:
    slider = page.get_by_role("slider", name="Bits in view")
    slider.focus()
    return slider


def save_model(folder: Path) -> Path:
    """A file of four layers and a vector that is no weight."""
    rng = np.random.default_rng(7)
    tensors = {f"block{index}.weight": rng.standard_t(4, (48, 96)).astype(np.float32) for index in range(4)}
    path = folder / "own.npz"
    np.savez(path, **tensors, bias=np.ones(5, np.float32))
    return path


def save_encoder(folder: Path) -> Path:
    """A file of 41 tensors with the names of a small sentence encoder, position ids in int64 among them."""
    rng = np.random.default_rng(3)
    parts = {
        **{f"attention.{part}": (48, 48) for part in ("self.query", "self.key", "self.value", "output.dense")},
        "intermediate.dense": (96, 48),
        "output.dense": (48, 96),
    }
    shapes = {
        **{f"embeddings.{part}_embeddings.weight": (rows, 48) for part, rows in (("word", 200), ("position", 64), ("token_type", 2))},
        **{f"encoder.layer.{block}.{part}.weight": shape for block in range(6) for part, shape in parts.items()},
        "pooler.dense.weight": (48, 48),
    }  # fmt: skip
    tensors = {name: (0.04 * rng.standard_t(5, shape)).astype(np.float32) for name, shape in shapes.items()}
    path = folder / "encoder.safetensors"
    save_file({"embeddings.position_ids": np.arange(64, dtype=np.int64)[None], **tensors}, path)
    return path


def save_deep(folder: Path, count: int, name: str = "deep.npz") -> Path:
    """A file of many small layers in blocks of five."""
    rng = np.random.default_rng(5)
    path = folder / name
    np.savez(
        path,
        **{
            f"model.decoder.layers.{place // 5}.part{place % 5}.weight": rng.standard_normal((16, 64), dtype=np.float32)
            for place in range(count)
        },
    )
    return path
