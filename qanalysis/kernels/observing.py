"""What do the groups of a tensor look like before any grid? Extremes, smallest magnitude, mean and spread of the
magnitudes, in one pass.

Runs of at most a tile are taken one after the other, while they are in cache: their mean first, then squares about it,
so that a small ripple on a large mean is told right. Runs join by Chan, Golub and LeVeque's formula (1979).
"""

from __future__ import annotations

import math

import numpy as np

from qanalysis.kernels.lanes import REORDER, TILE, ZERO, absolute, compiled, inner, make_row, maximum, minimum

#: Places in what is known of a group: finite elements and others, extremes, the smallest magnitude above 0, mean of the
#: magnitudes and squares about it.
COUNT, NON_FINITE, LOW, HIGH, ABSMIN, MEAN, SQUARES = range(7)
PLACES = 7


@inner(fastmath={"reassoc", "nsz"})
def _add_magnitudes(x, begin, end):
    """Sum of |x[begin:end]|, at most a tile, float64; it is finite where all elements are."""
    total = 0.0
    for i in range(np.uint64(end - begin)):
        total += math.fabs(np.float64(x[np.uint64(begin) + i]))
    return total


@inner(fastmath=REORDER)
def _add_squares(x, begin, end, mean):
    """Sum of (|x| - mean)^2 over x[begin:end], float64."""
    total = 0.0
    for i in range(np.uint64(end - begin)):
        off = np.float64(absolute(x[np.uint64(begin) + i])) - mean
        total += off * off
    return total


@inner(fastmath=REORDER)
def _find_extremes(x, begin, end):
    """(lowest, highest) of one finite element or more."""
    low = high = x[begin]
    for i in range(np.uint64(end - begin)):
        low = minimum(low, x[np.uint64(begin) + i])
        high = maximum(high, x[np.uint64(begin) + i])
    return low, high


@inner(fastmath=REORDER)
def _find_smallest(x, begin, end, largest):
    """The smallest magnitude above 0 of finite elements, of which `largest` is the largest."""
    least = largest
    for i in range(np.uint64(end - begin)):
        magnitude = absolute(x[np.uint64(begin) + i])
        least = minimum(least, magnitude if magnitude > ZERO else largest)
    return least


@inner()
def _keep_finite(x, begin, end, finite):
    """Copy the finite elements of x[begin:end] to the front of `finite`, (TILE,) float32, and count them."""
    count = 0
    for i in range(begin, end):
        if np.isfinite(x[i]):
            finite[count] = x[i]
            count += 1
    return count


@inner()
def _join(found, count, mean, squares):
    """Add a run to what is known of its group."""
    both = found[COUNT] + count
    apart = mean - found[MEAN]
    found[MEAN] += apart * (count / both)
    found[SQUARES] += squares + apart * apart * (found[COUNT] * count / both)
    found[COUNT] = both


@inner()
def _observe_run(x, begin, end, finite, found):
    """Add x[begin:end], at most a tile of one group, to what is known of it, (PLACES,) float64."""
    count, total = end - begin, _add_magnitudes(x, begin, end)
    if not np.isfinite(total):
        found[NON_FINITE] += count
        count = _keep_finite(x, begin, end, finite)
        found[NON_FINITE] -= count
        if count == 0:
            return
        x, begin, end = finite, 0, count
        total = _add_magnitudes(x, begin, end)
    low, high = _find_extremes(x, begin, end)
    found[LOW] = min(found[LOW], low)
    found[HIGH] = max(found[HIGH], high)
    largest = max(-low, high)
    if largest > ZERO:
        found[ABSMIN] = min(found[ABSMIN], _find_smallest(x, begin, end, largest))
    mean = total / count
    _join(found, count, mean, _add_squares(x, begin, end, mean))


@compiled()
def observe(x, columns, block_rows, block_columns, out):
    """Add a chunk's elements to what is known of its blocks.

    Parameters
    ----------
    x : (values,) float32, anything, in C order of rows of `columns` elements.
    block_rows, block_columns : size of the blocks, numbered along rows first; the last along a row or down may be
        shorter.
    out : (blocks, PLACES) float64, changed in place: before the first chunk all 0, but infinity as LOW and ABSMIN,
        minus infinity as HIGH.
    """
    finite = make_row()
    group_columns = -(-columns // block_columns)
    for start in range(0, x.size, columns):
        first = start // columns // block_rows * group_columns
        for part in range(group_columns):
            begin = start + part * block_columns
            end = min(begin + block_columns, start + columns, x.size)
            for place in range(begin, end, TILE):
                _observe_run(x, place, min(place + TILE, end), finite, out[first + part])
