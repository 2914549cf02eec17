"""Addresses as people pass them on: straight to any page without a complaint, words in them, what means nothing told and left out, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from .conftest import OpenVisit, Server, start_server
from .layers_page import focus_slider, read_query, wait_for_headline, wait_for_query

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector


@pytest.fixture(scope="module")
def checkout(browser_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same dashboard as `streamlit run app.py` starts it in a checkout."""

    def command(_root: Path, port: int) -> list[str]:
        return ["streamlit", "run", "app.py", "--server.port", str(port)]

    with start_server(command, tmp_path_factory, cwd=Path(__file__).parents[2]) as started:
        yield started


@pytest.mark.parametrize("start", ["server", "checkout"])
@pytest.mark.parametrize(
    ("path", "headline"),
    [
        ("/", "digits-cnn at int4 group=128"),
        ("/layers?bits=5", "digits-cnn at int5 group=128"),
        ("/converter", "12 bit over 10 V"),
        ("/converter?tab=simulate&sim_bits=9", "^9 bit: SQNR"),
        ("/converter?tab=capture&record=sample:clipped+tone,+8+bit", "clipped tone"),
    ],
)
def test_a_link_leads_straight_to_its_page_and_the_console_stays_clean(
    request: pytest.FixtureRequest, open_visit: OpenVisit, start: str, path: str, headline: str
) -> None:
    server: Server = request.getfixturevalue(start)
    visit, answers = open_visit("about:blank"), []
    visit.page.on("response", lambda response: answers.append((response.status, response.url)))
    visit.page.goto(server.url + path)
    wait_for_headline(visit.page, headline)
    assert urlsplit(visit.page.url).path == ("/" if path.startswith("/layers") else urlsplit(path).path)
    assert [answer for answer in answers if answer[0] >= 400] == []
    assert visit.complaints == []
    visit.page.reload()
    wait_for_headline(visit.page, headline)
    assert [
        text for text in visit.complaints if not text.startswith(server.url)
    ] == []  # a reload breaks off what is being loaded
    assert [answer for answer in answers if answer[0] >= 400] == []
    assert server.read_trouble() == []


def test_a_parameter_that_means_nothing_does_not_change_the_page(server: Server, open_visit: OpenVisit) -> None:
    visit = open_visit(f"{server.url}/converter?foo=1&bits=8")
    wait_for_headline(visit.page, "8 bit over 10 V")
    assert "foo=1" in visit.page.locator(".st-key-notices").inner_text()
    wait_for_query(visit.page, bits="8")
    assert urlsplit(visit.page.url).path == "/converter"
    assert read_query(visit.page) == {"bits": ["8"]}
    assert visit.complaints == []


def test_from_page_to_page_each_keeps_its_state_and_the_browser_finds_back(
    server: Server, open_visit: OpenVisit
) -> None:
    visit = open_visit(f"{server.url}/?bits=6")
    page = visit.page
    wait_for_headline(page, "at int6 group=128")
    page.get_by_role("link", name="Converter").click()
    wait_for_headline(page, "12 bit over 10 V")
    page.get_by_role("slider", name="Bits").focus()
    page.keyboard.press("ArrowRight")
    wait_for_headline(page, "13 bit over 10 V")
    wait_for_query(page, bits="13")
    page.get_by_role("link", name="Layers").click()
    wait_for_headline(page, "at int6 group=128")
    wait_for_query(page, bits="6")
    page.get_by_role("link", name="Converter").click()
    wait_for_headline(page, "13 bit over 10 V")
    wait_for_query(page, bits="13")
    assert urlsplit(page.url).path == "/converter"
    page.keyboard.press("Tab")
    page.get_by_role("slider", name="Bits").focus()
    page.keyboard.press("ArrowRight")
    wait_for_headline(page, "14 bit over 10 V")
    wait_for_query(page, bits="14")
    page.go_back()
    wait_for_headline(page, "13 bit over 10 V")
    page.go_forward()
    wait_for_headline(page, "14 bit over 10 V")
    page.get_by_role("button", name="Undo").click()
    wait_for_headline(page, "13 bit over 10 V")
    assert [*visit.complaints, *server.read_trouble()] == []


def test_undo_wakes_with_the_first_step(server: Server, open_visit: OpenVisit) -> None:
    page = open_visit(server.url).page
    wait_for_headline(page, "at int4 group=128")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_disabled()
    focus_slider(page)
    page.keyboard.press("ArrowRight")
    wait_for_headline(page, "at int5 group=128")
    wait_for_query(page, bits="5")
    expect(undo).to_be_enabled()
    undo.click()
    wait_for_headline(page, "at int4 group=128")
    wait_for_query(page, bits=None)
    expect(undo).to_be_disabled()
    page.get_by_role("button", name="Redo").click()
    wait_for_headline(page, "at int5 group=128")
    wait_for_query(page, bits="5")
