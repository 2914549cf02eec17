"""What is the smallest choice whose loss keeps a bound? Found from the other side: the least loss within a size.

The least loss of a size falls as the size grows, so the smallest size whose least loss keeps the bound is found by
halving. Sizes are whole numbers of bits with a common step, which the search ends at: what is found is proven. Asked
directly there are a great many answers of one size, which no bound tells apart.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import InfeasibleError, Limit, Problem, Solution

_RELATIVE = 1e-9
_STEP_S = 10.0
#: Options of all units together up to which two limits at once are solved for a tie.
_MOST_OPTIONS = 2000


def find_smallest(
    problem: Problem, costs: tuple[Doubles, ...], *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Solution:
    """The choice of least `problem.costs`, which are sizes, within its limits; of several the one of least `costs`.

    Raises InfeasibleError where no choice keeps the limits.
    """
    ends = clock() + seconds
    is_plain = len(problem.limits) == 1 and problem.most_formats is None and not problem.chains
    found = _halve(problem, ends, clock) if is_plain else solve(problem, seconds=seconds)
    return _break_ties(found, problem, costs, max(ends - clock(), 0.1)) if found.is_proven else found


def _halve(problem: Problem, ends: float, clock: Callable[[], float]) -> Solution:
    """The least size by one limit, to the step of sizes."""
    sizes, limit = problem.costs, problem.limits[0]
    least = np.array([int(np.lexsort((one, figures))[0]) for one, figures in zip(sizes, limit.figures, strict=True)])
    if not problem.keeps_limits(least):
        solve(problem)  # says what is nearest
    step, low = _find_step(sizes), sum(float(one.min()) for one in sizes)
    choice = least.astype(np.int64)
    high = problem.total(choice)
    low -= step
    floor = low  # no smaller one keeps the limit, for sure
    while high - low > max(step, _RELATIVE * high) * (1 + _RELATIVE):
        if clock() > ends:
            break
        most = high - step * max(1.0, math.floor((high - low) / (2 * step))) if step > 0 else (low + high) / 2
        found = _find_least(problem, limit, most, min(max(ends - clock(), 0.1), _STEP_S))
        if found is not None and problem.keeps_limits(found.choice):
            choice, high = found.choice, problem.total(found.choice)
        else:
            low = most
            floor = most if found is None or found.bound > limit.allowed else floor
    is_proven = floor == low and high - low <= max(step, _RELATIVE * high) * (1 + _RELATIVE)
    return Solution(choice, high, high if is_proven else min(floor + step, high), is_proven)


def _find_least(problem: Problem, limit: Limit, most: float, seconds: float) -> Solution | None:
    """The least loss within a size; None where nothing is so small."""
    try:
        return solve(problem.minimise(limit.figures, [Limit("size", problem.costs, most)]), seconds=seconds)
    except InfeasibleError:
        return None


def _find_step(sizes: tuple[Doubles, ...]) -> float:
    """What all sizes differ by a multiple of; 0 where they are no whole numbers."""
    differences = np.concatenate([one - one[0] for one in sizes])
    if not np.array_equal(differences, np.rint(differences)):
        return 0.0
    step = int(np.gcd.reduce(np.abs(differences).astype(np.int64)))
    return float(step)


def _break_ties(found: Solution, problem: Problem, costs: tuple[Doubles, ...], seconds: float) -> Solution:
    """Of the choices that are as small the one of least cost: exact where the limits then hold by themselves, or where
    the problem is small.
    """
    size = Limit("size", problem.costs, found.cost)
    same = problem.minimise(costs, [*problem.limits, size])
    choice: Codes = found.choice
    for limits in ([size], same.limits):
        if len(limits) > 1 and sum(map(len, costs)) > _MOST_OPTIONS:
            break
        try:
            second = solve(same.minimise(costs, limits), seconds=seconds).choice
        except InfeasibleError:
            break
        if same.keeps_limits(second):
            choice = second if same.total(second) < same.total(choice) else choice
            break
    return Solution(choice, found.cost, found.bound, found.is_proven)
