"""The fused loop of every format but the integers, and the one by which searches judge it.

Per tile and grid one loop of the coder's kind writes y (`tiles`), and one loop for all kinds adds the errors.
Conventions as in `uniform`.
"""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.adders import add_exactly, add_sums
from qanalysis.kernels.codes import (
    BIASED,
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    CLIPPED,
    CLIPPED_E2,
    COLUMNS,
    FIRST,
    KIND,
    MODE,
    NEAREST_EVEN,
    PER_STEP,
    SEED,
    SIGN,
    STOCHASTIC,
    TAME,
)
from qanalysis.kernels.lanes import ONE, REORDER, TILE, ZERO, absolute, compiled, inner, maximum, muladd
from qanalysis.kernels.scans import add_moments
from qanalysis.kernels.tiles import code_tile, make_rows, make_tile, spread_parts


@inner(fastmath=REORDER)
def _add_errors(x, place, stop, reciprocal, tile, per_step, silent, keeps_zero, grid, sums):
    """Add a tile under one grid in float32 lanes: x[place:stop], at most TILE values, all tame.

    `reciprocal` and `per_step` are (TILE,) float32: 1/|x| (0 where x is 0) and 1/step (0 where a group has none, so
    that its errors in steps count as 0). On grids that keep 0 the `silent` elements are among those with y = 0.
    """
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
    """How many x of a tile are 0, float32; their reciprocals become 0, as a relative error has no meaning there.

    `reciprocal` (TILE,) float32 is what `scans.add_moments` wrote for x[place:stop]; it is changed in place.
    """
    silent = ZERO
    for i in range(np.uint64(stop - place)):
        silent += ONE if x[np.uint64(place) + i] == ZERO else ZERO
    if silent > ZERO:
        for i in range(np.uint64(stop - place)):
            reciprocal[i] = reciprocal[i] if x[np.uint64(place) + i] != ZERO else ZERO
    return silent


@inner()
def _add_errors_exactly(x, place, stop, tile, step, grid, sums):
    """The same element by element in float64, for tiles that are not tame: no square of a value or error overflows or
    vanishes there. `step` (TILE,) float32 are the steps themselves, 0 where a group has none.
    """
    y, outside, past = tile
    for i in range(stop - place):
        value = np.float64(x[place + i])
        # y and e are float32 numbers, as written in the fast loop.
        error = np.float64(y[i] - x[place + i])
        add_exactly(sums, grid, value, error, np.float64(step[i]), outside[i], past[i], y[i] == 0 and value != 0)


@inner()
def leave_out(x, raw, place, stop, tile):
    """Where the raw value is not finite: y = x = 0, and no marks, so that all sums stay as they are."""
    y, outside, past = tile
    for i in range(stop - place):
        if not np.isfinite(raw[place + i]):
            y[i], outside[i], past[i] = x[place + i], ZERO, ZERO


@compiled()
def accumulate_coded(x, raw, first_index, geometry, parts, parameters, moments, sums):
    """As `uniform.accumulate`, for coders of any kind.

    Parameters
    ----------
    x, first_index, moments : as there.
    raw : `x` before its non-finite values were replaced by 0, or empty where there are none; where it is not finite
        nothing is added.
    geometry : (grids, GEOMETRY) int64: how blocks lie on the chunk, where its groups begin in `parts` (FIRST), KIND,
        MODE, SEED, TAME.
    parts : (PARTS, all groups of all grids) float32: scales, inverses (or thresholds), 1/step (0 where a group has
        none), centres.
    parameters : (grids, MOST_PARAMETERS) float32, what `coders` says of each coder.
    sums : (grids, SUMS) float64, added to; ZEROED counts y = 0 where x is not. A value outside the codes is CLIPPED,
        the error of one past the end levels is in CLIPPED_E2.
    """
    reciprocal, rows, tile = np.empty(TILE, np.float32), make_rows(), make_tile()
    for place in range(0, x.size, TILE):
        stop = min(place + TILE, x.size)
        tame = add_moments(x, place, stop, reciprocal, moments)
        silent = _count_silence(x, place, stop, reciprocal)
        for grid in range(geometry.shape[0]):
            is_fast = tame and geometry[grid, TAME]
            kind = geometry[grid, KIND]
            blocks = (
                geometry[grid, COLUMNS],
                geometry[grid, BLOCK_ROWS],
                geometry[grid, BLOCK_COLUMNS],
                geometry[grid, FIRST],
            )
            spread_parts(place, stop, blocks, kind, parts, rows, not is_fast)
            rounding = (geometry[grid, MODE], geometry[grid, SEED])
            code_tile(x, place, stop, rows, tile, (kind, parameters[grid]), rounding, first_index, not is_fast)
            if raw.size > 0:
                leave_out(x, raw, place, stop, tile)
            if is_fast:
                _add_errors(
                    x, place, stop, reciprocal, tile, rows[PER_STEP], silent, kind not in (BIASED, SIGN), grid, sums
                )
            else:
                _add_errors_exactly(x, place, stop, tile, rows[PER_STEP], grid, sums)


@compiled()
def coded_errors(groups, kind, mode, parts, parameters, out):
    """Sum e^2 of each group under its own grid.

    Parameters
    ----------
    groups : (groups, length) float32, finite.
    kind, parameters : those of the coder; at most MOST_PARAMETERS, float32.
    mode : a rounding; a stochastic one is judged by nearest-even, as the draws belong to places that a search does not
        know.
    parts : (PARTS, groups) float32, as in `accumulate_coded`.
    out : (groups,) float64, overwritten.
    """
    rows, tile = make_rows(), make_tile()
    x = groups.reshape(-1)
    length = groups.shape[1]
    blocks, rounding = (length, 1, length, 0), (NEAREST_EVEN if mode == STOCHASTIC else mode, 0)
    out[:] = 0.0
    for place in range(0, x.size, TILE):
        stop = min(place + TILE, x.size)
        spread_parts(place, stop, blocks, kind, parts, rows, True)
        # A search has no huge or tiny scaled values: its ranges are shares of the data's.
        code_tile(x, place, stop, rows, tile, (kind, parameters), rounding, 0, False)
        begin = place
        while begin < stop:
            group = begin // length
            end = min((group + 1) * length, stop)
            out[group] += _squared_difference(x, begin, end, tile[0], place)
            begin = end


@inner(fastmath=REORDER)
def _squared_difference(x, begin, end, y, origin):
    """Sum (y - x)^2 over x[begin:end], float64; y begins at `origin`."""
    total = 0.0
    for i in range(np.uint64(end - begin)):
        difference = np.float64(y[np.uint64(begin - origin) + i] - x[np.uint64(begin) + i])
        total += difference * difference
    return total
