"""What is the plan to be held against? Every tensor under one scheme, and the ends of what can be reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.plans.candidates import Options
from qanalysis.plans.row import PointRow, PointWord
from qanalysis.plans.units import Unit

#: Whether a choice, one option for each unit, keeps the budget and all constraints.
Judge = Callable[[Sequence[int] | Codes], bool]


def list_points(
    options: Sequence[Options], units: Sequence[Unit], ends: Sequence[Codes], *, kept: int, within: Judge
) -> list[PointRow]:
    """The smallest and the best plan, and every scheme that all tensors have, in the order of the rows.

    `options` are all candidates, `units` what pins, pools and floors left of them; `kept` bytes are stored whatever the
    plan is.
    """
    words: tuple[PointWord, ...] = ("smallest", "best")
    found = [
        describe_point(word, pick(units, choice), kept, within=within(choice))
        for word, choice in zip(words, ends, strict=True)
    ]
    common = [scheme for scheme in options[0].schemes if all(scheme in one.schemes for one in options[1:])]
    for scheme in common:
        chosen = [(one, one.schemes.index(scheme)) for one in options]
        allowed = all(scheme in unit.schemes for unit in units)
        keeps = allowed and within([unit.schemes.index(scheme) for unit in units])
        found.append(describe_point("uniform", chosen, kept, within=keeps, scheme=scheme))
    return found


def pick(units: Sequence[Unit], choice: Iterable[int] | Codes) -> list[tuple[Options, int]]:
    """Every tensor with the place of its scheme."""
    return [(one, int(at)) for unit, at in zip(units, choice, strict=True) for one in unit.members]


def describe_point(
    word: PointWord, chosen: Sequence[tuple[Options, int]], kept: int, *, within: bool, scheme: str = ""
) -> PointRow:
    """The figures of tensors with schemes."""
    numel = sum(one.tensor.numel for one, _at in chosen)
    return PointRow(
        point=word,
        scheme=scheme,
        tensors=len(chosen),
        bits_per_weight=float(sum(one.bits[at] for one, at in chosen) / numel),
        bytes=int(sum(one.sizes[at] for one, at in chosen)) + kept,
        objective=float(sum(one.costs[at] for one, at in chosen)),
        pooled_sqnr_db=_pool(chosen),
        within=within,
    )


def _pool(chosen: Sequence[tuple[Options, int]]) -> float | None:
    signal, errors = sum(one.signal for one, _at in chosen), float(sum(one.errors[at] for one, at in chosen))
    if not (math.isfinite(signal) and signal > 0 and math.isfinite(errors) and errors > 0):
        return None
    return float(10 * np.log10(signal / errors))
