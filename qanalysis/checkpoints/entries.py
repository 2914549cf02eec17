"""What does a reader hand over? A tensor's line of the header and the means to get at its numbers, still on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.source import TensorInfo


class Values(Protocol):
    """The numbers of one tensor, still on disk."""

    @property
    def sliceable(self) -> bool:
        """Whether a part costs only the part."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop in C order, 1-D."""


class ColumnValues(Values, Protocol):
    """Values of which columns cost only the columns."""

    def read_float_columns(self, start: int, stop: int, *, width: int, first: int, last: int) -> NDArray[np.float32]:
        """Columns first..last, (rows, last - first), of elements start..stop seen as rows of `width`."""


#: Elements that are read at once to take columns of them.
_BLOCK = 1 << 20


def read_float_columns(
    values: Values, start: int, stop: int, *, width: int, first: int, last: int
) -> NDArray[np.float32]:
    """Columns first..last, (rows, last - first), of elements start..stop seen as rows of `width`; out of whole
    rows where the values can not give columns by themselves.
    """
    if _gives_columns(values):
        return values.read_float_columns(start, stop, width=width, first=first, last=last)
    return cut_rows(values, start, stop, width=width, first=first, last=last)


def cut_rows(values: Values, start: int, stop: int, *, width: int, first: int, last: int) -> NDArray[np.float32]:
    """The same out of whole rows, some of them at a time."""
    step = max(1, _BLOCK // width) * width
    places = [(place, min(place + step, stop)) for place in range(start, stop, step)]
    blocks = [values.read(*place).reshape(-1, width)[:, first:last].copy() for place in places]
    return np.concatenate(blocks) if blocks else np.empty((0, last - first), np.float32)


def _gives_columns(values: Values) -> TypeGuard[ColumnValues]:
    return hasattr(type(values), "read_float_columns")


class Raw(Values, Protocol):
    """Values whose elements can also be had as they are stored."""

    @property
    def dtype(self) -> np.dtype:
        """The type of the stored elements, that of ml-dtypes for the small floats. Types of less than a byte come as
        uint8 with all their bits: the elements are then those bytes.
        """

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        """Stored elements start..stop in C order, 1-D, of `dtype`: a copy, or memory that is not written to."""

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        """Columns first..last, (rows, last - first), of all elements seen as rows of `width`."""


def is_raw(values: Values) -> TypeGuard[Raw]:
    """Whether values can be had as they are stored. Asked of every tensor of a file, and a check of a protocol costs
    thirty times as much.
    """
    return hasattr(values, "read_raw")


class Entry(NamedTuple):
    """One tensor of a file. `settled` says that its reader knows role and view, from a graph or the format."""

    info: TensorInfo
    values: Values
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What a reader makes of its files.

    `files` are all that were opened, external data too. `notes` are sentences about the file as a whole
    (`TensorSource.notes`), `metadata` is what a safetensors header says beside its tensors.
    """

    entries: Sequence[Entry]
    files: Sequence[DataFile]
    memory_note: str
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What lies beside the tensors and tells how to read them. Each is empty where there is none.

    `config` is config.json of the folder. `quantization` is its `quantization_config` (or `quantization`,
    `compression_config`), else quantize_config.json, quant_config.json, hf_quant_config.json (its "quantization"),
    quanto_qmap.json. `metadata` is `__metadata__` of a safetensors file.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    quantization: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
