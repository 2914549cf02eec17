"""Page Layers as a person uses it: open, sweep, click a layer, move the bits, scrub, export, pass the link on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.dashboard.layers.view import LayersView, expand_scheme
from qanalysis.dashboard.views import spell_view
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.reports.report import read_rows
from qanalysis.reports.summary import headline
from qanalysis.sweeps.sweep import sweep

from .conftest import OpenVisit, Server

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
_FIND_CELL = """([tensor, scheme]) => {
  const chart = document.querySelector('.st-key-heat .js-plotly-plot');
  for (const trace of chart._fullData) {
    const place = Array.from(trace.customdata || []).findIndex(data => data && data[0] === tensor && data[1] === scheme);
    if (place >= 0) {
      const box = chart.getBoundingClientRect(), layout = chart._fullLayout;
      return [box.left + layout.xaxis._offset + layout.xaxis.d2p(trace.x[place]), box.top + layout.yaxis._offset + layout.yaxis.d2p(trace.y[place])];
    }
  }
}"""


def wait_until_idle(page: Any) -> None:
    page.wait_for_selector(
        '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
    )


def wait_for_headline(page: Any, pattern: str) -> str:
    heading = page.locator("h4", has_text=re.compile(pattern))
    heading.wait_for(timeout=30_000)
    wait_until_idle(page)
    return heading.inner_text()


def read_alternatives(page: Any) -> list[str]:
    charts = page.locator('[data-testid="stPlotlyChart"] [role="figure"], [data-testid="stPlotlyChart"][role="figure"]')
    charts.first.wait_for()
    return [charts.nth(index).get_attribute("aria-label") for index in range(charts.count())]


def choose_source(page: Any, text: str) -> None:
    box = page.locator(".st-key-source input")
    box.click()
    box.fill(text)
    page.keyboard.press("Enter")


def click_cell(page: Any, tensor: str, scheme: str) -> None:
    page.locator(".st-key-heat .js-plotly-plot .scatterlayer").first.wait_for()
    page.locator(".st-key-heat").scroll_into_view_if_needed()
    page.wait_for_function(_FIND_CELL, arg=[tensor, scheme])  # a sweep under way still shows the last result
    wait_until_idle(page)
    x, y = page.evaluate(_FIND_CELL, [tensor, scheme])
    page.mouse.click(x, y)


def click_row(page: Any, table: str, row: int) -> None:
    wait_until_idle(page)
    page.locator(f".st-key-{table} tr.ql-table-row > th").nth(row).click()


def wait_for_layer(page: Any, name: str) -> None:
    page.wait_for_function("name => document.querySelector('.st-key-layer input').value === name", arg=name)
    wait_until_idle(page)


def save_model(folder: Path) -> Path:
    rng = np.random.default_rng(7)
    tensors = {f"block{index}.weight": rng.standard_t(4, (48, 96)).astype(np.float32) for index in range(4)}
    path = folder / "own.npz"
    np.savez(path, **tensors, bias=np.ones(5, np.float32))
    return path


def test_the_whole_path(server: Server, open_visit: OpenVisit, tmp_path: Path) -> None:
    visit = open_visit(server.url)
    page = visit.page
    wait_for_headline(page, r"digits-cnn at int4 group=128: \d+\.\d dB pooled")

    with open_checkpoint(save_model(server.root)) as source:
        rows = sweep(source, default_schemes(), weights_only=True)
    choose_source(page, "own.npz")
    assert wait_for_headline(page, "own.npz at").startswith(headline(rows, "int4 group=128"))

    click_cell(page, "block2.weight", "int6 channel")
    assert wait_for_headline(page, "at int6 channel").startswith(headline(rows, "int6 channel"))
    wait_for_layer(page, "block2.weight")
    click_row(page, "layers", 3)
    wait_for_layer(page, "block3.weight")
    click_row(page, "totals", 4)
    assert wait_for_headline(page, "at int6:").startswith(headline(rows, "int6"))
    click_cell(page, "block1.weight", "int6 channel")
    wait_for_headline(page, "at int6 channel")
    wait_for_layer(page, "block1.weight")

    page.get_by_role("slider", name="Bits in view").focus()
    page.keyboard.press("ArrowLeft")
    assert wait_for_headline(page, "at int5 channel").startswith(headline(rows, "int5 channel"))
    page.wait_for_function("document.querySelector('.st-key-weights').textContent.includes('int5 channel')")

    for kind in ("csv", "json", "parquet", "html"):
        with page.expect_download() as download:
            page.locator(f".st-key-save-{kind} button").click()
        assert download.value.suggested_filename == f"own.{kind}"
        download.value.save_as(tmp_path / f"own.{kind}")
    from_json, from_parquet = read_rows(tmp_path / "own.json"), read_rows(tmp_path / "own.parquet")
    assert (from_json.rows, from_json.totals, from_json.source) == (
        from_parquet.rows,
        from_parquet.totals,
        from_parquet.source,
    )
    assert read_rows(tmp_path / "own.json").rows == rows.rows
    assert read_rows(tmp_path / "own.csv").rows == rows.rows
    assert json.loads((tmp_path / "own.json").read_text(encoding="utf-8"))["source"]["digest"] == rows.source.digest
    assert 0 < (tmp_path / "own.html").stat().st_size < 6_000_000

    shown, alternatives = wait_for_headline(page, "at int5 channel"), read_alternatives(page)
    page.get_by_role("button", name="Copy link").click()
    link = page.locator('[data-testid="stCode"] code').inner_text().strip()
    assert link.startswith(server.url)

    fresh = open_visit(link)
    assert wait_for_headline(fresh.page, "own.npz at") == shown
    fresh.page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot').length === {len(alternatives)}")
    assert read_alternatives(fresh.page) == alternatives

    for opened in (visit, fresh):
        assert opened.page.locator('[data-testid="stException"]').count() == 0
        assert opened.complaints == []
    assert server.read_trouble() == []


def test_a_scheme_in_a_link_becomes_an_address_that_opens_the_same(server: Server, open_visit: OpenVisit) -> None:
    visit = open_visit(f"{server.url}/?scheme=int6%20group=50%20asym&zoom=3")
    shown = wait_for_headline(visit.page, "digits-cnn at int6 asym group=50: ")
    assert "zoom=3" in visit.page.locator(".st-key-notices").inner_text()
    query = parse_qs(urlsplit(visit.page.url).query)
    assert query.pop("job")
    assert query == spell_view(expand_scheme("int6 asym group=50", LayersView()))

    fresh = open_visit(visit.page.url)
    assert wait_for_headline(fresh.page, "digits-cnn at ") == shown
    assert fresh.page.url == visit.page.url
    visit.page.reload()
    assert wait_for_headline(visit.page, "digits-cnn at ") == shown
    assert [*visit.complaints, *fresh.complaints, *server.read_trouble()] == []


def test_the_scrub_moves_without_the_server(server: Server, open_visit: OpenVisit) -> None:
    visit = open_visit(f"{server.url}/?scrub=true", scheme="dark")
    page = visit.page
    chart = page.locator(".st-key-scrub-chart .js-plotly-plot")
    chart.locator(".slider-rail-touch-rect").wait_for(timeout=60_000)
    wait_until_idle(page)
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)
    before, rail = len(visit.sent), chart.locator(".slider-rail-touch-rect").bounding_box()
    titles = set()
    for share in (0.02, 0.5, 0.98):
        page.mouse.click(rail["x"] + share * rail["width"], rail["y"] + rail["height"] / 2)
        page.wait_for_timeout(300)
        titles.add(chart.inner_text())
    assert len(titles) == 3
    assert 0 < len(visit.sent) == before
    assert visit.complaints == []
    assert server.read_trouble() == []
