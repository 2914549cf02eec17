"""What is to be decided? Units with options, each option with a figure that is made small and figures with a limit.

Nothing here knows tensors or schemes: a unit is one choice among its options, a limit a bound on the sum of figures of
what is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.notation import shorten

#: Sums of a thousand figures in another order differ by a part in 1e13; a limit holds up to this part of it.
ROUNDING = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """Σ over units of figures[unit][choice] ≤ most; one array of option figures for each unit.

    `most` is finite or +inf, figures are finite. Raises ValueError for others.
    """

    name: str
    figures: tuple[Doubles, ...]
    most: float

    def __post_init__(self) -> None:
        if math.isnan(self.most) or self.most == -math.inf:
            raise ValueError(f"the limit of {shorten(self.name, 60)} is {self.most}: it must be a number")
        _check_finite(self.figures, self.name)

    @property
    def allowed(self) -> float:
        """The greatest sum that keeps the limit: `most` with room for the rounding of sums, so that a limit that is
        the sum of a choice allows that choice.
        """
        if not math.isfinite(self.most):
            return self.most
        room = ROUNDING * abs(self.most)
        lowest = min((float(one.min()) for one in self.figures), default=0.0)
        if lowest < 0:  # terms cancel, the sum is rounded as its terms are
            room = max(room, 4 * np.finfo(float).eps * sum(float(np.abs(one).max()) for one in self.figures))
        return self.most + room


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Choose one option for each unit so that the sum of `costs` is least within all limits.

    `costs` has one array of option figures for each unit; finite, may be negative. `formats` has for each unit the
    number of each option's format, and at most `most_formats` different ones may be chosen; None for any number.
    `chains` are units that must not fall: along each chain the rank of the choice, by `ranks`, never decreases.
    Raises ValueError for a unit without options, a figure that is no finite number and figures of other units.
    """

    costs: tuple[Doubles, ...]
    limits: tuple[Limit, ...] = ()
    formats: tuple[Codes, ...] = ()
    most_formats: int | None = None
    chains: tuple[tuple[int, ...], ...] = ()
    ranks: tuple[Codes, ...] = field(default=())

    def __post_init__(self) -> None:
        for unit, costs in enumerate(self.costs):
            if not len(costs):
                raise ValueError(f"unit {unit} has no option: there is nothing to choose")
        _check_finite(self.costs, "cost")
        for limit in self.limits:
            self._check_shape(limit.figures, limit.name)
        if self.most_formats is not None:
            self._check_shape(self.formats, "format")
            if self.most_formats < 1:
                raise ValueError(f"at most {self.most_formats} different formats: at least one is needed")
        if self.chains:
            self._check_shape(self.ranks, "rank")
            for unit in (unit for chain in self.chains for unit in chain):
                if not 0 <= unit < len(self.costs):
                    raise ValueError(f"a chain has unit {unit}; there are {len(self.costs)} units, from 0")

    def _check_shape(self, figures: Sequence[Doubles | Codes], name: str) -> None:
        if [len(one) for one in figures] != [len(one) for one in self.costs]:
            raise ValueError(f"{shorten(name, 60)}: needs one figure for each option of the {len(self.costs)} units")

    def total(self, choice: Sequence[int] | Codes, figures: Sequence[Doubles] | None = None) -> float:
        """The sum of figures, by default of the costs, over what is chosen; rounded once."""
        return math.fsum(one[at] for one, at in zip(self.costs if figures is None else figures, choice, strict=True))

    def keeps_limits(self, choice: Sequence[int] | Codes) -> bool:
        """Whether a choice is within all limits."""
        return all(self.total(choice, limit.figures) <= limit.allowed for limit in self.limits)

    def keeps_order(self, choice: Sequence[int] | Codes) -> bool:
        """Whether no chain falls and no more formats are chosen than may be."""
        for chain in self.chains:
            ranks = [int(self.ranks[unit][choice[unit]]) for unit in chain]
            if any(later < earlier for earlier, later in pairwise(ranks)):
                return False
        return self.most_formats is None or self.count_formats(choice) <= self.most_formats

    def count_formats(self, choice: Sequence[int] | Codes) -> int:
        """How many different formats are chosen."""
        return len({int(one[at]) for one, at in zip(self.formats, choice, strict=True)})

    def minimise(self, figures: tuple[Doubles, ...], limits: Sequence[Limit] = ()) -> Problem:
        """The same choices with another figure made small, and other limits."""
        return replace(self, costs=figures, limits=tuple(limits))


def _check_finite(figures: Sequence[Doubles], name: str) -> None:
    for unit, one in enumerate(figures):
        if not np.isfinite(one).all():
            wrong = int(np.argmin(np.isfinite(one)))
            raise ValueError(f"{shorten(name, 60)} of option {wrong} of unit {unit} is {one[wrong]}: it must be finite")


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """One option for each unit, its cost, and the least that any choice can cost.

    `bound` ≤ `cost`; `is_proven` says that no choice costs less than `cost` by more than a part in 1e9.
    """

    choice: Codes
    cost: float
    bound: float
    is_proven: bool

    @property
    def gap(self) -> float:
        """How much less an optimum may cost, as a part of the cost; 0 for a proven one."""
        return 0.0 if self.is_proven else (self.cost - self.bound) / max(abs(self.cost), np.finfo(float).tiny)


class InfeasibleError(ValueError):
    """No choice keeps all limits; the text says which, and what is nearest.

    `limit` is the one that is broken where the others are kept, `nearest` the smallest figure it could be set to and
    `choice` what reaches that. Where formats and chains contradict each other, `limit` is None, `nearest` the least
    number of formats that works (NaN where none does) and `choice` is None.
    """

    def __init__(
        self, message: str, *, limit: Limit | None = None, nearest: float = math.nan, choice: Codes | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.nearest = nearest
        self.choice = choice
