"""Which few formats are best? Every set of them has a bound at a price of size; the best sets are solved exactly."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.hull import pad
from qanalysis.plans.knapsack import Found, solve_knapsack
from qanalysis.plans.problem import Limit, Problem

#: Looks at one unit under one set of formats, all together, that take about a second.
_MOST_LOOKS = 2e8
_AT_ONCE = 2_000_000


def can_try_formats(problem: Problem) -> bool:
    """Whether there is at most one limit, no chain, and no more sets of formats than can be looked at."""
    if problem.most_formats is None or problem.chains or len(problem.limits) > 1:
        return False
    formats = len(_list_formats(problem))
    chosen = min(problem.most_formats, formats)
    return math.comb(formats, chosen) * chosen * len(problem.costs) <= _MOST_LOOKS


def solve_formats(problem: Problem, *, seconds: float = np.inf) -> Found | None:
    """The choice of least cost with at most `most_formats` formats, None where there is none.

    A solved set gives the price of size at which the others are judged: most need never be solved. After `seconds`
    the best choice so far, with its bound.
    """
    ends = time.perf_counter() + seconds
    sets = _Sets.write(problem)
    chosen = sets.list_all(problem.most_formats or 0)
    bounds = sets.bound(chosen, 0.0)
    chosen, bounds = chosen[np.isfinite(bounds)], bounds[np.isfinite(bounds)]
    best: Found | None = None
    least, lost = np.inf, np.inf
    while len(chosen):
        at = int(bounds.argmin())
        found = sets.solve(chosen[at], ends - time.perf_counter())
        chosen, bounds = np.delete(chosen, at, axis=0), np.delete(bounds, at)
        if found is not None:
            lost = min(lost, found.bound)
            cost = problem.total(found.choice)
            best, least = (found, cost) if cost < least else (best, least)
            bounds = np.maximum(bounds, sets.bound(chosen, found.rate))
        if best is not None and time.perf_counter() > ends:
            lost = min(lost, float(bounds.min(initial=np.inf)))
            break
        open_still = bounds < least
        chosen, bounds = chosen[open_still], bounds[open_still]
    return None if best is None else Found(best.choice, min(lost, least), best.rate)


def _list_formats(problem: Problem) -> Codes:
    return np.unique(np.concatenate(problem.formats))


@dataclass(frozen=True, slots=True, eq=False)
class _Sets:
    """Options (units, options): figures infinite and formats -1 where a unit has fewer; formats are 0, 1, 2, ..."""

    costs: Doubles
    sizes: Doubles
    formats: Codes
    count: int
    most: float

    @classmethod
    def write(cls, problem: Problem) -> _Sets:
        limit = problem.limits[0] if problem.limits else Limit("", problem.costs, np.inf)
        costs, sizes = pad(problem.costs), pad(limit.figures)
        names = _list_formats(problem)
        padded = pad([np.searchsorted(names, one).astype(float) for one in problem.formats])
        formats = np.where(np.isfinite(padded), padded, -1).astype(np.int64)
        return cls(costs, sizes, formats, len(names), limit.allowed)

    def list_all(self, chosen: int) -> Codes:
        """Every set (sets, chosen)."""
        return np.array(list(combinations(range(self.count), min(chosen, self.count))), np.int64)

    def bound(self, sets: Codes, rate: float) -> Doubles:
        """The least that any choice of each set costs, where a unit of size has the price `rate`."""
        priced = self.costs + rate * self.sizes if rate else self.costs
        least = np.stack([np.where(self.formats == one, priced, np.inf).min(axis=1) for one in range(self.count)])
        bounds = np.empty(len(sets))
        step = max(1, _AT_ONCE // len(self.costs))
        for start in range(0, len(sets), step):
            part = sets[start : start + step]
            lowest = least[part[:, 0]]
            for column in part[:, 1:].T:
                np.minimum(lowest, least[column], out=lowest)
            bounds[start : start + step] = lowest.sum(axis=1)
        return bounds - rate * self.most if rate else bounds

    def solve(self, formats: Codes, seconds: float) -> Found | None:
        """The best choice of one set."""
        inside = np.isin(self.formats, formats)
        return solve_knapsack(
            np.where(inside, self.costs, np.inf), np.where(inside, self.sizes, np.inf), self.most, seconds=seconds
        )
