"""What does one fitted grid make of every element of a tensor? One pass that writes y and which elements were clipped.

Arrays are flat float32 in C order of their matrix, blocks as in `tiles.spread_parts`. Elements that float32 can not
scale (NaN, infinities, quotients that overflow) are marked and left to the caller.
"""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.codes import BIASED, FLOAT, LEAST_EXPONENT, MANTISSA_BITS, NEAREST_EVEN, SIGN
from qanalysis.kernels.lanes import (
    ONE,
    REORDER,
    TILE,
    ZERO,
    absolute,
    compiled,
    inner,
    make_row,
    maximum,
    minimum,
    rint,
    round_one,
)
from qanalysis.kernels.tiles import code_tile, make_rows, spread_parts

#: What the marks say of an element: its code lies within the grid's, or beyond, or could not be found.
WITHIN, BEYOND, UNSCALED = range(3)
# Up to here the gap around a scaled value has a normal inverse, whatever the mantissa; from there on it is one.
_LARGEST_SCALED, _LEAST_NORMAL = np.float32(2**126), -126


@inner(fastmath={"reassoc", "nsz"})
def _are_scaled(x, place, stop, inverses, kind):
    """Whether every x[place:stop] times its inverse is finite; a sign has no inverse, and only x is asked."""
    probe = ZERO
    if kind == SIGN:
        for i in range(np.uint64(stop - place)):
            probe += x[np.uint64(place) + i] * ZERO
    else:
        for i in range(np.uint64(stop - place)):
            probe += x[np.uint64(place) + i] * inverses[i] * ZERO
    # Only a product with NaN or an infinity is not 0.
    return probe == ZERO


@inner(fastmath=REORDER)
def _are_gaps_normal(x, place, stop, inverses, parameters):
    """Whether a float format's gaps around x[place:stop], and the inverses of these, are normal float32 numbers."""
    largest, smallest = ZERO, _LARGEST_SCALED
    for i in range(np.uint64(stop - place)):
        largest = maximum(largest, absolute(x[np.uint64(place) + i] * inverses[i]))
    if parameters[LEAST_EXPONENT] - parameters[MANTISSA_BITS] >= _LEAST_NORMAL:
        return largest < _LARGEST_SCALED
    for i in range(np.uint64(stop - place)):
        magnitude = absolute(x[np.uint64(place) + i] * inverses[i])
        smallest = minimum(smallest, magnitude if magnitude > ZERO else _LARGEST_SCALED)
    least = np.float32(2.0 ** (_LEAST_NORMAL + parameters[MANTISSA_BITS]))
    return largest < _LARGEST_SCALED and smallest >= least


@inner()
def _code_shifted(x, place, stop, rows, tile, rounding, first_index):
    """Whole numbers between ends that every group has of its own: they stand in the rows of the centres."""
    scales, inverses, _per_step, lows, highs = rows
    y, outside, _past = tile
    mode, seed = rounding
    if mode == NEAREST_EVEN:
        for i in range(np.uint64(stop - place)):
            code = rint(x[np.uint64(place) + i] * inverses[i])
            kept = minimum(maximum(code, lows[i]), highs[i])
            y[i] = kept * scales[i]
            outside[i] = ONE if code != kept else ZERO
    else:
        for i in range(np.uint64(stop - place)):
            index = np.uint64(first_index + place) + i
            code = round_one(x[np.uint64(place) + i] * inverses[i], mode, seed, index)
            kept = minimum(maximum(code, lows[i]), highs[i])
            y[i] = kept * scales[i]
            outside[i] = ONE if code != kept else ZERO


@inner()
def _mark_clipped(place, stop, outside, clipped):
    """The marks of a tile, (TILE,) float32, as bytes."""
    for i in range(np.uint64(stop - place)):
        clipped[np.uint64(place) + i] = np.uint8(BEYOND) if outside[i] != ZERO else np.uint8(WITHIN)


@inner()
def _mark_unscaled(x, place, stop, inverses, kind, clipped):
    """The number of elements whose code can not be found; they are marked."""
    count = 0
    for i in range(stop - place):
        scaled = x[place + i] if kind == SIGN else x[place + i] * inverses[i]
        if not np.isfinite(scaled):
            clipped[place + i] = UNSCALED
            count += 1
    return count


@compiled()
def pass_tiles(x, first_index, blocks, shifted, coder, rounding, parts, y, clipped):
    """Write what a grid makes of `x`; the number of elements it could not scale, whose y means nothing.

    Parameters
    ----------
    x : (values,) float32, anything.
    first_index : its place in its tensor, for a stochastic draw.
    blocks : columns of the matrix, rows and columns of a block, where groups begin in `parts`.
    shifted : whether every group has end codes of its own: `parts` then hold them where centres stand else.
    coder, rounding : its kind and parameters (MOST_PARAMETERS,) float32; a mode and a seed.
    parts : (PARTS, groups) float32, as `grids.Grid.parts`.
    y : (values,) float32, overwritten.
    clipped : (values,) uint8, overwritten with WITHIN, BEYOND or UNSCALED.
    """
    rows, outside, past = make_rows(), make_row(), make_row()
    kind, parameters = coder
    is_one = parts.shape[1] == 1
    unscaled = 0
    for place in range(0, x.size, TILE):
        stop = min(place + TILE, x.size)
        if place == 0 or not is_one:
            # One group fills all of a tile with the same; the last tile needs no more than the first.
            spread_parts(place, stop, blocks, BIASED if shifted else kind, parts, rows, False)
        inverses, tile = rows[1], (y[place:stop], outside, past)
        scaled = _are_scaled(x, place, stop, inverses, kind)
        if shifted:
            _code_shifted(x, place, stop, rows, tile, rounding, first_index)
        else:
            exactly = kind == FLOAT and not (scaled and _are_gaps_normal(x, place, stop, inverses, parameters))
            code_tile(x, place, stop, rows, tile, coder, rounding, first_index, exactly)
        _mark_clipped(place, stop, outside, clipped)
        if not scaled:
            unscaled += _mark_unscaled(x, place, stop, inverses, kind, clipped)
    return unscaled
