"""How well does a figure of ours agree with someone else's? One comparison as a value, asked later, and the check that
comes of it.

Agreement is a distance, 0 for equal: values that differ, steps between neighbouring float32 numbers, dB, or a ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.sums import measure

Unit = Literal["bit-exact", "ulp", "dB", "relative"]
Verdict = Literal["ok", "failed", "by design", "not installed"]
Pairs = Iterable[tuple[ArrayLike, ArrayLike]]

#: What different orders of float32 operations may cost an SQNR.
SQNR_DB = 1e-5
#: What float32 sums over some 100,000 values may cost a metric.
METRIC_DB = 1e-4


class Agreement(NamedTuple):
    """A distance, 0 for equal, and over how many values it was taken."""

    reached: float
    values: int


@dataclass(frozen=True, slots=True)
class Check:
    """One cross-check as it came out: what was compared, with whom, the distance `reached` and the largest one allowed.

    `required` is None where a difference is by design, `reached` None where nothing could be compared; then `reason`
    says why.
    """

    name: str
    peer: str
    version: str
    kind: Unit
    reached: float | None = None
    required: float | None = None
    values: int = 0
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """`failed` also where nothing was reached, or NaN.

        >>> Check("SQNR", "torch", "2.13", "dB", reached=2e-7, required=1e-5).verdict
        'ok'
        """
        if not self.version:
            return "not installed"
        if self.required is None:
            return "by design"
        return "ok" if self.reached is not None and self.reached <= self.required else "failed"

    @property
    def reached_text(self) -> str:
        """The distance in words.

        >>> Check("int4", "torch", "2.13", "bit-exact", reached=0.0, required=0.0, values=131072).reached_text
        '0 of 131,072 differ'
        """
        if self.reached is None:
            return "–"
        return (
            f"{self.reached:,.0f} of {self.values:,} differ"
            if self.kind == "bit-exact"
            else _write_distance(self.reached, self.kind)
        )

    @property
    def required_text(self) -> str:
        """What is asked for, in words."""
        if self.required is None:
            return "–"
        return "bit-exact" if self.kind == "bit-exact" else f"≤ {_write_distance(self.required, self.kind)}"


def _write_distance(distance: float, kind: Unit) -> str:
    return f"{distance:.2g}" if kind == "relative" else f"{distance:.2g} {kind}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A question not yet asked: `measure` compares when it is called. `required` None marks a difference by design,
    with its reason.
    """

    name: str
    kind: Unit
    required: float | None
    measure: Callable[[], Agreement]
    reason: str = ""

    def run(self, peer: str, version: str) -> Check:
        """Ask. Whatever is raised, as when a peer's interface has changed, makes a failed check that says so."""
        with catch_errors() as errors:
            reached, values = self.measure()
        if errors:
            return fail_check(self.name, peer, version, errors[0])
        return Check(self.name, peer, version, self.kind, float(reached), self.required, values, self.reason)


@contextmanager
def catch_errors() -> Iterator[list[Exception]]:
    """What was raised inside, if anything: a peer may raise whatever it likes, even when it is imported."""
    errors: list[Exception] = []
    try:
        yield errors
    except Exception as error:  # noqa: BLE001  see above
        errors.append(error)


def fail_check(name: str, peer: str, version: str, error: Exception) -> Check:
    """A check that could not be made."""
    return Check(name, peer, version, "bit-exact", required=0.0, reason=f"{type(error).__name__}: {error}")


def count_differing(pairs: Pairs) -> Agreement:
    """Values of ours that differ from theirs over all pairs; NaN equals NaN, -0 equals 0. Shapes that differ raise
    ValueError.

    >>> count_differing([([1.0, 2.0], [1.0, 2.5])])
    Agreement(reached=1.0, values=2)
    """
    differing = values = 0
    for ours, theirs in pairs:
        left, right = _align(ours, theirs)
        differing += int((~((left == right) | (np.isnan(left) & np.isnan(right)))).sum())
        values += left.size
    if not values:
        raise ValueError("nothing was compared")
    return Agreement(float(differing), values)


def count_ulps(pairs: Pairs) -> Agreement:
    """Largest distance between ours and theirs in steps from one float32 number to the next; both positive and finite.

    >>> count_ulps([(np.float32([1.0]), np.nextafter(np.float32([1.0]), np.float32(2)))])
    Agreement(reached=1.0, values=1)
    """
    furthest, values = 0, 0
    for ours, theirs in pairs:
        left, right = (np.asarray(side, np.float32).view(np.int32).astype(np.int64) for side in _align(ours, theirs))
        furthest, values = max(furthest, int(np.abs(left - right).max())), values + left.size
    return Agreement(float(furthest), values)


def compare_sqnr(triples: Iterable[tuple[ArrayLike, ArrayLike, ArrayLike]]) -> Agreement:
    """Largest difference in dB between the SQNR of ours and of theirs, for (original, ours, theirs)."""
    furthest, values = 0.0, 0
    for x, ours, theirs in triples:
        _align(ours, theirs)
        distance = abs(read_sqnr_db(x, ours) - read_sqnr_db(x, theirs))
        furthest, values = distance if math.isnan(distance) else max(furthest, distance), values + np.size(x)
    return Agreement(furthest, values)


def compare_figures(pairs: Pairs, *, relative: bool = False) -> Agreement:
    """Largest |ours - theirs|, divided by |theirs| where `relative`."""
    furthest, values = 0.0, 0
    for ours, theirs in pairs:
        left, right = _align(ours, theirs)
        distances = np.abs(left - right) / (np.abs(right) if relative else 1.0)
        furthest, values = float(np.maximum(furthest, distances.max())), values + left.size
    return Agreement(furthest, values)


def read_sqnr_db(x: ArrayLike, y: ArrayLike) -> float:
    """SQNR in dB; ValueError where there is none, so that no comparison passes on an empty figure."""
    sqnr_db: float | None = measure(x, y).sqnr_db
    if sqnr_db is None or not math.isfinite(sqnr_db):
        raise ValueError(f"the SQNR to compare is {sqnr_db}; a comparison needs a signal and an error")
    return sqnr_db


def _align(ours: ArrayLike, theirs: ArrayLike) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    left, right = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if left.shape != right.shape:
        raise ValueError(f"ours has shape {left.shape}, theirs {right.shape}; they can not be compared")
    return left, right
