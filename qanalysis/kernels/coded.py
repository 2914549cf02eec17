"""The fused loops of every other format: floats, tables, signs, GGUF blocks.

Two stages per tile and grid: group by group the values are coded and decoded into y, then one loop adds the errors of the
whole tile. The first stage has one short loop per kind of coder (`coders`), the second is the same for all. Conventions
as in `uniform`: y = unit * scale + centre, each operation rounded to float32; a `centre` of 0 changes nothing.
"""

from __future__ import annotations

import math

import numpy as np

from qanalysis.kernels.lanes import (
    NEAREST_EVEN,
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
from qanalysis.kernels.uniform import CLIPPED, CLIPPED_E2, MAX_ABS_E, SUM_ABS_E, SUM_E, SUM_E2, SUM_E2_IN_STEPS, SUM_RELATIVE, SUM_XE, ZERO_CODES, add_sums

CODED_GEOMETRY = 8
COLUMNS, BLOCK_ROWS, BLOCK_COLUMNS, FIRST, KIND, MODE, SEED, TAME = range(CODED_GEOMETRY)
INTEGER, BIASED, FLOAT, TABLE, SIGN = range(5)
PARTS = 5
SCALE, INVERSE, PER_STEP, CENTRE_IN, CENTRE_OUT = range(PARTS)
MOST_PARAMETERS = 33
_EXPONENT = np.int32(0x7F800000)


@inner()
def _mark(x, place, count, at, tile, top, bottom):
    """Which values lie beyond the end levels."""
    past = tile[2]
    for i in range(np.uint64(count)):
        value = x[np.uint64(place) + i]
        past[np.uint64(at) + i] = (ONE if value > top else ZERO) + (ONE if value < bottom else ZERO)


@inner()
def _code_integers(x, place, count, at, tile, group, ends, rounding):
    y, outside, _past = tile
    scale, inverse, centre_in, centre_out = group
    low, high = ends
    mode, seed, index = rounding
    if mode == NEAREST_EVEN:
        for i in range(np.uint64(count)):
            code = rint((x[np.uint64(place) + i] - centre_in) * inverse)
            kept = minimum(maximum(code, low), high)
            y[np.uint64(at) + i] = kept * scale + centre_out
            outside[np.uint64(at) + i] = ONE if code != kept else ZERO
    else:
        for i in range(np.uint64(count)):
            code = round_one((x[np.uint64(place) + i] - centre_in) * inverse, mode, seed, np.uint64(index) + i)
            kept = minimum(maximum(code, low), high)
            y[np.uint64(at) + i] = kept * scale + centre_out
            outside[np.uint64(at) + i] = ONE if code != kept else ZERO


@inner()
def _code_biased(x, place, count, at, tile, group, ends, bias):
    y, outside, _past = tile
    scale, inverse, centre_in, centre_out = group
    low, high = ends
    whole = floor(bias)
    for i in range(np.uint64(count)):
        code = floor((x[np.uint64(place) + i] - centre_in) * inverse + bias) - whole
        kept = minimum(maximum(code, low), high)
        y[np.uint64(at) + i] = kept * scale + centre_out
        outside[np.uint64(at) + i] = ONE if code != kept else ZERO


@inner()
def _code_floats(x, place, count, at, tile, group, ends, least, rounding):
    """`least`: mantissa bits and exponent of the smallest normal number; the gap comes from the exponent's bits."""
    y, outside, _past = tile
    scale, inverse, centre_in, centre_out = group
    low, high = ends
    mode, seed, index = rounding
    mantissa = np.int32(least[0]) << np.int32(23)
    floor_bits = (np.int32(least[1]) + np.int32(127)) << np.int32(23)
    mirror = np.int32(254 << 23)
    if mode == NEAREST_EVEN:
        for i in range(np.uint64(count)):
            scaled = (x[np.uint64(place) + i] - centre_in) * inverse
            octave = bits_of(absolute(scaled)) & _EXPONENT
            gap_bits = (octave if octave > floor_bits else floor_bits) - mantissa
            wanted = rint(scaled * float_of(mirror - gap_bits)) * float_of(gap_bits)
            kept = minimum(maximum(wanted, low), high)
            y[np.uint64(at) + i] = kept * scale + centre_out
            outside[np.uint64(at) + i] = ONE if wanted != kept else ZERO
    else:
        for i in range(np.uint64(count)):
            scaled = (x[np.uint64(place) + i] - centre_in) * inverse
            octave = bits_of(absolute(scaled)) & _EXPONENT
            gap_bits = (octave if octave > floor_bits else floor_bits) - mantissa
            wanted = round_one(scaled * float_of(mirror - gap_bits), mode, seed, np.uint64(index) + i) * float_of(gap_bits)
            kept = minimum(maximum(wanted, low), high)
            y[np.uint64(at) + i] = kept * scale + centre_out
            outside[np.uint64(at) + i] = ONE if wanted != kept else ZERO


@inner()
def _code_floats_exactly(x, place, count, at, tile, group, ends, least, rounding):
    """The same where a gap or its inverse may leave the normal float32 numbers: gaps in float64."""
    y, outside, _past = tile
    scale, inverse, centre_in, centre_out = group
    low, high = ends
    mode, seed, index = rounding
    for i in range(count):
        scaled = (x[place + i] - centre_in) * inverse
        wanted = scaled
        if scaled != ZERO and absolute(scaled) < np.float32(np.inf):
            exponent = max(math.frexp(np.float64(scaled))[1] - 1, np.int64(least[1]))
            gap = math.ldexp(1.0, exponent - np.int64(least[0]))
            wanted = np.float32(np.float64(round_one(np.float32(np.float64(scaled) / gap), mode, seed, np.uint64(index + i))) * gap)
        kept = min(max(wanted, low), high)
        y[at + i] = kept * scale + centre_out
        outside[at + i] = ONE if wanted != kept else ZERO


@inner()
def _code_tables(x, place, count, at, tile, group, parameters):
    y, outside, _past = tile
    scale, inverse, _centre_in, _centre_out = group
    low_edge, high_edge = parameters[0] * scale, parameters[1] * scale
    t0, t1, t2, t3, t4 = parameters[2], parameters[3], parameters[4], parameters[5], parameters[6]
    t5, t6, t7, t8, t9 = parameters[7], parameters[8], parameters[9], parameters[10], parameters[11]
    t10, t11, t12, t13, t14 = parameters[12], parameters[13], parameters[14], parameters[15], parameters[16]
    n0, n1, n2, n3, n4, n5, n6, n7 = (
        parameters[17],
        parameters[18],
        parameters[19],
        parameters[20],
        parameters[21],
        parameters[22],
        parameters[23],
        parameters[24],
    )
    n8, n9, n10, n11 = parameters[25], parameters[26], parameters[27], parameters[28]
    n12, n13, n14, n15 = parameters[29], parameters[30], parameters[31], parameters[32]
    for i in range(np.uint64(count)):
        value = x[np.uint64(place) + i]
        scaled = value * inverse
        lower = (n1 if scaled > t0 else n0) if scaled <= t1 else (n3 if scaled > t2 else n2)
        low_middle = (n5 if scaled > t4 else n4) if scaled <= t5 else (n7 if scaled > t6 else n6)
        high_middle = (n9 if scaled > t8 else n8) if scaled <= t9 else (n11 if scaled > t10 else n10)
        upper = (n13 if scaled > t12 else n12) if scaled <= t13 else (n15 if scaled > t14 else n14)
        below = low_middle if scaled > t3 else lower
        above = upper if scaled > t11 else high_middle
        y[np.uint64(at) + i] = (above if scaled > t7 else below) * scale
        outside[np.uint64(at) + i] = (ONE if value > high_edge else ZERO) + (ONE if value < low_edge else ZERO)


@inner()
def _code_signs(x, place, count, at, tile, group, edges):
    y, outside, _past = tile
    level, threshold, _centre_in, _centre_out = group
    low_edge, high_edge = edges[0] * level, edges[1] * level
    for i in range(np.uint64(count)):
        value = x[np.uint64(place) + i]
        y[np.uint64(at) + i] = (-level if value < ZERO else level) if absolute(value) > threshold else ZERO
        outside[np.uint64(at) + i] = (ONE if value > high_edge else ZERO) + (ONE if value < low_edge else ZERO)


@inner()
def _code_run(x, place, count, at, tile, group, parameters, kind, rounding, exactly):
    ends = (parameters[0], parameters[1])
    if kind == FLOAT:
        if exactly:
            _code_floats_exactly(x, place, count, at, tile, group, ends, (parameters[2], parameters[3]), rounding)
        else:
            _code_floats(x, place, count, at, tile, group, ends, (parameters[2], parameters[3]), rounding)
    elif kind == INTEGER:
        _code_integers(x, place, count, at, tile, group, ends, rounding)
    elif kind == BIASED:
        _code_biased(x, place, count, at, tile, group, ends, parameters[2])
    elif kind == TABLE:
        _code_tables(x, place, count, at, tile, group, parameters)
    else:
        _code_signs(x, place, count, at, tile, group, ends)


@inner()
def _end_levels(kind, parameters, scale, centre):
    """The largest and smallest y of a group; a GGUF scale may be negative."""
    if kind == TABLE:
        return parameters[32] * scale, parameters[17] * scale
    if kind == SIGN:
        return scale, -scale
    first, last = parameters[0] * scale + centre, parameters[1] * scale + centre
    return max(first, last), min(first, last)


@inner()
def _code_tile(x, place, stop, geometry, parts, parameters, grid, first_index, tile, per_step, exactly):
    """y of a tile under one grid, group by group, with the marks and 1/step that its sums need."""
    columns, block_rows, block_columns = geometry[grid, COLUMNS], geometry[grid, BLOCK_ROWS], geometry[grid, BLOCK_COLUMNS]
    kind, first = geometry[grid, KIND], geometry[grid, FIRST]
    group_columns = -(-columns // block_columns)
    row = place // columns
    column = place - row * columns
    part = column // block_columns
    row_block = row // block_rows * group_columns
    own = parameters[grid]
    done = 0
    while done < stop - place:
        border = min((part + 1) * block_columns, columns)
        count = min(border - column, stop - place - done)
        at = first + row_block + part
        group = (parts[SCALE, at], parts[INVERSE, at], parts[CENTRE_IN, at], parts[CENTRE_OUT, at])
        rounding = (geometry[grid, MODE], geometry[grid, SEED], first_index + place + done)
        _code_run(x, place + done, count, done, tile, group, own, kind, rounding, exactly)
        top, bottom = _end_levels(kind, own, group[0], group[3])
        _mark(x, place + done, count, done, tile, top, bottom)
        fill(per_step, done, done + count, parts[PER_STEP, at])
        done += count
        column = border
        part += 1
        if column == columns:
            row += 1
            column = part = 0
            row_block = row // block_rows * group_columns


@inner(fastmath=REORDER)
def _add_errors(x, place, stop, reciprocal, tile, per_step, grid, sums):
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
    # A loop of its own: where x is 0 its error need not be, and neither may count.
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        is_signal = ONE if value != ZERO else ZERO
        relative = muladd(absolute(y[i] - value) * is_signal, reciprocal[i], relative)
        zeros += is_signal if y[i] == ZERO else ZERO
    add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, np.float64(in_steps), xe_sum, zeros, largest)
    sums[grid, CLIPPED] += clipped
    sums[grid, CLIPPED_E2] += beyond


@inner()
def _add_errors_exactly(x, place, stop, tile, per_step, grid, sums):
    y, outside, past = tile
    for i in range(stop - place):
        value = np.float64(x[place + i])
        # y and e are float32 numbers, as written in the fast loop.
        error = np.float64(y[i] - x[place + i])
        sums[grid, SUM_E] += error
        sums[grid, SUM_E2] += error * error
        sums[grid, SUM_ABS_E] += abs(error)
        sums[grid, SUM_RELATIVE] += abs(error) / abs(value) if value != 0 else 0.0
        sums[grid, SUM_E2_IN_STEPS] += (error * per_step[i]) ** 2
        sums[grid, SUM_XE] += value * error
        sums[grid, CLIPPED_E2] += error * error * past[i]
        sums[grid, CLIPPED] += outside[i]
        sums[grid, ZERO_CODES] += 1.0 if y[i] == 0 and value != 0 else 0.0
        sums[grid, MAX_ABS_E] = max(sums[grid, MAX_ABS_E], abs(error))


@inner()
def _leave_out(x, raw, place, stop, tile):
    y, outside, past = tile
    for i in range(stop - place):
        if not np.isfinite(raw[place + i]):
            y[i], outside[i], past[i] = x[place + i], ZERO, ZERO


@compiled()
def accumulate_coded(x, raw, first_index, geometry, parts, parameters, moments, sums):
    """As `uniform.accumulate`, for coders of any kind; ZERO_CODES counts y = 0 where x is not.

    `raw` is `x` before its non-finite values were replaced by 0, or `x` itself: where it is not finite nothing is added.
    `geometry` (grids, CODED_GEOMETRY) int64 says how blocks lie on the chunk, where its groups begin in `parts` (FIRST), and
    KIND, MODE, SEED, TAME; `parts` (PARTS, groups) float32 holds the groups' scales, their inverses (or thresholds), 1/step
    (0 where a group has none) and centres; `parameters` (grids, MOST_PARAMETERS) float32 what `coders` says of each coder.
    """
    reciprocal, per_step = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    tile = (np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32))
    has_gaps = raw.size > 0
    for place in range(0, x.size, TILE):
        stop = min(place + TILE, x.size)
        tame = add_moments(x, place, stop, reciprocal, moments)
        for grid in range(geometry.shape[0]):
            is_fast = tame and geometry[grid, TAME]
            _code_tile(x, place, stop, geometry, parts, parameters, grid, first_index, tile, per_step, not is_fast)
            if has_gaps:
                _leave_out(x, raw, place, stop, tile)
            if is_fast:
                _add_errors(x, place, stop, reciprocal, tile, per_step, grid, sums)
            else:
                _add_errors_exactly(x, place, stop, tile, per_step, grid, sums)


@compiled()
def coded_errors(groups, parts, parameters, kind, mode, out):
    """Sum e^2 of each row of `groups` (groups, length) under its own grid into `out` (groups,), float64; a search has no draws."""
    tile = (np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32))
    for row in range(groups.shape[0]):
        group = (parts[SCALE, row], parts[INVERSE, row], parts[CENTRE_IN, row], parts[CENTRE_OUT, row])
        total = 0.0
        for place in range(0, groups.shape[1], TILE):
            count = min(TILE, groups.shape[1] - place)
            _code_run(groups[row], place, count, 0, tile, group, parameters, kind, (mode, np.int64(0), np.int64(0)), True)
            for i in range(count):
                total += np.float64(tile[0][i] - groups[row, place + i]) ** 2
        out[row] = total


@compiled()
def magnitudes(x, columns, block_rows, block_columns, threshold, total, count):
    """Add |x| of each block's elements above its `threshold` to `total`, and their number to `count`, both (blocks,) float64."""
    group_columns = -(-columns // block_columns)
    for row in range(x.size // columns):
        first = row // block_rows * group_columns
        for part in range(group_columns):
            begin = row * columns + part * block_columns
            end = min(begin + block_columns, (row + 1) * columns)
            own_total, own_count = _magnitudes_run(x[begin:end], threshold[first + part])
            total[first + part] += own_total
            count[first + part] += own_count


@inner(fastmath={"reassoc", "nsz"})
def _magnitudes_run(x, threshold):
    total, count = 0.0, 0.0
    for i in range(x.size):
        magnitude = np.float64(absolute(x[i]))
        # A NaN exceeds nothing.
        total += magnitude if magnitude > threshold else 0.0
    for i in range(x.size):
        count += 1.0 if absolute(x[i]) > threshold else 0.0
    return total, count
