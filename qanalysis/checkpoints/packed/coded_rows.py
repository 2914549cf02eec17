"""How do codes and the scales of their groups become the rows of a matrix? One class for all layouts; each says where
its codes, scales and zero points lie.

A stack of matrices (experts, rows, columns) is read as one tall matrix of experts * rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.parts import Part, RowValues
from qanalysis.checkpoints.packed.small_floats import POWERS
from qanalysis.checkpoints.source import widen
from qanalysis.kernels.unpacking import (
    SmallCodes,
    look_up_codes,
    scale_codes,
    scale_codes_by_index,
    unpack_bits,
)


class CodeRows(Protocol):
    """The codes of a matrix, still on disk."""

    @property
    def columns(self) -> int:
        """Codes of a row."""

    def read(self, first: int, last: int) -> SmallCodes:
        """Codes of rows first..last, (last - first, columns)."""


class Grid(Protocol):
    """One number per row and group of columns: scales or zero points, still on disk."""

    def read(self, first: int, last: int) -> Floats:
        """Those of rows first..last, (last - first, groups) float32."""


@dataclass(frozen=True, slots=True)
class CodedRows(RowValues):
    """Codes with scales in groups of `length` columns.

    With a `table` a value is table[code] * scale, else (code - zero) * scale; `zeros` is one number for all, or a grid.
    `index` names the group of each column where they are not in order.
    """

    codes: CodeRows
    scales: Grid
    length: int
    zeros: Grid | float = 0.0
    table: Floats | None = None
    index: NDArray[Any] | None = None

    @property
    def columns(self) -> int:
        return self.codes.columns

    def decode(self, first: int, last: int) -> Floats:
        codes, scales = self.codes.read(first, last), self.scales.read(first, last)
        if self.table is not None:
            return look_up_codes(codes.view(np.uint8), self.table, scales, self.length)
        zeros = (
            np.full((1, 1), self.zeros, np.float32) if isinstance(self.zeros, float) else self.zeros.read(first, last)
        )
        if self.index is not None:
            return scale_codes_by_index(codes, zeros, scales, self.index)
        return scale_codes(codes, zeros, scales, self.length)


@dataclass(frozen=True, slots=True)
class ByteCodes:
    """Codes of a byte each that lie as the matrix does, in rows of `columns`."""

    part: Part
    columns: int

    def read(self, first: int, last: int) -> SmallCodes:
        rows = self.part.raw.read_raw(first * self.columns, last * self.columns).reshape(last - first, self.columns)
        return rows.view(np.int8) if self.part.dtype == "int8" else rows.view(np.uint8)


@dataclass(frozen=True, slots=True)
class StreamCodes:
    """Codes of `bits` bits packed along the rows of words or bytes, a row to itself."""

    part: Part
    bits: int
    columns: int

    def read(self, first: int, last: int) -> SmallCodes:
        return unpack_bits(as_bytes(read_rows(self.part, first, last)), self.bits, self.columns)


@dataclass(frozen=True, slots=True)
class RowGrid:
    """A grid stored by rows, (..., rows, groups), whose every row serves `height` rows of the matrix.

    The last of the `matrix_rows` of each matrix may share a shorter block. `factors` holds a number for each matrix of
    a stack, or one for all, by which the grid is multiplied (`divides`: divided) in float32; `added` is added to a
    grid of zero points.
    """

    part: Part
    matrix_rows: int
    grid_rows: int
    height: int
    groups: int
    factors: Part | None = None
    divides: bool = False
    added: float = 0.0

    def read(self, first: int, last: int) -> Floats:
        rows = np.arange(first, last)
        matrices, within = rows // self.matrix_rows, rows % self.matrix_rows // self.height
        places = within if self.is_shared else matrices * self.grid_rows + within
        base = int(places.min())
        stored = self.part.raw.read_raw(base * self.groups, (int(places.max()) + 1) * self.groups)
        found = as_numbers(stored).reshape(-1, self.groups)[places - base]
        if self.added:
            found += np.float32(self.added)
        if self.factors is None:
            return found
        factors = as_numbers(self.factors.whole()).reshape(-1, 1)
        chosen = factors if len(factors) == 1 else factors[matrices]
        with np.errstate(all="ignore"):
            return np.asarray(found / chosen if self.divides else found * chosen, np.float32)

    @property
    def is_shared(self) -> bool:
        """Whether one grid serves all matrices of a stack."""
        return self.part.info.numel == self.grid_rows * self.groups


@dataclass(frozen=True, slots=True)
class ColumnGrid:
    """Scales stored as (groups, rows of the matrix)."""

    part: Part

    def read(self, first: int, last: int) -> Floats:
        return np.ascontiguousarray(widen(np.ascontiguousarray(self.part.columns(first, last))).T)


def read_rows(part: Part, first: int, last: int) -> NDArray[Any]:
    """Rows first..last of a part seen as one matrix, as stored: types of less than a byte come as whole bytes."""
    width = part.info.size_bytes // part.raw.dtype.itemsize // (part.info.numel // part.shape[-1])
    return part.raw.read_raw(first * width, last * width).reshape(last - first, width)


def as_bytes(words: NDArray[Any]) -> NDArray[np.uint8]:
    """Rows of words as rows of their bytes, little-endian."""
    return np.ascontiguousarray(words).view(np.uint8)


def as_numbers(stored: NDArray[Any]) -> Floats:
    """Scales or zero points as float32: uint8 are exponents, signed integers themselves, floats are widened."""
    if stored.dtype == np.uint8:
        powers: Floats = POWERS[stored]
        return powers
    return stored.astype(np.float32) if stored.dtype.kind == "i" else widen(stored)
