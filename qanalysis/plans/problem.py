"""What is to be decided? Units with options, each option with a figure that is made small and figures with a limit.

Nothing here knows tensors or schemes: a unit is one choice among its options, a limit a bound on the sum of figures of
what is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qanalysis.arrays import Codes, Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """Σ over units of figures[unit][choice] ≤ most; one array of option figures for each unit."""

    name: str
    figures: tuple[Doubles, ...]
    most: float


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Choose one option for each unit so that the sum of `costs` is least within all limits.

    `costs` has one array of option figures for each unit; finite, may be negative. `formats` has for each unit the
    number of each option's format, and at most `most_formats` different ones may be chosen; None for any number.
    `chains` are units that must not fall: along each chain the rank of the choice, by `ranks`, never decreases.
    """

    costs: tuple[Doubles, ...]
    limits: tuple[Limit, ...] = ()
    formats: tuple[Codes, ...] = ()
    most_formats: int | None = None
    chains: tuple[tuple[int, ...], ...] = ()
    ranks: tuple[Codes, ...] = field(default=())

    def total(self, choice: Sequence[int] | Codes, figures: Sequence[Doubles] | None = None) -> float:
        """The sum of figures, by default of the costs, over what is chosen."""
        return float(sum(one[at] for one, at in zip(self.costs if figures is None else figures, choice, strict=True)))


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
    """No choice keeps all limits; the text says which, and what is nearest."""
