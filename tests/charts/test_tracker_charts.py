"""Charts of replayed rules: what is drawn is what the rows say, thinned honestly, small, said in words, escaped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from qanalysis.charts.palette import PALETTES
from qanalysis.charts.tracked import MOST_PER_LINE, SeriesName, Tracked, thin, thin_steps
from qanalysis.charts.tracker_charts import (
    block_charts,
    clipped_chart,
    energy_chart,
    mark_step,
    precision_chart,
    range_chart,
)
from qanalysis.charts.tracker_maps import MEASURES, MOST_LAYERS, check_raster, choose_layers, series_map
from qanalysis.charts.tracker_tables import find_best, list_events, tabulate_events, tabulate_rules, tell_steps
from qanalysis.training.statistics.arranging import arrange_log
from tests.charts.examples import EVIL
from tests.charts.tracks import A6, A6_STEPS, make_log, track_one, wander

RULES = ("up-step + down", "up-gradual + down", "ema")
LARGEST = 100_000  # bytes of a figure


@pytest.fixture(scope="module")
def example():
    return Tracked([track_one(make_log({("a", "input"): A6}), "up-step + down")])


@pytest.fixture(scope="module")
def tracked():
    log = make_log(wander(layers=("fc1", EVIL)))
    return Tracked([track_one(log, rule) for rule in RULES])


def trace_of(drawing, name):
    return next(trace for trace in drawing.traces if trace.get("name") == name)


def test_the_worked_sequence_of_a6_stands_in_the_chart_of_precision(example):
    (name,) = example.series
    drawing = precision_chart(example.lines(name), name)
    assert trace_of(drawing, "up-step + down")["y"].tolist() == list(A6_STEPS)
    assert drawing.layout["xaxis"].get("anchor") is None  # one width: no second panel


def test_absmax_and_pos_are_the_rows_and_changes_are_marked_with_their_reasons(example):
    (name,) = example.series
    drawing = range_chart(example.lines(name), name)
    assert trace_of(drawing, "absmax")["y"].tolist() == list(A6)
    pos = [127 * 2.0**s for s in A6_STEPS]
    assert trace_of(drawing, "up-step + down")["y"].tolist() == pos
    up, down = trace_of(drawing, "up: up-step + down"), trace_of(drawing, "down: up-step + down")
    assert up["x"].tolist() == [1, 3]
    assert down["x"].tolist() == [4, 5, 6, 8]
    assert up["text"][0] == "absmax 3 ≥ pos 0.9922: s −7 → −5"
    assert up["customdata"] == [{"step": 1}, {"step": 3}]
    assert drawing.layout["yaxis"]["type"] == "log"


def test_steps_without_a_magnitude_are_counted_not_drawn():
    log = make_log({("a", "input"): (1.0, 0.0, 2.0)})
    tracked = Tracked([track_one(log, "up-step")])
    drawing = range_chart(tracked.lines(tracked.series[0]), tracked.series[0])
    assert "1 of 3 steps without a magnitude above 0 are not drawn" in drawing.layout["title"]["subtitle"]["text"]


def test_energies_are_over_the_signal(tracked):
    name = tracked.series[0]
    lines = tracked.lines(name)
    shown = trace_of(energy_chart(lines, name), "rounding: ema")["y"]
    rows = [row for row in tracked.tables[2] if (row.layer, row.kind) == (name.layer, name.kind)]
    assert shown == pytest.approx([row.rounding_energy / (row.mean**2 + row.std**2) for row in rows], rel=1e-12)
    assert "over the signal's" in energy_chart(lines, name).alt


def test_without_moments_energies_are_mean_squares_and_without_any_the_way_out_is_told():
    rows = track_one(make_log({("a", "input"): A6}), "up-step")
    frame = rows.rows
    bare = {**frame.cells, "mean": np.full(len(frame), np.nan)}
    table = type(rows)(type(frame)(frame.row_type, bare), rows.totals)
    (name,) = Tracked([table]).series
    assert "mean square" in energy_chart(Tracked([table]).lines(name), name).alt
    blank = np.full(len(frame), np.nan)
    bare |= {"rounding_energy": blank, "clipped_energy": blank, "clipped_fraction": blank}
    lines = Tracked([type(rows)(type(frame)(frame.row_type, bare), rows.totals)]).lines(name)
    for drawing in (energy_chart(lines, name), clipped_chart(lines, name)):
        assert "Choose a log with mean and std" in drawing.alt


def test_a_second_panel_shows_widths_that_differ():
    log = make_log({("a", "input"): A6})
    tracked = Tracked([track_one(log, "up-step"), track_one(log, "up-step bits=4")])
    drawing = precision_chart(tracked.lines(tracked.series[0]), tracked.series[0])
    widths = [trace["y"].tolist() for trace in drawing.traces if trace.get("yaxis") == "y2"]
    assert widths == [[8.0] * 9, [4.0] * 9]
    assert "4 to 8 bit" in drawing.alt


def test_the_map_frames_the_series_in_view_and_a_cell_carries_its_name(tracked):
    chosen = SeriesName(EVIL, "weight")
    drawing = series_map(tracked, 0, "absmax", chosen)
    (cells,) = drawing.traces
    assert cells["customdata"][1][1] == [EVIL, "weight", cells["z"][1, 1]]
    peak = np.log2(tracked.follow(chosen, 0).absmax.max())
    assert cells["z"][1, 1] == pytest.approx(peak, rel=1e-12)
    (frame,) = drawing.layout["shapes"]
    assert (frame["x0"], frame["y0"]) == (0.5, 0.5)


def test_the_sqnr_of_a_cell_pools_its_energies(tracked):
    name = tracked.series[0]
    one = tracked.follow(name, 1)
    expected = 10 * np.log10(one.signal.sum() / (one.rounding_energy + one.clipped_energy).sum())
    assert MEASURES["sqnr"].find(one) == pytest.approx(expected, rel=1e-12)


def test_the_raster_counts_checks_and_changes(tracked):
    drawing = check_raster(tracked, tracked.series[0])
    assert "360 checks" in drawing.alt  # 2 layers, 3 rules, 60 steps
    dots = [trace for trace in drawing.traces if trace.get("marker", {}).get("symbol") == "circle"]
    assert [trace["x"].size for trace in dots] == [120, 120, 120]


def test_many_layers_are_cut_to_those_that_fit_and_the_one_in_view():
    layers = [f"layer{place}" for place in range(60)]
    assert choose_layers(layers, "layer50") == [*layers[: MOST_LAYERS - 1], "layer50"]
    assert choose_layers(layers[:3], "layer2") == layers[:3]


def test_block_scales_have_the_same_axes_at_every_step():
    counts = {-3: np.array([1.0, 4.0]), -1: np.array([3.0, np.nan])}
    first, second, none = block_charts(counts, np.array([0, 10]), [0, 10, 5])
    assert first.traces[0]["x"].tolist() == [-3, -2, -1]
    assert [one.traces[0]["y"].tolist() for one in (first, second, none)] == [[1, 0, 3], [4, 0, 0], [0, 0, 0]]
    assert first.layout["yaxis"]["range"] == second.layout["yaxis"]["range"]
    assert "4 blocks, most at 2⁻¹" in first.alt


def test_thinning_keeps_peaks_ends_and_gaps():
    values = np.sin(np.arange(200_000) / 50)
    values[[777, 150_001]] = 9, -9
    values[5:40] = np.nan
    places = thin(values, 1000)
    assert places.size <= 1002
    assert {0, 777, 150_001, 199_999} <= set(places.tolist())
    assert thin(np.arange(5.0), 10).tolist() == [0, 1, 2, 3, 4]
    assert thin(np.full(100, np.nan), 10).size <= 12


def test_a_long_log_makes_small_figures_that_say_so():
    steps = 40_000
    rng = np.random.default_rng(0)
    log = make_log({("a", "input"): np.exp2(rng.normal(0, 1, steps))})
    rows = track_one(make_log({("a", "input"): log.absmax[:50]}), "up-step + down").rows
    cells = {name: np.resize(column, steps) for name, column in rows.cells.items()}
    cells |= {"step": np.arange(steps), "absmax": log.absmax}
    table = type(track_one(make_log({("a", "input"): A6}), "up-step"))(type(rows)(rows.row_type, cells), rows[:0])
    lines = Tracked([table]).lines(SeriesName("a", "input"))
    drawing = range_chart(lines, SeriesName("a", "input"))
    assert max(trace["x"].size for trace in drawing.traces) <= MOST_PER_LINE + 2
    assert "the lowest and the highest are drawn" in drawing.layout["title"]["subtitle"]["text"]
    assert (
        "one check of 10 is drawn"
        in check_raster(Tracked([table]), SeriesName("a", "input")).layout["title"]["subtitle"]["text"]
    )


def test_a_slider_has_a_place_for_a_wanted_step():
    assert thin_steps(np.arange(1000), 11, [55]) == [0, 55, 99, 199, 299, 399, 499, 599, 699, 799, 899, 999]


def test_every_figure_is_small_described_escaped_and_can_be_drawn(tracked):
    name = SeriesName(EVIL, "weight")
    lines = tracked.lines(name)
    drawings = [draw(lines, name) for draw in (range_chart, precision_chart, clipped_chart, energy_chart)]
    drawings += [series_map(tracked, 1, measure, name) for measure in MEASURES] + [check_raster(tracked, name)]
    for drawing in drawings:
        drawing.to_figure()  # raises for a property that plotly does not know
        text = drawing.to_json()
        assert len(text) < LARGEST
        figure = json.loads(text)
        assert "<b>evil" not in figure["layout"]["title"]["text"]
        assert not [trace for trace in figure["data"] if "<b>evil" in trace.get("hovertemplate", "")]
        assert drawing.alt.endswith(".")
        assert figure["layout"]["title"]["text"]
    assert mark_step(3)["marks"]["shapes"][0]["line"]["color"] == PALETTES["light"].text


def test_the_table_of_rules_holds_the_totals_and_marks_the_best(tracked):
    totals = tracked.totals
    panel = tabulate_rules(totals)
    columns = {column.name: column for column in panel.columns}
    assert list(panel.rows) == list(RULES)
    assert columns["adjustments"].values == [one.adjustments for one in totals]
    assert columns["sqnr_db"].values == [one.sqnr_db for one in totals]
    best = max(range(3), key=lambda place: totals[place].sqnr_db)
    assert find_best(totals) == best
    assert [bool(text) for text in columns["best"].texts] == [place == best for place in range(3)]
    equal = [replace(one, sqnr_db=40.0) for one in totals]
    assert find_best(equal) == min(range(3), key=lambda place: totals[place].adjustments)
    assert find_best([replace(one, sqnr_db=None) for one in totals]) is None


def test_events_stand_by_step_with_their_series(tracked):
    events = list_events(tracked, tracked.series)
    assert [event.step for event in events] == sorted(event.step for event in events)
    told = sum(int((table.column("event") != "").sum()) for table in tracked.tables)
    assert len(events) == told
    panel = tabulate_events(events, layers=True, height=300)
    assert [column.name for column in panel.columns] == ["step", "series", "event", "configuration"]


def test_facts_tell_how_each_rule_stands_at_a_step(example):
    first, third, none = tell_steps(example.lines(example.series[0]), [0, 3, 99])
    assert third.facts[0][:2] == ("up-step + down", "s = −3, pos 15.88")
    assert "absmax 12 ≥ pos 3.969: s −5 → −3" in third.facts[0][2]
    assert first.facts[0][1] == "s = −7, pos 0.9922"
    assert none.facts[0][2] == "this step was not recorded"


def test_a_table_of_several_rules_is_refused(example):
    both = example.tables[0].rows + track_one(make_log({("a", "input"): A6}), "up-step").rows
    with pytest.raises(ValueError, match="one rule is expected, found 2"):
        Tracked([type(example.tables[0])(both, example.tables[0].totals)])


def test_changes_are_counted_as_the_engine_counts_them(tracked):
    for rule, total in enumerate(tracked.totals):
        moves = sum(tracked.follow(name, rule).moves.size for name in tracked.series)
        assert moves == total.adjustments


def test_a_rule_over_groups_stands_beside_one_over_the_whole():
    log = arrange_log(
        {"step": [0, 1] * 3, "layer": ["a"] * 6, "kind": ["input"] * 6, "group": ["", "", "0", "0", "1", "1"],
         "absmax": [4.0, 5, 4, 5, 1, 2], "mean": [1.0] * 6, "std": [1.0] * 6}
    )  # fmt: skip
    tracked = Tracked([track_one(log, "up-step"), track_one(log, "up-step scope=group")])
    assert tracked.list_groups("a", "input") == ["", "0", "1"]
    whole, group = SeriesName("a", "input"), SeriesName("a", "input", "1")
    assert [one.rule for one in tracked.lines(whole)] == ["up-step"]
    assert [one.rule for one in tracked.lines(group)] == ["up-step scope=group"]
    for name in (whole, group):
        assert check_raster(tracked, name).alt.endswith(("change.", "changes."))
    assert series_map(tracked, 1, "absmax", group).traces[0]["z"].shape == (1, 1)
