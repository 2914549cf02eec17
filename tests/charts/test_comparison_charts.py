"""Charts of a comparison hold the figures that they are given, and say in words what they show."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from qanalysis.charts.comparison_charts import MOST_BARS, draw_difference, draw_places, draw_ranks, draw_values
from qanalysis.charts.comparison_tables import name_pairs
from qanalysis.charts.palette import Theme
from qanalysis.comparisons.portrait import Portrait
from qanalysis.comparisons.row import ComparisonRow

PORTRAIT = Portrait(
    edges=np.array([-1.0, 0.0, 1.0]),
    counts_a=np.array([3, 5]),
    counts_b=np.array([0, 8]),
    error_edges=np.array([-0.5, 0.0, 0.5]),
    error_counts=np.array([6, 2]),
    rms=np.array([[0.0, 0.25], [np.nan, 0.5]]),
    row_step=2,
    column_step=4,
    row_energy=np.array([0.0, 0.25, 0.75]),
    column_energy=np.full(8, 0.125),
    lost=0,
)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("log", [False, True], ids=["linear", "log"])
def test_both_histograms_stand_on_the_same_edges(theme: Theme, log: bool) -> None:
    figure = draw_values(PORTRAIT, log_counts=log, theme=theme).to_figure()
    a, b = figure.data
    assert list(a.x) == list(b.x) == [-1, 0, 0, 1]
    assert list(a.y) == [3, 3, 5, 5]
    assert math.isnan(b.y[0]) if log else b.y[0] == 0
    assert "8 values of A and of B from −1 to 1: A fills 2 of 2 bins, B 1" in figure.layout.meta["alt"]


def test_the_difference_has_a_symmetric_axis() -> None:
    figure = draw_difference(PORTRAIT).to_figure()
    assert (figure.data[0].x[0], figure.data[0].x[-1]) == (-0.5, 0.5)
    assert "largest is 0.5" in figure.layout.meta["alt"]


def test_the_map_names_the_channel_with_most_of_the_error() -> None:
    figure = draw_places(PORTRAIT).to_figure()
    assert list(figure.data[0].y) == [0, 2]
    assert list(figure.data[0].x) == [0, 4]
    assert figure.data[0].text[1][0] == "channel 2"
    assert "output channel 2 holds 75 % of the error energy" in figure.layout.meta["alt"]
    json.loads(draw_places(PORTRAIT).to_json())


def test_the_map_names_a_column_that_stands_out_more_than_any_channel() -> None:
    figure = draw_places(replace(PORTRAIT, column_energy=np.array([0, 0.9, 0, 0.1, 0, 0, 0, 0]))).to_figure()
    assert "column 1 holds 90 % of the error energy" in figure.layout.meta["alt"]


def make_rows(number: int) -> list[ComparisonRow]:
    return [
        ComparisonRow(
            tensor_a=f"l.{at}", tensor_b=f"m.{at}", sqnr_db=20.0 + at, theory_sqnr_db=21.0 if at % 2 else None
        )
        for at in range(number)
    ]


def test_worst_tensors_come_first_and_what_is_exact_has_no_bar() -> None:
    rows = [*reversed(make_rows(60)), ComparisonRow(tensor_a="same", tensor_b="same", sqnr_db=math.inf)]
    figure = draw_ranks(rows, name_pairs(rows), chosen="l.1")
    assert figure is not None
    bars, marks = figure.to_figure().data
    assert list(bars.x) == [20.0 + at for at in range(MOST_BARS)]
    assert bars.marker.color[1] != bars.marker.color[0] == bars.marker.color[2]
    assert list(marks.y) == list(range(1, MOST_BARS, 2))
    assert draw_ranks(rows[-1:], ["same"]) is None
