"""Curves hold the rows' values, stand beside what theory allows, and keep their names apart."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from qanalysis.charts.curves import error_curves
from qanalysis.diagnosis.own_limits import LayerLimits
from qanalysis.sweeps.sweep import sweep
from qanalysis.theory import lines, optimal_grids
from tests.charts.examples import EVIL, many_rows, row_of, weights


class TestErrorCurves:
    def test_lines_hold_the_rows_values(self, rows):
        figure = error_curves(rows, ["conv1"], "sqnr_db", horizontal="bits_per_weight")
        for trace, grouping in zip(figure.data[:2], ("tensor", "group=8"), strict=True):
            expected = [row_of(rows, "conv1", f"int{bits} {grouping}") for bits in (2, 4, 8)]
            assert trace.name == grouping
            assert list(trace.x) == [row.bits_per_weight for row in expected]
            assert list(trace.y) == [row.sqnr_db for row in expected]
            assert [list(data) for data in trace.customdata] == [[row.tensor, row.scheme] for row in expected]

    def test_theory_stands_beside_decibels_only(self, rows):
        figure = error_curves(rows, ["conv1"], "sqnr_db")
        limit, scalar = figure.data[-2:]
        assert list(limit.y) == [lines.shannon_db(bits, "gaussian") for bits in (2, 8)]
        assert list(scalar.y) == [optimal_grids.lloyd_max(bits, "gaussian").sqnr_db for bits in range(2, 9)]
        assert {note.text for note in figure.layout.annotations} == {
            "tensor",
            "group=8",
            "Shannon limit (Gauss)",
            "Lloyd-Max (Gauss)",
        }
        assert len(error_curves(rows, ["conv1"], "mse").data) == 2

    def test_a_point_says_what_gaussian_values_would_have(self, rows):
        row = row_of(rows, "conv1", "int4 group=8")
        text = f"{row.theory_sqnr_db:.2f} dB predicted, were it Gaussian"
        assert text in error_curves(rows, ["conv1"], "sqnr_db").data[1].text[1]
        assert "predicted" not in error_curves(rows, ["conv1"], "mse").data[1].text[1]
        assert (
            "predicted"
            not in error_curves([dataclasses.replace(row, theory_sqnr_db=None)], ["conv1"], "sqnr_db").data[0].text[0]
        )

    def test_groupings_differ_by_more_than_colour(self, rows):
        first, second = error_curves(rows, ["conv1"], "sqnr_db").data[:2]
        assert first.line.dash != second.line.dash
        assert first.marker.symbol != second.marker.symbol

    def test_names_at_the_lines_ends_keep_apart(self, rows):
        figure = error_curves(rows, ["conv1", EVIL], "sqnr_db")
        bottom, top = figure.layout.yaxis.range
        heights = sorted(note.y for note in figure.layout.annotations)
        assert min(np.diff(heights)) >= 0.05 * (top - bottom)
        assert bottom <= heights[0] <= heights[-1] <= top

    def test_the_legend_stands_in_the_order_of_the_lines_ends(self):
        arrays = {f"layer{index}": weights((8, 64), seed=index) * (1 + index) for index in range(12)}
        rows = sweep(arrays, [f"int{bits} channel" for bits in (3, 8, 5)])
        figure = error_curves(rows, list(arrays), "mse")
        shown = sorted((trace for trace in figure.data if trace.showlegend), key=lambda trace: trace.legendrank)
        ends = [trace.y[list(trace.x).index(max(trace.x))] for trace in shown]
        assert len(ends) == 12
        assert ends == sorted(ends, reverse=True)

    def test_many_lines_are_named_in_the_legend(self):
        rows = many_rows(3)
        figure = error_curves(rows, [row.tensor for row in rows[::28]], "sqnr_db")
        assert len(figure.layout.annotations) == 0
        assert all(trace.showlegend for trace in figure.data)

    def test_points_without_error_are_left_out_and_counted(self, rows):
        exact = [dataclasses.replace(row, sqnr_db=math.inf) if row.bits == 8 else row for row in rows]
        figure = error_curves(exact, ["conv1"], "sqnr_db")
        assert "2 points without any error (infinite) left out" in figure.layout.title.subtitle.text
        assert list(figure.data[0].x) == [2, 4]

    def test_an_unknown_axis_is_refused(self, rows):
        with pytest.raises(ValueError, match="horizontal is 'bits' or 'bits_per_weight'"):
            error_curves(rows, ["conv1"], "sqnr_db", horizontal="weight")


@pytest.mark.parametrize("horizontal", ["bits", "bits_per_weight"])
def test_formats_are_points_at_their_bits(format_rows, horizontal):
    figure = error_curves(format_rows, ["conv1", "odd"], "sqnr_db", horizontal=horizontal)
    points = {trace.name: [] for trace in figure.data if trace.mode == "markers"}
    for trace in figure.data:
        if trace.mode == "markers":
            points[trace.name] += zip(trace.x, trace.y, map(tuple, trace.customdata), strict=True)
    known = [row for row in format_rows if row.status == "ok" and not row.format.startswith("int")]
    assert set(points) == {"nf4", "mxfp4", "nvfp4:one-level"}
    for name, drawn in points.items():
        assert sorted(drawn) == sorted(
            (getattr(row, horizontal), row.sqnr_db, (row.tensor, row.scheme)) for row in known if row.format == name
        )
    assert sorted(trace.name for trace in figure.data if trace.mode == "markers" and trace.showlegend) == [
        "mxfp4",
        "nf4",
        "nvfp4:one-level",
    ]
    assert "3 formats beside the integers" in figure.layout.title.subtitle.text


def test_curves_stand_without_any_integer(format_rows):
    figure = error_curves([row for row in format_rows if row.scheme == "mxfp4"], ["conv1"], "mse")
    assert figure.layout.title.text.endswith("of conv1, 4 bits")
    assert [trace.name for trace in figure.data] == ["mxfp4"]


def test_a_layers_own_limits_join_the_curves_of_sqnr_alone(rows) -> None:
    limits = LayerLimits("a", (2, 3, 4), (9.0, 14.5, 20.0), 1.5)
    tensor = next(row.tensor for row in rows if row.status == "ok")
    figure = error_curves(rows, [tensor], "sqnr_db", limits=limits)
    own = {trace.name: trace for trace in figure.data if "this layer" in (trace.name or "")}
    assert set(own) == {"entropy bound (this layer)", "best grid (this layer)"}
    bound = own["entropy bound (this layer)"]
    # 6.0206 dB per bit above the bound at rate 0.
    assert bound.y[1] == pytest.approx(1.5 + 20 * math.log10(2) * bound.x[1], rel=1e-12)
    assert not [
        trace for trace in error_curves(rows, [tensor], "mse", limits=limits).data if "this layer" in (trace.name or "")
    ]
