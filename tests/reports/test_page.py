"""The HTML report as a reader meets it: one file, no network, every row, both themes, and names that stay text."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from qanalysis.charts.palette import PALETTES
from qanalysis.diagnosis.profile import profile_bits, profile_layer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.page import SIZE_LIMIT, render_page
from qanalysis.reports.report import read_rows, write_report
from qanalysis.reports.summary import headline, select_worst
from qanalysis.sweeps.row import COLUMNS, Row, Rows
from qanalysis.sweeps.sweep import sweep

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>"
TURNED = f"{HOSTILE}<b>%{{x}}\u202egpj\\u202e"  # the last one is a backslash and letters, no mark


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    conv = rng.normal(size=(8, 64)).astype(np.float32)
    conv[5] *= 20
    head = rng.normal(size=(4, 40)).astype(np.float32)
    return {
        "conv": conv,
        "head": head,
        "=cmd()": head * 2,
        HOSTILE: head[:2],
        "exact": np.array([[1, -1], [0, 1]], np.float32),
        "ids": np.arange(4),
    }


@pytest.fixture(scope="module")
def rows(arrays: dict[str, np.ndarray]) -> Rows:
    return sweep(arrays, [f"int{bits}{grouping}" for grouping in ("", " channel", " group=32") for bits in (3, 4, 8)])


def test_names_reach_the_page_only_escaped_or_packed(rows: Rows) -> None:
    page = render_page(rows, created=NOON)
    assert HOSTILE not in page
    assert "onerror=alert" not in page.replace("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;", "")


def test_a_page_that_would_be_too_large_names_the_columns_left_out(rows: Rows) -> None:
    whole = render_page(rows, created=NOON)
    assert 'id="left-out"' not in whole
    page = render_page(rows, created=NOON, limit=len(whole.encode()) - 400)
    assert len(page.encode()) <= len(whole.encode()) - 400
    assert "Left out so that this file stays small, least needed first: enob" in page
    assert 'data-column="enob"' not in page


def test_the_page_of_500_layers_and_28_schemes_is_below_six_megabytes() -> None:
    rng = np.random.default_rng(1)
    layers = {
        f"model.layers.{i // 7}.block_{i % 7}.weight": rng.standard_t(5, size=(8, 160)).astype(np.float32)
        for i in range(500)
    }
    groupings = ["", " channel", " group=128", " group=32"]
    rows = sweep(layers, [f"int{bits}{grouping}" for grouping in groupings for bits in range(2, 9)])
    page = render_page(rows, created=NOON)
    assert len(rows) == 14_000
    assert len(page.encode()) < SIZE_LIMIT
    assert "14,000 rows" in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "no Chromium on the PATH; install the package chromium"
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(rows: Rows, arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    profiles = [
        profile_layer(arrays["head"], Scheme.parse("int4"), name="head"),
        *profile_bits(arrays["conv"], Scheme.parse("int4"), name="conv"),
    ]
    return write_report(
        rows, tmp_path_factory.mktemp("report") / "report.html", profiles=profiles, scheme="int4", created=NOON
    )


@pytest.fixture(scope="module")
def opened_page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report, opened without a network; leaving it checks that it asked for nothing and complained about nothing.

    A picture that is saved is read back from the page's own memory, at an address "blob:null".
    """
    context = browser.new_context(offline=True, accept_downloads=True)
    opened = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.goto(report.as_uri())
    opened.wait_for_selector("html[data-ready]", state="attached")
    yield opened
    context.close()
    assert [address for address in requests if not address.startswith("blob:null")] == [report.as_uri()]
    assert complaints == []


@pytest.fixture
def page(opened_page: Page) -> Page:
    """The same page with nothing searched or chosen."""
    opened_page.set_viewport_size({"width": 1280, "height": 900})
    opened_page.fill("#search", "")
    opened_page.select_option("#scheme", "")
    opened_page.uncheck("#all")
    return opened_page


def test_the_report_opens_without_a_network_and_shows_headline_charts_and_rows(
    page: Page, rows: Rows, arrays: dict[str, np.ndarray]
) -> None:
    assert page.locator(".headline").text_content() == headline(
        rows, "int4", worst_channel=5 if select_worst(rows, "int4")[0].tensor == "conv" else None
    )
    headings = ["Every layer under every scheme", "Error against bits", "head at int4", "conv at every width"]
    drawn = "section:has(.scene .main-svg, .scene canvas) h2"
    assert page.locator(drawn).all_text_contents() == headings
    assert page.locator(".scene .ql-trouble:visible").count() == 0
    assert page.locator("#trouble").is_hidden()
    assert page.locator("#count").text_content() == f"1–{len(rows)} of {len(rows)} rows"
    assert page.locator("#rows tbody tr").count() == len(rows)
    assert page.locator("a[data-title*='hare' i], a[data-title*='cloud' i], .plotlyjsicon").count() == 0


def test_the_table_searches_sorts_and_shows_all_columns(page: Page, rows: Rows) -> None:
    page.fill("#search", "head GROUP=32")
    assert page.locator("#rows tbody th").all_text_contents() == ["head"] * 3
    page.fill("#search", "")
    page.select_option("#scheme", "int4 channel")
    page.click("[data-sort=sqnr_db]")
    shown = page.locator("#rows tbody th").all_text_contents()
    of_scheme = [row for row in rows if row.scheme == "int4 channel"]
    assert shown == [row.tensor for row in sorted(of_scheme, key=lambda row: (row.sqnr_db is None, row.sqnr_db))]
    page.check("#all")
    assert page.locator("#rows thead button").all_text_contents() == list(COLUMNS)
    page.fill("#search", "nothing like it")
    assert page.locator("#count").text_content() == "No row fits; clear the search."
    assert page.locator("#csv").is_disabled()


def test_downloads_hold_the_rows_with_every_digit(page: Page, rows: Rows, tmp_path: Path) -> None:
    order = {(row.tensor, row.scheme): i for i, row in enumerate(rows)}

    def position(row: Row) -> int:
        return order[row.tensor, row.scheme]

    for kind in ("csv", "json"):
        with page.expect_download() as waiting:
            page.click(f"#{kind}")
        waiting.value.save_as(tmp_path / f"rows.{kind}")
        assert sorted(read_rows(tmp_path / f"rows.{kind}"), key=position) == list(rows)
    assert read_rows(tmp_path / "rows.json").totals == rows.totals
    assert waiting.value.suggested_filename == "arrays-rows.json"


def test_a_hostile_name_is_shown_as_text(page: Page) -> None:
    page.fill("#search", "onerror")
    assert page.locator("#rows tbody th").first.text_content() == HOSTILE
    assert page.locator("img").count() == 0


def _wait_for(page: Page, expression: str) -> None:
    """Until an expression holds; the page's policy forbids the way in which playwright waits for one."""
    end = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


TICK = "getComputedStyle(document.querySelector('.scene .xtick text')).fill"


def test_both_themes_follow_the_reader_and_paper_is_light(page: Page) -> None:
    looks = {}
    for media, theme in (("screen", "light"), ("screen", "dark"), ("print", "dark")):
        page.emulate_media(media=media, color_scheme=theme)
        wanted = PALETTES["dark" if (media, theme) == ("screen", "dark") else "light"].text
        red, green, blue = (int(wanted[start : start + 2], 16) for start in (1, 3, 5))
        _wait_for(page, f"{TICK} === 'rgb({red}, {green}, {blue})'")
        looks[media, theme] = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    page.emulate_media(media="screen", color_scheme="light")
    assert looks["screen", "light"] == looks["print", "dark"] != looks["screen", "dark"]


def _read_linked(page: Page) -> dict[str, Any]:
    """What the scene with the slider says, as a reader meets it."""
    return page.evaluate(
        """() => {
          const scene = document.querySelector(".scene:has(.ql-range)");
          const alt = (name) => scene.querySelector(`[data-panel=${name}] [role=img]`).getAttribute("aria-label");
          return {
            head: scene.querySelector(".ql-headline").textContent,
            value: scene.querySelector(".ql-range").getAttribute("aria-valuetext"),
            titles: [...scene.querySelectorAll(".ql-title")].map((title) => title.textContent),
            alts: ["weights", "errors", "channels"].map(alt),
            marks: [...scene.querySelectorAll("[data-panel=curves] .ql-over .ql-note")].map((note) => note.textContent),
            line: scene.querySelector("[data-panel=curves] .ql-over .ql-shape")?.getBoundingClientRect().left,
          };
        }"""
    )


def test_headline_charts_and_mark_move_with_the_slider_by_keys(page: Page, rows: Rows) -> None:
    figures = {row.scheme: row.sqnr_db for row in rows if row.tensor == "conv"}
    slider = page.locator(".ql-range")
    assert slider.get_attribute("role") is None  # a native range: the browser gives it the role slider
    assert slider.evaluate("element => [element.type, element.min, element.max]") == ["range", "0", "14"]
    slider.focus()
    _wait_for(page, "document.querySelector('.scene:has(.ql-range)').dataset.shown.includes('4')")
    before = _read_linked(page)
    assert before["value"] == f"4 bit, {figures['int4']:.2f} dB"
    assert before["head"] == headline(rows, "int4")
    assert f"{figures['int4']:.2f} dB" in before["marks"]
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    _wait_for(page, "document.querySelector('.scene:has(.ql-range)').dataset.shown.includes('8')")
    after = _read_linked(page)
    assert after["value"] == f"8 bit, {figures['int8']:.2f} dB"
    assert after["head"] == headline(rows, "int8")
    assert f"{figures['int8']:.2f} dB" in after["marks"]
    assert f"{figures['int4']:.2f} dB" not in after["marks"]
    assert all(title.startswith("int8: ") for title in after["titles"][:3])
    assert all("conv under int8" in alt for alt in after["alts"])
    assert after["line"] > before["line"]
    page.keyboard.press("Home")
    _wait_for(page, "document.querySelector('.scene:has(.ql-range)').dataset.shown.includes('2')")
    assert "not in the sweep" in _read_linked(page)["value"]
    assert _read_linked(page)["head"].startswith("arrays at int2: not in the sweep")


def test_a_chart_offers_its_numbers_and_its_picture(page: Page) -> None:
    chart = page.locator("[data-panel=weights]").first
    chart.get_by_role("button", name="Numbers", exact=True).click()
    assert chart.locator("table tbody tr").count() > 10
    with page.expect_download() as waiting:
        chart.get_by_role("button", name="Picture", exact=True).click()
    assert waiting.value.suggested_filename == "weights.png"
    chart.get_by_role("button", name="Numbers", exact=True).click()


def test_tables_begin_at_their_first_line_and_mark_the_scheme_of_the_headline(page: Page) -> None:
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every((box) => box.scrollTop === 0)")
    chosen = page.locator("tr[aria-current=true]")
    assert chosen.locator("th").all_text_contents() == ["int4"]


def test_a_hostile_layer_is_scrubbed_as_text(browser: Browser, tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=(4, 32)).astype(np.float32)
    rows = sweep({TURNED: values}, ["int4", "nf4 group=32"])
    profiles = profile_bits(values, Scheme.parse("int4"), name=TURNED)
    written = write_report(rows, tmp_path / "report.html", profiles=profiles, scheme="int4", created=NOON)
    context = browser.new_context(offline=True)
    page = context.new_page()
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: seen.append(dialog.message))
    page.goto(written.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.locator(".ql-range").press("ArrowRight")
    _wait_for(page, "document.querySelector('.scene:has(.ql-range)').dataset.shown.includes('5')")
    shown = page.locator(".scene:has(.ql-range)")
    subtitle = str(shown.locator("[data-panel=weights] .ql-subtitle").text_content())
    assert subtitle.startswith("</script><img src=x")
    assert "<b>%{x}gpj\\u202e · 128 weights" in subtitle
    assert "<b>%{x}gpj" in str(shown.locator("[data-panel=weights] [role=img]").get_attribute("aria-label"))
    shown.locator("[data-panel=curves] .point").first.hover(force=True)
    assert page.locator("img, main script:not([type='application/octet-stream'])").count() == 0
    assert "\u202e" not in page.locator("body").inner_text()
    context.close()
    assert seen == []


def test_the_page_stays_readable_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    slider = page.locator(".ql-range").bounding_box()
    assert slider
    assert slider["width"] > 250  # as wide as the sheet, below its name
