"""What a chunk holds before any grid: whether it is finite, the range of each block, its own sums, the mean of its
magnitudes.
"""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.codes import NONZERO, SUM_X, SUM_X2
from qanalysis.kernels.lanes import (
    LARGEST_TAME,
    ONE,
    REORDER,
    SMALLEST_TAME,
    TILE,
    ZERO,
    absolute,
    compiled,
    inner,
    maximum,
    minimum,
)

# A tile whose mean square is within this share of its squared mean loses its variance to float32 lanes.
RIPPLE = 0.99


@compiled()
def scan(x):
    """(non-finite elements, largest finite magnitude) of a chunk, (values,) float32, that may hold anything; (0, 0) of
    an empty one.
    """
    bad = 0
    largest = ZERO
    for start in range(0, x.size, TILE):
        strange, top = _scan_tile(x[start : start + TILE])
        bad += strange
        largest = max(largest, top)
    return bad, largest


@inner(fastmath={"reassoc", "nsz"})
def _scan_tile(x):
    """(elements that are NaN or infinite, largest finite |x|) of at most a tile."""
    strange = 0
    top = ZERO
    for i in range(x.size):
        magnitude = absolute(x[i])
        finite = magnitude < np.float32(np.inf)
        strange += 0 if finite else 1
        top = maximum(top, magnitude if finite else ZERO)
    return strange, top


@inner(fastmath=REORDER)
def add_moments(x, place, stop, reciprocal, moments):
    """Add a tile's own sums, x[place:stop], to `moments` (MOMENTS,) float64, and say whether float32 lanes can serve
    the tile.

    They can where squares neither overflow nor vanish, and where x is not a small ripple on a large mean. `reciprocal`
    (TILE,) float32 becomes 1/|x|, of an x below SMALLEST_TAME the reciprocal of that.
    """
    total, power, nonzero = 0.0, 0.0, ZERO
    largest, smallest = ZERO, LARGEST_TAME
    for i in range(np.uint64(stop - place)):
        magnitude = absolute(x[np.uint64(place) + i])
        # Where x is 0 its error is 0, so any finite reciprocal will do.
        reciprocal[i] = ONE / maximum(magnitude, SMALLEST_TAME)
        largest = maximum(largest, magnitude)
    # Loops of their own: two uses of one comparison, or float64 beside float32, keep LLVM from using vector lanes.
    for i in range(np.uint64(stop - place)):
        nonzero += ONE if x[np.uint64(place) + i] != ZERO else ZERO
    for i in range(np.uint64(stop - place)):
        magnitude = absolute(x[np.uint64(place) + i])
        smallest = minimum(smallest, magnitude if magnitude > ZERO else LARGEST_TAME)
    for i in range(np.uint64(stop - place)):
        value = np.float64(x[np.uint64(place) + i])
        total += value
        power += value * value
    moments[SUM_X] += total
    moments[SUM_X2] += power
    moments[NONZERO] += nonzero
    ripples = total * total > RIPPLE * (stop - place) * power
    return largest <= LARGEST_TAME and smallest >= SMALLEST_TAME and not ripples


@compiled()
def extremes(x, columns, block_rows, block_columns, low, high):
    """Widen `low` and `high`, one value per block, to hold the chunk's elements.

    `x` is flat float32 without NaN, in C order of rows of `columns` elements; blocks are numbered along rows first, and
    the last along a row or down may be shorter. `low` and `high` are (blocks,) float32, changed in place.
    """
    group_columns = -(-columns // block_columns)
    for row in range(x.size // columns):
        first = row // block_rows * group_columns
        for part in range(group_columns):
            begin = row * columns + part * block_columns
            end = min(begin + block_columns, (row + 1) * columns)
            smallest, largest = _extremes_run(x[begin:end])
            low[first + part] = min(low[first + part], smallest)
            high[first + part] = max(high[first + part], largest)


@inner(fastmath=REORDER)
def _extremes_run(x):
    """(smallest, largest) of a run of one element or more, (values,) float32, infinities among them; no NaN."""
    smallest = largest = x[0]
    for i in range(x.size):
        smallest = minimum(smallest, x[i])
        largest = maximum(largest, x[i])
    return smallest, largest


@compiled()
def magnitudes(x, columns, block_rows, block_columns, threshold, total, count):
    """Add |x| of each block's finite elements above its `threshold` to `total`, and their number to `count`, both
    (blocks,) float64.

    `x` and its blocks as in `extremes`, but NaN and infinities may be there and are passed over; `threshold` is
    (blocks,) float32, negative where every finite element counts.
    """
    group_columns = -(-columns // block_columns)
    for row in range(x.size // columns):
        first = row // block_rows * group_columns
        for part in range(group_columns):
            begin = row * columns + part * block_columns
            end = min(begin + block_columns, (row + 1) * columns)
            own_total, own_count = _magnitudes_run(x, begin, end, threshold[first + part])
            total[first + part] += own_total
            count[first + part] += own_count


@inner(fastmath={"reassoc", "nsz"})
def _magnitudes_run(x, begin, end, threshold):
    """(sum, number) of the finite |x| above the threshold in x[begin:end], float64; numbers in float32 lanes of a tile,
    exact up to 2^24.
    """
    total = count = 0.0
    for i in range(np.uint64(begin), np.uint64(end)):
        magnitude = absolute(x[i])
        # A NaN exceeds nothing.
        total += np.float64(magnitude) if threshold < magnitude < np.float32(np.inf) else 0.0
    for start in range(begin, end, TILE):
        part = ZERO
        for i in range(np.uint64(start), np.uint64(min(start + TILE, end))):
            part += ONE if threshold < absolute(x[i]) < np.float32(np.inf) else ZERO
        count += np.float64(part)
    return total, count
