"""What must a format know of a group before it can lay a grid? Statistics that are no range: signed extremes, means of magnitudes.

Each comes as two float32 arrays (groups,), in the order that `formats` says; elements that are not finite are left out.
"""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.kernels.scans import extremes, magnitudes
from qanalysis.quantizers.grouping import Layout

Pair = tuple[Floats, Floats]
#: Of the mean magnitude (Li and Liu 2016, ternary weight networks).
TERNARY_THRESHOLD = np.float32(0.7)


def find_statistic(name: str, matrix: Floats, layout: Layout) -> Pair:
    """The statistic `name` ("extremes", "signed", "mean", "threshold") of each group of a matrix, NaN and infinities left out."""
    return {"extremes": _find_extremes, "signed": _find_signed, "mean": _find_means, "threshold": _find_thresholds}[name](matrix, layout)


def _find_extremes(matrix: Floats, layout: Layout) -> Pair:
    """Smallest and largest element; 0 and 0 where a group has none."""
    low, high = np.full(layout.groups, np.inf, np.float32), np.full(layout.groups, -np.inf, np.float32)
    if np.isfinite(matrix).all():
        extremes(np.ascontiguousarray(matrix).reshape(-1), layout.columns, layout.block_rows, layout.block_columns, low, high)
        return low, high
    for indices, groups in layout.split(matrix):
        finite = np.isfinite(groups)
        low[indices] = np.where(finite, groups, np.float32(np.inf)).min(axis=1)
        high[indices] = np.where(finite, groups, np.float32(-np.inf)).max(axis=1)
    empty = low > high
    low[empty] = high[empty] = 0
    return low, high


def _find_signed(matrix: Floats, layout: Layout) -> Pair:
    """The element of largest magnitude with its sign, the first of equals; twice."""
    low, high = _find_extremes(matrix, layout)
    signed = np.where(high > -low, high, low)
    tied = (high == -low) & (high > 0)
    if tied.any():
        for indices, groups in layout.split(matrix):
            here = tied[indices]
            first = np.where(np.isfinite(groups[here]), np.abs(groups[here]), 0).argmax(axis=1)
            signed[indices[here]] = np.take_along_axis(groups[here], first[:, np.newaxis], axis=1)[:, 0]
    return signed, signed


def _find_means(matrix: Floats, layout: Layout) -> Pair:
    """Mean |x|, from a float64 sum; twice."""
    mean = _mean_above(matrix, layout, np.full(layout.groups, -1, np.float32))
    return mean, mean


def _find_thresholds(matrix: Floats, layout: Layout) -> Pair:
    """0.7 mean |x|, and the mean of |x| above it."""
    threshold = TERNARY_THRESHOLD * _find_means(matrix, layout)[0]
    return threshold, _mean_above(matrix, layout, threshold)


def _mean_above(matrix: Floats, layout: Layout, threshold: Floats) -> Floats:
    total, count = np.zeros((2, layout.groups))
    magnitudes(np.ascontiguousarray(matrix).reshape(-1), layout.columns, layout.block_rows, layout.block_columns, threshold, total, count)
    return np.divide(total, count, out=np.zeros(layout.groups), where=count > 0).astype(np.float32)
