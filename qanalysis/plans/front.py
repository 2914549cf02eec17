"""Which plans are worth having at any size? The lower convex hull, greedy steps between, and exact points."""

from __future__ import annotations

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
    out at even sizes between the others, `seconds` the most time that each of them takes; `points` is how many of the
    hull are kept at most, evenly in size, None for all. Raises InfeasibleError where nothing keeps the constraints.
    """
    costs, extent = pad(problem.costs), pad(sizes)
    steps = trace_steps(costs, extent)
    chosen = _choose_all(steps, _spread(steps.sizes, points))
    found: list[tuple[PointKind, Codes]] = [("hull", one) for one in chosen]
    found += [("greedy", one) for one in _fill_gaps(steps, costs, extent)]
    if problem.limits or problem.chains or problem.most_formats is not None:
        found = [(kind, one) for kind, one in found if problem.keeps_limits(one) and problem.keeps_order(one)]
        found += [("exact", one) for one in _find_ends(problem, sizes, seconds)]
    if exact:
        ends = [problem.total(one, sizes) for _kind, one in (found[0], found[-1])]
        targets = np.linspace(min(ends), max(ends), exact + 2)[1:-1]
        found += [("exact", solve(_limit(problem, sizes, to), seconds=seconds).choice) for to in targets]
    return _sort(found, costs, extent)


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


def _find_ends(problem: Problem, sizes: tuple[Doubles, ...], seconds: float) -> list[Codes]:
    """The smallest choice that keeps the constraints, at its least cost, and the one of least cost."""
    smallest = solve(problem.minimise(sizes, problem.limits), seconds=seconds)
    return [
        solve(_limit(problem, sizes, smallest.cost), seconds=seconds).choice,
        solve(problem, seconds=seconds).choice,
    ]


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
