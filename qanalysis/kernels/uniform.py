"""The fused loop of integer formats: all error sums of one chunk under every grid in a single pass.

Arrays are flat float32 in C order of a matrix with `columns` columns whose blocks of block_rows x block_columns share a
grid: arrays of one value per block, numbered along rows first. Values are finite. y and e = y - x are rounded exactly
as written (no fused multiply-add); only sums may be reordered. Lanes add at most TILE values in float32, tiles add in
float64.
"""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.adders import add_exactly, add_sums
from qanalysis.kernels.codes import (
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    CLIPPED,
    CLIPPED_E2,
    COLUMNS,
    END_STRIDE,
    FIRST,
    FIRST_END,
    MODE,
    NEAREST_EVEN,
    SEED,
    TAME,
)
from qanalysis.kernels.lanes import (
    ONE,
    REORDER,
    TILE,
    ZERO,
    absolute,
    compiled,
    fill,
    inner,
    make_row,
    maximum,
    minimum,
    muladd,
    rint,
    round_one,
)
from qanalysis.kernels.scans import add_moments

LONG_RUN = 256
# How far, in code spans, a value may lie beyond the end level only because step and product were rounded.
ROUNDED_STEP = np.float32(2**-21)
_ROUNDED = {False: "even", True: "rounded"}


@inner()
def run_at(place, geometry, grid):
    """(block, elements left of it in this row) at a flat place; blocks are numbered along rows first, and the last one
    along a row may be shorter.
    """
    columns, block_columns = geometry[grid, COLUMNS], geometry[grid, BLOCK_COLUMNS]
    row = place // columns
    column = place - row * columns
    part = column // block_columns
    return row // geometry[grid, BLOCK_ROWS] * (-(-columns // block_columns)) + part, min(
        (part + 1) * block_columns, columns
    ) - column


@inner()
def spread(place, stop, grids, grid, rows, ends):
    """One value per block to one per element, from `place` to `stop`; the ends of a signed grid only where asked.

    `rows` are steps, inverses, lowest and highest codes, (TILE,) float32 each; as many places are overwritten as the
    tile has elements, of the ends of a signed grid only the first where not all are asked for.
    """
    geometry, step, inverse, low_code, high_code = grids
    steps, inverses, lows, highs = rows
    columns, block_rows, block_columns = (
        geometry[grid, COLUMNS],
        geometry[grid, BLOCK_ROWS],
        geometry[grid, BLOCK_COLUMNS],
    )
    first, first_end, end_stride = geometry[grid, FIRST], geometry[grid, FIRST_END], geometry[grid, END_STRIDE]
    if end_stride == 0:
        # The main loop looks at the first pair of a signed grid only, a second look at clipping at all of them.
        count = stop - place if ends else 1
        fill(lows, 0, count, low_code[first_end])
        fill(highs, 0, count, high_code[first_end])
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
        fill(steps, filled, end, step[first + block])
        fill(inverses, filled, end, inverse[first + block])
        if end_stride:
            fill(lows, filled, end, low_code[first_end + block])
            fill(highs, filled, end, high_code[first_end + block])
        column = border
        part += 1
        if column == columns:
            row += 1
            column = part = 0
            row_block = row // block_rows * group_columns
        filled = end


@inner(fastmath=REORDER)
def _add_run(x, place, stop, origin, reciprocal, step, inverse, low_code, high_code, grid, sums):
    """Add a run on one grid, all but the clipping sums; true where those have something to add.

    x[place:stop] is at most a tile inside one block; `reciprocal` (TILE,) begins at `origin`, the tile's first place.
    Step, inverse and end codes are those of the block, float32. A scaled value that lies past an end code by no more
    than two roundings can add is none to look at again: clipping it changes nothing that float32 holds.
    """
    e_sum, e2_sum, abs_sum, relative, xe_sum = ZERO, ZERO, ZERO, ZERO, ZERO
    zeros, largest, top, bottom = ZERO, ZERO, high_code, low_code
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        scaled = value * inverse
        kept = minimum(maximum(rint(scaled), low_code), high_code)
        error = kept * step - value
        e_sum += error
        e2_sum = muladd(error, error, e2_sum)
        abs_sum += absolute(error)
        relative = muladd(absolute(error), reciprocal[np.uint64(place - origin) + i], relative)
        xe_sum = muladd(value, error, xe_sum)
        zeros += ONE if kept == ZERO else ZERO
        largest = maximum(largest, absolute(error))
        top = maximum(top, scaled)
        bottom = minimum(bottom, scaled)
    in_steps = np.float64(e2_sum) * np.float64(inverse) * np.float64(inverse)
    add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, zeros, largest)
    return max(top - high_code, low_code - bottom) > ROUNDED_STEP * (high_code - low_code)


def _make_tile_adder(*, rounded, signed):
    """As `_add_run`, for a tile of several grids; `rounded` tiles round by mode, `signed` ones share the first pair of
    ends.

    What is made returns whether the clipping sums have something to add, always true of `rounded` ones: there a code
    can lie outside though its value does not.
    """

    @inner(variant=f"{_ROUNDED[rounded]}_{'signed' if signed else 'shifted'}", fastmath=REORDER)
    def add_tile(x, place, stop, origin, reciprocal, rows, mode, seed, first_index, grid, sums):
        steps, inverses, lows, highs = rows
        e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
        zeros, largest, excess = ZERO, ZERO, ZERO
        low_code, high_code = lows[0], highs[0]
        top, bottom = high_code, low_code
        for i in range(np.uint64(stop - place)):
            value = x[np.uint64(place) + i]
            scaled = value * inverses[i]
            code = round_one(scaled, mode, seed, np.uint64(first_index + place) + i) if rounded else rint(scaled)
            kept = minimum(maximum(code, low_code if signed else lows[i]), high_code if signed else highs[i])
            error = kept * steps[i] - value
            error_in_steps = error * inverses[i]
            e_sum += error
            e2_sum = muladd(error, error, e2_sum)
            abs_sum += absolute(error)
            relative = muladd(absolute(error), reciprocal[np.uint64(place - origin) + i], relative)
            in_steps = muladd(error_in_steps, error_in_steps, in_steps)
            xe_sum = muladd(value, error, xe_sum)
            zeros += ONE if kept == ZERO else ZERO
            largest = maximum(largest, absolute(error))
            if signed:
                top = maximum(top, scaled)
                bottom = minimum(bottom, scaled)
            else:
                excess = maximum(excess, maximum(scaled - highs[i], lows[i] - scaled))
        add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, zeros, largest)
        return rounded or max(excess, top - high_code, low_code - bottom) > ROUNDED_STEP * (high_code - low_code)

    return add_tile


def _make_overload_adder(*, rounded):
    """Add the clipping sums of a tile: most tiles have none, so they are left out of the main loop.

    CLIPPED counts rounded codes outside lowest..highest, CLIPPED_E2 adds e^2 of values past the end codes before they
    are rounded.
    """

    @inner(variant=_ROUNDED[rounded], fastmath=REORDER)
    def add_overload(x, place, stop, rows, mode, seed, first_index, grid, sums):
        steps, inverses, lows, highs = rows
        beyond, clipped = ZERO, ZERO
        for i in range(np.uint64(stop - place)):
            value = x[np.uint64(place) + i]
            scaled = value * inverses[i]
            code = round_one(scaled, mode, seed, np.uint64(first_index + place) + i) if rounded else rint(scaled)
            kept = minimum(maximum(code, lows[i]), highs[i])
            error = kept * steps[i] - value
            beyond += error * error if scaled != minimum(maximum(scaled, lows[i]), highs[i]) else ZERO
            clipped += ONE if code != kept else ZERO
        sums[grid, CLIPPED_E2] += beyond
        sums[grid, CLIPPED] += clipped

    return add_overload


def _make_exact_adder(*, rounded):
    """Add all sums of a tile, every term in float64: for tiles beyond what float32 lanes hold."""

    @inner(variant=_ROUNDED[rounded])
    def add_tile_exactly(x, place, stop, grids, grid, first_index, sums):
        geometry, step, inverse, low_code, high_code = grids
        for i in range(place, stop):
            block, _run = run_at(i, geometry, grid)
            at, end = geometry[grid, FIRST] + block, geometry[grid, FIRST_END] + block * geometry[grid, END_STRIDE]
            scaled = x[i] * inverse[at]
            code = (
                round_one(scaled, geometry[grid, MODE], geometry[grid, SEED], np.uint64(first_index + i))
                if rounded
                else rint(scaled)
            )
            kept = min(max(code, low_code[end]), high_code[end])
            error = np.float64(kept * step[at] - x[i])
            past = scaled != min(max(scaled, low_code[end]), high_code[end])
            add_exactly(sums, grid, np.float64(x[i]), error, np.float64(step[at]), code != kept, past, kept == 0)

    return add_tile_exactly


# A function that closes over compiled functions is compiled anew in every process; what these close over is one word.
_signed_even, _signed_rounded = (
    _make_tile_adder(rounded=False, signed=True),
    _make_tile_adder(rounded=True, signed=True),
)
_tile_even, _tile_rounded = _make_tile_adder(rounded=False, signed=False), _make_tile_adder(rounded=True, signed=False)
_overload_even, _overload_rounded = _make_overload_adder(rounded=False), _make_overload_adder(rounded=True)
_exactly_even, _exactly_rounded = _make_exact_adder(rounded=False), _make_exact_adder(rounded=True)


def _make_fast_adder(*, rounded):
    """Add a tile under one grid in float32 lanes: run by run where runs are long, else spread over a tile.

    `rows` (four of (TILE,) float32) is room for `spread`; `reciprocal` is what `add_moments` wrote for the tile.
    """

    @inner(variant=_ROUNDED[rounded])
    def add_fast(x, place, stop, reciprocal, grids, grid, rows, first, sums):
        geometry, step, inverse, low_code, high_code = grids
        mode, seed = geometry[grid, MODE], geometry[grid, SEED]
        origin = place
        while place < stop:
            block, run = run_at(place, geometry, grid)
            at, end = geometry[grid, FIRST] + block, geometry[grid, FIRST_END] + block * geometry[grid, END_STRIDE]
            last = stop
            if rounded:
                spread(place, last, grids, grid, rows, mode != NEAREST_EVEN)
                if geometry[grid, END_STRIDE] == 0:
                    overload = _signed_rounded(x, place, last, origin, reciprocal, rows, mode, seed, first, grid, sums)
                else:
                    overload = _tile_rounded(x, place, last, origin, reciprocal, rows, mode, seed, first, grid, sums)
            elif run >= LONG_RUN:
                last = min(place + run, stop)
                overload = _add_run(
                    x, place, last, origin, reciprocal, step[at], inverse[at], low_code[end], high_code[end], grid, sums
                )
            else:
                spread(place, last, grids, grid, rows, mode != NEAREST_EVEN)
                if geometry[grid, END_STRIDE] == 0:
                    overload = _signed_even(x, place, last, origin, reciprocal, rows, mode, seed, first, grid, sums)
                else:
                    overload = _tile_even(x, place, last, origin, reciprocal, rows, mode, seed, first, grid, sums)
            if overload:
                spread(place, last, grids, grid, rows, overload)
                if rounded:
                    _overload_rounded(x, place, last, rows, mode, seed, first, grid, sums)
                else:
                    _overload_even(x, place, last, rows, mode, seed, first, grid, sums)
            place = last

    return add_fast


_fast_even, _fast_rounded = _make_fast_adder(rounded=False), _make_fast_adder(rounded=True)


def _make_accumulator(*, rounded):
    """The loop over tiles and grids; the `rounded` one serves every rounding mode, the other nearest-even alone and
    compiles sooner.
    """

    @compiled(variant=_ROUNDED[rounded])
    def accumulate(x, first_index, geometry, step, inverse, low_code, high_code, moments, sums):
        """Add the sums of a chunk under all grids; a tile goes through all of them while it is in cache.

        Parameters
        ----------
        x : (values,) float32, finite, in C order of its matrix.
        first_index : the chunk's place in its tensor, which seeds the stochastic draw.
        geometry : (grids, GEOMETRY) int64: how blocks lie on the chunk (COLUMNS, BLOCK_ROWS, BLOCK_COLUMNS), where a
            grid's values begin in the next four (FIRST, FIRST_END; END_STRIDE is 0 where one pair of ends serves all
            blocks), MODE and SEED of the rounding, and whether float32 lanes can serve its steps (TAME).
        step, inverse : (all blocks of all grids,) float32, 1 where a block has no signal.
        low_code, high_code : (pairs,) float32, relative to the zero point.
        moments : (MOMENTS,) float64, the same for all grids.
        sums : (grids, SUMS) float64, added to; ZEROED counts every y = 0, those of x = 0 included.
        """
        reciprocal = np.empty(TILE, np.float32)
        rows = (make_row(), make_row(), make_row(), make_row())
        grids = (geometry, step, inverse, low_code, high_code)
        for place in range(0, x.size, TILE):
            stop = min(place + TILE, x.size)
            tame = add_moments(x, place, stop, reciprocal, moments)
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
