"""What does one step make of n quantizers? The one order in which the rules of a recipe act, in training and on logs.

Where nothing finite is seen nothing changes and no check is used up. A first range follows from the first observation;
one that follows from zeros alone (step 1) stands until something else is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.training.range_rules import PrecisionRule
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import Observation, QuantizerState
from qanalysis.training.width_rules import AVERAGE, find_distortion, note_distortion

_IDLE = "only_zeros"
_DISTANCE, _EPOCH = "distance", "epoch"


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """The state after a step; which of the n were checked and which changed, (n,) bool; reasons by index."""

    state: QuantizerState
    checked: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    reasons: Mapping[int, str]


def is_due(recipe: Recipe, state: QuantizerState, step: int, epoch: int) -> NDArray[np.bool_]:
    """Which of the n quantizers check at this step; `epoch` is the steps in one."""
    if recipe.average is not None:
        return recipe.average.is_due(state, step, epoch)
    return recipe.range.timing.is_due(state, step, epoch)


def adapt(recipe: Recipe, state: QuantizerState, seen: Observation, *, step: int, epoch: int) -> Adapted:
    """One step of the range rule, and of `down`, `average` and the trigger beside it."""
    known, reach = seen.known, recipe.reach
    begun, fresh = _begin(recipe, state, seen)
    watched = begun.choose(known, recipe.range.watch(begun, seen, reach))
    checked = is_due(recipe, state, step, epoch) & known
    decided = recipe.range.decide(watched, seen, reach)
    after, reasons = decided.state, dict(decided.reasons)
    if recipe.down is not None:
        discrete = isinstance(recipe.range, PrecisionRule) and recipe.range.precision == "s"
        lowered = recipe.down.decide(after, seen, reach, discrete=discrete)
        after, reasons = lowered.state, {**reasons, **lowered.reasons}
    after = watched.choose(checked & ~fresh, after)
    changed = _differ(state, after)
    if recipe.average is None:
        after = recipe.range.timing.advance(after, step, checked, changed)
    else:
        exponent = find_exponent_of(recipe, after)
        follows = recipe.average.follow(after, exponent, step, checked, epoch)
        distance = np.nan_to_num(np.abs(exponent - after.recall(AVERAGE, np.nan)))
        after = after.choose(known, follows.remember(**{_DISTANCE: distance, _EPOCH: np.full(distance.shape, epoch)}))
    return Adapted(after, checked, changed, {i: reason for i, reason in reasons.items() if checked[i] and not fresh[i]})


def widen(recipe: Recipe, adapted: Adapted, mean: Doubles, mean_quantized: Doubles) -> Adapted:
    """The width rule, from the means of |x| and of |Q(x)| under the state, (n,).

    Where the width grew the tensor must be quantized anew and held against the rule again, until none grows.
    """
    distortion = find_distortion(mean, mean_quantized)
    state = note_distortion(adapted.state, distortion, adapted.checked)
    if recipe.average is not None:
        cap = int(state.recall(_EPOCH, 1.0).max())
        state = recipe.average.reschedule(state, distortion, state.recall(_DISTANCE), adapted.checked, cap)
    if recipe.width is None:
        return Adapted(state, adapted.checked, adapted.changed, adapted.reasons)
    grows = recipe.width.wants_more(state.bits, distortion) & adapted.checked
    decision = recipe.width.grow(state, grows, distortion)
    if not grows.any():
        decision = recipe.width.relax(state, np.where(adapted.checked, distortion, np.nan), recipe.bits)
    fitted = _refit(recipe, state, decision.state)
    reasons = dict(adapted.reasons)
    for i, reason in decision.reasons.items():
        reasons[i] = f"{reasons[i]}; {reason}" if i in reasons else reason
    return Adapted(fitted, adapted.checked, adapted.changed | (fitted.bits != state.bits), reasons)


def find_exponent_of(recipe: Recipe, state: QuantizerState) -> Doubles:
    """log2 of the step, (n,): s itself where steps are powers of two; NaN where there is no range."""
    step = recipe.reach.step(state.low, state.high, state.bits)
    return np.log2(np.where(step > 0, step, np.nan))


def _begin(recipe: Recipe, state: QuantizerState, seen: Observation) -> tuple[QuantizerState, NDArray[np.bool_]]:
    """The state with first ranges, and which of the n got theirs now."""
    idle = state.recall(_IDLE) > 0
    fresh = seen.known & (~state.has_range | (idle & (seen.absmax > 0)))
    if not fresh.any():
        return state, fresh
    begun = recipe.range.begin(state, seen, recipe.reach)
    if recipe.range.begins_from_data:
        begun = begun.remember(**{_IDLE: np.where(seen.absmax == 0, 1.0, 0.0)})
    return state.choose(fresh, begun), fresh


def _refit(recipe: Recipe, before: QuantizerState, after: QuantizerState) -> QuantizerState:
    """At another width a discrete precision covers the same range by another exponent."""
    rule = recipe.range
    moved = after.bits != before.bits
    if not moved.any() or not isinstance(rule, PrecisionRule):
        return after
    high = recipe.reach.cover(before.high, after.bits, rule.exponent_rule)
    return after.choose(moved, after.with_range(-high, high))


def _differ(before: QuantizerState, after: QuantizerState) -> NDArray[np.bool_]:
    same = (before.high == after.high) & (before.low == after.low) & (before.bits == after.bits)
    moved: NDArray[np.bool_] = ~same & after.has_range
    return moved
