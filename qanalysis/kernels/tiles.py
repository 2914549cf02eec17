"""Which y does a coder of each kind make of a tile? Floats, tables, signs, GGUF blocks.

By one short loop for every kind.

The parts of the groups are spread over the tile first: its `rows` are scales, inverses (or thresholds), 1/steps and
centres before and after, float32 (TILE,) each. y = number * scale + centre, each operation rounded to float32. A tile
is y with two marks beside it: what lies outside the codes, and what is past the end levels.
"""

from __future__ import annotations

import math

import numpy as np

from qanalysis.kernels.codes import (
    BIAS,
    BIASED,
    CENTRE_AFTER,
    CENTRE_BEFORE,
    FIRST_NUMBER,
    FIRST_THRESHOLD,
    FLOAT,
    HIGH,
    INTEGER,
    INVERSE,
    LEAST_EXPONENT,
    LOW,
    MANTISSA_BITS,
    MOST_THRESHOLDS,
    NEAREST_EVEN,
    PER_STEP,
    SCALE,
    STEP,
    TABLE,
)
from qanalysis.kernels.lanes import (
    ONE,
    ZERO,
    absolute,
    bits_of,
    fill,
    float_of,
    floor,
    inner,
    make_row,
    maximum,
    minimum,
    rint,
    round_one,
)

_EXPONENT = np.int32(0x7F800000)
# This minus the bits of a power of two are the bits of its inverse.
_INVERSE = np.int32(254 << 23)
# The scale of a group without a signal, where nothing is past an end.
_ENDLESS = np.finfo(np.float32).max


@inner()
def spread_parts(place, stop, blocks, kind, parts, rows, exactly):
    """One value per block to one per element, from `place` to `stop`; centres only where the kind has them.

    `blocks` are the columns of the matrix, the rows and columns of a block, and where the groups begin in `parts`.
    Where sums are taken `exactly` the steps take the place of their inverses, which may not be float32 numbers.
    """
    scales, inverses, per_step, before, after = rows
    columns, block_rows, block_columns, first = blocks
    group_columns = -(-columns // block_columns)
    row = place // columns
    column = place - row * columns
    part = column // block_columns
    row_block = first + row // block_rows * group_columns
    filled = 0
    while filled < stop - place:
        border = min((part + 1) * block_columns, columns)
        end = min(filled + border - column, stop - place)
        at = row_block + part
        scale, inverse, step = parts[SCALE, at], parts[INVERSE, at], parts[STEP if exactly else PER_STEP, at]
        # One loop for the three: groups may be as short as a vector.
        for i in range(np.uint64(filled), np.uint64(end)):
            scales[i] = scale
            inverses[i] = inverse
            per_step[i] = step
        if kind == BIASED:
            fill(before, filled, end, parts[CENTRE_BEFORE, at])
            fill(after, filled, end, parts[CENTRE_AFTER, at])
        filled = end
        column = border
        part += 1
        if column == columns:
            row += 1
            column = part = 0
            row_block = first + row // block_rows * group_columns


@inner()
def _mark(x, place, stop, rows, tile, low, high):
    """Which values lie beyond the end levels, low * scale and high * scale; a GGUF scale may be negative, so either end
    can be the upper one. Groups without a signal have scale 0 and nothing past an end.
    """
    scales, _inverses, _per_step, _before, _after = rows
    _y, _outside, past = tile
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scale = scales[i] if scales[i] != ZERO else _ENDLESS
        first, last = low * scale, high * scale
        past[i] = (ONE if value > maximum(first, last) else ZERO) + (ONE if value < minimum(first, last) else ZERO)


@inner()
def _mark_outside(x, place, stop, rows, tile, low_edge, high_edge):
    """Which values lie beyond the edges of a list of numbers, given at scale 1: their codes would be others in a longer
    list. A group without a scale has none outside.
    """
    scales, _inverses, _per_step, _before, _after = rows
    _y, outside, _past = tile
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scale = absolute(scales[i]) if scales[i] != ZERO else _ENDLESS
        outside[i] = (ONE if value > high_edge * scale else ZERO) + (ONE if value < low_edge * scale else ZERO)


@inner()
def _code_integers(x, place, stop, rows, tile, low, high):
    """Whole numbers low..high, rounded by nearest-even and then clipped: x * inverse has its code outside where
    clipping changes the rounded number, not where it only rounds past an end level.
    """
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    for i in range(np.uint64(stop - place)):
        code = rint(x[np.uint64(place) + i] * inverses[i])
        kept = minimum(maximum(code, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if code != kept else ZERO


@inner()
def _code_integers_rounded(x, place, stop, rows, tile, low, high, mode, seed, first_index):
    """Whole numbers by any mode; the place of an element in its tensor, `first_index` on, decides a stochastic draw."""
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    for i in range(np.uint64(stop - place)):
        code = round_one(x[np.uint64(place) + i] * inverses[i], mode, seed, np.uint64(first_index + place) + i)
        kept = minimum(maximum(code, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if code != kept else ZERO


@inner()
def _code_biased(x, place, stop, rows, tile, low, high, bias):
    """Codes around a centre: floor((x - before) * inverse + bias) - floor(bias), then y = code * scale + after, as
    GGUF's own code rounds. Their end levels are marked here, as no other kind has a centre.
    """
    scales, inverses, _per_step, before, after = rows
    y, outside, past = tile
    whole = floor(bias)
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        code = floor((value - before[i]) * inverses[i] + bias) - whole
        kept = minimum(maximum(code, low), high)
        y[i] = kept * scales[i] + after[i]
        outside[i] = ONE if code != kept else ZERO
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scale = scales[i] if scales[i] != ZERO else _ENDLESS
        first, last = low * scale + after[i], high * scale + after[i]
        past[i] = (ONE if value > maximum(first, last) else ZERO) + (ONE if value < minimum(first, last) else ZERO)


@inner()
def _code_floats(x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent):
    """Floats by nearest-even: the gap around a scaled value, 2^(exponent - mantissa_bits), comes from the bits of its
    exponent, and is the smallest normal number's below that. Gap and its inverse must be normal float32 numbers.
    """
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    mantissa = np.int32(mantissa_bits) << np.int32(23)
    least = (np.int32(least_exponent) + np.int32(127)) << np.int32(23)
    for i in range(np.uint64(stop - place)):
        scaled = x[np.uint64(place) + i] * inverses[i]
        gap_bits = max(bits_of(absolute(scaled)) & _EXPONENT, least) - mantissa
        wanted = rint(scaled * float_of(_INVERSE - gap_bits)) * float_of(gap_bits)
        kept = minimum(maximum(wanted, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if wanted != kept else ZERO


@inner()
def _code_floats_rounded(x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent, mode, seed, first_index):
    """The same by any mode, on the whole number of gaps; `mode`, `seed` and `first_index` as in `round_one`."""
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    mantissa = np.int32(mantissa_bits) << np.int32(23)
    least = (np.int32(least_exponent) + np.int32(127)) << np.int32(23)
    for i in range(np.uint64(stop - place)):
        scaled = x[np.uint64(place) + i] * inverses[i]
        gap_bits = max(bits_of(absolute(scaled)) & _EXPONENT, least) - mantissa
        code = round_one(scaled * float_of(_INVERSE - gap_bits), mode, seed, np.uint64(first_index + place) + i)
        wanted = code * float_of(gap_bits)
        kept = minimum(maximum(wanted, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if wanted != kept else ZERO


@inner()
def _code_floats_exactly(x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent, mode, seed, first_index):
    """The same where a gap or its inverse may leave the normal float32 numbers: gaps in float64. Zeros and infinities
    want to be themselves.
    """
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    for i in range(stop - place):
        scaled = x[place + i] * inverses[i]
        wanted = scaled
        if scaled != ZERO and absolute(scaled) < np.float32(np.inf):
            exponent = max(math.frexp(np.float64(scaled))[1] - 1, int(least_exponent))
            gap = math.ldexp(1.0, exponent - int(mantissa_bits))
            wanted = np.float32(
                np.float64(
                    round_one(np.float32(np.float64(scaled) / gap), mode, seed, np.uint64(first_index + place + i))
                )
                * gap
            )
        kept = min(max(wanted, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if wanted != kept else ZERO


@inner()
def _code_tables(x, place, stop, rows, tile, parameters):
    """The number of a list that lies nearest, by comparisons four deep: a tree over up to 15 thresholds.

    `parameters` (MOST_PARAMETERS,) hold edges, thresholds and numbers; places that a shorter list leaves are filled
    with infinity and the last number. A value on a threshold goes down.
    """
    scales, inverses, _per_step, _before, _after = rows
    y, _outside, _past = tile
    t, n = parameters[FIRST_THRESHOLD:], parameters[FIRST_NUMBER:]
    t0, t1, t2, t3, t4, t5, t6, t7 = t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]
    t8, t9, t10, t11, t12, t13, t14 = t[8], t[9], t[10], t[11], t[12], t[13], t[14]
    n0, n1, n2, n3, n4, n5, n6, n7 = n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]
    n8, n9, n10, n11, n12, n13, n14, n15 = n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15]
    for i in range(np.uint64(stop - place)):
        scaled = x[np.uint64(place) + i] * inverses[i]
        first = (n1 if scaled > t0 else n0) if scaled <= t1 else (n3 if scaled > t2 else n2)
        second = (n5 if scaled > t4 else n4) if scaled <= t5 else (n7 if scaled > t6 else n6)
        third = (n9 if scaled > t8 else n8) if scaled <= t9 else (n11 if scaled > t10 else n10)
        fourth = (n13 if scaled > t12 else n12) if scaled <= t13 else (n15 if scaled > t14 else n14)
        below = second if scaled > t3 else first
        above = fourth if scaled > t11 else third
        y[i] = (above if scaled > t7 else below) * scales[i]
    _mark_outside(x, place, stop, rows, tile, parameters[LOW], parameters[HIGH])


@inner()
def _code_signs(x, place, stop, rows, tile, low_edge, high_edge):
    """The sign where |x| exceeds the group's threshold, else 0; the place of the inverses holds thresholds, negative
    where every value counts. The sign of 0 is +1.
    """
    scales, thresholds, _per_step, _before, _after = rows
    y, _outside, _past = tile
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        y[i] = (-scales[i] if value < ZERO else scales[i]) if absolute(value) > thresholds[i] else ZERO
    _mark_outside(x, place, stop, rows, tile, low_edge, high_edge)


@inner()
def code_tile(x, place, stop, rows, tile, coder, rounding, first_index, exactly):
    """The y of a tile under one grid, with the marks that its sums need.

    Parameters
    ----------
    x, place, stop : the chunk and the part of it that is the tile, at most TILE values, finite.
    rows : what `spread_parts` wrote for it.
    tile : y and the two marks (0 or 1), float32 (TILE,) each, overwritten.
    coder, rounding : its kind and parameters; a mode and a seed.
    first_index : the chunk's place in its tensor, for the stochastic draw.
    exactly : where numbers leave float32's safe ranges.
    """
    kind, parameters = coder
    mode, seed = rounding
    low, high = parameters[LOW], parameters[HIGH]
    if kind == FLOAT:
        mantissa_bits, least_exponent = parameters[MANTISSA_BITS], parameters[LEAST_EXPONENT]
        if exactly:
            _code_floats_exactly(
                x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent, mode, seed, first_index
            )
        elif mode == NEAREST_EVEN:
            _code_floats(x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent)
        else:
            _code_floats_rounded(
                x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent, mode, seed, first_index
            )
    elif kind == INTEGER:
        if mode == NEAREST_EVEN:
            _code_integers(x, place, stop, rows, tile, low, high)
        else:
            _code_integers_rounded(x, place, stop, rows, tile, low, high, mode, seed, first_index)
    elif kind == BIASED:
        _code_biased(x, place, stop, rows, tile, low, high, parameters[BIAS])
    elif kind == TABLE:
        _code_tables(x, place, stop, rows, tile, parameters)
        low, high = parameters[FIRST_NUMBER], parameters[FIRST_NUMBER + MOST_THRESHOLDS]
    else:
        _code_signs(x, place, stop, rows, tile, low, high)
        low, high = -ONE, ONE
    if kind != BIASED:
        _mark(x, place, stop, rows, tile, low, high)


@inner()
def make_rows():
    """Room for what `spread_parts` writes, five of (TILE,) float32."""
    return make_row(), make_row(), make_row(), make_row(), make_row()


@inner()
def make_tile():
    """Room for y and its two marks, three of (TILE,) float32."""
    return make_row(), make_row(), make_row()
