"""How sure is what each tensor gets? Scores are drawn anew, the plan is made again, and what stays is counted.

Where single samples' damages are known, samples are drawn with replacement, the same for all tensors; where only 95 %
intervals are, each tensor's damages move together, log-normal between the ends. Errors of weights are no estimates:
nothing is drawn, and a plan of them has no stability.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.candidates import Candidates, Options
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import InfeasibleError, Problem, Solution
from qanalysis.plans.redrawing import draw_scores, read_ends
from qanalysis.quantizers.scheme import Scheme

if TYPE_CHECKING:
    from qanalysis.plans.units import Unit

RESAMPLES = 20
#: Seconds that all plans from resampled scores may take together; of each the best one until then counts.
_SECONDS = 10.0
_ENDS = (0.025, 0.975)

Method = Literal["samples", "intervals", "none"]


@dataclass(frozen=True, slots=True)
class Kept:
    """How often a tensor got its scheme, or at least its bits, of `of` plans; `counts` are all schemes that it got."""

    scheme: int
    bits: int
    of: int
    counts: Mapping[str, int]

    @property
    def share(self) -> float:
        """The share of plans that keep the scheme."""
        return self.scheme / self.of


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """What resampled scores say of a plan.

    `method` says what was drawn, `note` in a sentence, also why nothing was. By tensor `kept` counts plans, and `costs`
    are the ends of the cost's 95 % interval; `objective` are those of the plan's whole, None where nothing was drawn.
    `resamples` is how many plans were made, `failed` how many draws had none within the limits.
    """

    method: Method
    note: str
    resamples: int = 0
    seed: int = 0
    failed: int = 0
    kept: Mapping[str, Kept] = field(default_factory=dict)
    costs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    objective: tuple[float, float] | None = None

    def describe(self) -> dict[str, Any]:
        """The same as a part of a document."""
        low, high = self.objective or (None, None)
        return {
            "method": self.method,
            "note": self.note,
            "resamples": self.resamples,
            "failed": self.failed,
            "seed": self.seed,
            "objective_low": low,
            "objective_high": high,
            "kept": {
                name: {"scheme": one.scheme, "bits": one.bits, "of": one.of, "counts": dict(one.counts)}
                for name, one in self.kept.items()
            },
        }


def measure_stability(
    candidates: Candidates,
    units: Sequence[Unit],
    problem: Problem,
    choice: Codes | Sequence[int],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Stability:
    """How much of a choice stays when scores are drawn anew and the problem is solved again within the same limits.

    Figures of the problem that are the objective's costs, or in proportion to them, are drawn: its costs, or of a plan
    of least size those of its limit on the loss. A draw without any choice within the limits keeps nothing. Raises
    ValueError for less than one resample.
    """
    if resamples < 1:
        raise ValueError(f"{resamples} resamples: at least 1 plan is made again; leave it out for {RESAMPLES}")
    drawn = draw_scores(candidates, resamples, seed=seed)
    chosen = [member.places[at] for unit, at in zip(units, choice, strict=True) for member in unit.members]
    names = [member.tensor.name for unit in units for member in unit.members]
    ends = read_ends(candidates)
    known = dict(zip(names, ((ends[0][at], ends[1][at]) for at in chosen), strict=True)) if ends else {}
    costs = {name: (float(low), float(high)) for name, (low, high) in known.items() if np.isfinite([low, high]).all()}
    if drawn.method == "none":
        return Stability("none", drawn.note, costs=costs)
    low, high = np.quantile(drawn.total(chosen), _ENDS)
    template = _Template.of(problem, units)
    if not template.depends:
        note = f"{drawn.note}; the plan is made by other figures, so that it does not depend on them"
        return Stability("none", note, seed=seed, costs=costs, objective=(float(low), float(high)))
    found = list(_solve_all(template, [drawn.take(number) for number in range(resamples)]))
    made = [solution.choice for solution in found if solution is not None]
    kept = {
        member.tensor.name: _count(member, int(at), [int(plan[place]) for plan in made], resamples)
        for place, (unit, at) in enumerate(zip(units, choice, strict=True))
        for member in unit.members
    }
    for name, place in zip(names, chosen, strict=True):
        ends_drawn = np.quantile(drawn.total([place]), _ENDS)
        costs.setdefault(name, (float(ends_drawn[0]), float(ends_drawn[1])))
    failed = resamples - len(made)
    note = f"{drawn.note}{_tell_unproven(found)}"
    return Stability(drawn.method, note, resamples, seed, failed, kept, costs, (float(low), float(high)))


def _count(member: Options, own: int, others: Sequence[int], resamples: int) -> Kept:
    counts = Counter(member.schemes[at] for at in others)
    bits = Scheme.parse(member.schemes[own]).format.bits
    same = sum(number for scheme, number in counts.items() if Scheme.parse(scheme).format.bits == bits)
    return Kept(counts[member.schemes[own]], same, resamples, dict(counts.most_common()))


def _tell_unproven(found: Sequence[Solution | None]) -> str:
    gaps = [one.gap for one in found if one is not None and not one.is_proven]
    if not gaps:
        return ""
    return f"; {len(gaps)} of {len(found)} plans ran out of time, proven to within {max(gaps):.2g} of their optima"


@dataclass(frozen=True, slots=True, eq=False)
class _Template:
    """A problem whose figures, costs first and then those of its limits, are the scores in part: `factors` are what the
    scores of each unit are multiplied by to give them, None for other figures.
    """

    problem: Problem
    units: Sequence[Unit]
    factors: Sequence[Sequence[float] | None]

    @classmethod
    def of(cls, problem: Problem, units: Sequence[Unit]) -> Self:
        point = [np.sum([one.costs for one in unit.members], axis=0) for unit in units]
        figures = (problem.costs, *(one.figures for one in problem.limits))
        return cls(problem, units, [_find_factors(one, point) for one in figures])

    @property
    def depends(self) -> bool:
        """Whether any figure is the scores."""
        return any(one is not None for one in self.factors)

    def fill(self, scores: Doubles) -> Problem:
        """The problem by other scores, (rows,)."""
        fresh = [np.sum([scores[list(one.places)] for one in unit.members], axis=0) for unit in self.units]
        costs, *limits = [
            None if factors is None else tuple(factor * score for factor, score in zip(factors, fresh, strict=True))
            for factors in self.factors
        ]
        kept = zip(self.problem.limits, limits, strict=True)
        return replace(
            self.problem,
            costs=self.problem.costs if costs is None else costs,
            limits=tuple(limit if figures is None else replace(limit, figures=figures) for limit, figures in kept),
        )


def _solve_all(template: _Template, draws: Sequence[Doubles]) -> Iterator[Solution | None]:
    """The plan of each draw, which takes its share of the time that is left; None where no choice keeps the limits."""
    ends = time.monotonic() + _SECONDS
    for number, scores in enumerate(draws):
        seconds = max(ends - time.monotonic(), 0.0) / (len(draws) - number)
        try:
            yield solve(template.fill(scores), seconds=seconds)
        except InfeasibleError:
            yield None


def _find_factors(figures: Sequence[Doubles], point: Sequence[Doubles]) -> list[float] | None:
    """What the scores of each unit are multiplied by to give the figures; None where they are others."""
    found = list[float]()
    for one, score in zip(figures, point, strict=True):
        factor = _find_factor(one, score)
        if factor is None:
            return None
        found.append(factor)
    return found if any(len(one) > 1 for one in figures) else None


def _find_factor(figures: Doubles, scores: Doubles) -> float | None:
    """What scores are multiplied by to give the figures; None where they are not in proportion."""
    largest = int(np.argmax(np.abs(scores)))
    if scores[largest] == 0:
        return 1.0 if not figures.any() else None
    factor = float(figures[largest] / scores[largest])
    return factor if np.allclose(figures, factor * scores, rtol=1e-9, atol=0) else None
