"""What do the groups of a tensor look like before any grid? Extremes, smallest magnitude, mean and spread of the
magnitudes, in one pass.

Runs of at most a tile are taken one after the other, while they are in cache: their mean first, then squares about it,
so that a small ripple on a large mean is told right. Runs join by Chan, Golub and LeVeque's formula (1979).
"""

from __future__ import annotations

import math

import numpy as np

from qanalysis.kernels.lanes import REORDER, TILE, ZERO, absolute, compiled, fill, inner, make_row, maximum, minimum

#: Places in what is known of a group: finite elements and others, extremes, the smallest magnitude above 0, mean of the
#: magnitudes and squares about it.
COUNT, NON_FINITE, LOW, HIGH, ABSMIN, MEAN, SQUARES = range(7)
PLACES = 7
#: Groups up to this length are taken many at a time: a run of them has too few elements for vector lanes.
SHORT = 64

_INFINITY = np.float32(np.inf)


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


@inner()
def _turn(x, place, groups, length, turned):
    """Lay groups of one length, from `place` on, side by side: element j of group g at j * groups + g."""
    for g in range(np.uint64(groups)):
        begin = np.uint64(place) + g * np.uint64(length)
        for j in range(np.uint64(length)):
            turned[j * np.uint64(groups) + g] = x[begin + j]


@inner(fastmath={"reassoc", "nsz"})
def _average_groups(turned, groups, length, mean):
    """The mean magnitude of each group, float64; whether all elements are finite."""
    total = 0.0
    for g in range(np.uint64(groups)):
        mean[g] = 0.0
    for j in range(length):
        begin = np.uint64(j * groups)
        for g in range(np.uint64(groups)):
            mean[g] += math.fabs(np.float64(turned[begin + g]))
    for g in range(np.uint64(groups)):
        total += mean[g]
        mean[g] /= np.float64(length)
    return np.isfinite(total)


@inner(fastmath=REORDER)
def _square_groups(turned, groups, length, mean, squares):
    """Sum of (|x| - mean)^2 of each group, float64."""
    for g in range(np.uint64(groups)):
        squares[g] = 0.0
    for j in range(length):
        begin = np.uint64(j * groups)
        for g in range(np.uint64(groups)):
            off = np.float64(absolute(turned[begin + g])) - mean[g]
            squares[g] += off * off


@inner(fastmath={"nnan", "nsz", "reassoc"})
def _bound_groups(turned, groups, length, low, high, least):
    """Extremes and smallest magnitude above 0 (infinity where there is none) of each group, float32."""
    fill(low, 0, groups, _INFINITY)
    fill(high, 0, groups, -_INFINITY)
    fill(least, 0, groups, _INFINITY)
    for j in range(length):
        begin = np.uint64(j * groups)
        for g in range(np.uint64(groups)):
            low[g] = minimum(low[g], turned[begin + g])
        for g in range(np.uint64(groups)):
            high[g] = maximum(high[g], turned[begin + g])
        for g in range(np.uint64(groups)):
            magnitude = absolute(turned[begin + g])
            least[g] = minimum(least[g], magnitude if magnitude > ZERO else _INFINITY)


@inner()
def _observe_short(x, length, finite, out):
    """Groups of one length that lie one after the other, a tile of them at a time; lanes are groups."""
    turned, low, high, least = make_row(), make_row(), make_row(), make_row()
    mean, squares = np.empty(TILE), np.empty(TILE)
    most = TILE // length
    for first in range(0, out.shape[0], most):
        groups = min(most, out.shape[0] - first)
        _turn(x, first * length, groups, length, turned)
        if not _average_groups(turned, groups, length, mean):
            for group in range(first, first + groups):
                _observe_run(x, group * length, (group + 1) * length, finite, out[group])
            continue
        _square_groups(turned, groups, length, mean, squares)
        _bound_groups(turned, groups, length, low, high, least)
        for g in range(groups):
            found = out[first + g]
            found[COUNT], found[LOW], found[HIGH], found[ABSMIN] = length, low[g], high[g], least[g]
            found[MEAN], found[SQUARES] = mean[g], squares[g]


@compiled()
def observe(x, columns, block_rows, block_columns, out):
    """Write what is known of each block.

    Parameters
    ----------
    x : (values,) float32, anything, in C order of rows of `columns` elements.
    block_rows, block_columns : size of the blocks, numbered along rows first; the last along a row or down may be
        shorter.
    out : (blocks, PLACES) float64, overwritten; of a block without finite elements LOW and ABSMIN are infinite, HIGH is
        minus infinity.
    """
    out[:] = 0.0
    out[:, LOW], out[:, HIGH], out[:, ABSMIN] = np.inf, -np.inf, np.inf
    finite = make_row()
    if block_rows == 1 and block_columns <= SHORT and columns % block_columns == 0:
        _observe_short(x, block_columns, finite, out)
        return
    group_columns = -(-columns // block_columns)
    for start in range(0, x.size, columns):
        first = start // columns // block_rows * group_columns
        for part in range(group_columns):
            begin = start + part * block_columns
            end = min(begin + block_columns, start + columns)
            for place in range(begin, end, TILE):
                _observe_run(x, place, min(place + TILE, end), finite, out[first + part])
