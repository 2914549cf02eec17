"""Which choice costs least within one limit? The multiple-choice knapsack, exactly.

The hull gives a bound and, rounded down, a choice; options whose reduced cost exceeds the difference of the two are
in no better choice (Dyer 1984). What is left, the core, is decided unit by unit: partial sums that another one
dominates, or that the hull of the undecided units shows to lead nowhere, are dropped (Pisinger 1995).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.plans.hull import trace_steps

#: Differences below this part of the sum of absolute costs are rounding, not savings.
RESOLUTION = 1e-12
#: Part of the cost that is left open where it is all that is left to prove.
CLOSE = 5e-10
#: Partial sums held at once; a first pass with few finds a good choice, which leaves the second less to do.
WIDTHS = (2_000, 20_000, 100_000)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A choice, the least that any choice costs, up to rounding, and the price of size that shows it."""

    choice: Codes
    bound: float
    rate: float = 0.0


def solve_knapsack(costs: Doubles, sizes: Doubles, most: float, *, seconds: float = np.inf) -> Found | None:
    """The choice of least cost whose sizes add up to at most `most`; None where there is none.

    `costs` and `sizes` are (units, options), both infinite where a unit has fewer options. After `seconds` the best
    choice so far, with its bound.
    """
    ends = time.perf_counter() + seconds
    finite = sizes[np.isfinite(sizes)]
    if np.array_equal(finite, np.rint(finite)):
        most = np.floor(most)  # a sum of whole sizes is whole: no room is left that nothing can fill
    steps = trace_steps(costs, sizes)
    count = len(steps.units)
    while count >= 0 and _total(sizes, steps.choose(count)) > most:
        # the running sum is rounded otherwise than the sum of the choice: at most a step or two are taken back
        count = min(count - 1, int(np.searchsorted(steps.sizes, most, side="right")))
    if count < 0:
        return None
    choice = steps.choose(count)
    if count == len(steps.units):
        return Found(choice, _total(costs, choice))
    priced = steps.costs[count] - steps.rates[count] * (most - steps.sizes[count])
    choice = _fill(costs, sizes, most, choice, steps.choose(count + 1))
    bound = priced
    for width in WIDTHS:
        core = _Core(costs, sizes, most, choice, steps.rates[count], priced)
        choice, proven = core.decide(width, ends)
        bound, cost = max(bound, proven), _total(costs, choice)
        if cost - bound <= core.close or time.perf_counter() > ends:
            break
    return Found(choice, min(bound, _total(costs, choice)), float(steps.rates[count]))


def _total(figures: Doubles, choice: Codes) -> float:
    return float(figures[np.arange(len(choice)), choice].sum())


def _fill(costs: Doubles, sizes: Doubles, most: float, within: Codes, beyond: Codes) -> Codes:
    """The better of two greedy choices: one that fills what is left, one that first takes back what is too much."""
    found = [improve(costs, sizes, most, within)]
    every = np.arange(len(beyond))
    less = sizes[every, beyond][:, None] - sizes
    enough = less >= _total(sizes, beyond) - most
    if enough.any():
        price = np.where(enough, costs - costs[every, beyond][:, None], np.inf)
        unit, option = np.unravel_index(int(price.argmin()), price.shape)
        changed = beyond.copy()
        changed[unit] = option
        if _total(sizes, changed) <= most:
            found.append(improve(costs, sizes, most, changed))
    return min(found, key=lambda one: _total(costs, one))


def improve(costs: Doubles, sizes: Doubles, most: float, choice: Codes) -> Codes:
    """Change one unit after another, each time the change that saves most of those that fit."""
    choice, every = choice.copy(), np.arange(len(choice))
    while True:
        room = most - _total(sizes, choice)
        fits = sizes - sizes[every, choice][:, None] <= room
        price = np.where(fits, costs - costs[every, choice][:, None], np.inf)
        unit, option = np.unravel_index(int(price.argmin()), price.shape)
        if not price[unit, option] < 0:
            return choice
        before = choice[unit]
        choice[unit] = option
        if _total(sizes, choice) > most:
            choice[unit] = before
            return choice


class _Core:
    """Options that may be in a better choice than the one at hand, and the units that have several of them."""

    def __init__(self, costs: Doubles, sizes: Doubles, most: float, choice: Codes, rate: float, bound: float) -> None:
        self.costs, self.sizes, self.most, self.choice, self.bound = costs, sizes, most, choice, bound
        every = np.arange(len(choice))
        self.least = _total(costs, choice)
        self.resolution = RESOLUTION * float(np.abs(costs[every, choice]).sum())
        self.close = max(self.resolution, CLOSE * abs(self.least))
        with np.errstate(invalid="ignore"):
            priced = costs + rate * sizes
        reduced = np.where(np.isfinite(priced), priced - priced.min(axis=1, keepdims=True), np.inf)
        kept = reduced <= self.least - bound + self.resolution
        kept[every, choice] = True
        several = np.flatnonzero(kept.sum(axis=1) > 1)
        second = np.partition(reduced[several], 1, axis=1)[:, 1]
        #: units in the order of decision: first those that hesitate most
        self.units = several[np.argsort(second, kind="stable")]
        self.kept = [np.flatnonzero(kept[unit]) for unit in self.units]
        single = np.ones(len(choice), bool)
        single[several] = False
        self.fixed = np.where(single, kept.argmax(axis=1), choice)
        self.start = (_total(sizes[single], self.fixed[single]), _total(costs[single], self.fixed[single]))
        inside = kept[self.units]
        self.steps = trace_steps(
            np.where(inside, costs[self.units], np.inf), np.where(inside, sizes[self.units], np.inf)
        )

    def decide(self, width: int, ends: float) -> tuple[Codes, float]:
        """The best choice and the bound, with at most `width` partial sums at once."""
        size, cost = np.array([self.start[0]]), np.array([self.start[1]])
        trail: list[tuple[Codes, Codes]] = []
        lost = self.least
        for stage, unit in enumerate(self.units):
            options = self.kept[stage]
            size = (size[:, None] + self.sizes[unit, options]).ravel()
            cost = (cost[:, None] + self.costs[unit, options]).ravel()
            rest = self._rest(stage + 1)
            bounds = rest.bound(size, cost, self.most)
            self._complete(rest, size, cost, trail)
            places = np.flatnonzero(bounds < self.least - self.resolution)
            if time.perf_counter() > ends:
                lost = min(lost, float(bounds[places].min(initial=np.inf)))
                break
            places = self._drop_dominated(size, cost, places)
            if len(places) > width:
                order = np.argpartition(bounds[places], width)
                lost = min(lost, float(bounds[places[order[width:]]].min()))
                places = np.sort(places[order[:width]])
            trail.append((places // len(options), options[places % len(options)]))
            size, cost = size[places], cost[places]
            if not len(places) or self.least - self.bound <= self.close:
                break
        return self.choice, max(self.bound, min(lost, self.least))

    def _drop_dominated(self, size: Doubles, cost: Doubles, places: Codes) -> Codes:
        """Those that no smaller one undercuts; what all units together lose by it is below the resolution."""
        order = places[np.lexsort((cost[places], size[places]))]
        before = np.minimum.accumulate(cost[order])
        kept = np.ones(len(order), bool)
        kept[1:] = cost[order[1:]] < before[:-1] - self.resolution / len(self.units)
        return order[kept]

    def _rest(self, stage: int) -> _Rest:
        undecided = self.steps.units >= stage
        every = np.arange(stage, len(self.units))
        first = self.steps.first[stage:]
        sizes, costs = (
            np.concatenate([[figures[self.units[every], first].sum()], change[undecided]]).cumsum()
            for figures, change in ((self.sizes, np.diff(self.steps.sizes)), (self.costs, np.diff(self.steps.costs)))
        )
        return _Rest(stage, np.flatnonzero(undecided), sizes, costs)

    def _complete(self, rest: _Rest, size: Doubles, cost: Doubles, trail: list[tuple[Codes, Codes]]) -> None:
        """Take the best of the partial sums, each completed by the hull of the rest, if it is better than all."""
        taken = np.searchsorted(rest.sizes, self.most - size, side="right") - 1
        total = np.where(taken >= 0, cost + rest.costs[np.maximum(taken, 0)], np.inf)
        best = int(total.argmin())
        if not total[best] < self.least:
            return
        choice = self.fixed.copy()
        choice[self.units[rest.stage :]] = self.steps.first[rest.stage :]
        steps = rest.steps[: taken[best]]
        choice[self.units[self.steps.units[steps]]] = self.steps.options[steps]
        options = self.kept[rest.stage - 1]
        choice[self.units[rest.stage - 1]] = options[best % len(options)]
        at = best // len(options)
        for stage in reversed(range(rest.stage - 1)):
            parents, picked = trail[stage]
            choice[self.units[stage]] = picked[at]
            at = parents[at]
        least = _total(self.costs, choice)
        if least < self.least and _total(self.sizes, choice) <= self.most:
            self.choice, self.least = choice, least


@dataclass(frozen=True, slots=True, eq=False)
class _Rest:
    """Units that are undecided from a stage on: the sums along their own hull, and which steps of the core it has."""

    stage: int
    steps: Codes
    sizes: Doubles
    costs: Doubles

    def bound(self, size: Doubles, cost: Doubles, most: float) -> Doubles:
        """The least that partial sums can come to; infinite where the rest has no room."""
        room = most - size
        return np.where(room < self.sizes[0], np.inf, cost + np.interp(room, self.sizes, self.costs))
