"""How does the quantization error of every element move from step to step? One pass over a tensor and its memory.

Arrays are flat float32 in C order of their matrix, blocks as in `tiles.spread_parts`. r = (x - y) / step. Clipped
elements and those that are not finite keep their moments; codes are followed where y is finite.

With m1 and m2 the averages of r and r^2 by a factor c, corrected by 1 - c^t as in D. P. Kingma and J. Ba, Adam (2015),
mean = m1 and variance = m2 - m1^2, moved without that difference, which float32 can not hold. Oscillations as in
M. Nagel et al., Overcoming oscillations in quantization-aware training (2022).
"""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.codes import INTEGER
from qanalysis.kernels.lanes import (
    ONE,
    REORDER,
    TILE,
    ZERO,
    absolute,
    compiled,
    inner,
    make_row,
    rint,
)
from qanalysis.kernels.tiles import make_rows, spread_parts

#: What a pass adds up: r^2, variances of r, elements of both, changed codes, changes that turn back.
SUM_R2, SUM_VARIANCE, USED, FLIPS, TURNS = range(5)
PLACES = 5
#: In the place of a variance: no error seen yet.
UNSEEN = np.float32(-1)

_INFINITY = np.float32(np.inf)


@inner(fastmath={"reassoc", "nsz"})
def _find_errors(x, y, clipped, place, stop, inverses, errors, used):
    """The r of a tile, 0 where it has no part in the moments, and whether it has (1 or 0): two rows, overwritten."""
    for i in range(np.uint64(stop - place)):
        error = (x[np.uint64(place) + i] - y[np.uint64(place) + i]) * inverses[i]
        is_used = absolute(error) < _INFINITY and clipped[np.uint64(place) + i] == 0
        errors[i] = error if is_used else ZERO
        used[i] = ONE if is_used else ZERO


@inner(fastmath=REORDER)
def _move_moments(place, stop, errors, used, share, mean, variance):
    """Averages of r and of its squares about that, corrected for a short past. An element's first error counts as if it
    had been there from the first step on, so that coming in late is no fluctuation.
    """
    for i in range(np.uint64(stop - place)):
        spread = variance[np.uint64(place) + i]
        own = share if spread >= ZERO else ONE
        off = errors[i] - mean[np.uint64(place) + i]
        after = (ONE - own) * (spread + own * off * off)
        variance[np.uint64(place) + i] = after if used[i] != ZERO else spread
        errors[i] = own * off
    for i in range(np.uint64(stop - place)):
        mean[np.uint64(place) + i] += errors[i] if used[i] != ZERO else ZERO


@inner(fastmath=REORDER)
def _add_errors(errors, used, count, sums):
    """Add a tile's r^2 and its used elements."""
    squares, elements = ZERO, ZERO
    for i in range(np.uint64(count)):
        squares += errors[i] * errors[i]
        elements += used[i]
    sums[SUM_R2] += squares
    sums[USED] += elements


@inner(fastmath=REORDER)
def _add_variances(place, stop, used, variance, sums):
    """Add a tile's variances of r."""
    total = ZERO
    for i in range(np.uint64(stop - place)):
        total += used[i] * variance[np.uint64(place) + i]
    sums[SUM_VARIANCE] += total


@inner(fastmath={"reassoc", "nsz"})
def _find_codes(y, place, stop, inverses, by_code, before, current):
    """The code of each element of a tile, or y itself; of one that is not finite the last code."""
    if by_code:
        for i in range(np.uint64(stop - place)):
            code = rint(y[np.uint64(place) + i] * inverses[i])
            current[i] = code if absolute(code) < _INFINITY else before[np.uint64(place) + i]
    else:
        for i in range(np.uint64(stop - place)):
            level = y[np.uint64(place) + i]
            current[i] = level if absolute(level) < _INFINITY else before[np.uint64(place) + i]


@inner(fastmath=REORDER)
def _find_turns(place, stop, before, direction, current, turns, sums):
    """Which elements of a tile turn back (1 or 0), and the last direction of all: +1, -1, or 0 before any change."""
    flips, count = ZERO, ZERO
    for i in range(np.uint64(stop - place)):
        change = current[i] - before[np.uint64(place) + i]
        last = np.float32(direction[np.uint64(place) + i])
        turns[i] = ONE if change * last < ZERO else ZERO
    for i in range(np.uint64(stop - place)):
        count += turns[i]
    for i in range(np.uint64(stop - place)):
        flips += ONE if current[i] != before[np.uint64(place) + i] else ZERO
    for i in range(np.uint64(stop - place)):
        change = current[i] - before[np.uint64(place) + i]
        last = direction[np.uint64(place) + i]
        sign = np.int8(1) if change > ZERO else np.int8(-1)
        direction[np.uint64(place) + i] = sign if change != ZERO else last
    sums[FLIPS] += flips
    sums[TURNS] += count


@inner(fastmath=REORDER)
def _move_averages(place, stop, current, turns, momentum, frequency, average):
    """Averages of the turns and of the codes."""
    rest = ONE - momentum
    for i in range(np.uint64(stop - place)):
        frequency[np.uint64(place) + i] = rest * frequency[np.uint64(place) + i] + momentum * turns[i]
    for i in range(np.uint64(stop - place)):
        average[np.uint64(place) + i] = rest * average[np.uint64(place) + i] + momentum * current[i]


@inner()
def _keep(place, stop, current, memory):
    """Remember a tile's codes."""
    for i in range(np.uint64(stop - place)):
        memory[np.uint64(place) + i] = current[i]


@compiled()
def follow_tiles(x, y, clipped, blocks, parts, options, rates, moments, memory, sums):
    """Move what is remembered of every element by one step.

    Parameters
    ----------
    x, y : (values,) float32: latent values and what the grid made of them.
    clipped : (values,) uint8, not 0 where a value lies beyond the grid's codes.
    blocks, parts : as in `passes.pass_tiles`, with 1/step as the parts' INVERSE.
    options : whether codes are followed, y/step, or y itself; whether this is the first step that has any.
    rates : float32: share of step t, from 1 on, in the moments, (1 - c) / (1 - c^t); momentum of the averages.
    moments : mean and variance of r (UNSEEN before the first), (values,) float32 each, changed in place.
    memory : (values,) each, changed in place: last codes, int8 last directions, averages of turns and of codes.
    sums : (PLACES,) float64, added to.
    """
    rows, errors, used, current, turns = make_rows(), make_row(), make_row(), make_row(), make_row()
    inverses = rows[1]
    by_code, is_first = options
    share, momentum = rates
    mean, variance = moments
    before, direction, frequency, average = memory
    for place in range(0, x.size, TILE):
        stop = min(place + TILE, x.size)
        if place == 0 or parts.shape[1] > 1:
            spread_parts(place, stop, blocks, INTEGER, parts, rows, False)
        _find_errors(x, y, clipped, place, stop, inverses, errors, used)
        _add_errors(errors, used, stop - place, sums)
        _move_moments(place, stop, errors, used, share, mean, variance)
        _add_variances(place, stop, used, variance, sums)
        _find_codes(y, place, stop, inverses, by_code, before, current)
        if is_first:
            _keep(place, stop, current, average)
        else:
            _find_turns(place, stop, before, direction, current, turns, sums)
            _move_averages(place, stop, current, turns, momentum, frequency, average)
        _keep(place, stop, current, before)
