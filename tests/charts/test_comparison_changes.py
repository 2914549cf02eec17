"""Two results in tables and bars: every figure twice and its change, losses apart from gains."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qanalysis.charts.comparison_changes import MOST_BARS, draw_changes, tabulate_row, write_change
from qanalysis.charts.palette import PALETTES
from qanalysis.comparisons.tables import compare_tables
from qanalysis.results.columns import columns_of
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep

COLUMNS = {one.name: one for one in columns_of(Row)}


@pytest.mark.parametrize(
    ("name", "losses"), [("sqnr_db", ["b"]), ("mse", ["a"]), ("bits", [])], ids=["higher", "lower", "neither"]
)
def test_losses_have_a_colour_of_their_own_whatever_the_direction(name: str, losses: list[str]) -> None:
    figure = draw_changes(["a", "b", "same"], [1.0, -2.0, 0.0], COLUMNS[name]).to_figure()
    bars = figure.data[0]
    assert [
        name for name, tint in zip("ab", bars.marker.color, strict=True) if tint == PALETTES["light"].clipped
    ] == losses
    assert list(bars.x) == [1, -2]
    json.loads(draw_changes(["a"], [1.0], COLUMNS[name]).to_json())


def test_only_the_first_bars_are_drawn_and_nothing_where_nothing_changed() -> None:
    names = [f"w{at}" for at in range(100)]
    figure = draw_changes(names, [-1.0] * 100, COLUMNS["sqnr_db"]).to_figure()
    assert len(figure.data[0].x) == MOST_BARS
    assert f"the first {MOST_BARS} of 100" in figure.layout.title.subtitle.text
    assert draw_changes(names, [0.0] * 100, COLUMNS["sqnr_db"]) is None


def test_a_row_stands_in_three_lines_with_what_both_lack_left_out() -> None:
    values = np.random.default_rng(0).standard_normal((4, 64), dtype=np.float32)
    table = compare_tables(sweep({"w": values}, ["int4"]), sweep({"w": values**3}, ["int4"]))
    panel = tabulate_row(table, 0)
    columns = {column.name: column for column in panel.columns}
    assert columns["sqnr_db"].values == [table[0].sqnr_db_a, table[0].sqnr_db_b, table[0].delta_sqnr_db]
    assert columns["numel"].texts == ["256", "256", "0"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("sqnr_db", -1.25, "−1.25"), ("numel", 1200, "+1,200"), ("size_bytes", -2048, "−2.00 KiB"), ("mse", None, "–")],
)
def test_a_change_has_its_sign(name: str, value: float | None, text: str) -> None:
    assert write_change(COLUMNS[name], value) == text
