"""Other formats and the conventions, as a person meets them: choose a format, click its cell, open the comparison, pass the link on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.diagnosis.conventions import compare_conventions, describe_spread
from qanalysis.reports.summary import headline
from qanalysis.sweeps.sweep import sweep

from .conftest import OpenVisit, Server
from .layers_page import click_cell, read_query, wait_for_headline, wait_for_layer, wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector


def choose(page: Any, key: str, word: str) -> None:
    page.locator(f".st-key-{key} input").first.click()
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")  # the list stays open for the next word


def read_section(page: Any, key: str, pattern: str) -> str:
    text = page.locator(f".st-key-{key} p", has_text=re.compile(pattern))
    text.first.wait_for(timeout=30_000)
    wait_until_idle(page)
    return text.first.inner_text()


def test_a_format_is_chosen_clicked_and_compared(server: Server, open_visit: OpenVisit) -> None:
    visit = open_visit(server.url)
    page = visit.page
    wait_for_headline(page, r"digits-cnn at int4 group=128: ")
    choose(page, "formats", "mxfp4")
    page.locator(".st-key-format input").wait_for(timeout=30_000)
    wait_until_idle(page)
    with open_checkpoint("sample:digits-cnn") as source:
        rows = sweep(source, ["mxfp4", "int6 channel"])
        weights = source.read(next(info for info in source.tensors if info.name == "fc.weight"))
    click_cell(page, "fc.weight", "mxfp4")
    assert wait_for_headline(page, "at mxfp4: ").startswith(headline(rows, "mxfp4"))
    wait_for_layer(page, "fc.weight")

    page.get_by_text("Conventions: what the same words cost").click()
    shown = read_section(page, "conventions", "^fc.weight: mxfp4")
    assert shown == f"fc.weight: {describe_spread(compare_conventions(weights, 'mxfp4'))}"
    page.locator('.st-key-conventions [data-testid="stDataFrame"]').wait_for()

    query = read_query(page)
    assert {key: query[key][0] for key in ("formats", "format", "layer", "conventions")} == {
        "formats": "mxfp4",
        "format": "mxfp4",
        "layer": "fc.weight",
        "conventions": "true",
    }
    fresh = open_visit(page.url, scheme="dark")
    assert wait_for_headline(fresh.page, "at mxfp4: ") == wait_for_headline(page, "at mxfp4: ")
    assert read_section(fresh.page, "conventions", "^fc.weight: mxfp4") == shown

    click_cell(page, "fc.weight", "int6 channel")
    assert wait_for_headline(page, "at int6 channel: ").startswith(headline(rows, "int6 channel"))
    assert (
        read_section(page, "conventions", "^fc.weight: int6")
        == f"fc.weight: {describe_spread(compare_conventions(weights, 'int6 channel'))}"
    )
    for opened in (visit, fresh):
        assert opened.page.locator('[data-testid="stException"]').count() == 0
        assert opened.complaints == []
    assert server.read_trouble() == []
