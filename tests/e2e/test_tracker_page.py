"""Page Precision tracker as a person uses it: the example, a log of one's own, a wrong rule, an event, a cell, a link."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.charts.tracks import A6, A6_STEPS

from .conftest import OpenVisit, Server

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector


def wait_until_idle(page: Any) -> None:
    page.wait_for_selector(
        '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
    )


def wait_for_headline(page: Any, text: str) -> None:
    page.get_by_role("heading", level=4).filter(has_text=re.compile(text)).wait_for(timeout=60_000)
    wait_until_idle(page)


def wait_for_charts(page: Any, alt: str) -> None:
    page.locator(f'.st-key-charts .ql-plot[aria-label^="{alt}"] .main-svg').first.wait_for(timeout=60_000)


def read_chart(page: Any, panel: str, name: str) -> list[list[float]]:
    """The points of one line as plotly holds them."""
    return page.evaluate(
        """([panel, name]) => {
            const trace = document.querySelector(`[data-panel="${panel}"] .js-plotly-plot`).data.find((one) => one.name === name);
            return [Array.from(trace.x), Array.from(trace.y)];
        }""",
        [panel, name],
    )


def test_a_log_of_ones_own_from_the_file_to_the_event_and_back_by_link(server: Server, open_visit: OpenVisit) -> None:
    lines = [f"{step},fc,input,{value},{value / 5},{value / 6}" for step, value in enumerate(A6)]
    lines += [f"{step},head,weight,{1 + step},{0.2},{0.1}" for step in range(len(A6))]
    (server.root / "run.csv").write_text(
        "\n".join(["step,layer,kind,absmax,mean,std", *lines]) + "\n", encoding="utf-8"
    )
    visit = open_visit(f"{server.url}/tracker")
    page = visit.page
    wait_for_headline(page, "^sample:digits-mlp-training: .+ loses least: SQNR")
    page.locator(".st-key-charts .main-svg").first.wait_for(timeout=60_000)

    box = page.get_by_role("combobox", name="Log")
    box.fill("run.csv")
    box.press("Enter")
    wait_for_headline(page, "^run.csv: ")
    wait_for_charts(page, "absmax of fc · input")
    assert read_chart(page, "t-precision", "up-step + down") == [list(range(9)), list(A6_STEPS)]

    rule = page.get_by_role("textbox", name="Rule 1")
    rule.fill("up-stp + down")
    rule.press("Enter")
    page.get_by_text("rule 'up-stp' is unknown").wait_for()
    wait_until_idle(page)
    assert read_chart(page, "t-precision", "up-step + down")[1] == list(A6_STEPS)
    rule.fill("up-step exponent=source + down")
    rule.press("Enter")
    page.get_by_text("rule 'up-stp' is unknown").wait_for(state="detached")
    wait_until_idle(page)
    page.wait_for_function(
        """() => document.querySelector('[data-panel="t-precision"] .js-plotly-plot').data
            .some((one) => one.name === 'up-step exponent=source + down')"""
    )

    page.locator(".st-key-events-table").get_by_role("row").filter(has_text="absmax 12 ≥ pos").first.click()
    page.wait_for_url(re.compile("[?&]step=3"))
    page.locator(".st-key-charts").get_by_role("slider", name="Step").wait_for()
    page.wait_for_function(
        "() => document.querySelector('.st-key-charts input[type=range]').getAttribute('aria-valuetext') === '3, absmax 12'"
    )
    facts = page.locator('.st-key-charts [data-panel="t-facts"]').inner_text()
    assert "s = −3, pos 15.88" in facts

    slider = page.locator(".st-key-charts").get_by_role("slider", name="Step")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("[?&]step=4"))
    wait_until_idle(page)

    cell = page.locator('[data-panel="t-map"] .nsewdrag').first
    size = cell.bounding_box()
    cell.click(position={"x": size["width"] * 0.75, "y": size["height"] * 0.75})  # the second kind of the second layer
    page.wait_for_url(re.compile("layer=head"))
    wait_for_charts(page, "absmax of head · weight")
    wait_until_idle(page)

    page.locator('[data-panel="t-map"]').get_by_role("button", name="Numbers").click()
    table = page.locator('[data-panel="t-map"] .ql-drawer [role="grid"], [data-panel="t-map"] .ql-drawer table').first
    table.wait_for()
    assert re.search(r"head\s+weight\s+3\.16993", table.inner_text())  # log2(9)

    fresh = open_visit(page.url, scheme="dark")
    wait_for_headline(fresh.page, "^run.csv: ")
    wait_for_charts(fresh.page, "absmax of head · weight")
    assert fresh.page.get_by_role("textbox", name="Rule 1").input_value() == "up-step exponent=source + down"
    for one in (visit, fresh):
        assert one.page.locator('[data-testid="stException"]').count() == 0
        assert one.complaints == []
    assert server.read_trouble() == []
