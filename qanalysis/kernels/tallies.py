"""What does a profile count? The fates of values over their bins, errors over theirs, sum e^2 of every cell, under all
grids in a single pass.

A cell is what a row and a column of groups share; cells are numbered along rows. `x` is flat float32 in C order of a
matrix and may hold anything: what is not finite is left out. y, e and e over the step are rounded exactly as written,
so counts are exact; sums of squares are float64 throughout.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from qanalysis.kernels.coded import leave_out
from qanalysis.kernels.codes import BLOCK_COLUMNS, BLOCK_ROWS, COLUMNS, FIRST, KIND, MODE, PER_STEP, SEED
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
from qanalysis.kernels.tiles import code_tile, make_rows, make_tile, spread_parts
from qanalysis.kernels.uniform import run_at, spread

_INFINITY = np.float32(np.inf)
_ROUNDED = {False: "even", True: "rounded"}
# Copied into the loops before these are compiled: optimised once more on their own, they took a third of the time.
_part = partial(inner, inline="always")


@compiled()
def survey(x, start, stop, cells, low, high, counts, power):
    """What the values x[start:stop] say before any grid, cell by cell; the first cell is that of x[start].

    `cells` (1, GEOMETRY) says how they lie. `low` and `high`, float32, are widened to hold the finite values; `counts`
    of those and `power`, sum x^2, both float64, are added to. All four are (cells,).
    """
    first, _run = run_at(start, cells, 0)
    place = start
    while place < stop:
        block, run = run_at(place, cells, 0)
        end = min(place + run, stop)
        smallest, largest, finite, squares = _survey_run(x, place, end)
        low[block - first] = minimum(low[block - first], smallest)
        high[block - first] = maximum(high[block - first], largest)
        counts[block - first] += finite
        power[block - first] += squares
        place = end


@inner(fastmath={"reassoc", "nsz"})
def _survey_run(x, place, stop):
    """(smallest, largest, number, sum of squares) of the finite values of a run, at most 2^24, and of 0."""
    smallest, largest, finite, power = ZERO, ZERO, ZERO, 0.0
    # Loops of their own, as in `scans.add_moments`.
    for i in range(np.uint64(place), np.uint64(stop)):
        value = x[i] if -_INFINITY < x[i] < _INFINITY else ZERO
        smallest, largest = minimum(smallest, value), maximum(largest, value)
    for i in range(np.uint64(place), np.uint64(stop)):
        finite += ONE if -_INFINITY < x[i] < _INFINITY else ZERO
    for i in range(np.uint64(place), np.uint64(stop)):
        value = np.float64(x[i] if -_INFINITY < x[i] < _INFINITY else ZERO)
        power += value * value
    return smallest, largest, np.float64(finite), power


@_part()
def _clean(x, place, stop, edges, values, places):
    """Copy a tile, x[place:stop], to `values` (TILE,) float32 with 0 in place of what is not finite, its bins to
    `places` (TILE,) int32; how many were not finite.
    """
    reach, bins_per_unit, _per_step, _middle = edges
    finite = ZERO
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        values[i] = value if -_INFINITY < value < _INFINITY else ZERO
    for i in range(np.uint64(stop - place)):
        value = x[np.uint64(place) + i]
        finite += ONE if -_INFINITY < value < _INFINITY else ZERO
    for i in range(np.uint64(stop - place)):
        places[i] = _find_bin(values[i], reach, bins_per_unit)
    return stop - place - np.int64(finite)


@_part()
def _make_places():
    """Room for one place per element of a tile."""
    return np.empty(TILE, np.int32)


@_part()
def _find_bin(value, reach, bins_per_unit):
    """The bin of a finite value among equal ones from -`reach` on."""
    return np.int32((np.float64(value) + reach) * bins_per_unit)


@_part()
def _find_error_bin(in_steps, per_step, middle):
    """The bin of an error in steps: 0 for what lies below, 2 middle - 1 for what lies above."""
    return np.int32(minimum(maximum(in_steps * per_step + middle, ZERO), np.float32(2) * middle - ONE))


@_part()
def _count(values, places, count, strange, coded, units, bound, edges, room, grid, sums):
    """Count a tile under one grid: fates, errors in steps, errors beyond `bound` steps.

    `values`, their bins `places` and `coded`, y and the marks of what lies outside the codes, are (TILE,); so are the
    `units` of the errors. `strange` of the values stand for others that are not finite and have no error. `room` is for
    places of two sorts, int32 (TILE,) each.
    """
    y, outside = coded
    fate_places, error_places = room
    fates, errors, beyond, _squares = sums
    reach, bins_per_unit, per_step, middle = edges
    bins = np.int32(fates.shape[1] // 3)
    exceeding = ZERO
    for i in range(np.uint64(count)):
        in_steps = (y[i] - values[i]) / units[i]
        error_places[i] = _find_error_bin(in_steps, per_step, middle)
        exceeding += ONE if absolute(in_steps) > bound else ZERO
    for i in range(np.uint64(count)):
        shift = np.int32(2) * bins if (y[i] == ZERO) & (values[i] != ZERO) else np.int32(0)
        fate_places[i] = places[i] + (bins if outside[i] != ZERO else shift)
    for i in range(np.uint64(count)):
        fates[grid, np.uint64(fate_places[i])] += 1
        errors[grid, np.uint64(error_places[i])] += 1
    fates[grid, _find_bin(ZERO, reach, bins_per_unit)] -= strange
    errors[grid, _find_error_bin(ZERO, per_step, middle)] -= strange
    beyond[grid] += np.int64(exceeding)


@_part()
def _add_squares(values, y, place, stop, cells, first, grid, squares):
    """Add e^2 of the tile from `place` to `stop` to the cells of a grid, of which `first` is the first."""
    origin = place
    while place < stop:
        block, run = run_at(place, cells, 0)
        end = min(place + run, stop)
        squares[grid, block - first] += _sum_squares(values, y, place - origin, end - origin)
        place = end


@inner(fastmath=REORDER)
def _sum_squares(values, y, place, stop):
    total = 0.0
    for i in range(np.uint64(place), np.uint64(stop)):
        error = np.float64(y[i]) - np.float64(values[i])
        total += error * error
    return total


def _make_coder(*, rounded):
    """Write y and the marks of what lies outside the codes for a tile of uniform grids; `rows` as `uniform.spread`
    writes them, `first` is the tile's place in its tensor.
    """

    @_part(variant=_ROUNDED[rounded])
    def code(values, count, rows, mode, seed, first, coded):
        steps, inverses, lows, highs = rows
        y, outside = coded
        for i in range(np.uint64(count)):
            scaled = values[i] * inverses[i]
            wanted = round_one(scaled, mode, seed, np.uint64(first) + i) if rounded else rint(scaled)
            kept = minimum(maximum(wanted, lows[i]), highs[i])
            y[i] = kept * steps[i]
            outside[i] = ONE if wanted != kept else ZERO

    return code


_code_even, _code_rounded = _make_coder(rounded=False), _make_coder(rounded=True)


def _make_tally(*, rounded):
    """The loop over tiles and grids; the `rounded` one serves every rounding, the other nearest-even alone."""

    @compiled(variant=_ROUNDED[rounded])
    def tally(x, start, stop, cells, edges, grids, bounds, sums):
        """Add the counts and sums of x[start:stop] under all grids.

        Parameters
        ----------
        x : (values,) float32, flat, of the whole matrix.
        cells : (1, GEOMETRY) int64, how cells lie: blocks one row high.
        edges : the reach of the bins of values and bins per unit, float64; bins per step of errors and the middle of
            their places, float32.
        grids : geometry, steps, inverses, lowest and highest codes, as in `uniform.accumulate`.
        bounds : (grids,) float32, in steps.
        sums : `fates` (grids, 3 * bins) int64, values in range, clipped ones, then those that come back as zero;
            `errors` (grids, 2 * middle) int64, below, the bins, above; `beyond` (grids,) int64, errors beyond the
            bound; `squares` (grids, cells) float64, sum e^2 from the cell of x[start] on.
        """
        geometry = grids[0]
        first, _run = run_at(start, cells, 0)
        values, rows, coded = make_row(), (make_row(), make_row(), make_row(), make_row()), (make_row(), make_row())
        places, room = _make_places(), (_make_places(), _make_places())
        for place in range(start, stop, TILE):
            end = min(place + TILE, stop)
            strange = _clean(x, place, end, edges, values, places)
            for grid in range(geometry.shape[0]):
                spread(place, end, grids, grid, rows, True)
                if rounded:
                    _code_rounded(values, end - place, rows, geometry[grid, MODE], geometry[grid, SEED], place, coded)
                else:
                    _code_even(values, end - place, rows, 0, 0, place, coded)
                count = end - place
                _count(values, places, count, strange, coded, rows[0], bounds[grid], edges, room, grid, sums)
                _add_squares(values, coded[0], place, end, cells, first, grid, sums[3])

    return tally


tally, tally_rounded = _make_tally(rounded=False), _make_tally(rounded=True)


@compiled()
def tally_coded(x, start, stop, cells, edges, grids, bounds, sums):
    """As `tally`, for coders of any kind; `grids` are geometry, parts and parameters, as in `accumulate_coded`."""
    geometry, parts, parameters = grids
    first, _run = run_at(start, cells, 0)
    values, rows, tile, units = make_row(), make_rows(), make_tile(), make_row()
    places, room = _make_places(), (_make_places(), _make_places())
    for place in range(start, stop, TILE):
        end = min(place + TILE, stop)
        strange = _clean(x, place, end, edges, values, places)
        for grid in range(geometry.shape[0]):
            kind = geometry[grid, KIND]
            blocks = (
                geometry[grid, COLUMNS],
                geometry[grid, BLOCK_ROWS],
                geometry[grid, BLOCK_COLUMNS],
                geometry[grid, FIRST],
            )
            spread_parts(place, end, blocks, kind, parts, rows, True)
            rounding = (geometry[grid, MODE], geometry[grid, SEED])
            code_tile(values, 0, end - place, rows, tile, (kind, parameters[grid]), rounding, place, True)
            if strange > 0:
                leave_out(values, x[place:end], 0, end - place, tile)
            for i in range(np.uint64(end - place)):
                units[i] = rows[PER_STEP][i] if rows[PER_STEP][i] > ZERO else ONE
            coded = (tile[0], tile[1])
            _count(values, places, end - place, strange, coded, units, bounds[grid], edges, room, grid, sums)
            _add_squares(values, tile[0], place, end, cells, first, grid, sums[3])
