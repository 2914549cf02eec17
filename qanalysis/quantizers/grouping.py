"""Which elements share a scale? A grouping cuts the matrix view of a tensor into rectangles that share one grid.

A channel is a row of the view (`matrix_view`), a 1-D tensor is one row. Groups are numbered along rows first: group
(r, c) covers rows r*block_rows and columns c*block_columns onward; the last of each may be shorter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.notation import quote
from qanalysis.quantizers.matrix_view import Axes, MatrixView, view_by


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rectangles of `rows` x `columns` elements, None for all of them; `axis` overrides the tensor's own channel
    axis.
    """

    rows: int | None = None
    columns: int | None = None
    axis: int | None = None

    def __post_init__(self) -> None:
        if any(count is not None and count < 1 for count in (self.rows, self.columns)):
            raise ValueError(
                f"grouping {self}: a group has at least one element; write N, R and C of 1 or more, for example "
                "group=128"
            )

    def __str__(self) -> str:
        match self.rows, self.columns:
            case None, None:
                return "tensor"
            case 1, None:
                return "channel" if self.axis is None else f"channel={self.axis}"
            case 1, int(columns):
                return f"group={columns}"
        return f"block={self.rows}x{self.columns}"

    def lay_out(self, shape: tuple[int, ...], *, axis: Axes = 0) -> Layout:
        """The groups of a tensor of this shape; ValueError for a 0-d tensor or an axis that it does not have.

        >>> Grouping(1, 128).lay_out((4, 300)).groups
        12
        """
        if not shape:
            raise ValueError("a 0-d tensor has no channels to group; quantizing one number needs no grid")
        try:
            view = view_by(axis if self.axis is None or len(shape) == 1 else self.axis).settle(shape)
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None
        rows, columns = view.sizes(shape)
        return Layout(shape, view, rows, columns, *self._block(rows, columns))

    def _block(self, rows: int, columns: int) -> tuple[int, int]:
        return min(self.rows or rows, rows) or 1, min(self.columns or columns, columns) or 1


def parse_grouping(text: str) -> Grouping:
    """A grouping from its text form; ValueError names the forms.

    >>> parse_grouping("group=128")
    Grouping(rows=1, columns=128, axis=None)
    """
    match re.fullmatch(r"(tensor)|channel(?:=(\d{1,9}))?|group=(\d{1,18})|block=(\d{1,18})x(\d{1,18})", text):
        case None:
            raise ValueError(
                f"grouping {quote(text)} is unknown; write tensor, channel, channel=AXIS, group=N or block=RxC"
            )
        case found if found[1]:
            return Grouping()
        case found if found[3] or found[4]:
            return Grouping(1, int(found[3])) if found[3] else Grouping(int(found[4]), int(found[5]))
        case found:
            return Grouping(1, None, int(found[2]) if found[2] else None)


@dataclass(frozen=True, slots=True)
class Layout:
    """A grouping applied to one shape: the matrix view (rows, columns) and the size of its blocks."""

    shape: tuple[int, ...]
    view: MatrixView
    rows: int
    columns: int
    block_rows: int
    block_columns: int

    @property
    def group_rows(self) -> int:
        """Blocks from top to bottom."""
        return -(-self.rows // self.block_rows)

    @property
    def group_columns(self) -> int:
        """Blocks along a row."""
        return -(-self.columns // self.block_columns)

    @property
    def groups(self) -> int:
        """Number of groups, ragged ones counted."""
        return self.group_rows * self.group_columns

    @property
    def crosses_rows(self) -> bool:
        """Whether a group spans several rows but not all of the tensor."""
        return self.block_rows > 1 and self.groups > 1

    @property
    def length_counts(self) -> dict[int, int]:
        """How many groups have how many elements: {length: groups}, ragged tails included."""
        counts: dict[int, int] = {}
        for height, above in _sizes(self.rows, self.block_rows):
            for width, along in _sizes(self.columns, self.block_columns):
                counts[height * width] = counts.get(height * width, 0) + above * along
        return counts

    def to_matrix(self, x: NDArray[Any]) -> NDArray[Any]:
        """The (rows, columns) view of a tensor of this shape; a copy only where it does not lie in that order."""
        return self.view.to_matrix(x)

    def from_matrix(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `to_matrix`."""
        return self.view.from_matrix(matrix, self.shape)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """One value per group (groups,) to one per element, shaped like the matrix."""
        if self.groups == 1:
            return np.broadcast_to(values.reshape(1, 1), (self.rows, self.columns))
        grid = values.reshape(self.group_rows, self.group_columns)
        across = np.repeat(grid, self.block_columns, axis=1)[:, : self.columns] if self.group_columns > 1 else grid
        return np.repeat(across, self.block_rows, axis=0)[: self.rows] if self.block_rows > 1 else across

    def split(self, matrix: NDArray[Any]) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Parts (indices, values) with values of shape (groups in the part, elements of a group) and the groups'
        numbers.

        Groups of one size form one part, so a ragged tail is a part of its own: at most four parts.
        """
        numbers = np.arange(self.groups).reshape(self.group_rows, self.group_columns)
        row_cut = self.rows // self.block_rows
        column_cut = self.columns // self.block_columns
        for above, top in ((True, self.block_rows), (False, self.rows - row_cut * self.block_rows)):
            for left, width in ((True, self.block_columns), (False, self.columns - column_cut * self.block_columns)):
                part = numbers[: row_cut if above else None, : column_cut if left else None]
                part = part if above else part[row_cut:]
                part = part if left else part[:, column_cut:]
                if top and width and part.size:
                    rows = slice(0, row_cut * top) if above else slice(row_cut * self.block_rows, None)
                    columns = slice(0, column_cut * width) if left else slice(column_cut * self.block_columns, None)
                    tiles = matrix[rows, columns].reshape(part.shape[0], top, part.shape[1], width)
                    yield part.reshape(-1), tiles.transpose(0, 2, 1, 3).reshape(part.size, top * width)


def _sizes(extent: int, block: int) -> list[tuple[int, int]]:
    whole, rest = divmod(extent, block)
    return [(block, whole)] * (whole > 0) + [(rest, 1)] * (rest > 0)
