"""The front and the bits of layers hold the numbers of the plan, at any choice, in both themes, with names escaped."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qanalysis.charts.linked.plan import build_plan_part
from qanalysis.charts.linked.scene import pack
from qanalysis.charts.palette import PALETTES
from qanalysis.charts.plan_charts import front_chart, layer_bits
from qanalysis.charts.plan_sheet import read_sheet
from qanalysis.plans.plan import Plan
from qanalysis.plans.reopening import choose_again
from tests.charts.examples import EVIL
from tests.charts.plans import make_plan


@pytest.fixture(scope="module")
def plan() -> Plan:
    return choose_again(make_plan(6), budget_bpw=4.5)


def trace_of(figure, name):
    return next(trace for trace in figure.traces if trace["name"] == name)


def test_the_sheet_sums_are_those_of_the_plan_and_of_its_front(plan: Plan) -> None:
    sheet = read_sheet(plan)
    assert sheet.sum("bits", sheet.chosen) == pytest.approx(plan.bits_per_weight, rel=1e-12)
    assert sheet.sum("costs", sheet.chosen) == pytest.approx(plan.objective, rel=1e-12)
    assert sheet.sum("sizes", sheet.chosen) + sheet.kept_bytes == plan.bytes
    front = sorted(plan.front, key=lambda point: point["bits_per_weight"])
    np.testing.assert_allclose(sheet.sum_points("bits"), [point["bits_per_weight"] for point in front], rtol=1e-12)
    np.testing.assert_allclose(sheet.sum_points("costs"), [point["objective"] for point in front], rtol=1e-12)


def test_points_that_a_smaller_one_beats_are_no_part_of_the_front(plan: Plan) -> None:
    first = plan.front[0]
    worse = {**first, "choice": [0] * 6}
    several = Plan.from_rows(
        plan.row_type, list(plan.rows), totals=plan.totals, more={**plan.more, "front": [worse, *plan.front, worse]}
    )
    bits, costs = (read_sheet(several).sum_points(name) for name in ("bits", "costs"))
    assert (np.diff(bits) > 0).all()
    assert (np.diff(costs) < 0).all()


def test_budgets_begin_and_end_at_what_can_be_reached(plan: Plan) -> None:
    sheet = read_sheet(plan)
    budgets, bits = sheet.list_budgets(), sheet.sum_points("bits")
    assert bits[0] <= budgets[0] < bits[0] + 0.01
    assert bits[-1] <= budgets[-1] < bits[-1] + 0.01
    assert (np.diff(budgets) > 0).all()
    assert len(budgets) < 300
    assert 4.5 in budgets


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_front_marks_every_uniform_plan_and_the_plan_in_view(plan: Plan, theme: str) -> None:
    sheet = read_sheet(plan)
    figure = front_chart(sheet, sheet.chosen, theme=theme)
    (here,) = figure.layout["annotations"]
    assert here["x"] == sheet.sum("bits", sheet.chosen)
    assert 10 ** here["y"] == pytest.approx(sheet.sum("costs", sheet.chosen))
    marked = {
        (text, x, y)
        for trace in figure.traces
        if trace["name"].startswith("uniform")
        for text, x, y in zip(trace["text"], trace["x"], trace["y"], strict=True)
    }
    uniforms = [row for row in plan.totals if row.point == "uniform"]
    assert marked == {(row.scheme, row.bits_per_weight, row.objective) for row in uniforms}
    assert f"{plan.objective:.4g}" in figure.alt
    drawn = figure.to_figure()
    assert drawn.layout.template.layout.paper_bgcolor == PALETTES[theme].background
    assert drawn.layout.yaxis.type == "log"


def test_an_error_of_nothing_leaves_the_axis_linear() -> None:
    plan = make_plan(3)
    free = {name: {**own, "cost": [0.0] * len(own["cost"])} for name, own in plan.candidates.items()}
    exact = Plan.from_rows(
        plan.row_type, list(plan.rows), totals=(), more={**plan.more, "candidates": free, "front": []}
    )
    figure = front_chart(read_sheet(exact), read_sheet(exact).chosen)
    assert "type" not in figure.layout["yaxis"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_layer_has_one_bar_as_high_as_its_bits_in_the_trace_of_its_format(plan: Plan, theme: str) -> None:
    sheet = read_sheet(plan)
    figure = layer_bits(sheet, sheet.chosen, theme=theme)
    assert figure.traces[-1]["y"] == [row.bits_per_weight for row in plan.rows]
    for place, row in enumerate(plan.rows):
        own = trace_of(figure, row.scheme.partition(" ")[0])
        tops = {(round(x), y) for x, y in zip(own["x"], own["y"], strict=True) if y}
        assert (place, row.bits_per_weight) in tops
    told = dict.fromkeys(row.scheme.partition(" ")[0] for row in plan.rows)
    assert all(name in figure.alt for name in told)
    figure.to_figure()


def test_names_of_layers_are_text_wherever_they_stand() -> None:
    sheet = read_sheet(make_plan(3, evil=EVIL))
    for figure in (front_chart(sheet, sheet.chosen), layer_bits(sheet, sheet.chosen)):
        read = [text for trace in figure.traces for text in (trace.get("text") or []) if isinstance(text, str)]
        read += list(figure.layout["xaxis"].get("ticktext", []))
        assert not [text for text in read if "<b>evil" in text]
    packed = json.dumps(build_plan_part(sheet, {})["plan"]["labels"])
    assert "<b>evil" not in packed


def test_a_front_for_other_layers_is_refused_in_one_line(plan: Plan) -> None:
    wrong = Plan.from_rows(
        plan.row_type, list(plan.rows), totals=plan.totals, more={**plan.more, "front": [{"choice": [0, 0]}]}
    )
    with pytest.raises(ValueError, match="chooses for 2 layers, it must for 6") as caught:
        read_sheet(wrong)
    assert "\n" not in str(caught.value)


def test_three_hundred_layers_travel_in_a_quarter_of_a_megabyte() -> None:
    sheet = read_sheet(make_plan(300))
    assert len(pack(build_plan_part(sheet, {}))) < 250_000
