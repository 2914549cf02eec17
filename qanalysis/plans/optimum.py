"""Which choice is best within all that is asked? The optimum, and where there is none what is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.limits import Bound
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import InfeasibleError, Limit, Problem, Solution
from qanalysis.plans.smallest import find_smallest
from qanalysis.plans.units import Figures


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """What a choice keeps whatever its size: at most so many formats, bits that do not fall along chains."""

    formats: tuple[Codes, ...] = ()
    most_formats: int | None = None
    chains: tuple[tuple[int, ...], ...] = ()
    ranks: tuple[Codes, ...] = ()

    def state(self, costs: tuple[Doubles, ...], limits: Sequence[Limit] = ()) -> Problem:
        """The problem of least costs within limits."""
        formats = self.formats if self.most_formats is not None else ()
        return Problem(costs, tuple(limits), formats, self.most_formats, self.chains, self.ranks if self.chains else ())

    @property
    def is_free(self) -> bool:
        """Whether every unit may choose on its own."""
        return self.most_formats is None and not self.chains


def find_ends(figures: Figures, structure: Structure) -> tuple[Codes, Codes]:
    """The choice of fewest bits and that of least cost, whatever limits there are; the other figure breaks ties.

    Raises InfeasibleError where the structure alone leaves no choice.
    """
    bits, costs = figures.bits, figures.costs
    if structure.is_free:
        return _choose_least(bits, costs), _choose_least(costs, bits)
    try:
        return solve(structure.state(bits)).choice, solve(structure.state(costs)).choice
    except InfeasibleError as error:
        raise _explain(error, ()) from None


def _choose_least(first: tuple[Doubles, ...], second: tuple[Doubles, ...]) -> Codes:
    """The least of each unit's options by two figures, one after the other."""
    return np.array([np.lexsort((b, a))[0] for a, b in zip(first, second, strict=True)], np.int64)


def find_optimum(
    figures: Figures,
    bounds: Sequence[Bound],
    structure: Structure,
    *,
    smallest: bool,
    seconds: float,
) -> tuple[Problem, Solution]:
    """What was solved, and the choice of least cost within the bounds, or of fewest bits (`smallest`), ties broken by
    the cost.

    Raises InfeasibleError with the nearest feasible budget where there is none.
    """
    problem = structure.state(figures.counted if smallest else figures.costs, [bound.limit for bound in bounds])
    try:
        found = find_smallest(problem, figures.costs, seconds=seconds) if smallest else solve(problem, seconds=seconds)
    except InfeasibleError as error:
        raise _explain(error, bounds) from None
    return problem, found


def _explain(error: InfeasibleError, bounds: Sequence[Bound]) -> InfeasibleError:
    """The error in the words in which the limit was asked for; that of formats and chains as it is."""
    bound = next((one for one in bounds if one.limit is error.limit), None)
    if bound is None:
        return InfeasibleError(f"{error}; loosen the rule, or pins and ties that stand against it")
    alone = sum(float(one.min()) for one in bound.limit.figures) > bound.limit.allowed
    beside = "" if alone else " beside what else is asked"
    return InfeasibleError(f"{bound.asked} can not be kept{beside}: {bound.tell(error.nearest)}", nearest=error.nearest)
