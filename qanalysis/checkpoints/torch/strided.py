"""How are the elements of a view read in its own order, wherever its strides lead?

An element (i, j, ...) lies at offset + i·stride₀ + j·stride₁ + ... elements of the storage; a stride of 0 repeats one
element. Strides that fall from axis to axis are read piece by piece; others whole, in the order of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from qanalysis.checkpoints.source import widen
from qanalysis.checkpoints.torch.storages import PlainStorage, Storage

_BLOCK = 1 << 25  # bytes that one read of a view with gaps may span
_SMALL = 1 << 24  # bytes that may be read anew for every slice


@dataclass(frozen=True)
class StridedValues:
    """The elements of a view, `shape` of `dtype`, in C order. `negated` ones are stored with the other sign.

    The view must lie within its storage.
    """

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    negated: bool = False

    @property
    def sliceable(self) -> bool:
        if not isinstance(self.storage, PlainStorage):
            return False
        core = math.prod(size for size, _stride in self._axes)
        return self._falls or core * self.dtype.itemsize <= _SMALL or math.prod(self.shape) > 4 * core

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        if self._lies_plainly and isinstance(self.storage, PlainStorage):
            place = (self.offset + start) * self.dtype.itemsize
            return self.storage.find(place, dtype=self.dtype, count=stop - start).read(0, stop - start)
        return widen(self.read_raw(start, stop))

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        if stop <= start:
            return np.empty(0, self.dtype)
        found = self._read_flat(start, stop)
        return np.negative(found) if self.negated else found

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        count = math.prod(self.shape)
        if self._lies_plainly and isinstance(self.storage, PlainStorage):
            stored = self.storage.find(self.offset * self.dtype.itemsize, dtype=self.dtype, count=count)
            return stored.read_columns(width, first, last)
        return self.read_raw(0, count).reshape(-1, width)[:, first:last]

    @cached_property
    def _axes(self) -> list[tuple[int, int]]:
        """Size and stride of the axes that move through the storage."""
        return [pair for pair in zip(self.shape, self.stride, strict=True) if pair[0] > 1 and pair[1]]

    @cached_property
    def _falls(self) -> bool:
        strides = [stride for _size, stride in self._axes]
        return strides == sorted(strides, reverse=True)

    @cached_property
    def _is_contiguous(self) -> bool:
        return is_contiguous(self.shape, self.stride)

    @property
    def _lies_plainly(self) -> bool:
        return self._is_contiguous and not self.negated

    def _read_flat(self, start: int, stop: int) -> NDArray[Any]:
        if self._is_contiguous:
            place = (self.offset + start) * self.dtype.itemsize
            return self.storage.read_array(place, dtype=self.dtype, count=stop - start)
        if self._falls and isinstance(self.storage, PlainStorage):
            return self._read_part(self.offset, 0, start, stop)
        return take_flat(self._read_core(), start, stop)

    def _read_core(self) -> NDArray[Any]:
        """All elements, each once, as a view in the shape of the tensor."""
        order = sorted(range(len(self._axes)), key=lambda axis: -self._axes[axis][1])
        shape, stride = zip(*(self._axes[axis] for axis in order), strict=True) if order else ((), ())
        values = StridedValues(self.storage, self.dtype, self.offset, shape, stride)
        # the storage is read once where its parts cost the whole
        core = (
            values._read_part(self.offset, 0, 0, math.prod(shape))
            if isinstance(self.storage, PlainStorage)
            else _gather(self._read_span(self.offset, shape, stride), shape, stride)
        )
        moved = core.reshape(shape).transpose([order.index(axis) for axis in range(len(order))])
        kept = [size > 1 and bool(step) for size, step in zip(self.shape, self.stride, strict=True)]
        sizes = iter(moved.shape)
        return np.broadcast_to(moved.reshape([next(sizes) if keep else 1 for keep in kept]), self.shape)

    def _read_part(self, offset: int, axis: int, start: int, stop: int) -> NDArray[Any]:
        """Elements start..stop of the axes from `axis` on, which begin at `offset`."""
        if axis == len(self.shape):
            return self.storage.read_array(offset * self.dtype.itemsize, dtype=self.dtype, count=1)
        row = math.prod(self.shape[axis + 1 :])
        step = self.stride[axis]
        first, last = start // row, (stop - 1) // row
        if first == last:
            return self._read_part(offset + first * step, axis + 1, start - first * row, stop - first * row)
        whole_first, whole_last = -(-start // row), stop // row
        pieces = []
        if whole_first > first:
            pieces.append(self._read_part(offset + first * step, axis + 1, start - first * row, row))
        if whole_last > whole_first:
            pieces.append(self._read_rows(offset + whole_first * step, axis, whole_last - whole_first))
        if whole_last <= last:
            pieces.append(self._read_part(offset + last * step, axis + 1, 0, stop - last * row))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _read_rows(self, offset: int, axis: int, count: int) -> NDArray[Any]:
        """The first `count` entries of an axis, in reads that each span a bounded part of the storage."""
        shape, stride = (count, *self.shape[axis + 1 :]), self.stride[axis:]
        if _find_span(shape, stride) * self.dtype.itemsize > max(_BLOCK, 2 * math.prod(shape) * self.dtype.itemsize):
            if count == 1:
                return self._read_part(offset, axis + 1, 0, math.prod(shape))
            half = count // 2
            rest = self._read_rows(offset + half * stride[0], axis, count - half)
            return np.concatenate([self._read_rows(offset, axis, half), rest])
        return _gather(self._read_span(offset, shape, stride), shape, stride)

    def _read_span(self, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[Any]:
        return self.storage.read_array(offset * self.dtype.itemsize, dtype=self.dtype, count=_find_span(shape, stride))


def is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether the elements follow one another in C order; strides of axes of length 1 say nothing.

    >>> is_contiguous((2, 1, 3), (3, 7, 1)), is_contiguous((2, 3), (1, 2)), is_contiguous((0, 3), (9, 9))
    (True, False, True)
    """
    if 0 in shape:
        return True
    step = 1
    for size, stride_of_axis in zip(reversed(shape), reversed(stride), strict=True):
        if size > 1 and stride_of_axis != step:
            return False
        step *= size
    return True


def take_flat(array: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    """Elements start..stop of an array in C order, a copy of these alone however its strides repeat them.

    >>> take_flat(np.broadcast_to(np.arange(3), (4, 3)), 2, 5).tolist()
    [2, 0, 1]
    """
    if array.ndim <= 1:
        return np.array(array.reshape(-1)[start:stop])
    row = math.prod(array.shape[1:])
    first, last = start // row, -(-stop // row)
    if last - first == 1:
        return take_flat(array[first], start - first * row, stop - first * row)
    whole_first, whole_last = -(-start // row), stop // row
    pieces = [take_flat(array[first], start - first * row, row)] if whole_first > first else []
    if whole_last > whole_first:
        pieces.append(array[whole_first:whole_last].reshape(-1))
    if whole_last < last:
        pieces.append(take_flat(array[whole_last], 0, stop - whole_last * row))
    return np.concatenate(pieces)


def _find_span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements of the storage from the first of a view to its last, both counted."""
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def _gather(values: NDArray[Any], shape: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[Any]:
    """A copy of the elements of a view in C order, 1-D. Bytes are moved: numpy can not stride over ml-dtypes' types."""
    size = values.itemsize
    moved = as_strided(values.view(f"V{size}"), shape, [step * size for step in stride], writeable=False)
    return np.ascontiguousarray(moved).reshape(-1).view(values.dtype)
