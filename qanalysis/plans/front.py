"""Which plans are worth having at any size? The lower convex hull, greedy steps between, and exact points."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.hull import Steps, pad, trace_steps
from qanalysis.plans.knapsack import improve
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import Limit, Problem

PointKind = Literal["hull", "greedy", "exact"]

#: Sizes, evenly between the smallest and the largest, at which greedy points are looked for where the hull has none.
_BETWEEN = 100
#: Points of the hull that are looked for one by one where constraints tie the units.
_BISECTED = 33
#: Less than this part of a price is rounding, not a new point.
_SAME = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class FrontPoint:
    """A choice that no other one beats in both cost and size, as far as its kind tells: points of the hull are optimal
    at their own size, exact ones are optima of the planner, greedy ones lie between.
    """

    kind: PointKind
    choice: Codes
    cost: float
    size: float


def trace_front(
    problem: Problem, sizes: tuple[Doubles, ...], *, exact: int = 0, points: int | None = None, seconds: float = 10.0
) -> tuple[FrontPoint, ...]:
    """Choices from the smallest size to the least cost, ascending in size and strictly descending in cost.

    `sizes` has one array of option sizes for each unit. The problem's limits, formats and chains hold for every point;
    what is drawn is a size without a limit, so that the problem has none of it. `exact` is how many optima are worked
    out at even sizes between the others; `points` is how many of the hull are kept at most, evenly in size, None for
    all. Under constraints the hull is looked for point by point, for at most `seconds`, and as long again for the
    exact points. Raises InfeasibleError where nothing keeps the constraints.
    """
    costs, extent = pad(problem.costs), pad(sizes)
    steps = trace_steps(costs, extent)
    found: list[tuple[PointKind, Codes]] = [("hull", one) for one in _choose_all(steps, _spread(steps.sizes, points))]
    found += [("greedy", one) for one in _fill_gaps(steps, costs, extent)]
    if problem.limits or problem.chains or problem.most_formats is not None:
        found = [(kind, one) for kind, one in found if problem.keeps_limits(one) and problem.keeps_order(one)]
        found += [("hull", one) for one in _bisect(problem, sizes, seconds)]
    front = _sort(found, costs, extent)
    if exact and len(front) > 1:
        each = seconds / exact
        targets = np.linspace(front[0].size, front[-1].size, exact + 2)[1:-1]
        found += [("exact", solve(_limit(problem, sizes, to), seconds=each).choice) for to in targets]
        front = _sort(found, costs, extent)
    return front


def _spread(sizes: Doubles, points: int | None) -> Codes:
    """Places of at most that many sizes, the nearest to even ones, the first and the last among them."""
    if points is None or len(sizes) <= points:
        return np.arange(len(sizes))
    wanted = np.linspace(sizes[0], sizes[-1], points)
    return np.unique(np.abs(np.searchsorted(sizes, wanted)).clip(max=len(sizes) - 1))


def _choose_all(steps: Steps, places: Codes) -> Iterable[Codes]:
    choice, last, chosen = steps.first.copy(), 0, []
    for place in places:
        choice[steps.units[last:place]] = steps.options[last:place]
        chosen.append(choice.copy())
        last = place
    return chosen


def _fill_gaps(steps: Steps, costs: Doubles, sizes: Doubles) -> Iterable[Codes]:
    """Greedy choices at even sizes, where the hull leaves more than an even step open."""
    targets = np.linspace(steps.sizes[0], steps.sizes[-1], _BETWEEN + 1)[1:-1]
    below = np.searchsorted(steps.sizes, targets, side="right") - 1
    open_by = targets - steps.sizes[below]
    wide = open_by >= (steps.sizes[-1] - steps.sizes[0]) / _BETWEEN
    return [
        improve(costs, sizes, float(target), steps.choose(int(place)))
        for target, place in zip(targets[wide], below[wide], strict=True)
    ]


def _limit(problem: Problem, sizes: tuple[Doubles, ...], most: float) -> Problem:
    return replace(problem, limits=(*problem.limits, Limit("size", sizes, most)))


def _bisect(problem: Problem, sizes: tuple[Doubles, ...], seconds: float) -> list[Codes]:
    """Points of the hull under constraints: the ends, then what is best at the price between two neighbours, widest
    first, until none is new (Cohon 1978), there are enough or time is over.
    """
    ends = time.perf_counter() + seconds
    smallest = solve(problem.minimise(sizes, problem.limits), seconds=seconds)
    first = solve(_limit(problem, sizes, smallest.cost), seconds=seconds).choice
    last = solve(problem, seconds=seconds).choice
    found, open_still = [first, last], [(first, last)]
    while open_still and len(found) < _BISECTED and time.perf_counter() < ends:
        open_still.sort(key=lambda pair: problem.total(pair[1], sizes) - problem.total(pair[0], sizes))
        left, right = open_still.pop()
        saved = problem.total(left) - problem.total(right)
        added = problem.total(right, sizes) - problem.total(left, sizes)
        if saved <= 0 or added <= 0:
            continue
        rate = saved / added
        priced = tuple(cost + rate * size for cost, size in zip(problem.costs, sizes, strict=True))
        choice = solve(problem.minimise(priced, problem.limits), seconds=max(ends - time.perf_counter(), 0.1)).choice
        price = problem.total(left, priced)
        if problem.total(choice, priced) < price - _SAME * abs(price):
            found.append(choice)
            open_still += [(left, choice), (choice, right)]
    return found


def _sort(found: list[tuple[PointKind, Codes]], costs: Doubles, sizes: Doubles) -> tuple[FrontPoint, ...]:
    """By size, without those that another one beats or equals; of equal ones the first found."""
    choices = np.stack([one for _kind, one in found])
    every = np.arange(choices.shape[1])
    cost, size = costs[every, choices].sum(axis=1), sizes[every, choices].sum(axis=1)
    order = np.lexsort((np.arange(len(found)), cost, size))
    before = np.concatenate([[np.inf], np.minimum.accumulate(cost[order])[:-1]])
    return tuple(
        FrontPoint(found[at][0], choices[at], float(cost[at]), float(size[at])) for at in order[cost[order] < before]
    )
