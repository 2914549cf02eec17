"""How long from a key press to the painted chart? Chromium, percentiles over many steps; run alone, for another browser doubles the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..e2e.conftest import OpenVisit, Server

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
CACHED_MS, MISSED_MS, SCRUB_MS = 400, 700, 80
SETTLE_MS = 500  # the rest of the page paints after the histogram
SHARED_MACHINE = 2  # the targets hold on a quiet machine; the gate leaves room for a busy one

WATCH = """([selector, wanted]) => new Promise(resolve => {
  const painted = () => requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - window.pressed)));
  const seen = () => document.querySelector(selector)?.textContent.includes(wanted);
  const observer = new MutationObserver(() => { if (seen()) { observer.disconnect(); painted(); } });
  observer.observe(document.body, {subtree: true, childList: true, characterData: true});
  window.addEventListener('keydown', () => { window.pressed = performance.now(); }, {capture: true, once: true});
  window.addEventListener('mousedown', () => { window.pressed = performance.now(); }, {capture: true, once: true});
  window.watching = true;
})"""


@pytest.fixture(scope="module")
def models(server: Server) -> Path:
    rng = np.random.default_rng(0)
    np.savez(server.root / "wide.npz", w=rng.standard_normal((1000, 10_000), dtype=np.float32))
    np.savez(
        server.root / "deep.npz",
        **{f"block.{index}.weight": rng.standard_normal((48, 64), dtype=np.float32) for index in range(500)},
    )
    return server.root


def _press(page: Any, key: str, wanted: str) -> float:
    page.evaluate("window.watching = false")
    # The promise is made first and read later, so that the key falls between.
    handle = page.evaluate_handle(f"(argument) => ({{promise: ({WATCH})(argument)}})", [".st-key-weights", wanted])
    page.wait_for_function("window.watching === true")
    page.keyboard.press(key)
    elapsed = handle.evaluate("held => held.promise")
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(SETTLE_MS)
    return float(elapsed)


def _sweep_bits(page: Any, *, family: str) -> list[float]:
    page.get_by_role("slider", name="Bits in view").focus()
    steps = [("ArrowRight", bits) for bits in (5, 6, 7, 8)] + [("ArrowLeft", bits) for bits in (7, 6, 5, 4, 3, 2)]
    return [_press(page, key, f"int{bits} {family}") for key, bits in steps]


def _percentiles(times: list[float]) -> str:
    return f"p50 {np.percentile(times, 50):.0f} ms, p95 {np.percentile(times, 95):.0f} ms, n {len(times)}"


@pytest.mark.parametrize(
    "query",
    ["source=sample:digits-cnn", "source=wide.npz", "source=deep.npz", "source=deep.npz&show=all"],
    ids=["5 layers", "10 M values", "60 of 500 layers", "500 layers"],
)
def test_from_the_slider_to_the_painted_histogram(
    server: Server, models: Path, open_visit: OpenVisit, query: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = open_visit(f"{server.url}/?{query}").page
    page.locator(".st-key-weights .js-plotly-plot").wait_for(timeout=60_000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(2_000)
    missed = _sweep_bits(page, family="group=128")[1:]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(2_000)
    cached = _sweep_bits(page, family="group=128") + _sweep_again(page)
    with capsys.disabled():
        print(f"\n{query}: first {_percentiles(missed)}; again {_percentiles(cached)}")
    assert np.percentile(cached, 95) <= CACHED_MS * SHARED_MACHINE
    assert np.percentile(missed, 95) <= MISSED_MS * SHARED_MACHINE


def _sweep_again(page: Any) -> list[float]:
    steps = [("ArrowRight", bits) for bits in (3, 4, 5, 6, 7, 8)]
    return [_press(page, key, f"int{bits} group=128") for key, bits in steps]


def test_from_the_scrub_s_rail_to_the_painted_histogram(
    server: Server, open_visit: OpenVisit, capsys: pytest.CaptureFixture[str]
) -> None:
    page = open_visit(f"{server.url}/?scrub=true").page
    chart = page.locator(".st-key-scrub-chart .js-plotly-plot")
    rail = chart.locator(".slider-rail-touch-rect")
    rail.wait_for(timeout=60_000)
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(2_000)
    box, times = rail.bounding_box(), []
    for bits in [*range(2, 17), *range(15, 3, -2)]:
        handle = page.evaluate_handle(
            f"(argument) => ({{promise: ({WATCH})(argument)}})", [".st-key-scrub-chart .gtitle", f"int{bits} group"]
        )
        page.mouse.click(box["x"] + (bits - 2) / 14 * (box["width"] - 2) + 1, box["y"] + box["height"] / 2)
        times.append(float(handle.evaluate("held => held.promise")))
    with capsys.disabled():
        print(f"\nscrub: {_percentiles(times[1:])}")
    assert np.percentile(times[1:], 95) <= SCRUB_MS * SHARED_MACHINE
