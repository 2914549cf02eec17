"""The fused loops: all error sums of one chunk under one grid in a single pass, and the few other loops that must be fast.

Arrays are flat float32 in C order of a matrix with `columns` columns whose blocks of block_rows x block_columns share a
grid: arrays of one value per block, numbered along rows first. Values are finite. y and e = y - x are rounded exactly as
written (no fused multiply-add); only sums may be reordered. Lanes add at most TILE values in float32, tiles add in float64.
Every loop is compiled on first use, cached on disk, and releases the interpreter lock; none starts threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba.extending import intrinsic

# LLVM takes 256-bit lanes by default where the machine has 512; the loops here are 10 to 20 % faster with them.
_settings: Any = numba.config
if _settings.CPU_FEATURES is None and llvm.get_host_cpu_features().get("avx512f"):
    _settings.CPU_NAME = llvm.get_host_cpu_name()
    _settings.CPU_FEATURES = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"

TILE = 2048
LONG_RUN = 256
SUMS = 10
SUM_E, SUM_E2, SUM_ABS_E, SUM_RELATIVE, SUM_E2_IN_STEPS, SUM_XE, CLIPPED_E2, CLIPPED, ZERO_CODES, MAX_ABS_E = range(SUMS)
SIGNALS = 3
SUM_X, SUM_X2, NONZERO = range(SIGNALS)
GEOMETRY = 9
COLUMNS, BLOCK_ROWS, BLOCK_COLUMNS, FIRST, FIRST_END, END_STRIDE, MODE, SEED, TAME = range(GEOMETRY)
NEAREST_EVEN, NEAREST_AWAY, HALF_UP, FLOOR, CEIL, TO_ZERO, STOCHASTIC = range(7)
# Between these, squares of values and of their errors stay normal float32 numbers, also a thousand of them added up.
SMALLEST_TAME, LARGEST_TAME = np.float32(2**-50), np.float32(2**50)
# A tile whose mean square is within this share of its squared mean loses its variance to float32 lanes.
RIPPLE = 0.99
# How far, in code spans, a value may lie beyond the end level only because step and product were rounded.
ROUNDED_STEP = np.float32(2**-21)

# Sums may be reordered into lanes; contraction and reciprocal rewriting stay forbidden, so y and e keep their rounding.
_REORDER = {"nnan", "ninf", "nsz", "reassoc"}


def _compile(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return cast("Callable[[Callable[..., Any]], Callable[..., Any]]", numba.njit(nogil=True, cache=True, error_model="numpy", **options))


def _inner(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    # Called from compiled code alone: without the wrappers for Python and C it compiles faster.
    return _compile(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)


def _float_intrinsic(name: str, operands: int) -> Callable[..., Any]:
    # numba's own rint, min and max branch on NaN and keep LLVM from using vector lanes.
    signature = numba.float32(*[numba.float32] * operands)

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * operands)
        return builder.call(builder.module.declare_intrinsic(name, [ir.FloatType()], kind), values, fastmath=["nnan", "nsz", "reassoc"])

    def type_one(_typing: Any, _first: Any) -> Any:
        return signature, emit

    def type_two(_typing: Any, _first: Any, _second: Any) -> Any:
        return signature, emit

    def type_three(_typing: Any, _first: Any, _second: Any, _third: Any) -> Any:
        return signature, emit

    return intrinsic((type_one, type_two, type_three)[operands - 1])


_rint = _float_intrinsic("llvm.rint", 1)
_floor = _float_intrinsic("llvm.floor", 1)
_ceil = _float_intrinsic("llvm.ceil", 1)
_trunc = _float_intrinsic("llvm.trunc", 1)
_abs = _float_intrinsic("llvm.fabs", 1)
_min = _float_intrinsic("llvm.minnum", 2)
_max = _float_intrinsic("llvm.maxnum", 2)
_muladd = _float_intrinsic("llvm.fmuladd", 3)

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


@_inner(fastmath={"reassoc", "nsz"})
def _scan_tile(x):
    strange = 0
    top = _ZERO
    for i in range(x.size):
        magnitude = _abs(x[i])
        finite = magnitude < np.float32(np.inf)
        strange += 0 if finite else 1
        top = _max(top, magnitude if finite else _ZERO)
    return strange, top


@_inner(fastmath=_REORDER)
def _add_moments(x, place, stop, reciprocal, moments):
    """Add a tile's own sums, fill `reciprocal` with 1/|x|, and say whether float32 lanes can serve the tile.

    They can where squares neither overflow nor vanish, and where x is not a small ripple on a large mean.
    """
    total, power, nonzero = 0.0, 0.0, _ZERO
    largest, smallest = _ZERO, LARGEST_TAME
    for i in range(np.uint64(stop - place)):
        magnitude = _abs(x[np.uint64(place) + i])
        # Where x is 0 its error is 0, so any finite reciprocal will do.
        reciprocal[i] = _ONE / _max(magnitude, SMALLEST_TAME)
        largest = _max(largest, magnitude)
    # Loops of their own: two uses of one comparison, or float64 beside float32, keep LLVM from using vector lanes.
    for i in range(np.uint64(stop - place)):
        nonzero += _ONE if x[np.uint64(place) + i] != _ZERO else _ZERO
    for i in range(np.uint64(stop - place)):
        magnitude = _abs(x[np.uint64(place) + i])
        smallest = _min(smallest, magnitude if magnitude > _ZERO else LARGEST_TAME)
    for i in range(np.uint64(stop - place)):
        value = np.float64(x[np.uint64(place) + i])
        total += value
        power += value * value
    moments[SUM_X] += total
    moments[SUM_X2] += power
    moments[NONZERO] += nonzero
    ripples = total * total > RIPPLE * (stop - place) * power
    return largest <= LARGEST_TAME and smallest >= SMALLEST_TAME and not ripples


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


@_inner(fastmath=_REORDER)
def _extremes_run(x):
    smallest = largest = x[0]
    for i in range(x.size):
        smallest = _min(smallest, x[i])
        largest = _max(largest, x[i])
    return smallest, largest


@_inner()
def _run_at(place, geometry, grid):
    """(block, elements left of it in this row) at a flat place."""
    columns, block_columns = geometry[grid, COLUMNS], geometry[grid, BLOCK_COLUMNS]
    row = place // columns
    column = place - row * columns
    part = column // block_columns
    return row // geometry[grid, BLOCK_ROWS] * (-(-columns // block_columns)) + part, min((part + 1) * block_columns, columns) - column


@_inner()
def _fill(row, begin, end, value):
    # Unsigned indices: numba then leaves out the wrap-around of negative ones, and LLVM can use vector stores.
    for i in range(np.uint64(begin), np.uint64(end)):
        row[i] = value


@_inner()
def _spread(place, stop, grids, grid, rows, ends):
    """One value per block to one per element, from `place` to `stop`; the ends of a signed grid only where asked."""
    geometry, step, inverse, low_code, high_code = grids
    steps, inverses, lows, highs = rows
    columns, block_rows, block_columns = geometry[grid, COLUMNS], geometry[grid, BLOCK_ROWS], geometry[grid, BLOCK_COLUMNS]
    first, first_end, end_stride = geometry[grid, FIRST], geometry[grid, FIRST_END], geometry[grid, END_STRIDE]
    if end_stride == 0:
        # The main loop looks at the first pair of a signed grid only, a second look at clipping at all of them.
        count = stop - place if ends else 1
        _fill(lows, 0, count, low_code[first_end])
        _fill(highs, 0, count, high_code[first_end])
    group_columns = -(-columns // block_columns)
    row = place // columns
    column = place - row * columns
    part = column // block_columns
    row_block = row // block_rows * group_columns
    filled = 0
    while filled < stop - place:
        block = row_block + part
        border = min((part + 1) * block_columns, columns)
        end = min(filled + border - column, stop - place)
        _fill(steps, filled, end, step[first + block])
        _fill(inverses, filled, end, inverse[first + block])
        if end_stride:
            _fill(lows, filled, end, low_code[first_end + block])
            _fill(highs, filled, end, high_code[first_end + block])
        column = border
        part += 1
        if column == columns:
            row += 1
            column = part = 0
            row_block = row // block_rows * group_columns
        filled = end


@_inner(fastmath=_REORDER)
def _add_run(x, place, stop, origin, reciprocal, step, inverse, low_code, high_code, grid, sums):
    """Add a run on one grid, all but the clipping sums; true where those have something to add."""
    e_sum, e2_sum, abs_sum, relative, xe_sum = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    zeros, largest, top, bottom = _ZERO, _ZERO, high_code, low_code
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scaled = value * inverse
        kept = _min(_max(_rint(scaled), low_code), high_code)
        error = kept * step - value
        e_sum += error
        e2_sum = _muladd(error, error, e2_sum)
        abs_sum += _abs(error)
        relative = _muladd(_abs(error), reciprocal[np.uint64(place - origin) + i], relative)
        xe_sum = _muladd(value, error, xe_sum)
        zeros += _ONE if kept == _ZERO else _ZERO
        largest = _max(largest, _abs(error))
        top = _max(top, scaled)
        bottom = _min(bottom, scaled)
    in_steps = np.float64(e2_sum) * np.float64(inverse) * np.float64(inverse)
    _add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, zeros, largest)
    return max(top - high_code, low_code - bottom) > ROUNDED_STEP * (high_code - low_code)


@_inner()
def _add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, zeros, largest):
    sums[grid, SUM_E] += e_sum
    sums[grid, SUM_E2] += e2_sum
    sums[grid, SUM_ABS_E] += abs_sum
    sums[grid, SUM_RELATIVE] += relative
    sums[grid, SUM_E2_IN_STEPS] += in_steps
    sums[grid, SUM_XE] += xe_sum
    sums[grid, ZERO_CODES] += zeros
    sums[grid, MAX_ABS_E] = max(sums[grid, MAX_ABS_E], np.float64(largest))


@_inner(fastmath=_REORDER)
def _round_one(scaled, mode, seed, index):
    if mode == NEAREST_EVEN:
        return _rint(scaled)
    if mode == FLOOR:
        return _floor(scaled)
    if mode == CEIL:
        return _ceil(scaled)
    if mode == TO_ZERO:
        return _trunc(scaled)
    if mode == HALF_UP:
        return _round_half_up(scaled)
    if mode == NEAREST_AWAY:
        return _round_away(scaled)
    return _round_by_draw(scaled, seed, index)


@_inner(fastmath=_REORDER)
def _round_half_up(scaled):
    whole = _floor(scaled)
    return whole + (_ONE if scaled - whole >= _HALF else _ZERO)


@_inner(fastmath=_REORDER)
def _round_away(scaled):
    whole = _floor(_abs(scaled))
    away = whole + (_ONE if _abs(scaled) - whole >= _HALF else _ZERO)
    return -away if scaled < _ZERO else away


@_inner(fastmath=_REORDER)
def _round_by_draw(scaled, seed, index):
    whole = _floor(scaled)
    return whole + (_ONE if _draw(np.uint64(index), seed) < scaled - whole else _ZERO)


@_inner()
def _draw(index, seed):
    # SplitMix64's output function; quantizer.draw_uniform is the same in numpy and a test holds them equal.
    mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float32((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(40)) * np.float32(2**-24)


def _make_tile_adder(*, rounded, signed):
    """As `_add_run`, for a tile of several grids; `rounded` tiles round by mode, `signed` ones share the first pair of ends."""

    @_inner(fastmath=_REORDER)
    def add_tile(x, place, stop, origin, reciprocal, rows, mode, seed, first_index, grid, sums):
        steps, inverses, lows, highs = rows
        e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
        zeros, largest, excess = _ZERO, _ZERO, _ZERO
        low_code, high_code = lows[0], highs[0]
        top, bottom = high_code, low_code
        for i in range(np.uint64(stop - place)):
            value = x[np.uint64(place) + i]
            scaled = value * inverses[i]
            code = _round_one(scaled, mode, seed, np.uint64(first_index + place) + i) if rounded else _rint(scaled)
            kept = _min(_max(code, low_code if signed else lows[i]), high_code if signed else highs[i])
            error = kept * steps[i] - value
            error_in_steps = error * inverses[i]
            e_sum += error
            e2_sum = _muladd(error, error, e2_sum)
            abs_sum += _abs(error)
            relative = _muladd(_abs(error), reciprocal[np.uint64(place - origin) + i], relative)
            in_steps = _muladd(error_in_steps, error_in_steps, in_steps)
            xe_sum = _muladd(value, error, xe_sum)
            zeros += _ONE if kept == _ZERO else _ZERO
            largest = _max(largest, _abs(error))
            if signed:
                top = _max(top, scaled)
                bottom = _min(bottom, scaled)
            else:
                excess = _max(excess, _max(scaled - highs[i], lows[i] - scaled))
        _add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, zeros, largest)
        return rounded or max(excess, top - high_code, low_code - bottom) > ROUNDED_STEP * (high_code - low_code)

    return add_tile


def _make_overload_adder(*, rounded):
    """Add the clipping sums of a tile: most tiles have none, so they are left out of the main loop."""

    @_inner(fastmath=_REORDER)
    def add_overload(x, place, stop, rows, mode, seed, first_index, grid, sums):
        steps, inverses, lows, highs = rows
        beyond, clipped = _ZERO, _ZERO
        for i in range(np.uint64(stop - place)):
            value = x[np.uint64(place) + i]
            scaled = value * inverses[i]
            code = _round_one(scaled, mode, seed, np.uint64(first_index + place) + i) if rounded else _rint(scaled)
            kept = _min(_max(code, lows[i]), highs[i])
            error = kept * steps[i] - value
            beyond += error * error if scaled != _min(_max(scaled, lows[i]), highs[i]) else _ZERO
            clipped += _ONE if code != kept else _ZERO
        sums[grid, CLIPPED_E2] += beyond
        sums[grid, CLIPPED] += clipped

    return add_overload


def _make_exact_adder(*, rounded):
    """Add all sums of a tile, every term in float64: for tiles beyond what float32 lanes hold."""

    @_inner()
    def add_exactly(x, place, stop, grids, grid, first_index, sums):
        geometry, step, inverse, low_code, high_code = grids
        for i in range(place, stop):
            block, _run = _run_at(i, geometry, grid)
            at, end = geometry[grid, FIRST] + block, geometry[grid, FIRST_END] + block * geometry[grid, END_STRIDE]
            scaled = x[i] * inverse[at]
            code = _round_one(scaled, geometry[grid, MODE], geometry[grid, SEED], np.uint64(first_index + i)) if rounded else _rint(scaled)
            kept = min(max(code, low_code[end]), high_code[end])
            error = np.float64(kept * step[at] - x[i])
            sums[grid, SUM_E] += error
            sums[grid, SUM_E2] += error * error
            sums[grid, SUM_ABS_E] += abs(error)
            sums[grid, SUM_RELATIVE] += abs(error) / abs(np.float64(x[i])) if x[i] != 0 else 0.0
            sums[grid, SUM_E2_IN_STEPS] += (error / step[at]) ** 2
            sums[grid, SUM_XE] += np.float64(x[i]) * error
            sums[grid, CLIPPED_E2] += error * error if scaled != min(max(scaled, low_code[end]), high_code[end]) else 0.0
            sums[grid, CLIPPED] += code != kept
            sums[grid, ZERO_CODES] += kept == 0
            sums[grid, MAX_ABS_E] = max(sums[grid, MAX_ABS_E], abs(error))

    return add_exactly


# A function that closes over compiled functions is compiled anew in every process; what these close over is one word.
_signed_even, _signed_rounded = _make_tile_adder(rounded=False, signed=True), _make_tile_adder(rounded=True, signed=True)
_tile_even, _tile_rounded = _make_tile_adder(rounded=False, signed=False), _make_tile_adder(rounded=True, signed=False)
_overload_even, _overload_rounded = _make_overload_adder(rounded=False), _make_overload_adder(rounded=True)
_exactly_even, _exactly_rounded = _make_exact_adder(rounded=False), _make_exact_adder(rounded=True)


def _make_fast_adder(*, rounded):
    """Add a tile under one grid in float32 lanes: run by run where runs are long, else spread over a tile."""

    @_inner()
    def add_fast(x, place, stop, reciprocal, grids, grid, rows, first_index, sums):
        geometry, step, inverse, low_code, high_code = grids
        mode, seed = geometry[grid, MODE], geometry[grid, SEED]
        origin = place
        while place < stop:
            block, run = _run_at(place, geometry, grid)
            at, end = geometry[grid, FIRST] + block, geometry[grid, FIRST_END] + block * geometry[grid, END_STRIDE]
            last = stop
            if rounded:
                _spread(place, last, grids, grid, rows, mode != NEAREST_EVEN)
                if geometry[grid, END_STRIDE] == 0:
                    overload = _signed_rounded(x, place, last, origin, reciprocal, rows, mode, seed, first_index, grid, sums)
                else:
                    overload = _tile_rounded(x, place, last, origin, reciprocal, rows, mode, seed, first_index, grid, sums)
            elif run >= LONG_RUN:
                last = min(place + run, stop)
                overload = _add_run(x, place, last, origin, reciprocal, step[at], inverse[at], low_code[end], high_code[end], grid, sums)
            else:
                _spread(place, last, grids, grid, rows, mode != NEAREST_EVEN)
                if geometry[grid, END_STRIDE] == 0:
                    overload = _signed_even(x, place, last, origin, reciprocal, rows, mode, seed, first_index, grid, sums)
                else:
                    overload = _tile_even(x, place, last, origin, reciprocal, rows, mode, seed, first_index, grid, sums)
            if overload:
                _spread(place, last, grids, grid, rows, overload)
                if rounded:
                    _overload_rounded(x, place, last, rows, mode, seed, first_index, grid, sums)
                else:
                    _overload_even(x, place, last, rows, mode, seed, first_index, grid, sums)
            place = last

    return add_fast


_fast_even, _fast_rounded = _make_fast_adder(rounded=False), _make_fast_adder(rounded=True)


def _make_accumulator(*, rounded):
    """The loop over tiles and grids; the `rounded` one serves every rounding mode, the other nearest-even alone and compiles sooner."""

    @_compile()
    def accumulate(x, first_index, geometry, step, inverse, low_code, high_code, moments, sums):
        """Add the sums of a chunk to `moments`, (SIGNALS,) and the same for all grids, and to `sums`, (grids, SUMS) float64.

        `geometry` (grids, GEOMETRY) int64 says for each grid how blocks lie on the chunk (COLUMNS, BLOCK_ROWS, BLOCK_COLUMNS),
        where its values begin in the concatenated `step` and `inverse` (FIRST) and in `low_code` and `high_code` (FIRST_END,
        codes relative to the zero point; END_STRIDE is 0 where one pair serves all blocks), MODE and SEED of the rounding, and
        whether float32 lanes can serve its steps (TAME). `first_index`, the chunk's place in its tensor, seeds the stochastic
        draw. ZERO_CODES counts every y = 0. A tile goes through all grids while it is in cache.
        """
        reciprocal = np.empty(TILE, np.float32)
        rows = (np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32))
        grids = (geometry, step, inverse, low_code, high_code)
        for place in range(0, x.size, TILE):
            stop = min(place + TILE, x.size)
            tame = _add_moments(x, place, stop, reciprocal, moments)
            for grid in range(geometry.shape[0]):
                is_fast = tame and geometry[grid, TAME]
                if rounded:
                    if is_fast:
                        _fast_rounded(x, place, stop, reciprocal, grids, grid, rows, first_index, sums)
                    else:
                        _exactly_rounded(x, place, stop, grids, grid, first_index, sums)
                elif is_fast:
                    _fast_even(x, place, stop, reciprocal, grids, grid, rows, first_index, sums)
                else:
                    _exactly_even(x, place, stop, grids, grid, first_index, sums)

    return accumulate


accumulate, accumulate_rounded = _make_accumulator(rounded=False), _make_accumulator(rounded=True)


@_compile()
def squared_errors(groups, step, inverse, low_code, high_code, mode, out):
    """Sum e^2 of each row of `groups` (groups, length) under its own grid into `out` (groups,), float64.

    A stochastic mode is judged by nearest-even: the draws belong to places in the tensor, which a search does not know.
    """
    for group in range(groups.shape[0]):
        pair = group if low_code.size > 1 else 0
        if mode in (NEAREST_EVEN, STOCHASTIC):
            out[group] = _squared_error_run(groups[group], step[group], inverse[group], low_code[pair], high_code[pair])
        else:
            out[group] = 0.0
            for value in groups[group]:
                kept = min(max(_round_one(value * inverse[group], mode, 0, 0), low_code[pair]), high_code[pair])
                out[group] += np.float64(kept * step[group] - value) ** 2


@_inner(fastmath=_REORDER)
def _squared_error_run(x, step, inverse, low_code, high_code):
    total = 0.0
    for i in range(x.size):
        error = np.float64(_min(_max(_rint(x[i] * inverse), low_code), high_code) * step - x[i])
        total += error * error
    return total


@_compile()
def divergence_clips(groups, bins, levels, out):
    """Clip edge of |x| for each row of `groups` (groups, length) by least KL divergence, into `out` (groups,) float32.

    Candidates are the upper borders of the histogram's bins, from `levels` on, that leave at least half of the elements
    unclipped (a histogram clipped to one bin fits any Q). A candidate's P is the clipped histogram with
    the tail in its last non-empty bin; its Q spreads each of `levels` merged cells, without the tail, over the cell's
    non-empty bins. A tie keeps the wider range.
    """
    counts = np.zeros(bins + 1)
    # The search takes logarithms of small counts by the million; below this many they come from a table.
    logs = np.log(np.maximum(np.arange(1 << 14), 1.0))
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
        out[group] = np.float32(top * np.float64(_best_edge(counts, bins, levels, logs)) / bins)


@_inner()
def _best_edge(counts, bins, levels, logs):
    below, filled, own = np.zeros(bins + 1), np.zeros(bins + 1), np.zeros(bins + 1)
    last_filled = np.zeros(bins + 1, np.int64)
    for i in range(1, bins + 1):
        is_filled = counts[i] > 0
        below[i] = below[i - 1] + counts[i]
        filled[i] = filled[i - 1] + (1 if is_filled else 0)
        own[i] = own[i - 1] + (counts[i] * np.log(counts[i]) if is_filled else 0.0)
        last_filled[i] = i if is_filled else last_filled[i - 1]
    best, least = bins, np.inf
    for edge in range(bins, levels - 1, -1):
        end_bin = last_filled[edge]
        if 2 * below[edge] < below[bins]:
            break
        divergence = _divergence(counts, below, filled, own, bins, levels, edge, end_bin, logs)
        if divergence < least - 1e-12:
            best, least = edge, divergence
    return best


@_inner()
def _divergence(counts, below, filled, own, bins, levels, edge, end_bin, logs):
    tail = below[bins] - below[edge]
    last = counts[end_bin] + tail
    total = own[end_bin - 1] + last * np.log(last)
    width, rest = edge // levels, edge % levels
    end = carry = 0
    for _cell in range(levels):
        # Borders at cell * edge // levels, stepped without a division.
        begin = end
        carry += rest
        end += width + (1 if carry >= levels else 0)
        carry -= levels if carry >= levels else 0
        mass = below[end] - below[begin]
        if mass > 0:
            reference = mass + (tail if begin < end_bin <= end else 0.0)
            spread = filled[end] - filled[begin]
            total -= reference * (logs[int(mass)] - logs[int(spread)] if mass < logs.size and spread < logs.size else np.log(mass / spread))
    # P is normalised by N, Q by N - tail.
    return total / below[bins] + np.log((below[bins] - tail) / below[bins])
