"""Which choices are the best at their own size? The lower convex hull of all sums, from the hulls of the units.

The lower hull of a sum of independent choices is the steps along the hulls of the units, sorted by what they save for
each unit of size (the linear relaxation of the multiple-choice knapsack, Sinha and Zoltners 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Codes, Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A first choice of least size, and steps that each change one unit for the better.

    Choice k is the first one with k steps taken, k from 0 to `len(units)`: step k turns unit units[k] to options[k] and
    saves rates[k] of cost for each unit of size; rates never rise. `sizes` (k + 1) ascend and `costs` descend.
    """

    first: Codes
    units: Codes
    options: Codes
    rates: Doubles
    sizes: Doubles
    costs: Doubles

    def choose(self, count: int) -> Codes:
        """The choice after `count` steps."""
        choice = self.first.copy()
        choice[self.units[:count]] = self.options[:count]
        return choice


def pad(figures: Sequence[Doubles]) -> Doubles:
    """Figures of all options as (units, most options), infinite where a unit has fewer."""
    lengths = np.array([len(one) for one in figures], np.int64)
    padded = np.full((len(lengths), int(lengths.max(initial=0))), np.inf)
    if len(lengths):
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(figures)
    return padded


def trace_steps(costs: Doubles, sizes: Doubles) -> Steps:
    """The lower hull of padded `costs` and `sizes` (units, options), from the least size to the least cost.

    Of options alike in size and cost the first is taken. Costs are summed from their least end, so that the small
    differences there keep their digits.
    """
    count = len(costs)
    every = np.arange(count)
    smallest = sizes == sizes.min(axis=1, keepdims=True) if count else np.zeros((0, 0), bool)
    at = np.where(smallest, costs, np.inf).argmin(axis=1) if count else np.zeros(0, np.int64)
    first = at.copy()
    rates = np.full(count, np.inf)
    taken: list[tuple[Codes, Codes, Doubles, Doubles, Doubles]] = []
    while len(every):
        saved = costs[every, at][:, None] - costs[every]
        added = sizes[every] - sizes[every, at][:, None]
        is_step = (saved > 0) & (added > 0) & np.isfinite(added)
        with np.errstate(all="ignore"):
            rate = np.where(is_step, saved / added, -np.inf)
        best = rate.max(axis=1)
        # of options on one line the farthest: one step of a hull, not several
        to = np.where(rate == best[:, None], added, -np.inf).argmax(axis=1)
        going = best > 0
        every, to, best = every[going], to[going], np.minimum(best[going], rates[going])
        rows = np.flatnonzero(going)
        taken.append((every, to, best, saved[rows, to], added[rows, to]))
        at, rates = to, best
    return _join(first, taken, costs, sizes)


def _join(
    first: Codes, taken: list[tuple[Codes, Codes, Doubles, Doubles, Doubles]], costs: Doubles, sizes: Doubles
) -> Steps:
    """All steps by their rates; those of one unit keep their order, which a stable sort leaves."""
    if not taken:
        return Steps(first, first, first, np.zeros(0), np.zeros(1), np.zeros(1))
    units, options, rates, saved, added = (np.concatenate(parts) for parts in zip(*taken, strict=True))
    order = np.argsort(-rates, kind="stable")
    units, options, rates, saved, added = (one[order] for one in (units, options, rates, saved, added))
    last = first.copy()
    last[units] = options
    every = np.arange(len(first))
    above = np.concatenate([np.cumsum(saved[::-1])[::-1], [0.0]])
    below = np.concatenate([[0.0], np.cumsum(added)])
    return Steps(first, units, options, rates, sizes[every, first].sum() + below, costs[every, last].sum() + above)
