"""The fused loops: all error sums of one chunk under one grid in a single pass, and the few other loops that must be fast.

Arrays are flat float32 in C order of a matrix with `columns` columns whose blocks of block_rows x block_columns share a
grid: arrays of one value per block, numbered along rows first. Values are finite. y and e = y - x are rounded exactly as
written (no fused multiply-add); only sums may be reordered. Lanes add at most TILE values in float32, tiles add in float64.
Every loop is compiled on first use, cached on disk, and releases the interpreter lock; none starts threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

TILE = 1024
LONG_RUN = 256
SUMS = 10
SUM_E, SUM_E2, SUM_ABS_E, SUM_RELATIVE, SUM_E2_IN_STEPS, SUM_XE, CLIPPED_E2, CLIPPED, ZERO_CODES, MAX_ABS_E = range(SUMS)
NEAREST_EVEN, NEAREST_AWAY, HALF_UP, FLOOR, CEIL, TO_ZERO, STOCHASTIC = range(7)
STEP, INVERSE, LOW, HIGH, CODE = range(5)
SMALLEST_NORMAL = np.float32(2**-126)

# Sums may be reordered into lanes; contraction and reciprocal rewriting stay forbidden, so y and e keep their rounding.
_REORDER = {"nnan", "ninf", "nsz", "reassoc"}


def _compile(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return numba.njit(nogil=True, cache=True, error_model="numpy", **options)


def _float_intrinsic(name: str, operands: int) -> Callable[..., Any]:
    # numba's own rint, min and max branch on NaN and keep LLVM from using vector lanes.
    signature = numba.float32(*[numba.float32] * operands)

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * operands)
        return builder.call(builder.module.declare_intrinsic(name, [ir.FloatType()], kind), values, fastmath=["nnan", "nsz"])

    if operands == 1:

        def typed(_typing: Any, _value: Any) -> Any:
            return signature, emit
    else:

        def typed(_typing: Any, _first: Any, _second: Any) -> Any:  # type: ignore[misc]  the arity decides which one numba sees
            return signature, emit

    return intrinsic(typed)


_rint = _float_intrinsic("llvm.rint", 1)
_floor = _float_intrinsic("llvm.floor", 1)
_ceil = _float_intrinsic("llvm.ceil", 1)
_trunc = _float_intrinsic("llvm.trunc", 1)
_abs = _float_intrinsic("llvm.fabs", 1)
_min = _float_intrinsic("llvm.minnum", 2)
_max = _float_intrinsic("llvm.maxnum", 2)

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@_compile()
def scan(x):
    """(non-finite elements, largest finite magnitude) of a chunk that may hold anything."""
    bad = 0
    largest = _ZERO
    for start in range(0, x.size, TILE):
        strange, top = _scan_tile(x[start : start + TILE])
        bad += strange
        largest = max(largest, top)
    return bad, largest


@_compile(fastmath={"reassoc", "nsz"})
def _scan_tile(x):
    strange = 0
    top = _ZERO
    for i in range(x.size):
        magnitude = _abs(x[i])
        finite = magnitude < np.float32(np.inf)
        strange += 0 if finite else 1
        top = _max(top, magnitude if finite else _ZERO)
    return strange, top


@_compile()
def moments(x, reciprocal):
    """(sum x, sum x^2, elements != 0, subnormal elements); fills `reciprocal` with 1/|x|, 0 where x is 0 or subnormal."""
    sum_x, sum_x2, nonzero, tiny = 0.0, 0.0, 0, 0
    for start in range(0, x.size, TILE):
        s, s2, n, t = _moments_tile(x[start : start + TILE], reciprocal[start : start + TILE])
        sum_x += s
        sum_x2 += s2
        nonzero += int(n)
        tiny += int(t)
    return sum_x, sum_x2, nonzero, tiny


@_compile(fastmath=_REORDER)
def _moments_tile(x, reciprocal):
    total, power, nonzero, tiny = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(x.size):
        value = x[i]
        magnitude = _abs(value)
        normal = magnitude >= SMALLEST_NORMAL
        reciprocal[i] = _ONE / magnitude if normal else _ZERO
        total += value
        power += value * value
        nonzero += _ZERO if value == _ZERO else _ONE
        tiny += _ZERO if normal or value == _ZERO else _ONE
    return total, power, nonzero, tiny


@_compile()
def extremes(x, columns, block_rows, block_columns, low, high):
    """Widen `low` and `high`, one value per block, to hold the chunk's elements."""
    group_columns = -(-columns // block_columns)
    for row in range(x.size // columns):
        first = row // block_rows * group_columns
        for part in range(group_columns):
            begin = row * columns + part * block_columns
            end = min(begin + block_columns, (row + 1) * columns)
            smallest, largest = _extremes_run(x[begin:end])
            low[first + part] = min(low[first + part], smallest)
            high[first + part] = max(high[first + part], largest)


@_compile(fastmath=_REORDER)
def _extremes_run(x):
    smallest = largest = x[0]
    for i in range(x.size):
        smallest = _min(smallest, x[i])
        largest = _max(largest, x[i])
    return smallest, largest


@_compile()
def accumulate(x, reciprocal, columns, block_rows, block_columns, step, inverse, low_code, high_code, mode, seed, first_index, sums):
    """Add the error sums of a chunk under one grid to `sums` (SUMS float64, in the order of the SUM_* names).

    One float32 per block in `step`, `inverse`, `low_code`, `high_code` (codes relative to the zero point; one value may serve
    all blocks). `first_index`, the chunk's place in its tensor, seeds the stochastic draw. ZERO_CODES counts every y = 0.
    """
    group_columns = -(-columns // block_columns)
    tile = np.empty((5, TILE), np.float32)
    _fill(tile[LOW], 0, TILE, low_code[0])
    _fill(tile[HIGH], 0, TILE, high_code[0])
    place = 0
    while place < x.size:
        group, run = _run_at(place, columns, block_rows, block_columns, group_columns)
        if run >= LONG_RUN and mode == NEAREST_EVEN:
            stop = min(place + min(run, TILE), x.size)
            own = group if low_code.size > 1 else 0
            _add_run(x[place:stop], reciprocal[place:stop], step[group], inverse[group], low_code[own], high_code[own], sums)
        else:
            stop = min(place + TILE, x.size)
            _spread(tile, place, stop, columns, block_rows, block_columns, step, inverse, low_code, high_code)
            _round_tile(x[place:stop], tile[INVERSE], tile[CODE], mode, seed, first_index + place)
            _add_tile(x[place:stop], reciprocal[place:stop], tile[STEP], tile[INVERSE], tile[LOW], tile[HIGH], tile[CODE], sums)
        place = stop


@_compile()
def _run_at(place, columns, block_rows, block_columns, group_columns):
    row = place // columns
    column = place - row * columns
    part = column // block_columns
    return row // block_rows * group_columns + part, min((part + 1) * block_columns, columns) - column


@_compile()
def _fill(row, begin, end, value):
    # Unsigned indices: numba then leaves out the wrap-around of negative ones, and LLVM can use vector stores.
    for i in range(np.uint64(begin), np.uint64(end)):
        row[i] = value


@_compile()
def _spread(tile, place, stop, columns, block_rows, block_columns, step, inverse, low_code, high_code):
    group_columns = -(-columns // block_columns)
    steps, inverses, lows, highs = tile[STEP], tile[INVERSE], tile[LOW], tile[HIGH]
    row = place // columns
    column = place - row * columns
    filled = 0
    while filled < stop - place:
        part = column // block_columns
        group = row // block_rows * group_columns + part
        border = min((part + 1) * block_columns, columns)
        end = min(filled + border - column, stop - place)
        _fill(steps, filled, end, step[group])
        _fill(inverses, filled, end, inverse[group])
        if low_code.size > 1:
            _fill(lows, filled, end, low_code[group])
            _fill(highs, filled, end, high_code[group])
        column = border
        if column == columns:
            row += 1
            column = 0
        filled = end


@_compile(fastmath=_REORDER)
def _judge(value, scaled, code, step, low_code, high_code):
    kept = _min(_max(code, low_code), high_code)
    error = kept * step - value
    return error, error * error, scaled != _min(_max(scaled, low_code), high_code), code != kept, kept == _ZERO


@_compile(fastmath=_REORDER)
def _add_run(x, reciprocal, step, inverse, low_code, high_code, sums):
    e_sum, e2_sum, abs_sum, relative, xe_sum = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    beyond, clipped, zeros, largest = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(x.size):
        scaled = x[i] * inverse
        error, square, is_beyond, is_clipped, is_zero = _judge(x[i], scaled, _rint(scaled), step, low_code, high_code)
        e_sum += error
        e2_sum += square
        abs_sum += _abs(error)
        relative += _abs(error) * reciprocal[i]
        xe_sum += x[i] * error
        beyond += square if is_beyond else _ZERO
        clipped += _ONE if is_clipped else _ZERO
        zeros += _ONE if is_zero else _ZERO
        largest = _max(largest, _abs(error))
    in_steps = np.float64(e2_sum) * np.float64(inverse) * np.float64(inverse)
    _add_sums(sums, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, beyond, clipped, zeros, largest)


@_compile(fastmath=_REORDER)
def _add_tile(x, reciprocal, steps, inverses, lows, highs, codes, sums):
    e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    beyond, clipped, zeros, largest = _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(x.size):
        error, square, is_beyond, is_clipped, is_zero = _judge(x[i], x[i] * inverses[i], codes[i], steps[i], lows[i], highs[i])
        e_sum += error
        e2_sum += square
        abs_sum += _abs(error)
        relative += _abs(error) * reciprocal[i]
        in_steps += (error * inverses[i]) * (error * inverses[i])
        xe_sum += x[i] * error
        beyond += square if is_beyond else _ZERO
        clipped += _ONE if is_clipped else _ZERO
        zeros += _ONE if is_zero else _ZERO
        largest = _max(largest, _abs(error))
    _add_sums(sums, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, beyond, clipped, zeros, largest)


@_compile()
def _add_sums(sums, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, beyond, clipped, zeros, largest):
    sums[SUM_E] += e_sum
    sums[SUM_E2] += e2_sum
    sums[SUM_ABS_E] += abs_sum
    sums[SUM_RELATIVE] += relative
    sums[SUM_E2_IN_STEPS] += in_steps
    sums[SUM_XE] += xe_sum
    sums[CLIPPED_E2] += beyond
    sums[CLIPPED] += clipped
    sums[ZERO_CODES] += zeros
    sums[MAX_ABS_E] = max(sums[MAX_ABS_E], np.float64(largest))


@_compile(fastmath=_REORDER)
def _round_tile(x, inverses, rounded, mode, seed, first_index):
    if mode == NEAREST_EVEN:
        for i in range(x.size):
            rounded[i] = _rint(x[i] * inverses[i])
    elif mode == FLOOR:
        for i in range(x.size):
            rounded[i] = _floor(x[i] * inverses[i])
    elif mode == CEIL:
        for i in range(x.size):
            rounded[i] = _ceil(x[i] * inverses[i])
    elif mode == TO_ZERO:
        for i in range(x.size):
            rounded[i] = _trunc(x[i] * inverses[i])
    elif mode == HALF_UP:
        for i in range(x.size):
            whole = _floor(x[i] * inverses[i])
            rounded[i] = whole + (_ONE if x[i] * inverses[i] - whole >= _HALF else _ZERO)
    elif mode == NEAREST_AWAY:
        for i in range(x.size):
            magnitude = _abs(x[i] * inverses[i])
            whole = _floor(magnitude)
            away = whole + (_ONE if magnitude - whole >= _HALF else _ZERO)
            rounded[i] = -away if x[i] < _ZERO else away
    else:
        for i in range(x.size):
            whole = _floor(x[i] * inverses[i])
            rounded[i] = whole + (_ONE if _draw(np.uint64(first_index + i), seed) < x[i] * inverses[i] - whole else _ZERO)


@_compile()
def _draw(index, seed):
    # SplitMix64's output function; quantizer.draw_uniform is the same in numpy and a test holds them equal.
    mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float32((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(40)) * np.float32(2**-24)


@_compile()
def add_tiny_relative(x, reciprocal, columns, block_rows, block_columns, step, inverse, low_code, high_code, sums):
    """Add |e|/|x| of the subnormal elements, whose reciprocal float32 can not hold, to `sums` (nearest-even)."""
    group_columns = -(-columns // block_columns)
    for place in range(x.size):
        if x[place] != 0 and reciprocal[place] == 0:
            group, _run = _run_at(place, columns, block_rows, block_columns, group_columns)
            kept = min(max(_rint(x[place] * inverse[group]), low_code[group]), high_code[group])
            sums[SUM_RELATIVE] += abs(np.float64(kept * step[group]) - np.float64(x[place])) / abs(np.float64(x[place]))


@_compile()
def squared_errors(groups, step, inverse, low_code, high_code, out):
    """Sum e^2 of each row of `groups` (groups, length) under its own grid, nearest-even, into `out` (groups,)."""
    for group in range(groups.shape[0]):
        total = 0.0
        for start in range(0, groups.shape[1], TILE):
            run = groups[group, start : start + TILE]
            total += _squared_error_run(run, step[group], inverse[group], low_code[group], high_code[group])
        out[group] = total


@_compile(fastmath=_REORDER)
def _squared_error_run(x, step, inverse, low_code, high_code):
    total = _ZERO
    for i in range(x.size):
        error = _min(_max(_rint(x[i] * inverse), low_code), high_code) * step - x[i]
        total += error * error
    return total


@_compile()
def divergence_clips(groups, bins, levels, out):
    """Clip edge of |x| for each row of `groups` (groups, length) by least KL divergence, into `out` (groups,) float32.

    Candidates are the upper borders of the histogram's bins from `levels` on; a candidate's clipped histogram P keeps the
    tail in its last bin, Q spreads each of `levels` merged cells evenly over the cell's non-empty bins.
    """
    counts, filled = np.zeros(bins + 1), np.zeros(bins + 1)
    for group in range(groups.shape[0]):
        top = _ZERO
        for value in groups[group]:
            top = max(top, abs(value))
        if top == 0 or levels >= bins:
            out[group] = top
            continue
        counts[:] = 0
        for value in groups[group]:
            counts[1 + min(bins - 1, int(np.float64(abs(value)) / np.float64(top) * bins))] += 1
        for i in range(1, bins + 1):
            filled[i] = filled[i - 1] + (1 if counts[i] > 0 else 0)
        out[group] = np.float32(top * np.float64(_best_edge(counts, filled, bins, levels)) / bins)


@_compile()
def _best_edge(counts, filled, bins, levels):
    cumulative, own = np.zeros(bins + 1), np.zeros(bins + 1)
    for i in range(1, bins + 1):
        cumulative[i] = cumulative[i - 1] + counts[i]
        own[i] = own[i - 1] + (counts[i] * np.log(counts[i]) if counts[i] > 0 else 0.0)
    best, least = bins, np.inf
    for edge in range(bins, levels - 1, -1):
        tail = cumulative[bins] - cumulative[edge]
        last = counts[edge] + tail
        divergence = own[edge - 1] + (last * np.log(last) if last > 0 else 0.0)
        for cell in range(levels):
            begin, end = cell * edge // levels, (cell + 1) * edge // levels
            mass, bins_filled = cumulative[end] - cumulative[begin], filled[end] - filled[begin]
            reference = mass
            if end == edge and tail > 0:
                # The tail makes the last bin non-empty in P, so Q must give it a share too.
                reference += tail
                bins_filled += 1 if counts[edge] == 0 else 0
            if reference > 0:
                if bins_filled == 0 or mass == 0:
                    divergence = np.inf
                    break
                divergence -= reference * np.log(mass / bins_filled)
        # P and Q are normalised by N and by N - tail; the shift is the constant log((N - tail) / N) per unit of P.
        divergence = divergence / cumulative[bins] + np.log((cumulative[bins] - tail) / cumulative[bins]) if divergence < np.inf else np.inf
        if divergence < least - 1e-12:
            best, least = edge, divergence
    return best
