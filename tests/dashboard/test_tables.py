"""Tables on the page: the rows' figures in the units of the headings, and nothing rounded."""

from __future__ import annotations

import numpy as np

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.tables import (
    build_contents,
    build_conventions,
    format_columns,
    head_metric,
    mark_row,
)
from qanalysis.diagnosis.conventions import compare_conventions
from qanalysis.sweeps.row import METRICS


def test_contents_list_the_header() -> None:
    frame = build_contents([TensorInfo("w", (3, 4), "bfloat16", 2048), TensorInfo("scalar", (), "float32", 4)])
    assert list(frame["Shape"]) == ["3×4", "single number"]
    assert list(frame["Size (KiB)"]) == [2.0, 4 / 1024]


def test_only_the_row_in_view_is_tinted() -> None:
    frame = build_contents([TensorInfo(name, (3, 4), "float32", 48) for name in "abc"])
    styles = mark_row(frame, 1)._compute().ctx
    assert {place[0] for place in styles} == {1}


def test_every_number_has_a_format_and_every_metric_a_heading() -> None:
    values = np.random.default_rng(3).standard_normal((8, 64)).astype(np.float32)
    frame = build_conventions(compare_conventions(values, "int4 channel"))
    formats = format_columns(frame)
    assert len(frame) > 2
    assert set(frame.select_dtypes("number").columns) <= set(formats)
    assert len({head_metric(name) for name in METRICS}) == len(METRICS)


def test_a_table_without_rows_has_its_headings() -> None:
    frame = build_conventions([])
    assert len(frame) == 0
    assert format_columns(frame)
