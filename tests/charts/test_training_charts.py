"""Charts of a training: columns of rows drawn as they are, by configuration, with bands, events, limits and tables."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from qanalysis.charts.linked.scene import Panel, build_part, read_step
from qanalysis.charts.training_blocks import block_map, collect_blocks, has_blocks
from qanalysis.charts.training_charts import (
    CHARTS,
    THRESHOLDS,
    draw_all,
    find_ratio,
    fluctuation_lines,
    range_lines,
    ratio_lines,
)
from qanalysis.charts.training_lines import History, find_runs, thin
from qanalysis.charts.training_paths import choose_paths, path_lines
from qanalysis.charts.training_sheet import Look, mark_step
from qanalysis.charts.training_tables import (
    StateBook,
    find_event_line,
    list_lines,
    tabulate_events,
    tabulate_plan,
    tabulate_results,
)
from qanalysis.results.table import Frame
from qanalysis.training.presets import PRESETS
from qanalysis.training.row import MODEL, HistoryRow
from tests.charts.examples import EVIL
from tests.charts.histories import make_history

LOOK = Look("fc1", "weight", "policy", 60)


@pytest.fixture(scope="module")
def history() -> History:
    return History.of(make_history())


def find_trace(drawing, name, place=0):
    return [trace for trace in drawing.traces if trace["name"] == name][place]


class TestLines:
    def test_rows_in_any_order_give_the_same_lines(self, history: History) -> None:
        order = np.random.default_rng(0).permutation(len(history.rows))
        mixed = History.of(history.rows.take(order))
        for line in history.places:
            assert mixed.steps_of(line).tolist() == history.steps_of(line).tolist()
            assert mixed.read(line, "event").tolist() == history.read(line, "event").tolist()

    def test_configurations_layers_kinds_and_steps_are_those_of_the_rows(self, history: History) -> None:
        assert history.configurations == ("plain", "policy")
        assert history.layers == ("fc1", "fc2")
        assert history.kinds_of("fc1") == ("weight", "input")
        assert history.steps == tuple(range(60))
        assert history.last_step == 59

    def test_tensors_that_are_only_watched_are_no_choice(self) -> None:
        watched = HistoryRow(configuration="a", step=0, layer="fc1", kind="output", absmax=1.0)
        quantized = HistoryRow(configuration="a", step=0, layer="fc1", kind="weight", bits=4)
        assert History.of(Frame.from_rows(HistoryRow, [watched, quantized])).kinds_of("fc1") == ("weight",)
        assert History.of(Frame.from_rows(HistoryRow, [watched])).kinds_of("fc1") == ("output",)

    def test_nothing_is_read_of_a_line_that_is_not_there(self, history: History) -> None:
        assert history.read(("plain", "fc9", "weight"), "error").size == 0
        assert History.of(make_history(0, names=())).steps == ()

    def test_thinning_keeps_the_extremes_and_the_most_allowed(self) -> None:
        values = np.random.default_rng(0).normal(size=10_000)
        values[[77, 8_000]] = 9, -9
        steps, kept = thin(np.arange(10_000), values, 500)
        assert len(steps) <= 500
        assert (kept.max(), kept.min()) == (9, -9)
        assert (np.diff(steps) > 0).all()
        assert values[steps].tolist() == kept.tolist()
        blank = np.full(10, np.nan)
        assert np.isnan(thin(np.arange(10), blank, 4)[1]).all()

    def test_runs_cover_every_word_once(self) -> None:
        words = ["a", "a", None, "b", "b", "a"]
        assert [(word, words[first:behind]) for word, first, behind in find_runs(words)] == [
            ("a", ["a", "a"]),
            ("b", ["b", "b"]),
            ("a", ["a"]),
        ]


class TestCharts:
    @pytest.mark.parametrize("name", CHARTS)
    def test_every_chart_is_a_figure_that_plotly_knows_and_says_its_state(self, name: str) -> None:
        history = History.of(make_history(learning=True))
        drawing = CHARTS[name].draw(history, LOOK)
        figure = drawing.to_figure()
        assert figure.layout.title.text
        assert figure.layout.meta["alt"].endswith(".")
        assert figure.layout.xaxis.range == (0, 60)
        assert {trace["type"] for trace in drawing.traces} == {"scatter"}

    def test_names_are_shown_as_text(self) -> None:
        history = History.of(make_history(4, names=(EVIL,)))
        for name, drawing in draw_all(
            history, Look("fc1", "weight", EVIL, 4), measure="element", ratio="deviation"
        ).items():
            shown = json.loads(drawing.to_json())
            shown["layout"].pop("meta")  # plain text, which no browser reads as markup
            assert "<b>evil" not in json.dumps(shown), name

    def test_a_column_is_drawn_as_it_is(self, history: History) -> None:
        drawing = CHARTS["error"].draw(history, LOOK)
        for name in history.configurations:
            trace = find_trace(drawing, name)
            assert trace["y"] == pytest.approx(history.read((name, "fc1", "weight"), "error"), rel=1e-6)  # as float32
            assert trace["x"].tolist() == list(range(60))

    def test_bands_follow_the_strategy_of_the_configuration_in_focus(self, history: History) -> None:
        drawing = fluctuation_lines(history, LOOK)
        bands = [(shape["x0"], shape["x1"]) for shape in drawing.layout["shapes"]]
        assert bands == [(0, 20), (20, 60)]
        assert [trace["name"] for trace in drawing.traces if trace.get("fill")] == ["ewgs", "curvature"]
        assert fluctuation_lines(history, Look("fc1", "weight", "plain", 60)).layout["shapes"] == []

    @pytest.mark.parametrize("measure", THRESHOLDS)
    def test_thresholds_are_those_of_the_measure_or_of_the_policy(self, history: History, measure) -> None:
        for given, expected in ((None, THRESHOLDS[measure]), ((0.2, 0.9), (0.2, 0.9))):
            drawing = fluctuation_lines(history, LOOK, measure=measure, thresholds=given)
            levels = [find_trace(drawing, name)["y"][0] for name in ("lower threshold", "upper threshold")]
            assert levels == pytest.approx(expected, rel=1e-6)

    def test_an_event_is_marked_where_it_moved_the_range(self, history: History) -> None:
        trace = find_trace(range_lines(history, LOOK), "policy, event")
        assert trace["x"].tolist() == [10]
        assert trace["text"] == ["4 of 5 above 6.0 &gt; 0.6"]

    def test_a_lower_end_is_drawn_where_it_is_no_mirror_image(self, history: History) -> None:
        names = [trace["name"] for trace in range_lines(history, LOOK).traces]
        assert "plain, lower end" not in names
        inputs = range_lines(history, Look("fc1", "input", "plain", 60))
        assert find_trace(inputs, "plain, lower end")["y"].tolist() == [0.0] * 60

    def test_the_posterior_ratio_is_error_over_signal_and_its_limits_are_squared_for_variances(
        self, history: History
    ) -> None:
        line = ("plain", "fc1", "weight")
        error = history.read(line, "error")
        expected = error * 2.0**-6 / math.sqrt(0.05**2 + 0.04**2)
        assert find_ratio(history, line) == pytest.approx(expected, rel=1e-12)
        squared = find_trace(ratio_lines(history, LOOK, ratio="variance"), "plain")["y"]
        assert squared == pytest.approx(expected**2, rel=1e-6)  # as float32
        limits = [
            trace["y"][0] for trace in ratio_lines(history, LOOK, ratio="variance").traces if "below" in trace["name"]
        ]
        assert limits == pytest.approx([0.1225, 0.25, 0.4225], rel=1e-6)

    def test_charts_without_figures_are_left_out(self, history: History) -> None:
        inputs = Look("fc1", "input", "plain", 60)
        drawn = draw_all(history, inputs, measure="element", ratio="deviation")
        assert "streams" not in drawn
        assert "range" in drawn
        assert drawn["gradient"].layout["title"]["subtitle"]["text"] == "weight of fc1"  # inputs have none of their own
        watched = HistoryRow(configuration="a", step=0, layer="fc1", kind="input", bits=4, absmax=1.0)
        alone = draw_all(
            History.of(Frame.from_rows(HistoryRow, [watched])),
            Look("fc1", "input", "a", 1),
            measure="element",
            ratio="deviation",
        )
        assert list(alone) == ["range", "step"]

    def test_a_plan_lists_every_recipe(self) -> None:
        panel = tabulate_plan(PRESETS["gradient-formats"].experiment)
        columns = {column.name: column.texts for column in panel.columns}
        assert columns["weight-gradient"] == ["minmax bits=4", "mxfp4 + minmax", "nvfp4 + minmax"]
        assert columns["steps"] == ["200"] * 3

    def test_numbers_that_are_none_leave_gaps(self) -> None:
        rows = [
            HistoryRow(configuration="a", step=step, layer="fc1", kind="weight", bits=4, error=error)
            for step, error in enumerate((0.3, None, math.inf, 0.2))
        ]
        drawing = CHARTS["error"].draw(History.of(Frame.from_rows(HistoryRow, rows)), Look("fc1", "weight", "a", 4))
        assert np.isnan(find_trace(drawing, "a")["y"]).tolist() == [False, True, True, False]
        drawing.to_json()

    def test_long_histories_are_thinned(self) -> None:
        drawn = draw_all(
            History.of(make_history(4000, names=("a",))),
            Look("fc1", "weight", "a", 4000),
            measure="element",
            ratio="deviation",
        )
        assert all(len(trace["x"]) <= 50_000 / 20 for drawing in drawn.values() for trace in drawing.traces)


class TestBlocksAndPaths:
    def test_shares_of_blocks_sum_to_one(self) -> None:
        rows = [
            HistoryRow(
                configuration="a",
                step=step,
                layer="fc1",
                kind="weight",
                bits=4,
                first_exponent=first,
                exponent_counts=counts,
            )
            for step, (first, counts) in enumerate(((-5, (1, 3)), (-6, (2, 0, 2)), (None, None)))
        ]
        history, look = History.of(Frame.from_rows(HistoryRow, rows)), Look("fc1", "weight", "a", 3)
        assert has_blocks(history, look)
        steps, exponents, shares = collect_blocks(history, look)
        assert (steps.tolist(), exponents.tolist()) == ([0, 1], [-6, -5, -4])
        assert shares.T.tolist() == [[0, 0.25, 0.75], [0.5, 0, 0.5]]
        assert "2^−6 to 2^−4" in block_map(history, look).to_figure().layout.title.text

    def test_a_path_counts_changes_of_level_and_lies_over_the_grid(self) -> None:
        path = {
            "configuration": "a",
            "layer": "fc1",
            "index": 7,
            "step": [0, 1, 2],
            "x": [0.24, 0.26, 0.24],
            "y": [0.0, 0.5, 0.0],
            "step_size": [0.5] * 3,
        }
        look = Look("fc1", "weight", "a", 3)
        assert choose_paths([path, {**path, "layer": "fc2"}], look) == [path]
        figure = path_lines([path], look).to_figure()
        assert figure.layout.title.text == "Weight 7 changes its level 2 times"
        assert [shape.y0 for shape in figure.layout.shapes] == [0.0, 0.5]


class TestTables:
    def test_states_are_those_of_the_last_row_up_to_the_step(self, history: History) -> None:
        book = StateBook(history)
        for step, s in ((9, "s = −6"), (10, "s = −5")):
            panel = book.tabulate(step)
            row = panel.rows.index("policy · fc1 · weight")
            columns = {column.name: column.texts[row] for column in panel.columns}
            assert columns["precision"] == s
            assert columns["bits"] == "4"
        assert set(panel.rows) == set(list_lines(history))

    def test_events_lead_to_their_step_and_their_tensor(self, history: History) -> None:
        panel, leads = tabulate_events(history)
        assert panel.columns[-1].texts == ["4 of 5 above 6.0 > 0.6"] * 4
        assert set(leads.values()) == {10}
        assert find_event_line(history, "event 1") == ("policy", "fc1", "weight")
        assert find_event_line(history, "event 99") is None

    def test_results_stand_side_by_side(self, history: History) -> None:
        columns = {column.name: column.values for column in tabulate_results(history).columns}
        assert columns["float_accuracy"] == [0.97, 0.97]
        assert columns["post-training_accuracy"] == [0.71, 0.71]
        assert columns["steps"] == [60, 60]
        flips = [
            float(np.nansum([np.nansum(history.read(line, "flips")) for line in history.places if line[0] == name]))
            for name in history.configurations
        ]
        assert columns["flips"] == flips

    def test_results_of_a_network_without_accuracy_are_losses(self) -> None:
        rows = [HistoryRow(configuration="a", step=0, layer=MODEL, kind="float", loss=0.5)]
        columns = {
            column.name: column.values
            for column in tabulate_results(History.of(Frame.from_rows(HistoryRow, rows))).columns
        }
        assert columns["float_loss"] == [0.5]
        assert columns["held-out_loss"] == [None]


def test_a_step_changes_the_mark_alone(history: History) -> None:
    chart = Panel("error", CHARTS["error"].draw(history, LOOK))
    part = build_part([[Panel("error", chart.figure, changes=mark_step(step))] for step in (3, 8)])
    assert part["changes"][1] == {"error": {"marks": {"shapes": {"0": {"x0": 8, "x1": 8}}}}}
    (shape,) = read_step(part, 1)["error"]["marks"]["shapes"]
    assert shape["x0"] == 8
