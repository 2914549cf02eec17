"""The tables of page Layers with the keyboard alone: going through the page changes nothing, Enter and Space choose."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from .conftest import OpenVisit, Server
from .layers_page import find_row, wait_for_query, wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
MOST_STOPS = 150
_WHERE = """() => {
  const focus = document.activeElement;
  const table = focus.closest(".st-key-totals") ? "totals" : focus.closest(".st-key-layers") ? "layers" : "";
  return focus === document.body ? "end" : focus.matches("tr") ? `row of ${table}` : focus.tagName;
}"""


def wait_for_marked(page: Any, table: str, name: str) -> None:
    page.locator(f".st-key-{table} [aria-selected='true'] > th", has_text=name).wait_for()
    wait_until_idle(page)


def open_tables(server: Server, open_visit: OpenVisit) -> Any:
    visit = open_visit(server.url)
    visit.page.locator(".st-key-layers tr.ql-table-row").first.wait_for(timeout=60_000)
    wait_for_marked(visit.page, "totals", "int4 group=128")
    return visit


def test_tab_through_the_whole_page_chooses_nothing(server: Server, open_visit: OpenVisit) -> None:
    visit = open_tables(server, open_visit)
    page = visit.page
    visit.wait_for_silence()
    before, sent = page.url, len(visit.sent)
    page.get_by_label("Find layers").focus()
    stops = []
    while len(stops) < MOST_STOPS and "end" not in stops:
        page.keyboard.press("Tab")
        stops.append(page.evaluate(_WHERE))
    assert stops[-1] == "end"
    assert stops.count("row of totals") == stops.count("row of layers") == 1  # one stop each, whatever their length
    page.wait_for_timeout(1_000)  # longer than a hand rests before the server is asked
    assert page.url == before
    assert [payload for payload in visit.sent[sent:] if len(payload) > 2] == []  # signs of life go on
    wait_for_marked(page, "totals", "int4 group=128")
    assert visit.complaints == []


def test_enter_and_space_choose_and_the_same_row_again(server: Server, open_visit: OpenVisit) -> None:
    visit = open_tables(server, open_visit)
    page = visit.page
    find_row(page, "totals", "int6 channel").focus()
    page.keyboard.press("Enter")
    wait_for_query(page, bits="6", grouping="channel")
    wait_for_marked(page, "totals", "int6 channel")
    assert page.evaluate(_WHERE) == "row of totals"  # the keys go on from there
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    wait_for_query(page, bits="7", grouping="channel")
    find_row(page, "totals", "int6 channel").get_by_role("rowheader").click()
    wait_for_query(page, bits="6", grouping="channel")

    find_row(page, "layers", "fc.weight").focus()
    page.keyboard.press("Enter")
    wait_for_query(page, layer="fc.weight", bits="6")
    wait_for_marked(page, "layers", "fc.weight")
    assert parse_qs(urlsplit(page.url).query)["grouping"] == ["channel"]
    assert [*visit.complaints, *server.read_trouble()] == []
