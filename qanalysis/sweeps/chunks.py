"""How is a tensor cut so that it need not fit in memory? Flat pieces of its matrix view that no group of a scheme
crosses.

A piece is a run of whole rows, or part of one long row cut at a multiple of every group length. Groups of whole tensors
and of long rows do cross pieces: their range comes from a first pass, everything else is fitted inside the piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.matrix_view import ALONG_FIRST

CHUNK_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Elements start..stop of the flat matrix view: `rows` x `columns` of it, from row `first_row`, column
    `first_column`.
    """

    start: int
    rows: int
    columns: int
    first_row: int
    first_column: int

    @property
    def stop(self) -> int:
        """End of the piece, exclusive."""
        return self.start + self.rows * self.columns

    def crosses(self, layout: Layout) -> bool:
        """Whether this layout's groups reach beyond the piece."""
        whole = self.rows == layout.rows and self.columns == layout.columns
        return not whole and (
            layout.block_rows > self.rows or layout.block_columns > self.columns or layout.groups == 1
        )

    def localize(self, layout: Layout) -> Layout:
        """The layout seen inside the piece; a group that crosses pieces becomes one group of it."""
        shape = (self.rows, self.columns)
        return Layout(
            shape, ALONG_FIRST, *shape, min(layout.block_rows, self.rows), min(layout.block_columns, self.columns)
        )

    def begins_groups(self, layout: Layout) -> bool:
        """Whether the groups that cross the piece start in it, so that it is the one to count their steps and
        storage.
        """
        return self.first_row % layout.block_rows == 0 and self.first_column % layout.block_columns == 0

    def take(self, values: NDArray[Any], layout: Layout) -> NDArray[Any]:
        """The piece's window on one value per group (groups,) of the whole tensor: a view shaped as groups down and
        along.
        """
        local = self.localize(layout)
        row, column = self.first_row // layout.block_rows, self.first_column // layout.block_columns
        grid = values.reshape(layout.group_rows, layout.group_columns)
        return grid[row : row + local.group_rows, column : column + local.group_columns]


def cut_chunks(layouts: Iterable[Layout], *, values: int = CHUNK_VALUES) -> Iterator[Chunk]:
    """Pieces of about `values` elements that cover the matrix view shared by `layouts`, in order.

    >>> [(chunk.start, chunk.stop) for chunk in cut_chunks([Layout((3, 4), ALONG_FIRST, 3, 4, 1, 2)], values=8)]
    [(0, 8), (8, 12)]
    """
    shared = list(layouts)
    rows, columns = shared[0].rows, shared[0].columns
    if columns > values and all(layout.block_rows == 1 or layout.groups == 1 for layout in shared):
        yield from _cut_rows_apart(
            rows,
            columns,
            _multiple(values, (layout.block_columns for layout in shared if layout.block_columns < columns)),
        )
        return
    taken = _multiple(max(1, values // columns), (layout.block_rows for layout in shared if layout.block_rows < rows))
    for row in range(0, rows, taken):
        yield Chunk(row * columns, min(taken, rows - row), columns, row, 0)


def _cut_rows_apart(rows: int, columns: int, length: int) -> Iterator[Chunk]:
    for row in range(rows):
        for column in range(0, columns, length):
            yield Chunk(row * columns + column, 1, min(length, columns - column), row, column)


def _multiple(wanted: int, units: Iterable[int]) -> int:
    unit = math.lcm(*units)
    return max(1, wanted // unit) * unit
