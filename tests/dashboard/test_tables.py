"""Tables on the page: the rows' figures in the units of the headings, and nothing rounded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.tables import (
    build_contents,
    build_layers,
    build_totals,
    format_columns,
    head_metric,
    mark_row,
)
from qanalysis.sweeps.row import METRICS, Rows
from qanalysis.sweeps.sweep import sweep


@pytest.fixture(scope="module")
def rows() -> Rows:
    rng = np.random.default_rng(3)
    return sweep(
        {"w": rng.standard_normal((64, 512)), "exact": np.float32([[7.0, -7.0]]), "count": np.arange(4).reshape(2, 2)},
        ["int4", "int4 channel"],
    )


def test_totals_are_the_rows_totals(rows: Rows) -> None:
    frame = build_totals(rows.totals)
    assert list(frame["Scheme"]) == ["int4", "int4 channel"]
    assert list(frame["SQNR (dB)"]) == [row.sqnr_db for row in rows.totals]
    assert list(frame["Size (KiB)"]) == [(row.size_bytes or 0) / 1024 for row in rows.totals]


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_chosen_metric_is_the_first_figure(rows: Rows, metric: str) -> None:
    listed = [row for row in rows if row.scheme == "int4"]
    frame = build_layers(listed, metric)
    values = [getattr(row, metric) for row in listed]
    scale = 1024 if metric == "size_bytes" else 1
    shown = [None if math.isnan(value) else value for value in frame.iloc[:, 2]]
    assert shown == [None if value is None else value / scale for value in values]
    assert len(set(frame.columns)) == len(frame.columns)


def test_a_layer_without_figures_keeps_its_reason(rows: Rows) -> None:
    frame = build_layers([row for row in rows if row.scheme == "int4"], "sqnr_db")
    assert list(frame["Status"]) == ["ok", "ok", "unsupported"]
    assert "int" in frame["Note"][2]
    assert frame["SQNR (dB)"][1] == math.inf


def test_contents_list_the_header() -> None:
    frame = build_contents([TensorInfo("w", (3, 4), "bfloat16", 2048), TensorInfo("scalar", (), "float32", 4)])
    assert list(frame["Shape"]) == ["3×4", "single number"]
    assert list(frame["Size (KiB)"]) == [2.0, 4 / 1024]


def test_only_the_row_in_view_is_tinted(rows: Rows) -> None:
    frame = build_totals(rows.totals)
    assert mark_row(frame, None) is frame
    styles = mark_row(frame, 1)._compute().ctx
    assert {place[0] for place in styles} == {1}


def test_every_number_has_a_format_and_every_metric_a_heading(rows: Rows) -> None:
    frame = build_layers(rows.rows, "mse")
    formats = format_columns(frame)
    assert set(frame.select_dtypes("number").columns) <= set(formats)
    assert len({head_metric(name) for name in METRICS}) == len(METRICS)


def test_an_empty_search_gives_an_empty_table() -> None:
    frame = build_layers([], "sqnr_db")
    assert len(frame) == 0
    assert format_columns(frame)
