"""Page Sensitivity as a person uses it: saved rows, a click on a bar, the way to page Layers and back, a run found again."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import TimeoutError as Late
from playwright.sync_api import expect

from qanalysis.reports.report import write_report
from tests.charts.sensitivities import make_table

from .conftest import OpenVisit, Server, Visit
from .layers_page import wait_for_charts, wait_for_headline, wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
BOUND_MS = 180_000  # of a shared runner, where torch is imported cold
PATIENCE_MS = 60_000


def open_page(open_visit: OpenVisit, url: str) -> Visit:
    """A visit that waits for a busy machine, whatever it waits for."""
    visit = open_visit(url, prepare=lambda page: page.set_default_timeout(PATIENCE_MS))
    visit.page.set_default_navigation_timeout(PATIENCE_MS)
    return visit


def wait_for_panel(page: Any, panel: str, alt: str = "") -> Any:
    told = f'[aria-label*="{alt}"]' if alt else ""
    plot = page.locator(f'[data-panel="{panel}"] .ql-plot{told}')
    plot.locator(".main-svg").first.wait_for()
    return plot


def click_last_bar(page: Any, bars: Any) -> None:
    """Until the layer of the bar is in the address: what is drawn above may still move the bar from under a click."""
    for _ in range(6):
        bars.scroll_into_view_if_needed()
        box = bars.locator(".barlayer .point path").last.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
        try:
            page.wait_for_url(re.compile("[?&]layer="), timeout=PATIENCE_MS / 6)
        except Late:
            continue
        return
    pytest.fail("no click on a bar put its layer in view")


def test_a_click_on_a_bar_puts_its_layer_in_view_and_leads_to_page_layers_and_back(
    server: Server, open_visit: OpenVisit
) -> None:
    write_report(make_table(), server.root / "rows.json")
    visit = open_page(open_visit, f"{server.url}/sensitivity?model=rows.json")
    page = visit.page
    wait_for_headline(page, "conv1.weight hurts most, Output SQNR 10.00 dB")
    bars = wait_for_panel(page, "s-bars", "noise floor 55.00 dB")
    for panel in ("s-map", "s-curve", "s-pairs", "s-sums", "s-experts"):
        wait_for_panel(page, panel)
    wait_for_charts(page)
    click_last_bar(page, bars)
    wait_until_idle(page)
    (layer,) = parse_qs(urlsplit(page.url).query)["layer"]
    assert layer != "conv1.weight"
    page.locator(".st-key-ranks [aria-selected='true'] > th", has_text=layer).wait_for()

    page.locator(".st-key-ranks tr[data-row] > th", has_text="conv1.weight").click()
    page.wait_for_url(lambda url: "layer=" not in url or "layer=conv1" in url)
    lead = page.get_by_role("link", name=re.compile("Weight error of conv1.weight"))
    expect(lead).to_be_visible(timeout=PATIENCE_MS)
    address = lead.get_attribute("href")
    assert [*visit.complaints, *server.read_trouble()] == []

    layers = open_page(open_visit, f"{server.url}/{address.lstrip('./')}")
    wait_for_headline(layers.page, "digits-cnn at int4 channel")
    expect(layers.page.get_by_role("combobox", name="Layer in view")).to_have_value(
        re.compile("^conv1"), timeout=PATIENCE_MS
    )
    back = layers.page.get_by_role("link", name=re.compile("output of the model"))
    back.wait_for()
    assert parse_qs(urlsplit(back.get_attribute("href")).query) == {
        "model": ["sample:digits-cnn"],
        "layer": ["conv1.weight"],
        "scheme": ["int4 channel"],
    }
    assert [*layers.complaints, *server.read_trouble()] == []


def test_a_run_ends_with_its_rows_and_is_found_again_after_a_reload(server: Server, open_visit: OpenVisit) -> None:
    address = f"{server.url}/sensitivity?model=sample:digits-mlp&samples=24&schemes=int3+channel"
    visit = open_page(open_visit, address)
    page = visit.page
    ended = page.get_by_text(re.compile(r"Complete: \d+ runs of the model"))
    ended.wait_for(timeout=BOUND_MS)
    headline = wait_for_headline(page, "over 24 samples: .+ hurt")
    wait_for_panel(page, "s-bars")
    wait_for_charts(page)
    assert visit.complaints == []
    told = ended.inner_text()
    page.reload()
    assert wait_for_headline(page, "over 24 samples") == headline
    expect(page.get_by_text(told)).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".st-key-cancel")).to_have_count(0, timeout=PATIENCE_MS)
    assert server.read_trouble() == []
