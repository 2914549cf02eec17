"""The fused loops of every other format: floats, tables, signs, GGUF blocks.

Per tile and grid the parts of its groups are spread over the tile, one short loop of the coder's kind (`coders`) writes y,
and one loop for all kinds adds the errors. Conventions as in `uniform`; y = number * scale + centre, each operation rounded
to float32. A tile's `rows` are scales, inverses, 1/steps and centres per element; its marks say what lies outside the codes,
and past the end levels.
"""

from __future__ import annotations

import math

import numpy as np

from qanalysis.kernels.adders import add_exactly, add_sums
from qanalysis.kernels.codes import (
    BIAS,
    BIASED,
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    CENTRE_AFTER,
    CENTRE_BEFORE,
    CLIPPED,
    CLIPPED_E2,
    COLUMNS,
    FIRST,
    FIRST_NUMBER,
    FIRST_THRESHOLD,
    FLOAT,
    HIGH,
    INTEGER,
    INVERSE,
    KIND,
    LEAST_EXPONENT,
    LOW,
    MANTISSA_BITS,
    MODE,
    MOST_THRESHOLDS,
    NEAREST_EVEN,
    PER_STEP,
    SCALE,
    SEED,
    SIGN,
    STEP,
    STOCHASTIC,
    TABLE,
    TAME,
)
from qanalysis.kernels.lanes import (
    ONE,
    REORDER,
    TILE,
    ZERO,
    absolute,
    bits_of,
    compiled,
    fill,
    float_of,
    floor,
    inner,
    maximum,
    minimum,
    muladd,
    rint,
    round_one,
)
from qanalysis.kernels.scans import add_moments

_EXPONENT = np.int32(0x7F800000)
# This minus the bits of a power of two are the bits of its inverse.
_INVERSE = np.int32(254 << 23)
# The scale of a group without a signal, where nothing is past an end.
_ENDLESS = np.finfo(np.float32).max


@inner()
def _spread_parts(place, stop, blocks, kind, parts, rows, exactly):
    """One value per block to one per element, from `place` to `stop`; centres only where the kind has them.

    `blocks` are the columns of the matrix, the rows and columns of a block, and where the groups begin in `parts`. Where sums
    are taken `exactly` the steps take the place of their inverses, which may not be float32 numbers.
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
    """Which values lie beyond the end levels; a GGUF scale may be negative, so either end can be the upper one."""
    scales, _inverses, _per_step, _before, _after = rows
    _y, _outside, past = tile
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scale = scales[i] if scales[i] != ZERO else _ENDLESS
        first, last = low * scale, high * scale
        past[i] = (ONE if value > maximum(first, last) else ZERO) + (ONE if value < minimum(first, last) else ZERO)


@inner()
def _code_integers(x, place, stop, rows, tile, low, high):
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    for i in range(np.uint64(stop - place)):
        code = rint(x[np.uint64(place) + i] * inverses[i])
        kept = minimum(maximum(code, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if code != kept else ZERO


@inner()
def _code_integers_rounded(x, place, stop, rows, tile, low, high, mode, seed, first_index):
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    for i in range(np.uint64(stop - place)):
        code = round_one(x[np.uint64(place) + i] * inverses[i], mode, seed, np.uint64(first_index + place) + i)
        kept = minimum(maximum(code, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if code != kept else ZERO


@inner()
def _code_biased(x, place, stop, rows, tile, low, high, bias):
    """Codes around a centre; their end levels are marked here, as no other kind has a centre."""
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
    """The gap around a value comes from the bits of its exponent."""
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
    """The same where a gap or its inverse may leave the normal float32 numbers: gaps in float64."""
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    for i in range(stop - place):
        scaled = x[place + i] * inverses[i]
        wanted = scaled
        if scaled != ZERO and absolute(scaled) < np.float32(np.inf):
            exponent = max(math.frexp(np.float64(scaled))[1] - 1, int(least_exponent))
            gap = math.ldexp(1.0, exponent - int(mantissa_bits))
            wanted = np.float32(np.float64(round_one(np.float32(np.float64(scaled) / gap), mode, seed, np.uint64(first_index + place + i))) * gap)
        kept = min(max(wanted, low), high)
        y[i] = kept * scales[i]
        outside[i] = ONE if wanted != kept else ZERO


@inner()
def _code_tables(x, place, stop, rows, tile, parameters):
    """Four comparisons deep: a tree over up to 15 thresholds."""
    scales, inverses, _per_step, _before, _after = rows
    y, outside, _past = tile
    low_edge, high_edge = parameters[LOW], parameters[HIGH]
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
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scale = absolute(scales[i]) if scales[i] != ZERO else _ENDLESS
        outside[i] = (ONE if value > high_edge * scale else ZERO) + (ONE if value < low_edge * scale else ZERO)


@inner()
def _code_signs(x, place, stop, rows, tile, low_edge, high_edge):
    """The place of the inverses holds thresholds."""
    scales, thresholds, _per_step, _before, _after = rows
    y, outside, _past = tile
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        y[i] = (-scales[i] if value < ZERO else scales[i]) if absolute(value) > thresholds[i] else ZERO
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scale = scales[i] if scales[i] != ZERO else _ENDLESS
        outside[i] = (ONE if value > high_edge * scale else ZERO) + (ONE if value < low_edge * scale else ZERO)


@inner()
def _code_tile(x, place, stop, rows, tile, coder, rounding, first_index, exactly):
    """The y of a tile under one grid, with the marks that its sums need; `exactly` where its numbers leave float32's safe ranges.

    `coder` is its kind and parameters, `rounding` a mode and a seed.
    """
    kind, parameters = coder
    mode, seed = rounding
    low, high = parameters[LOW], parameters[HIGH]
    if kind == FLOAT:
        mantissa_bits, least_exponent = parameters[MANTISSA_BITS], parameters[LEAST_EXPONENT]
        if exactly:
            _code_floats_exactly(x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent, mode, seed, first_index)
        elif mode == NEAREST_EVEN:
            _code_floats(x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent)
        else:
            _code_floats_rounded(x, place, stop, rows, tile, low, high, mantissa_bits, least_exponent, mode, seed, first_index)
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
def _make_rows():
    return (np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32))


@inner()
def _make_tile():
    return (np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32))


@inner(fastmath=REORDER)
def _add_errors(x, place, stop, reciprocal, tile, per_step, silent, keeps_zero, grid, sums):
    """Add a tile under one grid in float32 lanes; on grids that keep 0 the `silent` elements are among those with y = 0."""
    y, outside, past = tile
    e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    zeros, largest, clipped, beyond = ZERO, ZERO, ZERO, ZERO
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        error = y[i] - value
        square = error * error
        error_in_steps = error * per_step[i]
        e_sum += error
        e2_sum += square
        abs_sum += absolute(error)
        in_steps = muladd(error_in_steps, error_in_steps, in_steps)
        xe_sum = muladd(value, error, xe_sum)
        largest = maximum(largest, absolute(error))
        clipped += outside[i]
        beyond = muladd(square, past[i], beyond)
    for i in range(np.uint64(stop - place)):
        relative = muladd(absolute(y[i] - x[np.uint64(place) + i]), reciprocal[i], relative)
        zeros += ONE if y[i] == ZERO else ZERO
    if not keeps_zero:
        # A loop of its own, as most formats need none: y = 0 counts where x is not.
        zeros = ZERO
        for i in range(np.uint64(stop - place)):
            zeros += (ONE if y[i] == ZERO else ZERO) * (ONE if x[np.uint64(place) + i] != ZERO else ZERO)
    else:
        zeros -= silent
    add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, np.float64(in_steps), xe_sum, zeros, largest)
    sums[grid, CLIPPED] += clipped
    sums[grid, CLIPPED_E2] += beyond


@inner(fastmath=REORDER)
def _count_silence(x, place, stop, reciprocal):
    """How many x of a tile are 0; their reciprocals become 0, as a relative error has no meaning there."""
    silent = ZERO
    for i in range(np.uint64(stop - place)):
        silent += ONE if x[np.uint64(place) + i] == ZERO else ZERO
    if silent > ZERO:
        for i in range(np.uint64(stop - place)):
            reciprocal[i] = reciprocal[i] if x[np.uint64(place) + i] != ZERO else ZERO
    return silent


@inner()
def _add_errors_exactly(x, place, stop, tile, step, grid, sums):
    y, outside, past = tile
    for i in range(stop - place):
        value = np.float64(x[place + i])
        # y and e are float32 numbers, as written in the fast loop.
        error = np.float64(y[i] - x[place + i])
        add_exactly(sums, grid, value, error, np.float64(step[i]), outside[i], past[i], y[i] == 0 and value != 0)


@inner()
def _leave_out(x, raw, place, stop, tile):
    y, outside, past = tile
    for i in range(stop - place):
        if not np.isfinite(raw[place + i]):
            y[i], outside[i], past[i] = x[place + i], ZERO, ZERO


@compiled()
def accumulate_coded(x, raw, first_index, geometry, parts, parameters, moments, sums):
    """As `uniform.accumulate`, for coders of any kind; ZEROED counts y = 0 where x is not.

    `raw` is `x` before its non-finite values were replaced by 0, or empty: where it is not finite nothing is added.
    `geometry` (grids, GEOMETRY) int64 says how blocks lie on the chunk, where its groups begin in `parts` (FIRST), and
    KIND, MODE, SEED, TAME; `parts` (PARTS, groups) float32 holds the groups' scales, their inverses (or thresholds), 1/step
    (0 where a group has none) and centres; `parameters` (grids, MOST_PARAMETERS) float32 what `coders` says of each coder.
    """
    reciprocal, rows, tile = np.empty(TILE, np.float32), _make_rows(), _make_tile()
    for place in range(0, x.size, TILE):
        stop = min(place + TILE, x.size)
        tame = add_moments(x, place, stop, reciprocal, moments)
        silent = _count_silence(x, place, stop, reciprocal)
        for grid in range(geometry.shape[0]):
            is_fast = tame and geometry[grid, TAME]
            kind = geometry[grid, KIND]
            blocks = (geometry[grid, COLUMNS], geometry[grid, BLOCK_ROWS], geometry[grid, BLOCK_COLUMNS], geometry[grid, FIRST])
            _spread_parts(place, stop, blocks, kind, parts, rows, not is_fast)
            rounding = (geometry[grid, MODE], geometry[grid, SEED])
            _code_tile(x, place, stop, rows, tile, (kind, parameters[grid]), rounding, first_index, not is_fast)
            if raw.size > 0:
                _leave_out(x, raw, place, stop, tile)
            if is_fast:
                _add_errors(x, place, stop, reciprocal, tile, rows[PER_STEP], silent, kind not in (BIASED, SIGN), grid, sums)
            else:
                _add_errors_exactly(x, place, stop, tile, rows[PER_STEP], grid, sums)


@compiled()
def coded_errors(groups, kind, mode, parts, parameters, out):
    """Sum e^2 of each row of `groups` (groups, length) under its own grid into `out` (groups,), float64.

    `kind` and `parameters` (MOST_PARAMETERS,) or fewer, float32, are those of the coder, `parts` as in `accumulate_coded`. A
    stochastic mode is judged by nearest-even: the draws belong to places in the tensor, which a search does not know.
    """
    rows, tile = _make_rows(), _make_tile()
    x = groups.reshape(-1)
    length = groups.shape[1]
    blocks, rounding = (length, 1, length, 0), (NEAREST_EVEN if mode == STOCHASTIC else mode, 0)
    out[:] = 0.0
    for place in range(0, x.size, TILE):
        stop = min(place + TILE, x.size)
        _spread_parts(place, stop, blocks, kind, parts, rows, True)
        # A search has no huge or tiny scaled values: its ranges are shares of the data's.
        _code_tile(x, place, stop, rows, tile, (kind, parameters), rounding, 0, False)
        begin = place
        while begin < stop:
            group = begin // length
            end = min((group + 1) * length, stop)
            out[group] += _squared_difference(x, begin, end, tile[0], place)
            begin = end


@inner(fastmath=REORDER)
def _squared_difference(x, begin, end, y, origin):
    total = 0.0
    for i in range(np.uint64(end - begin)):
        difference = np.float64(y[np.uint64(begin - origin) + i] - x[np.uint64(begin) + i])
        total += difference * difference
    return total
