"""What does a layout see of a file? The parts that share a stem, and what it makes of them: one logical tensor."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.entries import Entry, Evidence, Raw, Values, is_raw
from qanalysis.checkpoints.source import FLOAT_DTYPES, TensorInfo
from qanalysis.notation import shorten


class LayoutError(ValueError):
    """Parts that do not fit together; the text says which and what the rule is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One stored tensor of a stem."""

    info: TensorInfo
    raw: Raw

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape as stored."""
        return self.info.shape

    @property
    def dtype(self) -> str:
        """Its type as the file calls it, in numpy's spelling."""
        return self.info.dtype

    def __str__(self) -> str:
        """Its name, type and shape, as messages have them."""
        return f"{shorten(self.info.name, 80)} of {self.dtype} and shape {shorten(str(list(self.shape)), 60)}"

    def check_floats(self, count: int) -> None:
        """LayoutError unless it holds so many real numbers."""
        if self.info.numel != count or self.dtype not in FLOAT_DTYPES:
            raise LayoutError(f"{self} must have {count} real numbers")

    def whole(self) -> NDArray[Any]:
        """All its elements in its shape, as stored; for small parts such as scales."""
        return self.raw.read_raw(0, self.info.numel).reshape(self.shape)

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """Entries first..last of its first axis, as stored."""
        length = math.prod(self.shape[1:])
        return self.raw.read_raw(first * length, last * length).reshape(last - first, *self.shape[1:])

    def columns(self, first: int, last: int) -> NDArray[Any]:
        """Columns first..last of a part of two axes, (rows, last - first)."""
        return self.raw.read_columns(self.shape[-1], first, last)


@dataclass(frozen=True, slots=True)
class Stem:
    """The parts of one layer: `stem` + how their names end.

    `anchor` is the ending that called the layout: `stem` + `anchor` is a tensor of the file.
    """

    stem: str
    anchor: str
    tensors: Mapping[str, Entry]
    evidence: Evidence

    def find(self, ending: str) -> Part | None:
        """The part of that name, None where the file has none or it can not be read as stored."""
        entry = self.tensors.get(self.stem + ending)
        return Part(entry.info, entry.values) if entry and is_raw(entry.values) else None

    def need(self, ending: str) -> Part:
        """The same; LayoutError where it is missing."""
        part = self.find(ending)
        if part is None:
            raise LayoutError(f"{shorten(self.stem + ending, 80)} is missing")
        return part


@dataclass(frozen=True, slots=True)
class Packed:
    """One logical tensor made of parts.

    `info` carries the logical name, shape, view, `stored` and the bytes of all parts; where it can not be decoded,
    `decodes` is False and `reason` says why. `parts` are the full names that are used up: they are tensors no more.
    """

    info: TensorInfo
    values: Values
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """One way to pack weights.

    `name` is its word in `stored`; `anchors` are the endings of names that call it, the most telling part first; `read`
    gives the logical tensor, None where the parts are not of this layout, LayoutError where they are and do not fit.
    """

    name: str
    anchors: tuple[str, ...]
    read: Callable[[Stem], Packed | None]


class RowValues(ABC):
    """Values that are decoded by rows: the logical tensor is (rows, columns) in C order."""

    @property
    def sliceable(self) -> bool:
        """Whether a part costs only the part."""
        return True

    @property
    @abstractmethod
    def columns(self) -> int:
        """Values of a row."""

    @abstractmethod
    def decode(self, first: int, last: int) -> Floats:
        """Rows first..last, (last - first, columns) float32. Safe to call from several threads at once."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop in C order, 1-D."""
        if stop <= start:
            return np.empty(0, np.float32)
        first, last = start // self.columns, -(-stop // self.columns)
        flat = self.decode(first, last).reshape(-1)
        return flat[start - first * self.columns : stop - first * self.columns]


@dataclass(frozen=True, slots=True)
class NoValues:
    """The values of a tensor that is recognised and not decoded; its `reason` is told before anyone reads."""

    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Never called for a tensor that does not decode."""
        raise LayoutError(f"elements {start} to {stop} can not be decoded")


def count_bytes(*parts: Part | None) -> int:
    """Bytes of some parts in the file, those that are missing left out."""
    return sum(part.info.size_bytes for part in parts if part)
