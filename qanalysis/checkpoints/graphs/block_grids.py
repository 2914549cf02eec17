"""How do codes become numbers when a scale and a zero point hold for a block of them? y = (code - zero) * scale.

Codes are a matrix of rows and columns. A grid holds one number for each block of rows and columns, in C order; blocks
at the end of an axis may be ragged. Everything is float32 arithmetic: codes of up to 24 bits are exact in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.entries import Values, cut_rows, read_float_columns
from qanalysis.checkpoints.packed.parts import LayoutError, Part, RowValues
from qanalysis.kernels.unpacking import unpack_bits

#: Values of a row that is decoded at once.
_LONGEST_ROW = 1 << 26


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """Scales or zero points of a matrix.

    `values` are (grid rows, `columns`) in C order. Row r of the matrix belongs to grid row r // `period` * `step` +
    r % `period` // `row_block`, column c to c // `column_block`, or to `index`[c] where there is one.
    """

    values: Values
    columns: int = 1
    period: int = 1
    step: int = 0
    row_block: int = 1
    column_block: int = 1
    index: NDArray[np.int64] | None = None

    @property
    def is_single(self) -> bool:
        """Whether one number holds for the whole matrix."""
        return self.columns == 1 and self.step == 0 and self.row_block >= self.period

    def read_rows(self, first: int, last: int) -> Floats:
        """The grid's rows for the rows first..last of the matrix, (last - first or 1, columns) float32."""
        return self._read_part(first, last, 0, self.columns)

    def read_part(self, first: int, last: int, start: int, stop: int) -> Floats:
        """The numbers of the columns start..stop of the rows first..last, one for each or one column for all."""
        if self.index is not None:
            return self.read_rows(first, last)[:, self.index[start:stop]]
        if self.columns == 1:
            return self.read_rows(first, last)
        low = start // self.column_block
        found = self._read_part(first, last, low, -(-stop // self.column_block))
        return found[:, np.arange(start, stop) // self.column_block - low]

    def _read_part(self, first: int, last: int, start: int, stop: int) -> Floats:
        """Columns start..stop of the grid's rows for the rows first..last of the matrix."""
        rows = np.arange(first, last)
        places = rows // self.period * self.step + rows % self.period // self.row_block
        low, high = int(places.min()), int(places.max())
        width = self.columns
        found = read_float_columns(self.values, low * width, (high + 1) * width, width=width, first=start, last=stop)
        return found if low == high else found[places - low]

    def spread(self, rows: Floats, width: int) -> Floats:
        """Rows of the grid as wide as the matrix, or of one column that holds for all."""
        if self.index is not None:
            return rows[:, self.index]
        if self.columns == 1 or self.column_block == 1:
            return rows
        return np.repeat(rows, self.column_block, axis=1)[:, :width]


@dataclass(frozen=True, slots=True)
class GridValues(RowValues):
    """Codes with their scales and zero points.

    `codes` are read as float32 numbers in memory of their own, `width` to a row. Zero points are a grid or one number
    for all. LayoutError for rows so long that one of them would fill the memory.
    """

    codes: Values
    width: int
    scales: BlockGrid
    zeros: BlockGrid | float = 0.0

    def __post_init__(self) -> None:
        if self.width > _LONGEST_ROW and not self._is_single:
            raise LayoutError(f"its rows have {self.width} values; rows of up to {_LONGEST_ROW} are decoded")

    @property
    def _is_single(self) -> bool:
        return self.scales.is_single and (not isinstance(self.zeros, BlockGrid) or self.zeros.is_single)

    @property
    def columns(self) -> int:
        return self.width

    @property
    def sliceable(self) -> bool:
        return self.codes.sliceable

    def decode(self, first: int, last: int) -> Floats:
        """Rows first..last."""
        codes = self.codes.read(first * self.columns, last * self.columns).reshape(-1, self.columns)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if isinstance(self.zeros, BlockGrid):
                codes = _apply(np.subtract, codes, self.zeros, self.zeros.read_rows(first, last))
            elif self.zeros:
                codes -= np.float32(self.zeros)
            return _apply(np.multiply, codes, self.scales, self.scales.read_rows(first, last))

    def read_float_columns(self, start: int, stop: int, *, width: int, first: int, last: int) -> NDArray[np.float32]:
        """Columns first..last of elements start..stop seen as rows of `width`."""
        if not self._is_single and (width != self.width or start % width):
            return cut_rows(self, start, stop, width=width, first=first, last=last)
        if stop <= start:
            return np.empty((0, last - first), np.float32)
        rows = (0, 1) if self._is_single else (start // width, stop // width)
        codes = read_float_columns(self.codes, start, stop, width=width, first=first, last=last)
        codes = np.ascontiguousarray(codes)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if isinstance(self.zeros, BlockGrid):
                codes -= self.zeros.read_part(*rows, first, last)
            elif self.zeros:
                codes -= np.float32(self.zeros)
            codes *= self.scales.read_part(*rows, first, last)
        return codes

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop in C order, 1-D; no more than those where one scale holds for all."""
        if self._is_single and stop > start:
            flat = GridValues(Window(self.codes, start), stop - start, self.scales, self.zeros)
            return flat.decode(0, 1).reshape(-1)
        return RowValues.read(self, start, stop)


@dataclass(frozen=True, slots=True)
class Window:
    """Values from element `first` on."""

    values: Values
    first: int
    sliceable: bool = True

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop of the window."""
        return self.values.read(self.first + start, self.first + stop)


def _apply(operation: np.ufunc, codes: Floats, grid: BlockGrid, rows: Floats) -> Floats:
    width, block = codes.shape[1], grid.column_block
    if grid.index is None and grid.columns > 1 and block > 1 and grid.columns * block == width:
        blocks = codes.reshape(codes.shape[0], grid.columns, block)
        operation(blocks, rows[:, :, None], out=blocks)
    else:
        operation(codes, grid.spread(rows, width), out=codes)
    return codes


@dataclass(frozen=True, slots=True)
class AxisSplit:
    """A tensor seen as (outer, length, inner), where scales run along `length`."""

    outer: int
    length: int
    inner: int

    @classmethod
    def along(cls, shape: tuple[int, ...], axis: int) -> AxisSplit:
        """The split of one axis, from 0."""
        return cls(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))

    @property
    def columns(self) -> int:
        """Columns of the matrix that its codes are read as, at least 1."""
        return max(1, self.length if self.inner == 1 else self.inner)

    def lay(self, values: Values, sizes: tuple[int, int, int], block: int) -> BlockGrid:
        """The grid of numbers in the shape `sizes`, 1 or the split's own size outside and inside, one for each `block`
        along the length.
        """
        outer, blocks, inner = sizes
        step = 1 if self.inner == 1 else blocks
        if outer == 1:
            step = 0
        if self.inner == 1:
            return BlockGrid(values, blocks, step=step, column_block=block)
        return BlockGrid(
            values,
            inner,
            period=max(1, self.length),
            step=step,
            row_block=block,
            column_block=1 if inner == self.inner else max(1, self.inner),
        )


@dataclass(frozen=True, slots=True)
class RowCodes(RowValues):
    """Codes of 1 to 8 bits in rows that each begin on a byte, lowest bits first; they come out as float32 numbers.

    `stored` are the bytes, `row_bytes` to a row, of which `width` codes count.
    """

    stored: Part
    row_bytes: int
    bits: int
    width: int

    @property
    def columns(self) -> int:
        return self.width

    @property
    def sliceable(self) -> bool:
        return self.stored.raw.sliceable

    def decode(self, first: int, last: int) -> Floats:
        """Rows first..last."""
        found = self.stored.raw.read_raw(first * self.row_bytes, last * self.row_bytes).view(np.uint8)
        codes = unpack_bits(found.reshape(last - first, self.row_bytes), self.bits, self.columns)
        return codes.astype(np.float32)
