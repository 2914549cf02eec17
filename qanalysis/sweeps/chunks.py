"""How is a tensor cut so that it need not fit in memory? Flat pieces of its matrix view that no group of a scheme
crosses.

A piece is a run of whole rows, or part of long rows cut at a multiple of every block. Groups of whole tensors and of
long rows do cross pieces: their range comes from a first pass, everything else is fitted inside the piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.matrix_view import ALONG_FIRST

CHUNK_VALUES = 1 << 20
#: No piece holds more, whatever groups are asked together: 64 MB of float32.
MOST_VALUES = 1 << 24


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
        """End of the piece, exclusive, where it is one run of elements."""
        return self.start + self.rows * self.columns

    def spans(self, columns: int) -> Iterator[tuple[int, int]]:
        """The runs of elements of a matrix with so many columns that it covers, start and stop each."""
        if self.rows == 1 or self.columns == columns:
            yield self.start, self.stop
            return
        for row in range(self.rows):
            yield self.start + row * columns, self.start + row * columns + self.columns

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

    Longer rows are cut too: a piece is then part of one row, or, where those would hold too much, of the rows that
    blocks span.

    >>> [(chunk.start, chunk.stop) for chunk in cut_chunks([Layout((3, 4), ALONG_FIRST, 3, 4, 1, 2)], values=8)]
    [(0, 8), (8, 12)]
    """
    shared = list(layouts)
    rows, columns = shared[0].rows, shared[0].columns
    height, width = size_piece(shared, values=values)
    for row in range(0, rows, height):
        for column in range(0, columns, width):
            yield Chunk(row * columns + column, min(height, rows - row), min(width, columns - column), row, column)


def size_piece(layouts: Sequence[Layout], *, values: int = CHUNK_VALUES) -> tuple[int, int]:
    """Rows and columns of a whole piece: multiples of all blocks that are smaller than the tensor."""
    rows, columns = layouts[0].rows, layouts[0].columns
    band = math.lcm(*(layout.block_rows for layout in layouts if layout.block_rows < rows))
    is_tall = any(layout.crosses_rows for layout in layouts)
    if columns <= values or (is_tall and band * columns <= MOST_VALUES):
        return min(_multiple(max(1, values // columns), band), rows), columns
    unit = math.lcm(*(layout.block_columns for layout in layouts if layout.block_columns < columns))
    height = min(math.lcm(*(layout.block_rows for layout in layouts if layout.crosses_rows)), rows)
    return height, min(_multiple(max(1, values // height), unit), columns)


def fit_pieces(layouts: Sequence[Layout]) -> bool:
    """Whether the pieces that these layouts share stay within `MOST_VALUES`."""
    height, width = size_piece(layouts)
    return height * width <= max(MOST_VALUES, CHUNK_VALUES)


def has_windows(layouts: Sequence[Layout]) -> bool:
    """Whether a piece that these layouts share is part of several rows."""
    height, width = size_piece(layouts)
    return height > 1 and width < layouts[0].columns


def _multiple(wanted: int, unit: int) -> int:
    return max(1, wanted // unit) * unit
