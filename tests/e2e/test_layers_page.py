"""Page Layers as a person uses it: open, sweep, click a layer, move the bits, export, pass the link on."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.dashboard.layers.view import LayersView, expand_scheme
from qanalysis.dashboard.views import spell_view
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.reports.report import read_rows
from qanalysis.reports.summary import headline
from qanalysis.sweeps.sweep import sweep

from .conftest import OpenVisit, Server
from .downloads import take_file
from .layers_page import (
    choose_source,
    click_cell,
    find_row,
    focus_slider,
    read_charts,
    save_model,
    wait_for_charts,
    wait_for_headline,
    wait_for_layer,
    wait_for_query,
    wait_until_idle,
)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector


def test_the_whole_path(server: Server, open_visit: OpenVisit, tmp_path: Path) -> None:
    visit = open_visit(server.url)
    page = visit.page
    wait_for_headline(page, r"digits-cnn at int4 group=128: \d+\.\d dB pooled")

    with open_checkpoint(save_model(server.root)) as source:
        rows = sweep(source, default_schemes())
    choose_source(page, "own.npz")
    assert wait_for_headline(page, "own.npz at").startswith(headline(rows, "int4 group=128"))

    click_cell(page, "block2.weight", "int6 channel")
    assert wait_for_headline(page, "at int6 channel").startswith(headline(rows, "int6 channel"))
    wait_for_layer(page, "block2.weight")
    find_row(page, "layers", "block3.weight").click()
    wait_for_layer(page, "block3.weight")
    find_row(page, "totals", "int6").click()
    assert wait_for_headline(page, "at int6:").startswith(headline(rows, "int6"))
    click_cell(page, "block1.weight", "int6 channel")
    wait_for_headline(page, "at int6 channel")
    wait_for_layer(page, "block1.weight")

    focus_slider(page)
    page.keyboard.press("ArrowLeft")
    assert wait_for_headline(page, "at int5 channel").startswith(headline(rows, "int5 channel"))
    wait_for_query(page, bits="5")
    wait_for_charts(page, layer="block1.weight", scheme="int5 channel")
    assert "int5 channel" in page.locator(".ql-slot[data-panel=weights]").inner_text()

    wait_until_idle(page)
    for kind in ("csv", "json", "parquet", "html"):
        download = take_file(page, page.locator(f".st-key-save-{kind} button"))
        assert download.suggested_filename == f"own.{kind}"
        download.save_as(tmp_path / f"own.{kind}")
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

    shown, charts = wait_for_headline(page, "at int5 channel"), read_charts(page)
    page.get_by_role("button", name="Copy link").click()
    link = page.locator('[data-testid="stCode"] code').inner_text().strip()
    assert link.startswith(server.url)

    fresh = open_visit(link)
    assert wait_for_headline(fresh.page, "own.npz at") == shown
    wait_for_charts(fresh.page, layer="block1.weight", scheme="int5 channel")
    assert read_charts(fresh.page) == charts

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
