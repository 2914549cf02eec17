"""What part of a storage is a tensor? Offset, sizes and strides, checked against what the storage holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.packed.parts import NoValues
from qanalysis.checkpoints.source import FLOAT_DTYPES, TensorInfo
from qanalysis.checkpoints.torch.dtypes import ELEMENTS, read_dtype
from qanalysis.checkpoints.torch.storages import Storage
from qanalysis.checkpoints.torch.strided import StridedValues
from qanalysis.checkpoints.torch.stubs import Call, Reference

#: How a storage is found by its key.
FindStorage = Callable[[str], Storage]

_MAX_RANK = 64  # numpy's own limit
_MAX_NUMEL = 2**60


class Described(NamedTuple):
    """A tensor before it has its name. `identity` is equal for tensors that are one (ties), None where none can be."""

    info: TensorInfo
    values: Values
    identity: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Part of a storage: `count` elements of it from `base` on, seen through offset, sizes and strides."""

    storage: Storage
    key: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def elements(self) -> np.dtype:
        """The numpy type of its stored elements."""
        return ELEMENTS[self.dtype]

    @property
    def stored_bytes(self) -> int:
        """Bytes of its distinct elements: an axis of stride 0 repeats them."""
        sizes = [size for size, step in zip(self.shape, self.stride, strict=True) if step or not size]
        return math.prod(sizes) * self.elements.itemsize

    def find_problem(self) -> str:
        """Why its elements can not be read; empty where they can."""
        if self.storage.problem:
            return self.storage.problem
        if 0 in self.shape:
            return ""
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        count = self.storage.size // self.elements.itemsize
        if last >= count:
            return f"its last element is number {last} of its storage, which has {count}: the file is damaged"
        return ""

    def values(self, *, negated: bool = False) -> StridedValues:
        """The means to read it."""
        return StridedValues(self.storage, self.elements, self.offset, self.shape, self.stride, negated)


def read_view(args: Any, find_storage: FindStorage, *, dtype: str = "") -> View:
    """The view of the arguments (storage, offset, size, stride, ...); ValueError where they are others."""
    reference, offset, shape, stride = args[:4]
    storage, key, kind, base = _find(reference, find_storage)
    shape, stride = read_sizes(shape), read_sizes(stride)
    if len(shape) != len(stride) or type(offset) is not int or offset < 0:
        raise ValueError("offset and strides")
    return View(storage, key, dtype or kind, base + offset, shape, stride)


def _find(reference: Any, find_storage: FindStorage) -> tuple[Storage, str, str, int]:
    if not isinstance(reference, Reference):
        raise TypeError("storage")
    word, kind, key, _location, count, *more = reference.value
    dtype = read_dtype(kind)
    if word != "storage" or not dtype or not isinstance(key, str) or type(count) is not int:
        raise ValueError("storage")
    base = 0
    if more and more[0] is not None:
        _view_key, base, _count = more[0]  # a part of a storage, as torch wrote it before 0.4
        if type(base) is not int or base < 0:
            raise ValueError("storage")
    return find_storage(key), key, dtype, base


def read_sizes(value: Any) -> tuple[int, ...]:
    """A shape or strides; ValueError for what no tensor can have."""
    if isinstance(value, Call) and value.calls("torch.Size") and isinstance(value.args, tuple):
        (value,) = value.args
    if not isinstance(value, tuple | list) or len(value) > _MAX_RANK:
        raise ValueError("sizes")
    numel = 1
    for size in value:
        if type(size) is not int or size < 0:
            raise ValueError("sizes")
        numel *= size or 1
    if numel > _MAX_NUMEL:
        raise ValueError("sizes")
    return tuple(value)


def describe_view(view: View, *, negated: bool = False) -> Described:
    """A view as a tensor of its own."""
    problem = view.find_problem()
    decodes = view.dtype in FLOAT_DTYPES and not problem
    info = TensorInfo("", view.shape, view.dtype, view.stored_bytes, decodes=decodes, reason=problem)
    identity = (view.key, view.dtype, view.offset, view.shape, view.stride, negated) if info.numel else None
    return Described(info, NoValues() if problem else view.values(negated=negated), identity)
