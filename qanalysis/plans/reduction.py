"""What of a problem does not matter? It is left out: idle constraints, options that another one beats, other parts.

Units that no constraint ties together are problems of their own; options that are worse in every figure than another
one of their unit, or that break a limit by themselves, are in no best choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles, Reals
from qanalysis.plans.hull import pad
from qanalysis.plans.problem import Limit, Problem

#: Figures are whole multiples of a part of this of a bit or a byte where their sums can be exact.
_PARTS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A problem of some units of a larger one; `options` has the places there of the options of each."""

    problem: Problem
    units: Codes
    options: tuple[Codes, ...]

    def place(self, choice: Codes, whole: Codes) -> None:
        """Write a choice of this part into one of the larger problem."""
        whole[self.units] = [kept[at] for kept, at in zip(self.options, choice, strict=True)]


def split(problem: Problem) -> list[Part] | None:
    """The parts that are decided one by one, without what does not matter; None where a limit allows nothing."""
    problem = _drop_idle(problem)
    kept = _keep_useful(problem)
    if kept is None:
        return None
    every = np.arange(len(problem.costs))
    reduced = _take(problem, every, kept)
    limits = [_make_whole(one) for one in reduced.limits]
    return [_make_part(replace(reduced, limits=tuple(limits)), units, kept) for units in _tie(reduced)]


def _drop_idle(problem: Problem) -> Problem:
    """Without constraints that every choice keeps."""
    formats = problem.most_formats
    if formats is not None and len({int(one) for own in problem.formats for one in own}) <= formats:
        formats = None
    return replace(
        problem,
        limits=tuple(one for one in problem.limits if sum(float(x.max()) for x in one.figures) > one.allowed),
        most_formats=formats,
        chains=tuple(one for one in problem.chains if len(one) > 1),
    )


def _keep_useful(problem: Problem) -> tuple[Codes, ...] | None:
    """The places of the options of each unit that may be in a best choice; None where a unit has none."""
    costs = pad(problem.costs)
    useful = np.isfinite(costs)
    figures = [pad(one.figures) for one in problem.limits]
    count = -1
    while count != useful.sum():  # what one limit takes away may leave less room within another
        count = useful.sum()
        for one, limit in zip(figures, problem.limits, strict=True):
            least = np.where(useful, one, np.inf).min(axis=1)
            if not least.sum() <= limit.allowed:
                return None
            useful &= one - least[:, None] <= limit.allowed - least.sum()
    if len(costs):
        useful &= ~_find_beaten([costs, *figures], _find_alike(problem, costs.shape), useful)
    return tuple(np.flatnonzero(one) for one in useful)


def _find_alike(problem: Problem, shape: tuple[int, ...]) -> list[Doubles]:
    """Numbers that must be the same in two options for one of them to stand for the other."""
    alike = []
    chained = np.zeros(shape[0], bool)
    chained[[unit for chain in problem.chains for unit in chain]] = True
    if problem.most_formats is not None:
        alike.append(pad([one.astype(float) for one in problem.formats]))
    if problem.chains:
        alike.append(np.where(chained[:, None], pad([one.astype(float) for one in problem.ranks]), 0.0))
    return alike


def _find_beaten(figures: Sequence[Doubles], alike: Sequence[Doubles], useful: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Options with another one of their unit that is at most as much in all figures, less in one or earlier."""
    beaten = np.zeros_like(useful)
    earlier = np.arange(useful.shape[1])
    for other in range(useful.shape[1]):
        at_most = useful[:, other : other + 1] & useful
        less = np.broadcast_to(other < earlier, useful.shape).copy()
        for one in figures:
            at_most &= one[:, other : other + 1] <= one
            less |= one[:, other : other + 1] < one
        for numbers in alike:
            at_most &= numbers[:, other : other + 1] == numbers
        beaten |= at_most & less
    return beaten


def _take(problem: Problem, units: Codes, kept: Sequence[Codes]) -> Problem:
    """Some units with some of their options; chains of other units are left out."""

    def take(figures: Sequence[Reals]) -> tuple[Reals, ...]:
        return tuple(figures[unit][options] for unit, options in zip(units, kept, strict=True)) if figures else ()

    places = {int(unit): place for place, unit in enumerate(units)}
    return Problem(
        take(problem.costs),
        tuple(Limit(one.name, take(one.figures), one.most) for one in problem.limits),
        take(problem.formats),
        problem.most_formats,
        tuple(tuple(places[unit] for unit in chain) for chain in problem.chains if chain[0] in places),
        take(problem.ranks),
    )


def _make_whole(limit: Limit) -> Limit:
    """A limit with figures that are whole up to rounding, as exact multiples of their greatest divisor; others as
    they are. The bound becomes half a multiple more than the greatest sum allowed, so that no rounding matters.
    """
    joined = np.concatenate(limit.figures) * _PARTS
    whole = np.rint(joined)
    noise = 4 * np.finfo(float).eps * np.abs(joined)
    if not 0 < float(np.abs(joined).max()) * len(limit.figures) < 2.0**52 or (np.abs(whole - joined) > noise).any():
        return Limit(limit.name, limit.figures, limit.allowed)
    divisor = int(np.gcd.reduce(whole.astype(np.int64)))
    starts = np.cumsum([len(one) for one in limit.figures])[:-1]
    most = np.floor(limit.allowed * _PARTS / divisor) + 0.5
    return Limit(limit.name, tuple(np.split(whole / divisor, starts)), float(most))


def _tie(problem: Problem) -> list[Codes]:
    """The units of each part: tied by a limit whose figure differs among their options, a chain, or formats.

    Units that nothing ties are one part: within what is left of them every choice keeps every limit.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count = len(problem.costs)
    ties = [np.flatnonzero([np.ptp(one) > 0 for one in limit.figures]) for limit in problem.limits]
    ties += [np.array(chain) for chain in problem.chains]
    if problem.most_formats is not None:
        ties.append(np.arange(count))
    pairs = np.concatenate([np.stack([one[:-1], one[1:]]) for one in ties] + [np.zeros((2, 0), np.int64)], axis=1)
    graph = csr_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1] if count else np.zeros(0, np.int64)
    alone = np.bincount(labels, minlength=1)[labels] == 1
    parts = [np.flatnonzero((labels == part) & ~alone) for part in np.unique(labels[~alone])]
    return [*parts, np.flatnonzero(alone)] if alone.any() else parts


def _make_part(problem: Problem, units: Codes, kept: Sequence[Codes]) -> Part:
    """Some units with the limits that tie them; what the others have of these, one figure each, is taken off."""
    inside = np.zeros(len(problem.costs), bool)
    inside[units] = True
    limits = []
    for limit in problem.limits:
        if sum(np.ptp(limit.figures[unit]) > 0 for unit in units) > 1:
            others = math.fsum(one[0] for one, own in zip(limit.figures, inside, strict=True) if not own)
            limits.append(replace(limit, most=limit.most - others))
    every = [np.arange(len(problem.costs[unit])) for unit in units]
    return Part(_take(replace(problem, limits=tuple(limits)), units, every), units, tuple(kept[unit] for unit in units))
