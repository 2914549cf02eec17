"""The widths on the way to a target, and when the next one is taken."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.training.rungs import Rungs, plan_rungs
from qanalysis.training.words import parse_rule


@pytest.mark.parametrize(
    ("target", "widths"),
    [
        pytest.param(4, [8, 4], id="row-15 4 bits"),
        pytest.param(8, [16, 8], id="row-15 8 bits"),
        pytest.param(2, [4, 2], id="row-15 2 bits"),
        pytest.param(16, [16], id="row-15 16 bits"),
        pytest.param(24, [24], id="row-15 24 bits"),
        pytest.param(3, [4, 3], id="row-15 3 bits"),
        pytest.param(6, [8, 6], id="row-15 6 bits"),
        pytest.param(1, [2, 1], id="row-15 1 bit"),
    ],
)
def test_row_15_a_target_has_its_intermediate_width(target: int, widths: list[int]) -> None:
    assert plan_rungs(target) == widths


@given(st.integers(1, 32))
def test_rungs_fall_to_the_target_with_no_width_above_twice_of_it(target: int) -> None:
    widths = plan_rungs(target)
    assert widths == sorted(set(widths), reverse=True)
    assert widths[-1] == target
    assert widths[0] <= max(min(16, 2 * target), target)


def test_a_rung_is_taken_once_the_loss_has_recovered() -> None:
    rule = Rungs(steps=50)
    state, told = rule.start(4, loss=0.5), []
    for loss in (0.9, math.nan, 0.6, 0.51, 0.5):
        state, why = rule.decide(state, loss)
        told.append(why)
    assert told == ["", "", "", "loss 0.51 ≤ 0.51: 8 → 4 bits", ""]
    assert (state.bits, state.reference, state.steps, state.at_target) == (4, 0.51, 1, True)


def test_a_rung_is_taken_after_its_steps_in_any_case() -> None:
    rule = Rungs(steps=3)
    state, told = rule.start(8, loss=0.5), []
    for loss in (0.9, math.inf, math.nan, 0.9):
        state, why = rule.decide(state, loss)
        told.append(why)
    assert told == ["", "", "3 steps done: 16 → 8 bits", ""]
    assert state.reference == 0.5


def test_without_a_loss_only_the_steps_count() -> None:
    rule = Rungs(steps=1)
    state, why = rule.decide(rule.start(4))
    assert why == "1 step done: 8 → 4 bits"
    assert math.isnan(state.reference)
    assert rule.decide(state)[1] == ""


def test_a_loss_below_zero_may_rise_by_its_share_too() -> None:
    rule = Rungs(rise=0.1)
    assert rule.decide(rule.start(4, loss=-1.0), -0.95)[1] == "loss -0.95 ≤ -0.9: 8 → 4 bits"
    assert rule.decide(rule.start(4, loss=-1.0), -0.85)[1] == ""


def test_the_rule_prints_canonically_and_parses_back() -> None:
    rule = parse_rule("rungs rise=0.05 steps=20", {"rungs": Rungs})
    assert str(rule) == "rungs steps=20 rise=0.05"
    assert str(Rungs()) == "rungs"


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="target of 0 bits: a format has at least 1 bit"):
        plan_rungs(0)
    with pytest.raises(ValueError, match="rungs: steps=0 must be at least 1"):
        Rungs(steps=0)
