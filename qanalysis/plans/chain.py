"""Which choice costs least where no unit may rank below the one before it? Decided from the first unit to the last."""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.plans.knapsack import Found
from qanalysis.plans.problem import Problem


def is_one_chain(problem: Problem) -> bool:
    """Whether one chain through all units, each once, is the only constraint."""
    if problem.limits or problem.most_formats is not None or len(problem.chains) != 1:
        return False
    return sorted(problem.chains[0]) == list(range(len(problem.costs)))


def solve_chain(problem: Problem) -> Found | None:
    """The choice of least cost along one chain, None where the ranks leave none.

    The least cost of the units so far that end at most at a rank is enough to decide the next one.
    """
    (chain,) = problem.chains
    ranks = np.unique(np.concatenate([problem.ranks[unit] for unit in chain]))
    least = np.zeros(len(ranks))
    trail: list[tuple[Codes, Codes]] = []
    for unit in chain:
        # where the cheapest way to end at most at each rank came from
        ends = np.array([int(least[: upto + 1].argmin()) for upto in range(len(ranks))], np.int64)
        priced = np.full(len(ranks), np.inf)
        options = np.zeros(len(ranks), np.int64)
        for option in np.argsort(problem.costs[unit], kind="stable")[::-1]:
            at = np.searchsorted(ranks, problem.ranks[unit][option])
            priced[at], options[at] = problem.costs[unit][option], option
        trail.append((options, ends))
        least = least[ends] + priced
    at = int(least.argmin())
    if not np.isfinite(least[at]):
        return None
    choice = np.zeros(len(problem.costs), np.int64)
    for unit, (options, ends) in zip(reversed(chain), reversed(trail), strict=True):
        choice[unit] = options[at]
        at = int(ends[at])
    return Found(choice, problem.total(choice))
