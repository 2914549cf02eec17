"""How sure is a plan, in one part of its document? Resampled scores, interactions, and what score files leave open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qanalysis.arrays import Codes
from qanalysis.plans.candidates import Candidates
from qanalysis.plans.interactions import describe_interactions, widen
from qanalysis.plans.problem import Problem
from qanalysis.plans.stability import RESAMPLES, Stability, measure_stability

if TYPE_CHECKING:
    from qanalysis.plans.units import Unit


def judge_plan(
    candidates: Candidates,
    units: Sequence[Unit],
    problem: Problem,
    choice: Codes | Sequence[int],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Stability, dict[str, Any]]:
    """The stability of a choice, and the part `certainty` of its document.

    The part has what `Stability.describe` and, as `interaction`, `describe_interactions` tell; `predicted_low` and
    `predicted_high` are the objective's interval widened by interactions, None where neither is known; `objective` is
    how people call what is made small, `scores` what a file of scores says, None without one.
    """
    stability = measure_stability(candidates, units, problem, choice, resamples=resamples, seed=seed)
    whole = sum(float(one.costs[at]) for unit, at in zip(units, choice, strict=True) for one in unit.members)
    objective = candidates.objective
    # A file's scores are no column of the rows: what layers do together was measured of other figures.
    more = {} if objective.scores else candidates.more
    told = describe_interactions(more, whole, objective.column)
    low, high = widen(stability.objective, told) or (None, None)
    return stability, {
        "objective": objective.text,
        **stability.describe(),
        "interaction": told,
        "predicted_low": low,
        "predicted_high": high,
        "scores": candidates.more.get("scores"),
    }
