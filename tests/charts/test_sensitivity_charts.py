"""Charts of sensitivities show the figures of rows with intervals and the noise floor, and do without what is not there."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qanalysis.charts.drawing import Drawing
from qanalysis.charts.sensitivity_bars import cumulative_curve, ranked_bars
from qanalysis.charts.sensitivity_experts import expert_map, read_calls
from qanalysis.charts.sensitivity_map import sensitivity_map
from qanalysis.charts.sensitivity_pairs import measure_pairs, tell_agreement
from qanalysis.charts.sensitivity_panels import draw_all, name_other, tabulate_ranks
from qanalysis.charts.sensitivity_sheet import Look, Sheet, tell_interval
from qanalysis.charts.sensitivity_sums import additivity_chart
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.results.table import Table
from tests.charts.sensitivities import EVIL, FLOOR_DB, SQNR_DB, TENSORS, make_row, make_table

LOOK = Look("weights", "enable-one", "int4 channel", layer="conv1.weight")


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return Sheet(make_table())


def bars_of(drawing: Drawing | None) -> dict[str, tuple[float, float, float]]:
    """Figure and the two arms of the interval of each bar, by its layer."""
    assert drawing is not None
    found = {}
    for trace in drawing.traces:
        if trace["type"] == "bar":
            arms = trace["error_x"]
            for (name, _), *numbers in zip(
                trace["customdata"], trace["x"], arms["arrayminus"], arms["array"], strict=True
            ):
                found[name] = tuple(numbers)
    return found


def floors_of(drawing: Drawing | None) -> list[Any]:
    assert drawing is not None
    return [trace for trace in drawing.traces if "noise floor" in str(trace.get("name", ""))]


class TestSheet:
    def test_ranks_begin_with_the_layer_that_hurts_most(self, sheet: Sheet) -> None:
        assert [row.tensor for row in sheet.rank(LOOK)] == list(TENSORS)
        by_loss = replace(LOOK, metric="loss_delta")
        assert [row.tensor for row in sheet.rank(by_loss)] == list(TENSORS)
        assert [row.tensor for row in sheet.rank(replace(LOOK, metric="accuracy"))] == list(TENSORS)

    def test_ties_are_runs_of_one_group_and_belong_to_the_measure_of_the_ranks(self, sheet: Sheet) -> None:
        assert sheet.find_ties(sheet.rank(LOOK), LOOK) == [(1, 2)]
        other = replace(LOOK, metric="output_kl")
        assert sheet.find_ties(sheet.rank(other), other) == []

    def test_the_floor_in_three_measures_is_one_figure(self) -> None:
        floors = Sheet(make_table(more=False)).floors
        assert floors["output_sqnr_db"] == dict.fromkeys(TENSORS, FLOOR_DB)
        for tensor in TENSORS:
            ratio = floors["output_nsr"][tensor]
            assert 10 * math.log10(1 / ratio) == pytest.approx(FLOOR_DB, rel=1e-15)
            assert floors["output_relative_l2"][tensor] ** 2 == pytest.approx(ratio, rel=1e-15)
        assert "output_kl" not in floors

    def test_the_floor_of_other_measures_is_the_louder_one_of_both_kinds_of_noise(self, sheet: Sheet) -> None:
        assert [sheet.find_floor("output_kl", tensor) for tensor in TENSORS] == [1e-6, 2e-6, 4e-6, 1e-9]
        assert sheet.find_floor("output_kl") == 4e-6
        assert sheet.span_floors("output_kl") == (4e-6, 1e-9)
        assert sheet.find_floor("layer_output_error") is None

    def test_a_figure_is_in_the_noise_where_it_is_not_worse_or_was_found_to_be(self, sheet: Sheet) -> None:
        found = [sheet.is_in_noise(row, "output_sqnr_db") for row in sheet.choose(LOOK)]
        assert found == [False, False, False, True]
        judged = make_row(0, reason="not above the noise floor, and so not told apart")
        assert sheet.is_in_noise(judged, "output_sqnr_db")
        assert not sheet.is_in_noise(judged, "layer_output_error")

    def test_an_interval_is_told_with_its_unit_once(self) -> None:
        assert tell_interval(make_row(0), "output_sqnr_db") == "10.00 dB [9.00, 11.00]"
        assert tell_interval(make_row(0), "output_kl") == "0.025 nat"

    def test_a_summary_opens_with_each_layer_alone(self, sheet: Sheet) -> None:
        rows = [row for row in make_table() if row.mode == "cumulative"] + [make_row(0)]
        assert Sheet(Table.from_rows(SensitivityRow, rows)).open() == replace(LOOK, layer=None)
        with pytest.raises(ValueError, match="no rows to summarise"):
            Sheet(Table.from_rows(SensitivityRow, [])).open()


class TestBars:
    def test_every_bar_is_a_row_with_its_interval(self, sheet: Sheet) -> None:
        found = bars_of(ranked_bars(sheet, LOOK))
        assert found == {name: (value, 1.0, 1.0) for name, value in zip(TENSORS, SQNR_DB, strict=True)}

    def test_layers_of_one_group_share_a_shade_a_rank_and_a_bracket(self, sheet: Sheet) -> None:
        drawing = ranked_bars(sheet, LOOK)
        assert drawing is not None
        shades = {
            name: trace["marker"]["color"]
            for trace in drawing.traces
            if trace["type"] == "bar"
            for name, _ in trace["customdata"]
        }
        assert shades[EVIL] == shades["fc1.weight"] != shades["conv1.weight"] == shades["fc2.weight"]
        labels = drawing.layout["yaxis"]["categoryarray"][::-1]
        assert [label.rstrip("</b>")[-1] for label in labels] == ["1", "2", "2", "4"]
        assert labels[0].startswith("<b>")
        (bracket,) = drawing.layout["shapes"]
        assert (bracket["y0"], bracket["y1"]) == (0.64, 2.36)

    def test_the_floor_of_each_layer_is_a_stroke_over_its_bar(self, sheet: Sheet) -> None:
        (floor,) = floors_of(ranked_bars(sheet, replace(LOOK, metric="output_kl")))
        assert floor["x"] == [1e-6, 2e-6, 4e-6, 1e-9]
        assert floor["y"] == [
            "<b>conv1.weight</b>",
            EVIL.replace("<", "&lt;").replace(">", "&gt;").replace("%{", "%\u200b{"),
            "fc1.weight",
            "fc2.weight",
        ]

    def test_figures_far_apart_have_a_logarithmic_axis_with_every_bar_on_it(self, sheet: Sheet) -> None:
        drawing = ranked_bars(sheet, replace(LOOK, metric="output_nsr"))
        assert drawing is not None
        axis = drawing.layout["xaxis"]
        assert axis["type"] == "log"
        low, high = axis["range"]
        assert all(low < math.log10(value) < high for value, _, _ in bars_of(drawing).values())

    def test_without_a_figure_there_is_no_chart(self, sheet: Sheet) -> None:
        assert ranked_bars(sheet, replace(LOOK, metric="hawq")) is None


class TestMap:
    def test_every_cell_is_a_row_and_one_without_a_figure_says_why(self, sheet: Sheet) -> None:
        drawing = sensitivity_map(sheet, LOOK)
        cells = {(name, scheme): value for line in drawing.traces[0]["customdata"] for name, scheme, value in line}
        for row in sheet.rows:
            if row.mode == "enable-one":
                assert cells[row.tensor, row.scheme] == row.output_sqnr_db
        crosses = drawing.traces[1]
        assert crosses["text"] == ["the scheme does not fit"]
        assert (crosses["x"], crosses["y"]) == ([1], [3])

    def test_a_cell_in_the_noise_carries_its_mark_and_the_floor_its_place(self, sheet: Sheet) -> None:
        cells = sensitivity_map(sheet, LOOK).traces[0]
        assert [line[0] for line in cells["text"]] == ["10.0", "20.0", "20.5", "60.0 ≈"]
        bar = cells["colorbar"]
        assert bar["tickvals"][bar["ticktext"].index("floor")] == FLOOR_DB

    def test_bright_is_good_whatever_the_direction(self, sheet: Sheet) -> None:
        assert not sensitivity_map(sheet, LOOK).traces[0]["reversescale"]
        assert sensitivity_map(sheet, replace(LOOK, metric="output_kl")).traces[0]["reversescale"]

    def test_of_a_thousand_layers_the_worst_are_drawn(self) -> None:
        rows = [make_row(0, tensor=f"layers.{place}.weight", output_sqnr_db=float(place)) for place in range(1000)]
        drawing = sensitivity_map(Sheet(Table.from_rows(SensitivityRow, rows)), LOOK)
        assert np.asarray(drawing.traces[0]["z"]).shape == (60, 1)
        assert len(drawing.to_json()) < 100_000
        assert "the worst 60 of 1000" in drawing.layout["title"]["subtitle"]["text"]


class TestPairs:
    def test_every_point_is_a_row_and_the_agreement_is_told_with_intervals(self, sheet: Sheet) -> None:
        drawing = measure_pairs(sheet, LOOK, "layer_output_error")
        assert drawing is not None
        points, hollow = drawing.traces[:2]
        rows = sheet.choose(LOOK)
        assert points["x"] + hollow["x"] == [row.layer_output_error for row in rows]
        assert points["y"] + hollow["y"] == [row.output_sqnr_db for row in rows]
        assert [name for name, _ in hollow["customdata"]] == ["fc2.weight"]
        told = "Rank agreement over 4 layers: Spearman 0.80 [0.20, 1.00], Kendall 0.67 [−0.10, 1.00] (95 % with samples drawn anew)"
        assert tell_agreement(sheet, LOOK, "layer_output_error") == told
        assert drawing.layout["title"]["subtitle"]["text"] == told
        assert [trace["y"] for trace in floors_of(drawing)] == [[FLOOR_DB, FLOOR_DB]]

    def test_both_measures_of_the_outputs_have_their_floor(self, sheet: Sheet) -> None:
        across, up = floors_of(measure_pairs(sheet, LOOK, "output_kl"))
        assert {across["y"][0], up["x"][0]} == {FLOOR_DB, 4e-6}

    def test_agreement_is_that_of_layers_alone_and_of_measures_that_are_one_figure(self, sheet: Sheet) -> None:
        same = replace(LOOK, metric="output_nsr")
        assert tell_agreement(sheet, same, "layer_output_error") == tell_agreement(sheet, LOOK, "layer_output_error")
        for other in (
            replace(LOOK, mode="cumulative"),
            replace(LOOK, target="both"),
            replace(LOOK, scheme="int8 channel"),
        ):
            assert tell_agreement(sheet, other, "layer_output_error") == ""

    def test_points_beside_the_diagonal_do_not_add_up(self, sheet: Sheet) -> None:
        drawing = additivity_chart(sheet)
        assert drawing is not None
        assert (drawing.traces[0]["x"], drawing.traces[0]["y"]) == ([0.01, 0.1], [0.012, 0.3])
        subtitle = drawing.layout["title"]["subtitle"]["text"]
        assert subtitle == "2 sets of layers; interaction share (together − sum) / together: 0.66 [0.50, 0.70]"
        kl = additivity_chart(sheet, "output_kl")
        assert kl is not None
        assert kl.layout["yaxis"]["title"]["text"] == "Measured together, Output KL (nat)"


class TestCurve:
    def test_every_step_is_a_row_in_the_order_of_a_run(self, sheet: Sheet) -> None:
        drawing = cumulative_curve(sheet, LOOK)
        assert drawing is not None
        band, points = drawing.traces[:2]
        assert points["y"] == list(SQNR_DB)
        assert band["y"] == [value + 1 for value in SQNR_DB] + [value - 1 for value in SQNR_DB[::-1]]
        assert [name for name, _ in points["customdata"]] == list(TENSORS)
        (floor,) = floors_of(drawing)
        assert floor["y"] == [FLOOR_DB] * 4


class TestExperts:
    def test_those_never_called_are_crossed_out_and_counted(self, sheet: Sheet) -> None:
        drawing = expert_map(read_calls(sheet.part("activations")))
        assert drawing is not None
        assert "3 experts of 6 never seen in calibration" in drawing.layout["title"]["subtitle"]["text"]
        crosses = drawing.traces[1]
        assert list(zip(crosses["y"], crosses["x"], strict=True)) == [(0, 1), (1, 0), (1, 1)]


class TestAll:
    @pytest.mark.parametrize("metric", ["output_sqnr_db", "output_kl", "accuracy", "loss_delta", "layer_output_error"])
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_every_chart_is_a_figure_described_and_escaped(self, sheet: Sheet, metric: str, theme: Any) -> None:
        look = replace(LOOK, metric=metric)
        drawn = draw_all(sheet, look, name_other(sheet, look))
        assert list(drawn) == ["s-map", "s-bars", "s-curve", "s-pairs", "s-sums", "s-experts"]
        for name, drawing in drawn.items():
            figure = json.loads(replace(drawing, theme=theme).to_figure().to_json())
            assert drawing.alt.endswith("."), name
            assert "<b>evil" not in json.dumps({**figure["layout"], "meta": ""}).replace("<b><b>", ""), name
            titles = [
                figure["layout"][axis]["title"]["text"]
                for axis in ("xaxis", "yaxis")
                if "title" in figure["layout"].get(axis, {})
            ]
            assert all("(" in title for title in titles), (name, titles)

    def test_a_file_without_further_parts_has_the_charts_of_its_rows(self) -> None:
        plain = Sheet(make_table(more=False))
        assert list(draw_all(plain, LOOK, name_other(plain, LOOK))) == ["s-map", "s-bars", "s-curve", "s-pairs"]

    @pytest.mark.parametrize("part", [None, 3, "x", [], {}, {"points": [{}]}, [{"a": 1}], {"expert_calls": {"a": "b"}}])
    def test_parts_of_another_shape_draw_nothing(self, part: Any) -> None:
        names = ("floor", "agreement", "additivity", "activations", "float")
        odd = Sheet(replace(make_table(more=False), more=dict.fromkeys(names, part)))
        assert set(draw_all(odd, LOOK, name_other(odd, LOOK))) == {"s-map", "s-bars", "s-curve", "s-pairs"}

    def test_the_table_holds_the_rows_by_rank_and_those_without_figures_last(self, sheet: Sheet) -> None:
        panel = tabulate_ranks(sheet, replace(LOOK, scheme="int8 channel"))
        assert list(panel.rows) == list(TENSORS)
        columns = {column.name: column for column in panel.columns}
        assert columns["output_sqnr_db"].values == [34.0, 44.0, 44.5, None]
        assert columns["status"].texts[-1] == "unsupported"
