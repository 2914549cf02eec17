"""Which choice is best within all that is asked? The optimum, and where there is none what is nearest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.limits import Bound
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import InfeasibleError, Limit, Problem, Solution
from qanalysis.plans.units import Figures

_TIES_S = 10.0


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

    def keeps(self, choice: Sequence[int] | Codes) -> bool:
        """Whether a choice keeps it."""
        if self.most_formats is not None:
            used = {int(formats[at]) for formats, at in zip(self.formats, choice, strict=True)}
            if len(used) > self.most_formats:
                return False
        return all(
            self.ranks[one][choice[one]] <= self.ranks[other][choice[other]]
            for chain in self.chains
            for one, other in pairwise(chain)
        )

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
    return _solve(structure.state(bits)).choice, _solve(structure.state(costs)).choice


def _choose_least(first: tuple[Doubles, ...], second: tuple[Doubles, ...]) -> Codes:
    """The least of each unit's options by two figures, one after the other."""
    return np.array([np.lexsort((b, a))[0] for a, b in zip(first, second, strict=True)], np.int64)


def _solve(problem: Problem, seconds: float = 60.0) -> Solution:
    try:
        return solve(problem, seconds=seconds)
    except InfeasibleError:
        if problem.limits:
            raise
        rules = [f"at most {problem.most_formats} formats"] if problem.most_formats is not None else []
        rules += ["bits that do not fall with depth"] if problem.chains else []
        raise InfeasibleError(
            f"no plan keeps {' and '.join(rules)} with these candidates, pins and ties; loosen one of them"
        ) from None


def find_optimum(
    figures: Figures,
    bounds: Sequence[Bound],
    structure: Structure,
    *,
    smallest: bool,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Solution:
    """The choice of least cost within the bounds, or of fewest bits (`smallest`), ties broken by the cost.

    Raises InfeasibleError with the nearest feasible budget where there is none.
    """
    started = clock()
    limits = [bound.limit for bound in bounds]
    try:
        found = solve(structure.state(figures.counted if smallest else figures.costs, limits), seconds=seconds)
    except InfeasibleError:
        raise InfeasibleError(_explain(bounds, structure, seconds)) from None
    left = seconds - (clock() - started)
    if not smallest or not found.is_proven or left <= 0:
        return found
    return _break_ties(found, figures, limits, structure, min(left, _TIES_S))


def _break_ties(
    found: Solution, figures: Figures, limits: Sequence[Limit], structure: Structure, seconds: float
) -> Solution:
    """Of the choices that are as small the one of least cost, where that is found in time."""
    same = Limit("bits", figures.counted, found.cost * (1 + 1e-12))
    problem = structure.state(figures.costs, [*limits, same])
    try:
        second = solve(problem, seconds=seconds)
    except InfeasibleError:
        return found
    is_better = problem.total(second.choice) < problem.total(found.choice)
    is_as_small = problem.total(second.choice, figures.counted) <= same.most
    choice = second.choice if is_better and is_as_small else found.choice
    return Solution(choice, found.cost, found.bound, found.is_proven)


def _explain(bounds: Sequence[Bound], structure: Structure, seconds: float) -> str:
    """Why nothing keeps the bounds: the first that can not be kept alone, else one that can not beside the others."""
    for bound in bounds:
        least = _solve(structure.state(bound.limit.figures), seconds).cost
        if least > bound.limit.most:
            return f"{bound.asked} can not be kept: {bound.tell(least)}"
    for bound in bounds:
        others = [one for one in bounds if one is not bound]
        try:
            least = _solve(structure.state(bound.limit.figures, [one.limit for one in others]), seconds).cost
        except InfeasibleError:
            continue
        told = " and ".join(one.asked for one in others)
        return f"{bound.asked} can not be kept beside {told}: {bound.tell(least)}"
    return f"{' and '.join(bound.asked for bound in bounds)} can not be kept together; loosen one of them"
