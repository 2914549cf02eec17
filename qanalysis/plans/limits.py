"""What must a plan keep? Each budget as a limit on the sum of figures, and how far it is out of reach, in its words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import size
from qanalysis.plans.budgets import GIB, LEAST_BYTES, Budget
from qanalysis.plans.pools import Pool
from qanalysis.plans.problem import ROUNDING, Limit
from qanalysis.plans.units import Figures, Unit

#: Sums of a choice that is exactly at its limit may be rounded above it by this part.
_ROOM = 1e-12
BoundKind = Literal["bits", "bytes", "gib", "sqnr", "loss"]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A limit in the words in which it was asked for.

    `asked` repeats that. `kept` are bytes that are stored whatever the plan is, `cache` those of keys and values;
    `whole` is what a sum is divided by: weights, or Σx².
    """

    limit: Limit
    kind: BoundKind
    asked: str
    kept: int = 0
    cache: int = 0
    whole: float = 1.0

    def tell(self, least: float) -> str:
        """What the least sum of its figures means: the nearest budget that can be kept, rounded to its side."""
        if self.kind == "bits":
            bits = _round_up(least / self.whole, 4)
            return f"the smallest plan has {bits:g} bits per weight; give {bits:g} or more"
        if self.kind == "sqnr":
            best = -10 * math.log10(least / self.whole) if least > 0 else math.inf
            reached = math.floor(best * 100) / 100 if math.isfinite(best) else best
            return f"the best plan reaches {reached:.2f} dB; give {reached:.2f} or less"
        if self.kind == "loss":
            told = f"{least:.6g}" if float(f"{least:.6g}") >= least else f"{np.nextafter(least, math.inf)!s}"
            return f"the best plan has {told}; give {told} or more"
        return self._tell_bytes(math.ceil(least))

    def _tell_bytes(self, least: int) -> str:
        parts = [f"{least:,} are those of the smallest plan"]
        parts += [f"{self.kept:,} those of tensors kept float"] if self.kept else []
        parts += [f"{self.cache:,} those of keys and values"] if self.cache else []
        whole = least + self.kept + self.cache
        nearest = f"{_round_up(whole / GIB, 3):g} GiB" if self.kind == "gib" else f"{whole:,} bytes ({size(whole)})"
        return f"{whole:,} bytes are needed: {', '.join(parts)}; give {nearest} or more"


def _round_up(value: float, digits: int) -> float:
    factor = 10.0**digits
    return math.ceil(value * factor - 1e-9) / factor


def _seal(most: float) -> float:
    """A limit whose room for rounding is no more than a part in 1e12, so that what is reported keeps the budget."""
    return most - (ROUNDING - _ROOM) * abs(most)


def bound_budget(budget: Budget, figures: Figures, *, kept: int, cache: int, objective: str) -> Bound:
    """The limit of a budget."""
    asked = f"{budget.option} {budget.amount:g}"
    if budget.kind == "budget_bpw":
        # The decimal that was typed, not the double below or above it: 4.1 · 1000 weights are 4100 bits.
        most = float(Fraction(repr(budget.amount)) * Fraction(figures.counted_numel))
        most = _seal(math.floor(most) + 0.5 if _are_whole(figures.counted) else most)
        return Bound(Limit("bits per weight", figures.counted, most), "bits", asked, whole=figures.counted_numel)
    if budget.kind == "min_sqnr_db":
        whole = figures.signal if math.isfinite(figures.signal) else 1.0
        return Bound(
            Limit("SQNR", figures.errors, _seal(whole * 10 ** (-budget.amount / 10))), "sqnr", asked, whole=whole
        )
    if budget.kind == "max_loss":
        return Bound(Limit(objective, figures.costs, _seal(budget.amount)), "loss", asked)
    if budget.kind == "fit_gib":
        room = math.floor(budget.amount * GIB) - kept - cache
        return Bound(Limit("bytes", figures.sizes, _seal(room + 0.5)), "gib", asked, kept=kept, cache=cache)
    asked = f"{budget.option} {budget.amount:.0f}"
    asked += f" (did you mean --budget-bpw {budget.amount:.0f}?)" if budget.amount < LEAST_BYTES else ""
    return Bound(Limit("bytes", figures.sizes, _seal(budget.amount - kept + 0.5)), "bytes", asked, kept=kept)


def _are_whole(figures: Sequence[Doubles]) -> bool:
    return all(np.array_equal(one, np.rint(one)) for one in figures)


def bound_pools(
    pools: Sequence[Pool], places: Mapping[str, str], units: Sequence[Unit], kept: Mapping[str, int]
) -> list[Bound]:
    """The limit of each pool, over the tensors that lie in it."""
    found = []
    for pool in pools:
        own = sum(size for name, size in kept.items() if places.get(name) == pool.name)
        sizes = tuple(_sum_of(unit, pool.name, places) for unit in units)
        limit = Limit(f"bytes of the pool {pool.name}", sizes, _seal(pool.bytes - own + 0.5))
        found.append(Bound(limit, "bytes", f"--pool {pool.name}={pool.bytes}", kept=own))
    return found


def _sum_of(unit: Unit, pool: str, places: Mapping[str, str]) -> Doubles:
    return unit.sum("sizes", {one.tensor.name: float(places.get(one.tensor.name) == pool) for one in unit.members})
