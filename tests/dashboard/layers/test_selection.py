"""Clicks, rows and searches as plain values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.elements import pick_row
from qanalysis.dashboard.layers.selection import choose_rows, find_tensors, order_rows, tell_layer
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep


@pytest.fixture(scope="module")
def rows() -> tuple[Row, ...]:
    rng = np.random.default_rng(1)
    tensors = {
        "fine": rng.uniform(-1, 1, (4, 8)),
        "coarse": rng.standard_t(2, (8, 16)),
        "zero": np.zeros((2, 2)),
        "exact": np.float64([[7, -7, 1, 2]]),
    }
    return sweep(tensors, ["int4"]).rows


def test_a_row_that_is_no_longer_there_chooses_nothing() -> None:
    assert pick_row({"row": "c", "seq": 3}, ["a", "b", "c"]) == "c"
    assert pick_row({"row": "c", "seq": 3}, ["a", "b"]) is None


@pytest.mark.parametrize("asked", [{}, {"row": None}, {"row": 0}, {"row": ["a"]}, {"row": {"a": 1}}], ids=repr)
def test_what_is_no_row_s_name_chooses_nothing(asked: dict[str, object]) -> None:
    assert pick_row(asked, ["a", "b"]) is None


def test_search_is_plain_text_where_it_is_no_expression() -> None:
    assert find_tensors(["Conv(1", "conv2"], "CONV(") == ["Conv(1"]
    assert find_tensors(["conv1", "conv2", "fc"], "conv[2]|fc") == ["conv2", "fc"]
    assert find_tensors(["a", "b"], "") == ["a", "b"]


def test_worst_first_puts_exact_and_unmeasured_layers_last(rows: tuple[Row, ...]) -> None:
    ordered = order_rows(rows, "worst", "sqnr_db")
    measured = [row.sqnr_db for row in ordered if row.sqnr_db is not None and math.isfinite(row.sqnr_db)]
    assert [row.tensor for row in ordered[:2]] == ["coarse", "fine"]
    assert measured == sorted(measured)


def test_worst_first_knows_that_a_large_error_is_bad(rows: tuple[Row, ...]) -> None:
    errors = [row.max_abs_error or 0.0 for row in order_rows(rows, "worst", "max_abs_error")]
    assert errors == sorted(errors, reverse=True)


def test_what_has_no_figure_stands_last_in_every_order(rows: tuple[Row, ...]) -> None:
    assert [row.tensor for row in order_rows(rows, "file", "mse")] == ["fine", "coarse", "exact", "zero"]
    assert [row.tensor for row in order_rows(rows, "name", "mse")] == ["coarse", "exact", "fine", "zero"]
    assert order_rows(rows, "largest", "mse")[0].tensor == "coarse"


def test_the_limit_comes_after_search_and_order(rows: tuple[Row, ...]) -> None:
    chosen = choose_rows([*rows] * 40, find="e", order="name", limit="60", metric="mse")
    assert len(chosen) == 60
    assert {row.tensor for row in chosen} == {"coarse", "exact"}
    assert len(choose_rows([*rows] * 40, find="", order="name", limit="all", metric="mse")) == 160


def test_what_is_known_of_a_layer_stands_in_one_line() -> None:
    grid = "already on a grid of 15 levels, group 128"
    tied = tuple(f"copy{place}" for place in range(6))
    assert tell_layer(TensorInfo("w", (4, 64), "float32", 1024), "") == ""
    assert tell_layer(TensorInfo("w", (4, 64), "float32", 1024), grid) == f"w: {grid}"
    told = tell_layer(TensorInfo("w", (4, 64), "float32", 1024, aliases=tied), grid)
    assert told == f"w: tied, also named copy0, copy1, copy2, copy3, 2 more; {grid}"
    exl = TensorInfo("w", (4, 64), "int32", 144, stored="exl2", decodes=False)
    assert tell_layer(exl, "recognised, not decoded") == "w: recognised, not decoded"
