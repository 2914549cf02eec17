"""Page Layers shows and exports the rows that `sweep --json` prints for the same source and schemes, every column of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from qanalysis.cli import app
from qanalysis.dashboard import export
from tests.dashboard.conftest import OpenPage
from tests.reports.scenes import read_scenes


def ask_page(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, **parameters: str | list[str]) -> dict[str, Any]:
    """The document that the page's download button would write."""
    given: list[tuple[Any, Any]] = []
    monkeypatch.setattr(export, "_delay", lambda rows, _suffix, extras: given.append((rows, extras)) or bytes)
    page = open_page(**parameters)
    assert not page.warning
    document: dict[str, Any] = json.loads(export.render_file(given[-1][0], ".json", given[-1][1]))
    return document


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({}, []),
        (
            {
                "swept": ["3", "5"],
                "groupings": ["channel", "group=8"],
                "symmetries": ["sym", "asym"],
                "ranges": "percentile:99.9",
            },
            ["--bits", "3-5", "--grouping", "channel,group=8", "--symmetry", "sym,asym", "--range", "percentile:99.9"],
        ),
        ({"include": "^a|odd", "exclude": "b$"}, ["--include", "^a|odd", "--exclude", "b$"]),
    ],
    ids=["untouched", "a grid", "a filter"],
)
def test_the_rows_of_a_sweep(
    open_page: OpenPage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, str | list[str]],
    options: list[str],
) -> None:
    rng = np.random.default_rng(11)
    tensors = {
        "a": rng.normal(size=(8, 24)),
        "b": rng.standard_t(3, (5, 7)),
        "odd": np.zeros((3, 3)),
        "whole": np.eye(4, dtype=np.int64),
    }
    np.savez(
        tmp_path / "own.npz",
        **{name: values if values.dtype == np.int64 else values.astype(np.float32) for name, values in tensors.items()},
    )
    page = ask_page(open_page, monkeypatch, source="own.npz", **parameters)
    done = CliRunner().invoke(app, ["sweep", str(tmp_path / "own.npz"), "--weights-only", *options, "--json"])
    assert done.exit_code == 0, done.output
    command = json.loads(done.stdout)
    assert [list(row) for row in page["rows"]] == [list(row) for row in command["rows"]]
    assert page["rows"] == command["rows"]
    assert page["totals"] == command["totals"]
    assert page["source"] == command["source"]


@pytest.mark.parametrize("bits", ["4", "12"], ids=["swept", "not swept"])
def test_the_report_of_the_page_is_scrubbed_through_every_width(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, bits: str
) -> None:
    given: list[tuple[Any, Any]] = []
    monkeypatch.setattr(export, "_delay", lambda rows, _suffix, extras: given.append((rows, extras)) or bytes)
    open_page(bits=bits, layer="fc.weight")
    scene = read_scenes(export.render_file(given[-1][0], ".html", given[-1][1]).decode())[-1]
    assert scene["control"]["steps"] == list(range(2, 17))
    assert scene["control"]["schemes"][0] == "int2 group=128"
    assert "fc.weight" in scene["panels"]["weights"]["alt"]
