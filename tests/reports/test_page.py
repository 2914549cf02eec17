"""The HTML report as a reader meets it: one file, no network, every row, both themes, and names that stay text."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from qanalysis.diagnosis.profile import profile_bits, profile_layer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.page import SIZE_LIMIT, render_page
from qanalysis.reports.report import read_rows, write_report
from qanalysis.reports.summary import headline, select_worst
from qanalysis.sweeps.row import COLUMNS, Row, Rows
from qanalysis.sweeps.sweep import sweep

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>"


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
    """The report, opened without a network; leaving it checks that it asked for nothing and complained about nothing."""
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
    assert requests == [report.as_uri()]
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
    headings = [
        "Every layer under every scheme",
        "Error against bits",
        "Weights of head",
        "Error of head",
        "Weights and error of conv",
    ]
    assert page.locator("section:has(.plot .main-svg) h2").all_text_contents() == headings
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


def test_both_themes_follow_the_reader(page: Page) -> None:
    colours = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(500)
        colours.append(
            page.evaluate(
                "[getComputedStyle(document.body).backgroundColor, document.querySelector('.plot .xtick text').style.fill]"
            )
        )
    assert colours[0][0] != colours[1][0]
    assert colours[0][1] != colours[1][1]


def test_the_slider_of_a_layer_moves_through_the_bit_widths(page: Page) -> None:
    title = page.locator("#plot-5 .gtitle")
    assert "int4" in str(title.text_content())
    page.evaluate(
        "Plotly.animate('plot-5', ['8'], {mode: 'immediate', frame: {duration: 0}, transition: {duration: 0}})"
    )
    page.wait_for_timeout(200)
    assert "int8" in str(title.text_content())


def test_the_page_stays_readable_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
