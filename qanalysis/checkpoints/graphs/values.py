"""How are the numbers of a constant had from the place where they lie?

In the parsed model, in memory, as codes of less than a byte, or at a few places of a tensor of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from qanalysis.checkpoints.entries import Raw, Values, cut_rows
from qanalysis.checkpoints.graphs.elements import Element, decode_codes, unpack_codes
from qanalysis.checkpoints.mapped_file import StoredValues
from qanalysis.checkpoints.source import widen


@dataclass(frozen=True)
class InlineValues:
    """Elements inside the parsed model; any part costs a copy of them all."""

    tensor: TensorProto
    element: Element
    sliceable: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type of the stored elements."""
        return self.element.dtype

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop, 1-D."""
        return widen(self.read_raw(start, stop))

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        """Elements start..stop as stored, 1-D."""
        return self._stored()[start:stop]

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        """Columns first..last of rows of `width`."""
        return self._stored().reshape(-1, width)[:, first:last]

    def _stored(self) -> NDArray[Any]:
        tensor, element = self.tensor, self.element
        if tensor.HasField("raw_data"):
            return np.frombuffer(tensor.raw_data, dtype=element.dtype)
        held = np.array(getattr(tensor, element.field), dtype=_FIELD_DTYPES[element.field])
        if element.bits == 6:
            return _pack_sixes(held.astype(np.uint8))
        if element.word.startswith("complex"):
            return held.view(element.dtype)
        # Patterns of narrow types and of small floats stand in the low bits of an int32.
        return held if held.dtype == element.dtype else held.astype(f"u{element.dtype.itemsize}").view(element.dtype)


_FIELD_DTYPES = {
    "float_data": np.float32,
    "double_data": np.float64,
    "int32_data": np.int32,
    "int64_data": np.int64,
    "uint64_data": np.uint64,
}


def _pack_sixes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    fours = np.zeros((-(-codes.size // 4), 4), dtype=np.uint32)
    fours.reshape(-1)[: codes.size] = codes & 0x3F
    words = fours[:, 0] | fours[:, 1] << 6 | fours[:, 2] << 12 | fours[:, 3] << 18
    packed = (words[:, None] >> np.arange(0, 24, 8, dtype=np.uint32) & 0xFF).astype(np.uint8).reshape(-1)
    return packed[: -(-codes.size * 6 // 8)]


@dataclass(frozen=True, slots=True)
class ArrayValues:
    """Elements held in memory: attributes of Constant nodes that are bare numbers."""

    array: NDArray[Any]
    sliceable: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.array.dtype

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop, 1-D."""
        return widen(self.read_raw(start, stop))

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        """Elements start..stop as stored, 1-D."""
        return self.array.reshape(-1)[start:stop]

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        """Columns first..last of rows of `width`."""
        return self.array.reshape(-1, width)[:, first:last]


@dataclass(frozen=True, slots=True)
class NarrowValues:
    """Elements of 2, 4 or 6 bits; `stored` are the bytes that hold them."""

    stored: Raw
    element: Element

    @property
    def sliceable(self) -> bool:
        """Whether a part costs only the part."""
        return self.stored.sliceable

    @property
    def dtype(self) -> np.dtype:
        """uint8: the bytes."""
        return self.stored.dtype

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop, 1-D, exact."""
        together = 4 if self.element.bits == 6 else 8 // self.element.bits  # elements that end on a byte
        first = start // together * together
        stored = self.stored.read_raw(first * self.element.bits // 8, self.element.count_bytes(stop))
        codes = unpack_codes(stored, self.element.bits)
        return decode_codes(codes[start - first : stop - first], self.element)

    def read_float_columns(self, start: int, stop: int, *, width: int, first: int, last: int) -> NDArray[np.float32]:
        """Columns first..last of elements start..stop seen as rows of `width`; the rows are read whole where they do
        not begin on a byte each.
        """
        together = 8 // self.element.bits
        if self.element.bits == 6 or width % together or start % together:
            return cut_rows(self, start, stop, width=width, first=first, last=last)
        low, high = first // together, -(-last // together)
        stored = self._read_bytes(start // together, stop // together, width // together, low, high)
        found = decode_codes(unpack_codes(np.ascontiguousarray(stored).reshape(-1), self.element.bits), self.element)
        return found.reshape(-1, (high - low) * together)[:, first - low * together : last - low * together]

    def _read_bytes(self, start: int, stop: int, width: int, first: int, last: int) -> NDArray[np.uint8]:
        if isinstance(self.stored, StoredValues):
            part = replace(self.stored, offset=self.stored.offset + start, count=stop - start)
            return part.read_columns(width, first, last)
        return self.stored.read_raw(start, stop).reshape(-1, width)[:, first:last]

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        """Bytes start..stop."""
        return self.stored.read_raw(start, stop)

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        """Columns first..last of the bytes seen as rows of `width`."""
        return self.stored.read_columns(width, first, last)


@dataclass(frozen=True, slots=True)
class SparseValues:
    """A tensor of zeros but for `values` at the flat `places`, ascending; `order` says which value goes to each."""

    values: Values
    places: NDArray[np.int64]
    order: NDArray[np.int64]
    sliceable: bool = True

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop, 1-D."""
        first, last = np.searchsorted(self.places, [start, stop])
        found = np.zeros(stop - start, dtype=np.float32)
        found[self.places[first:last] - start] = self.values.read(0, self.places.size)[self.order[first:last]]
        return found
