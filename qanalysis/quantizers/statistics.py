"""What must a grid know of a group of values? Statistics as values: ranges, signed extremes, means, and what a whole
tensor adds to them.

Every part is float32 of shape (groups,). Elements that are not finite are left out; a group without any has zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.kernels.scans import extremes, magnitudes
from qanalysis.quantizers.grouping import Layout

#: Of the mean magnitude (Li and Liu 2016, ternary weight networks).
TERNARY_THRESHOLD = np.float32(0.7)


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """What is known of each group; the parts of all kinds are arrays (groups,)."""

    def take(self, choose: Callable[[Floats], Floats]) -> Self:
        """The statistic of some groups; `choose` picks them from an array (groups,)."""
        chosen: dict[str, Any] = {part.name: choose(getattr(self, part.name)) for part in fields(self)}
        return type(self)(**chosen)

    @classmethod
    def find(cls, matrix: Floats, layout: Layout) -> Self:
        """The statistic of each group of a matrix in the layout's view; a kind that only a rule or a whole tensor gives
        has none.
        """
        raise TypeError(
            f"{cls.__name__} of {layout.groups} groups in {matrix.size} values: a range rule or the whole tensor "
            "gives it"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Range(Statistic):
    """What a grid is laid over, as a range rule gives it: from low to high."""

    low: Floats
    high: Floats

    @property
    def largest(self) -> Floats:
        """The largest magnitude in the range."""
        return np.maximum(-self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Extremes(Range):
    """The smallest and the largest element, not widened to hold 0."""

    @classmethod
    def find(cls, matrix: Floats, layout: Layout) -> Self:
        low, high = np.full(layout.groups, np.inf, np.float32), np.full(layout.groups, -np.inf, np.float32)
        if np.isfinite(matrix).all():
            extremes(
                np.ascontiguousarray(matrix).reshape(-1),
                layout.columns,
                layout.block_rows,
                layout.block_columns,
                low,
                high,
            )
            return cls(low, high)
        for indices, groups in layout.split(matrix):
            finite = np.isfinite(groups)
            low[indices] = np.where(finite, groups, np.float32(np.inf)).min(axis=1)
            high[indices] = np.where(finite, groups, np.float32(-np.inf)).max(axis=1)
        empty = low > high
        low[empty] = high[empty] = 0
        return cls(low, high)


@dataclass(frozen=True, slots=True, eq=False)
class SignedLargest(Statistic):
    """The element of largest magnitude with its sign, the first of equals."""

    extreme: Floats

    @classmethod
    def find(cls, matrix: Floats, layout: Layout) -> Self:
        ends = Extremes.find(matrix, layout)
        signed = np.where(ends.high > -ends.low, ends.high, ends.low)
        tied = (ends.high == -ends.low) & (ends.high > 0)
        if tied.any():
            for indices, groups in layout.split(matrix):
                here = tied[indices]
                first = np.where(np.isfinite(groups[here]), np.abs(groups[here]), 0).argmax(axis=1)
                signed[indices[here]] = np.take_along_axis(groups[here], first[:, np.newaxis], axis=1)[:, 0]
        return cls(signed)


@dataclass(frozen=True, slots=True, eq=False)
class MeanMagnitude(Statistic):
    """Mean |x|, from a float64 sum."""

    mean: Floats

    @classmethod
    def find(cls, matrix: Floats, layout: Layout) -> Self:
        return cls(_mean_above(matrix, layout, np.full(layout.groups, -1, np.float32)))


@dataclass(frozen=True, slots=True, eq=False)
class Threshold(Statistic):
    """0.7 mean |x|, and the mean of |x| above it."""

    threshold: Floats
    mean_above: Floats

    @classmethod
    def find(cls, matrix: Floats, layout: Layout) -> Self:
        threshold = TERNARY_THRESHOLD * MeanMagnitude.find(matrix, layout).mean
        return cls(threshold, _mean_above(matrix, layout, threshold))


@dataclass(frozen=True, slots=True, eq=False)
class LargestOfTensor(Statistic):
    """The largest magnitude of each group, and that of the whole tensor, the same in all places."""

    largest: Floats
    tensor: Floats


@dataclass(frozen=True, slots=True, eq=False)
class DoubledScale(Statistic):
    """The scale of each group as the values are coded with it, and as it is stored among all others of its tensor."""

    true: Floats
    stored: Floats


def _mean_above(matrix: Floats, layout: Layout, threshold: Floats) -> Floats:
    total, count = np.zeros((2, layout.groups))
    magnitudes(
        np.ascontiguousarray(matrix).reshape(-1),
        layout.columns,
        layout.block_rows,
        layout.block_columns,
        threshold,
        total,
        count,
    )
    return np.divide(total, count, out=np.zeros(layout.groups), where=count > 0).astype(np.float32)
