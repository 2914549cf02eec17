"""A saved plan under another budget is the best of its candidates, with its groups kept together."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from qanalysis.plans.plan import Plan
from qanalysis.plans.problem import InfeasibleError
from qanalysis.plans.reopening import choose_again, list_left_out
from tests.charts.plans import make_plan


@pytest.fixture(scope="module")
def saved() -> Plan:
    """Three layers of which each keeps four of its candidates."""
    plan = make_plan(3)
    few = {
        name: {part: [values[place] for place in (0, 8, 16, 27)] for part, values in own.items()}
        for name, own in plan.candidates.items()
    }
    return Plan.from_rows(plan.row_type, list(plan.rows), totals=plan.totals, more={**plan.more, "candidates": few})


def search(plan: Plan, budget: float, kept: dict[str, str] | None = None) -> float:
    """The least cost of all choices within a budget, by trying every one."""
    rows = list(plan.rows)
    numel = sum(row.numel for row in rows)
    own = [plan.candidates[row.tensor] for row in rows]
    best = float("inf")
    for choice in product(*(range(len(one["scheme"])) for one in own)):
        bits = (
            sum(one["bits_per_weight"][at] * row.numel for one, at, row in zip(own, choice, rows, strict=True)) / numel
        )
        names = {row.tensor: one["scheme"][at] for one, at, row in zip(own, choice, rows, strict=True)}
        if bits <= budget and all(names[name] == scheme for name, scheme in (kept or {}).items()):
            best = min(best, sum(one["cost"][at] for one, at in zip(own, choice, strict=True)))
    return best


@pytest.mark.parametrize("budget", [2.5, 4.0, 6.3, 20.0])
def test_it_is_the_best_of_all_choices_within_the_budget(saved: Plan, budget: float) -> None:
    plan = choose_again(saved, budget_bpw=budget)
    assert plan.bits_per_weight <= budget
    assert plan.objective == pytest.approx(search(saved, budget), rel=1e-9)
    assert plan.totals[0].objective == plan.objective
    assert plan.assignments == plan.more["assignments"]


def test_a_pin_is_kept_and_told(saved: Plan) -> None:
    name = saved[0].tensor
    plan = choose_again(saved, budget_bpw=5.0, pins={name: "int2"})
    assert plan.assignments[name] == "int2"
    assert plan[0].decided_by == "pin"
    assert plan.objective == pytest.approx(search(saved, 5.0, {name: "int2"}), rel=1e-9)


def test_tensors_of_a_group_keep_one_scheme(saved: Plan) -> None:
    grouped = [replace(row, group="both") if place < 2 else row for place, row in enumerate(saved.rows)]
    tied = Plan.from_rows(saved.row_type, grouped, totals=saved.totals, more=saved.more)
    plan = choose_again(tied, budget_bpw=4.0)
    first, second, _third = plan.assignments.values()
    assert first == second


def test_a_budget_below_the_smallest_plan_says_which_is_nearest(saved: Plan) -> None:
    with pytest.raises(InfeasibleError, match="the smallest plan has 2 bits per weight; give 2 or more") as caught:
        choose_again(saved, budget_bpw=1.0)
    assert "\n" not in str(caught.value)


def test_a_pin_that_is_no_candidate_lists_those_that_are(saved: Plan) -> None:
    with pytest.raises(ValueError, match="nf4 is none of its candidates int2"):
        choose_again(saved, pins={saved[0].tensor: "nf4"})


def test_the_front_beside_a_pin_keeps_it_at_every_point(saved: Plan) -> None:
    name, other = saved[1].tensor, saved.candidates[saved[1].tensor]["scheme"][2]
    plan = choose_again(saved, budget_bpw=5.0, pins={name: other})
    front = plan.front
    assert {saved.candidates[name]["scheme"][point["choice"][1]] for point in front} == {other}
    assert [point["objective"] for point in front] == sorted((point["objective"] for point in front), reverse=True)
    for point in front:
        assert point["objective"] == pytest.approx(search(saved, point["bits_per_weight"] * (1 + 1e-12), {name: other}))


def test_no_more_formats_than_the_document_allows(saved: Plan) -> None:
    few = Plan.from_rows(
        saved.row_type, list(saved.rows), totals=saved.totals, more={**saved.more, "constraints": {"most_formats": 1}}
    )
    plan = choose_again(few, budget_bpw=5.5)
    assert len({row.scheme.partition(" ")[0] for row in plan.rows}) == 1
    assert plan.objective >= choose_again(saved, budget_bpw=5.5).objective


def test_what_is_not_kept_is_named(saved: Plan) -> None:
    pooled = Plan.from_rows(
        saved.row_type, list(saved.rows), totals=(), more={**saved.more, "constraints": {"pools": [{"name": "gpu"}]}}
    )
    assert list_left_out(pooled) == ["pools"]
    assert list_left_out(saved) == []
