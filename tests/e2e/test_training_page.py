"""Page Training lab as a person uses it: a preset, a run that is watched, the step replayed, an event that leads to its step."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .conftest import OpenVisit, Server
from .layers_page import wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
BOUND_MS = 180_000  # of a shared runner; what a person waits is measured by the benchmarks

TEXT = """model = "sample:digits-mlp"
[[configuration]]
name = "counts"
weight = "int3 channel + minmax + ewgs"
input = "int4 asym + counts count=3"
layers = "fc2|fc3"
[[configuration]]
name = "jumps"
input = "int4 + up-step + down"
layers = "fc2"
steps = 40
"""


def read_shown(page: Any) -> list[Any]:
    """Where the charts stand: layer, and step."""
    return list(json.loads(page.locator(".st-key-lab-charts .ql-root").get_attribute("data-shown")))


def wait_for_step(page: Any, step: int) -> None:
    page.wait_for_function(
        "step => JSON.parse(document.querySelector('.st-key-lab-charts .ql-root').dataset.shown)[1] === step", arg=step
    )


def place_of_marks(page: Any) -> list[float]:
    """Where each chart's mark of the step stands, in pixels from the left of its own plot."""
    return list(
        page.evaluate("[...document.querySelectorAll('.ql-chart .ql-shape')].map(one => parseFloat(one.style.left))")
    )


def test_a_preset_is_run_replayed_and_an_event_leads_to_its_step(server: Server, open_visit: OpenVisit) -> None:
    visit = open_visit(f"{server.url}/lab")
    page = visit.page
    page.get_by_text("Nothing is trained yet").wait_for()
    page.get_by_text("TOML and the command line").click()
    box = page.get_by_label("Experiment as TOML")
    box.fill(TEXT)
    box.press("Control+Enter")
    page.get_by_text("Run trains counts (300 steps, seed 0), jumps (40 steps, seed 0)").wait_for()
    wait_until_idle(page)
    page.locator(".st-key-run button").click()
    page.locator(".st-key-lab-charts .js-plotly-plot").first.wait_for(timeout=BOUND_MS)
    page.get_by_text("Complete: 2 configurations").wait_for(timeout=BOUND_MS)
    slider = page.get_by_role("slider", name="Step")
    slider.wait_for()
    wait_until_idle(page)
    wait_for_step(page, 299)
    page.get_by_role("heading", level=4).filter(has_text=re.compile(r"^counts: \d")).wait_for()

    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if "/linked/" in request.url else None)
    before = place_of_marks(page)
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    wait_for_step(page, 296)
    after = place_of_marks(page)
    assert len(after) >= 6
    assert all(new < old for new, old in zip(after, before, strict=True))
    page.wait_for_url(re.compile("step=296"))
    wait_until_idle(page)
    assert fetched == []  # the browser holds every step, and the state of each quantizer there

    state = page.locator('[data-panel="state"]')
    assert "step 296" in state.locator(".ql-table-top").inner_text()
    events = page.locator('[data-panel="events"] tr[data-row]')
    row = events.first
    step = int(row.locator("th").inner_text().replace(",", ""))
    row.click()
    wait_for_step(page, step)
    page.wait_for_url(re.compile(f"step={step}(&|$)"))
    wait_until_idle(page)
    assert f"step {step}" in state.locator(".ql-table-top").inner_text()
    page.locator('[data-panel="state"] tr[aria-selected="true"]', has_text="input").wait_for()
    page.locator('[data-panel="events"] tr[aria-selected="true"]').wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0
    assert visit.complaints == []
    assert server.read_trouble() == []
