"""Tables of a sweep: the rows' figures behind the texts, texts as people write them, the Pareto front in words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.sweep_tables import FRONT, FRONT_MEANS, tabulate_layers, tabulate_totals, write_figure
from qanalysis.sweeps.row import METRICS, Rows
from qanalysis.sweeps.sweep import sweep

HEIGHT = {"height": 300}


@pytest.fixture(scope="module")
def rows() -> Rows:
    rng = np.random.default_rng(3)
    return sweep(
        {"w": rng.standard_normal((64, 512)), "exact": np.float32([[7.0, -7.0]]), "count": np.arange(4).reshape(2, 2)},
        ["int4", "int4 channel", "int4 channel range=percentile:60", "int8 channel"],
    )


def column(panel: TablePanel, name: str) -> ShownColumn:
    return next(one for one in panel.columns if one.name == name)


def test_totals_are_the_rows_totals(rows: Rows) -> None:
    panel = tabulate_totals(rows.totals, **HEIGHT)
    assert list(panel.rows) == [row.scheme for row in rows.totals] == list(column(panel, "scheme").texts)
    for name in ("sqnr_db", "bits_per_weight", "size_bytes", "relative_l2", "clipped_fraction", "zeroed_fraction"):
        assert column(panel, name).values == [getattr(row, name) for row in rows.totals]
    assert list(column(panel, "grouping").texts) == ["tensor", "channel", "channel", "channel"]
    errors = [10 ** (-row.sqnr_db / 20) for row in rows.totals if row.sqnr_db is not None]
    # Both come from the same two sums; the way through decibels rounds a few times more.
    assert column(panel, "relative_l2").values == pytest.approx(errors, rel=16 * np.finfo(float).eps)


def test_schemes_on_the_front_are_marked_in_words(rows: Rows) -> None:
    panel = tabulate_totals(rows.totals, **HEIGHT)
    # The percentile clips 40 % of the values: as large as int4 channel, and worse. The others are better and larger.
    assert list(column(panel, "pareto_front").texts) == [FRONT, FRONT, "", FRONT]
    assert panel.caption == FRONT_MEANS
    assert tabulate_totals([], **HEIGHT).caption == ""


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_chosen_metric_is_the_first_figure(rows: Rows, metric: str) -> None:
    listed = [row for row in rows if row.scheme == "int4"]
    panel = tabulate_layers(listed, metric, **HEIGHT)
    first = next(one for one in panel.columns if one.values is not None)
    assert first.name == metric
    assert first.values == [getattr(row, metric) for row in listed]
    assert first.note == METRICS[metric].meaning
    names = [one.name for one in panel.columns]
    assert len(set(names)) == len(names) <= 13
    assert len({one.heading for one in panel.columns}) == len(names)


def test_a_layer_without_figures_keeps_its_reason(rows: Rows) -> None:
    panel = tabulate_layers([row for row in rows if row.scheme == "int4"], "sqnr_db", **HEIGHT)
    assert list(column(panel, "status").texts) == ["ok", "ok", "unsupported"]
    assert "int" in column(panel, "reason").texts[2]
    assert column(panel, "sqnr_db").texts[1:] == ["∞", "–"]
    assert column(panel, "shape").texts[0] == "64×512"


def test_long_names_keep_the_part_that_differs_and_the_whole_name_is_what_is_chosen(rows: Rows) -> None:
    names = [f"model.decoder.layers.{place}.self_attention_projection_of_the_queries.weight" for place in range(3)]
    panel = tabulate_layers([replace(rows.rows[0], tensor=name) for name in names], "mse", **HEIGHT)
    labels = list(panel.columns[0].texts)
    assert list(panel.rows) == names
    assert all(len(label) < 40 and str(place) in label for place, label in enumerate(labels))
    assert len(set(labels)) == 3


def test_an_empty_search_gives_an_empty_table() -> None:
    panel = tabulate_layers([], "sqnr_db", **HEIGHT)
    assert list(panel.rows) == []
    assert len(panel.columns) > 8


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sqnr_db", 18.3456, "18.35"),
        ("sqnr_db", math.inf, "∞"),
        ("shannon_gap_db", -math.inf, "−∞"),
        ("sqnr_db", -0.5, "−0.50"),
        ("sqnr_db", None, "–"),
        ("bits_per_weight", 4.125, "4.12"),
        ("size_bytes", 4096, "4.00 KiB"),
        ("relative_l2", 0.1, "10 %"),
        ("relative_l2", 1.25, "125 %"),
        ("clipped_fraction", 0.00003, "under 0.01 %"),
        ("mse", 3.21e-7, "3.21·10⁻⁷"),
        ("non_finite", 0, "0"),
    ],
)
def test_figures_as_people_write_them(name: str, value: float | None, text: str) -> None:
    assert write_figure(METRICS[name], value) == text
