"""How is a layer measured for its profile? Its values first, then what becomes of them under all schemes at once.

The matrix is cut into pieces, threads of a pool take them through the compiled loops, and the pieces add up in their
order: results do not depend on the number of threads. A cell is what a row and a column of groups share; arrays of
cells are (rows, group columns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.kernels import codes
from qanalysis.kernels.tallies import survey, tally, tally_coded, tally_rounded
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range, Statistic
from qanalysis.sweeps.work import count_cores

T = TypeVar("T")

PIECE_VALUES = 2**18


@dataclass(frozen=True, slots=True)
class Bins:
    """Where to count: values in `count` bins over +-max|x|, errors in `error_count` bins over +-`error_reach` steps."""

    count: int
    error_count: int
    error_reach: float


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What a matrix says before any grid: of each cell the extremes, widened to hold 0, the number of its finite
    elements and the sum of their squares.
    """

    low: Floats
    high: Floats
    counts: Doubles
    power: Doubles

    @property
    def absmax(self) -> Floats:
        """Largest magnitude of each row, (rows,)."""
        largest: Floats = np.maximum(-self.low, self.high).max(axis=1)
        return largest

    def find_extremes(self, layout: Layout) -> Range:
        """The extremes of every group."""
        starts = np.arange(0, layout.rows, layout.block_rows)
        return Range(np.minimum.reduceat(self.low, starts).ravel(), np.maximum.reduceat(self.high, starts).ravel())


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What became of the finite values under each scheme.

    `fates` (schemes, 3, bins) are those in range, the clipped ones, those that come back as zero; `errors` (schemes,
    error bins + 2) count below the bins, in them, above; `beyond` (schemes,) are more than half a step off; `squares`
    (schemes, rows, group columns) is sum e^2 of each cell.
    """

    fates: Codes
    errors: Codes
    beyond: Codes
    squares: Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A matrix of `size` values measured under some schemes: itself, each scheme's grid, what became of the values."""

    size: int
    survey: Survey
    grids: Sequence[Grid]
    tally: Tally


def measure_matrix(matrix: Floats, layout: Layout, schemes: Sequence[Scheme], bins: Bins) -> Measured | None:
    """Measure a matrix in the layout's view, float32, under schemes that differ in their format alone, all integers
    where there is more than one; None if no element is finite.
    """
    flat = np.ascontiguousarray(matrix).reshape(-1)
    with ThreadPoolExecutor(count_cores(), "profile") as pool:
        found = _survey(flat, layout, pool)
        if not found.counts.any():
            return None
        grids = [
            scheme.lay_grid(statistic)
            for scheme, statistic in zip(schemes, _find_statistics(matrix, layout, schemes, found, pool), strict=True)
        ]
        task = _Task(flat, layout, schemes, grids, bins, float(found.absmax.max()))
        return Measured(flat.size, found, grids, _tally(task, pool))


def _share(pool: Executor, work: Callable[[Any], T], pieces: Sequence[Any]) -> Iterator[T]:
    """What `work` makes of every piece, in their order: by the pool, one piece alone by the thread that asks."""
    return pool.map(work, pieces) if len(pieces) > 1 else map(work, pieces)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of the flat matrix, and the cells and groups that it touches, which follow one another too."""

    start: int
    stop: int
    cells: slice
    groups: slice


def _cut_pieces(layout: Layout) -> list[_Piece]:
    size = layout.rows * layout.columns
    return [_cut_piece(start, min(start + PIECE_VALUES, size), layout) for start in range(0, size, PIECE_VALUES)]


def _cut_piece(start: int, stop: int, layout: Layout) -> _Piece:
    (top, left), (bottom, right) = divmod(start, layout.columns), divmod(stop - 1, layout.columns)
    width, first, last = layout.group_columns, left // layout.block_columns, right // layout.block_columns + 1
    cells = slice(top * width + first, bottom * width + last)
    if top < bottom:  # groups that span rows are touched again
        first, last = 0, width
    upper, lower = top // layout.block_rows, bottom // layout.block_rows
    return _Piece(start, stop, cells, slice(upper * width + first, lower * width + last))


def _place_blocks(layout: Layout, *, block_rows: int) -> Codes:
    """How blocks lie on the matrix, a line of geometry."""
    line = np.zeros(codes.GEOMETRY, np.int64)
    line[codes.COLUMNS], line[codes.BLOCK_ROWS] = layout.columns, block_rows
    line[codes.BLOCK_COLUMNS] = layout.block_columns
    return line


def _survey(flat: Floats, layout: Layout, pool: Executor) -> Survey:
    cells = _place_blocks(layout, block_rows=1)[np.newaxis]
    low, high = np.zeros((2, layout.rows * layout.group_columns), np.float32)
    counts, power = np.zeros((2, low.size))

    def survey_piece(piece: _Piece) -> tuple[Floats, Floats, Doubles, Doubles]:
        size = piece.cells.stop - piece.cells.start
        found = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size), np.zeros(size)
        survey(flat, piece.start, piece.stop, cells, *found)
        return found

    pieces = _cut_pieces(layout)
    for piece, found in zip(pieces, _share(pool, survey_piece, pieces), strict=True):
        np.minimum(low[piece.cells], found[0], out=low[piece.cells])
        np.maximum(high[piece.cells], found[1], out=high[piece.cells])
        counts[piece.cells] += found[2]
        power[piece.cells] += found[3]
    shape = (layout.rows, layout.group_columns)
    return Survey(low.reshape(shape), high.reshape(shape), counts.reshape(shape), power.reshape(shape))


def _find_statistics(
    matrix: Floats, layout: Layout, schemes: Sequence[Scheme], found: Survey, pool: Executor
) -> Sequence[Statistic]:
    """What each scheme lays its grid over; the schemes share what does not depend on their grids."""
    lead = schemes[0]
    if lead.takes_extremes:
        return [lead.settle(found.find_extremes(layout))] * len(schemes)
    if lead.range.asks_grid:
        return list(_share(pool, lambda scheme: scheme.find_statistic(matrix, layout), schemes))
    return [lead.find_statistic(matrix, layout)] * len(schemes)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is to be counted: a flat matrix under schemes with their grids, up to `reach`, its largest magnitude."""

    flat: Floats
    layout: Layout
    schemes: Sequence[Scheme]
    grids: Sequence[Grid]
    bins: Bins
    reach: float

    @property
    def edges(self) -> tuple[float, float, np.float32, np.float32]:
        """As the loops take them. Scaled down by a few units of the last place, so that x = reach stays in the last
        bin.
        """
        reach, errors = self.reach or 1.0, self.bins.error_count
        per_unit = self.bins.count * (1 - 2.0**-50) / (2 * reach)
        return reach, per_unit, np.float32(errors / (2 * self.bins.error_reach)), np.float32(errors / 2 + 1)

    @property
    def bounds(self) -> Floats:
        """Half a step of each grid, and what rounding adds to it, (grids,)."""
        # x/step and its product with the step are rounded to float32, which moves e by 2^-23 of the code to either side
        # of LSB/2.
        spans = [(grid.coder.high - grid.coder.low) / grid.coder.widest_gap for grid in self.grids]
        return np.array([0.5 + 2.0**-22 * span for span in spans], np.float32)

    def make_tally(self, cells: int) -> tuple[Codes, Codes, Codes, Doubles]:
        """Nothing counted yet, over so many cells."""
        grids, bins = len(self.grids), self.bins
        return (
            np.zeros((grids, 3 * bins.count), np.int64),
            np.zeros((grids, bins.error_count + 2), np.int64),
            np.zeros(grids, np.int64),
            np.zeros((grids, cells)),
        )

    def pack(self, piece: _Piece) -> tuple[Callable[..., None], tuple[NDArray[Any], ...]]:
        """The loop for the grids, and what it takes of those of a piece."""
        near = [grid.take(lambda part: part[piece.groups]) for grid in self.grids]
        geometry = np.tile(_place_blocks(self.layout, block_rows=self.layout.block_rows), (len(near), 1))
        if self.layout.groups == 1:  # one block, however long its rows
            geometry[:, codes.COLUMNS] = geometry[:, codes.BLOCK_COLUMNS] = self.flat.size
        rounding = self.schemes[0].rounding
        geometry[:, codes.MODE], geometry[:, codes.SEED] = rounding.mode, rounding.seed
        geometry[:, codes.FIRST] = np.arange(len(near)) * near[0].scale.size - piece.groups.start
        if not self.schemes[0].format.is_integer:
            return tally_coded, _pack_coded(near, geometry)
        return tally if rounding == Rounding() else tally_rounded, _pack_uniform(near, geometry)


def _pack_uniform(grids: Sequence[Grid], geometry: Codes) -> tuple[NDArray[Any], ...]:
    """Geometry, steps, inverses and end codes; integers of one symmetry."""
    is_shifted = grids[0].zero_points is not None
    geometry[:, codes.FIRST_END] = geometry[:, codes.FIRST] if is_shifted else np.arange(len(grids))
    geometry[:, codes.END_STRIDE] = int(is_shifted)
    low, high = zip(*(grid.ends for grid in grids), strict=True)
    parts = [grid.scale for grid in grids], [grid.inverse for grid in grids], low, high
    return geometry, *map(np.concatenate, parts)


def _pack_coded(grids: Sequence[Grid], geometry: Codes) -> tuple[NDArray[Any], ...]:
    """Geometry, parts and parameters of coders of any kind."""
    geometry[:, codes.KIND] = [grid.coder.kind for grid in grids]
    parameters = np.zeros((len(grids), codes.MOST_PARAMETERS), np.float32)
    for line, grid in zip(parameters, grids, strict=True):
        line[: len(grid.coder.parameters)] = grid.coder.parameters
    return geometry, np.ascontiguousarray(np.concatenate([grid.parts for grid in grids], axis=1)), parameters


def _tally_piece(task: _Task, cells: Codes, piece: _Piece) -> tuple[Codes, Codes, Codes, Doubles]:
    loop, grids = task.pack(piece)
    sums = task.make_tally(piece.cells.stop - piece.cells.start)
    loop(task.flat, piece.start, piece.stop, cells, task.edges, grids, task.bounds, sums)
    return sums


def _tally(task: _Task, pool: Executor) -> Tally:
    layout, pieces = task.layout, _cut_pieces(task.layout)
    fates, errors, beyond, squares = task.make_tally(layout.rows * layout.group_columns)
    tally_piece = partial(_tally_piece, task, _place_blocks(layout, block_rows=1)[np.newaxis])
    for piece, own in zip(pieces, _share(pool, tally_piece, pieces), strict=True):
        fates += own[0]
        errors += own[1]
        beyond += own[2]
        squares[:, piece.cells] += own[3]
    count, cells = len(task.grids), (layout.rows, layout.group_columns)
    return Tally(fates.reshape(count, 3, -1), errors, beyond, squares.reshape(count, *cells))
