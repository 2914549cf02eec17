"""What is a constant of an ONNX model, and what is wrong with it where it can not be read?

Its values lie in the model (raw, or one by one in a typed field), in a data file beside it, or are sparse. Nothing odd
about one constant refuses the model: it becomes a constant that does not decode, with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import SparseTensorProto, TensorProto

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.graphs.elements import Element, find_element
from qanalysis.checkpoints.graphs.values import ArrayValues, InlineValues, NarrowValues, SparseValues
from qanalysis.checkpoints.mapped_file import StoredValues
from qanalysis.checkpoints.packed.parts import NoValues, Part
from qanalysis.checkpoints.source import CheckpointError, TensorInfo
from qanalysis.notation import shorten

_MAX_RANK = 64  # numpy's own limit
_MAX_BYTES = 2**63 - 1
#: Elements of a constant that is read whole to follow a graph: target shapes, axes, permutations.
_MAX_INTEGERS = 64
#: Values that are `Raw`; asking for the protocol itself takes twenty times as long.
_STORED = (StoredValues, InlineValues, ArrayValues, NarrowValues)


class ConstantError(ValueError):
    """What is wrong with one constant; the text becomes the reason of its row."""


class Region(NamedTuple):
    """Where the bytes of a constant lie: a file beside the model (empty: the model itself), offset and length."""

    location: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """One constant of a model, with a name that no other has.

    `info` has shape, dtype, bytes in the file, and whether and why not it decodes; role and view are not known yet.
    `values` are its numbers: also `Raw` (elements as stored, those below a byte as the bytes that hold them) unless it
    is sparse or can not be read. `region` is where its bytes lie in a file, None for those held in memory.
    """

    info: TensorInfo
    values: Values
    region: Region | None = None

    @property
    def name(self) -> str:
        """Its name, unique in the model."""
        return self.info.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.info.shape

    @property
    def dtype(self) -> str:
        """Its element type in numpy's spelling: "float32", "int4", "float4_e2m1fn"."""
        return self.info.dtype

    @property
    def part(self) -> Part | None:
        """Its elements as stored, None where they can not be had."""
        return Part(self.info, self.values) if isinstance(self.values, _STORED) else None

    def find_integers(self) -> tuple[int, ...] | None:
        """Its elements as integers, such as a target shape; None for more than 64 and for what are no integers."""
        part = self.part
        if part is None or self.dtype not in {"int32", "int64"} or self.info.numel > _MAX_INTEGERS:
            return None
        return tuple(int(value) for value in part.raw.read_raw(0, self.info.numel))


@dataclass(frozen=True, slots=True)
class ConstantReader:
    """Constants of one model: `model` is its file, `external` the data files beside it."""

    model: DataFile
    external: ExternalData

    def read_tensor(self, name: str, tensor: TensorProto) -> Constant:
        """The constant that a TensorProto holds."""
        shape, element = tuple(tensor.dims), find_element(tensor.data_type)
        return _settle(name, shape, element, lambda: self._find_values(tensor, shape, element))

    def read_sparse(self, name: str, tensor: SparseTensorProto) -> Constant:
        """The constant that a SparseTensorProto holds; its bytes are those of values and indices."""
        shape, element = tuple(tensor.dims), find_element(tensor.values.data_type)
        held = self.read_tensor(name, tensor.values)
        indices = self.read_tensor(name, tensor.indices)

        def find() -> tuple[Values, Region | None]:
            for part, what in ((held, "values"), (indices, "indices")):
                if part.info.reason:
                    raise ConstantError(f"the {what} of its sparse values can not be read: {part.info.reason}")
            places, order = _find_places(indices, shape, held.info.numel)
            return SparseValues(held.values, places, order), None

        found = _settle(name, shape, element, find)
        size = held.info.size_bytes + indices.info.size_bytes
        return replace(found, info=replace(found.info, size_bytes=size))

    def _find_values(
        self, tensor: TensorProto, shape: tuple[int, ...], element: Element
    ) -> tuple[Values, Region | None]:
        count = math.prod(shape)
        region: Region | None
        if tensor.data_location == TensorProto.EXTERNAL:
            file, region = self.external.locate(tensor, element.count_bytes(count) if element.bits else None)
        elif (region := find_inline_region(tensor, element, self.model.size)) is not None:
            file = self.model
            _check_length(region.length, shape, element)
        else:
            _check_inline(tensor, shape, element)
            inline = InlineValues(tensor, element)
            return NarrowValues(inline, element) if element.is_narrow else inline, None
        if not element.bits:
            return NoValues(), region
        stored = StoredValues(file, region.offset, element.dtype, region.length // element.dtype.itemsize)
        return NarrowValues(stored, element) if element.is_narrow else stored, region


def make_constant(name: str, array: NDArray[Any]) -> Constant:
    """The constant of a Constant node whose attribute holds bare numbers."""
    info = TensorInfo(name, array.shape, array.dtype.name, array.nbytes, decodes=array.dtype.kind == "f")
    return Constant(info, ArrayValues(array))


def make_words(name: str, words: list[bytes], shape: tuple[int, ...]) -> Constant:
    """The constant of a Constant node whose attribute holds text."""
    info = TensorInfo(name, shape, "string", sum(map(len, words)), decodes=False)
    return Constant(info, NoValues())


def _settle(
    name: str, shape: tuple[int, ...], element: Element, find: Callable[[], tuple[Values, Region | None]]
) -> Constant:
    fault = _find_fault(shape)
    kept = (0,) if fault else shape
    size = element.count_bytes(math.prod(kept))
    try:
        if fault or not element.field:
            raise ConstantError(fault or f"the element type {element.word.rpartition('_')[2]} is not known")
        values, region = find()
    except (ConstantError, CheckpointError) as error:
        return Constant(TensorInfo(name, kept, element.word, size, decodes=False, reason=str(error)), NoValues())
    return Constant(TensorInfo(name, kept, element.word, size, decodes=element.decodes), values, region)


def _find_fault(shape: tuple[int, ...]) -> str:
    if min(shape, default=0) < 0:
        return f"claims the shape {_show(shape)}; sizes must be at least 0"
    if len(shape) > _MAX_RANK or math.prod(size or 1 for size in shape) * 16 > _MAX_BYTES:
        return f"claims the shape {_show(shape)}, which no array can have"
    return ""


def _show(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape[:4]))}{', ...' if len(shape) > 4 else ''})"[:80]


def _check_length(length: int, shape: tuple[int, ...], element: Element) -> None:
    needed = element.count_bytes(math.prod(shape))
    if element.bits and length != needed:
        raise ConstantError(
            f"has the shape {str(shape)[:80]} of {element.word}, which is {needed} bytes; the model holds {length}"
        )


def _check_inline(tensor: TensorProto, shape: tuple[int, ...], element: Element) -> None:
    if not element.bits:
        return
    if tensor.HasField("raw_data"):
        _check_length(len(tensor.raw_data), shape, element)
        return
    held, needed = len(getattr(tensor, element.field)), math.prod(shape)
    if element.bits in (2, 4):  # whose bytes are what is listed
        needed = element.count_bytes(needed)
    elif element.word.startswith("complex"):
        needed *= 2
    if held != needed:
        raise ConstantError(
            f"has the shape {str(shape)[:80]} of {element.word}, which is {needed} values; the model holds {held}"
        )


def _find_places(indices: Constant, shape: tuple[int, ...], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat places in ascending order, (nnz,), and the order of the values that go there."""
    part, rank = indices.part, len(shape)
    if part is None or part.dtype != "int64" or part.shape not in {(count,), (count, rank)}:
        raise ConstantError(
            f"has {count} sparse values and indices of {indices.dtype} in the shape {str(indices.shape)[:80]}; they "
            f"must be int64 in ({count},) or ({count}, {rank})"
        )
    places = part.whole()
    if places.ndim == 2:
        inside = ((places >= 0) & (places < np.array(shape, dtype=np.int64))).all()
        steps = np.array([math.prod(shape[axis + 1 :]) for axis in range(rank)], dtype=np.int64)
        places = places @ steps
    else:
        inside = ((places >= 0) & (places < math.prod(shape))).all()
    if not inside:
        raise ConstantError(f"has an index of its sparse values outside the shape {str(shape)[:80]}")
    order = np.argsort(places, kind="stable")
    return places[order], order


#: Key under which a tensor whose bytes stayed in the model's file says where they are.
INLINE_KEY = "qanalysis.inline"


def find_inline_region(tensor: TensorProto, element: Element, size: int) -> Region | None:
    """Where the bytes of a tensor lie in the model's own file of `size` bytes; None where they are parsed with it.

    ConstantError where they are not there, or are of a field that does not go with the type.
    """
    entries = tensor.external_data
    if tensor.data_location == TensorProto.EXTERNAL or len(entries) != 1 or entries[0].key != INLINE_KEY:
        return None
    found = re.fullmatch(r"([0-9]{1,10}):([0-9]{1,10}):(\w{1,20})", entries[0].value)
    if found is None or int(found[1]) + int(found[2]) > size:
        raise ConstantError("names bytes that the model does not have")
    if found[3] not in {"raw_data", element.field}:
        raise ConstantError(f"has its values in {found[3]}, which does not go with {element.word}")
    return Region("", int(found[1]), int(found[2]))


class ExternalData:
    """The data files beside a model, each opened once. `files` are those that could be opened, `refused` the errors of
    the others.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.files: dict[str, DataFile] = {}
        self.refused: dict[str, CheckpointError] = {}

    def locate(self, tensor: TensorProto, needed: int | None) -> tuple[DataFile, Region]:
        """File and region of a tensor of `needed` bytes (None: not known). ConstantError for a region that lies."""
        keys = {entry.key: entry.value for entry in tensor.external_data}
        location = keys.get("location", "")
        file = self._open(location)
        offset = _read_number(keys.get("offset", "0"))
        length = _read_number(keys.get("length", str(file.size - offset)))
        if offset < 0 or length < 0 or offset + length > file.size or needed not in {None, length}:
            raise ConstantError(
                f"claims {length} bytes at {offset} of {shorten(location, 80)!r}, which has {file.size} bytes, for "
                f"{needed} bytes"
            )
        return file, Region(location, offset, length)

    def close(self) -> None:
        """Release the files of a model that can not be read."""
        for file in self.files.values():
            file.close()

    def _open(self, location: str) -> DataFile:
        if location in self.refused:
            raise self.refused[location]
        if location not in self.files:
            try:
                _check_location(location)
                self.files[location] = self._folder.open(location)
            except CheckpointError as error:
                self.refused[location] = error
                raise
        return self.files[location]


def _read_number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise ConstantError(f"has the offset or length {shorten(text, 40)!r} in its data file, which is no number")
    return int(text)


def _check_location(location: str) -> None:
    path = PureWindowsPath(location)
    if not location or PurePosixPath(location).is_absolute() or path.anchor or ".." in path.parts:
        raise CheckpointError(
            f"external data {shorten(location, 80)!r} is named, which must lie inside the model's folder; move the "
            "file there"
        )
