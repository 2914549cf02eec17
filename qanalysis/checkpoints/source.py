"""What is a checkpoint to the rest of the program: named tensors, header first, values on demand.

A source lists its tensors without touching their values, and reads one tensor, or one flat slice of it, when asked.
Values arrive as C-ordered float32: narrower floats are widened exactly, float64 is rounded (overflow becomes infinite).
Shapes are row-major.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import TracebackType
from typing import Any, Literal, Self

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from qanalysis.notation import escape
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

FLOAT_DTYPES: dict[str, np.dtype] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float8_e4m3fnuz": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "float8_e5m2fnuz": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "float8_e8m0fnu": np.dtype(ml_dtypes.float8_e8m0fnu),
}


Role = Literal["weight", "embedding", "norm", "bias", "buffer", "optimizer", "average", "scale", "constant"]
ROLES: dict[Role, str] = {
    "weight": "what a layer multiplies with",
    "embedding": "rows that are looked up",
    "norm": "gain or offset of a normalisation",
    "bias": "what a layer adds",
    "buffer": "state that is not trained: running statistics, positions, masks",
    "optimizer": "state of the optimizer",
    "average": "averaged copy of the weights (EMA)",
    "scale": "of a quantizer: scales, zero points, index vectors",
    "constant": "operand of arithmetic in a graph",
}
#: What a sweep measures where nothing else is asked for, of tensors with two or more axes longer than 1.
MEASURED_ROLES: tuple[Role, ...] = ("weight", "embedding")


class CheckpointError(Exception):
    """A file that can not be read as a checkpoint; the text names the path, the rule broken and the way out, in one
    line whatever the names in it hold.
    """

    def __init__(self, text: str) -> None:
        super().__init__(escape(text))


@dataclass(frozen=True, slots=True)
class Consumer:
    """An operation of a graph that computes with a tensor: its type ("MatMul", "com.microsoft.Attention"), the node's
    name, "" for one without, its first output, and which input the tensor itself is, None where others stand between.
    """

    operation: str
    node: str
    output: str
    operand: int | None = None

    @property
    def name(self) -> str:
        """The node's name, for one without that of its output."""
        return self.node or self.output


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One line of a checkpoint's header.

    `dtype` is the file's own word in numpy's spelling ("bfloat16", "int64") or the block format's ("q4_k").
    `decodes` says whether its values can be had as real numbers; `reason` why not, where the dtype does not say it.
    `role` is what the tensor is for, `view` how it is a matrix. `stored` names the layout of packed values
    ("gptq int4 group=128"), empty for plain ones; `size_bytes` then counts all its parts. `note` is what the reader
    assumed where the file leaves something open; `aliases` are other names of the same values (tied tensors).
    `consumers` are the operations of a graph that take it as what its role says, in the order of the graph.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    view: MatrixView = ALONG_FIRST
    kind: str = "weight"
    decodes: bool = True
    role: Role = "weight"
    stored: str = ""
    reason: str = ""
    note: str = ""
    aliases: tuple[str, ...] = ()
    consumers: tuple[Consumer, ...] = ()

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a 0-d tensor, 0 for an empty one."""
        return math.prod(self.shape)

    @property
    def shape_text(self) -> str:
        """The shape as rows hold it.

        >>> TensorInfo("w", (384, 1024), "float32", 0).shape_text, TensorInfo("scalar", (), "float32", 4).shape_text
        ('384x1024', '')
        """
        return "x".join(map(str, self.shape))

    @property
    def stored_bits(self) -> float:
        """Bits per value in the file, its scales counted; NaN for an empty tensor."""
        return 8 * self.size_bytes / self.numel if self.numel else math.nan

    @property
    def is_matrix(self) -> bool:
        """Whether two or more axes are longer than 1, of its own or of the matrix that a graph folds it to."""
        return sum(size > 1 for size in self.view.fold or self.shape) >= 2


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The architecture in the words of its file ("llama"), heads of queries, of keys and values, and the width of one.

    Empty or 0 where the file does not say, or says something else for each layer.
    """

    architecture: str = ""
    heads: int = 0
    kv_heads: int = 0
    head_width: int = 0


_KINDS_NAMED = 4


def describe_stored(tensors: Sequence[TensorInfo]) -> str:
    """How a quantizer packed the values of some tensors, the true bits per weight of those, how many there are of each;
    empty where none is packed.

    >>> describe_stored([TensorInfo("w", (4, 64), "int32", 144, stored="gptq int4 group=64")])
    'gptq int4 group=64, 4.5 bits per weight'
    """
    packed = [info for info in tensors if info.stored and info.decodes]
    if not packed:
        return ""
    kinds = Counter(info.stored for info in packed).most_common()
    shown = [kind if len(kinds) == 1 else f"{kind} {count}" for kind, count in kinds[:_KINDS_NAMED]]
    more = f" and {len(kinds) - _KINDS_NAMED} other kinds" if len(kinds) > _KINDS_NAMED else ""
    bits = 8 * sum(info.size_bytes for info in packed) / max(sum(info.numel for info in packed), 1)
    share = "" if len(packed) == len(tensors) else f" in {len(packed)} of {len(tensors)} tensors"
    return f"{', '.join(shown)}{more}, {bits:.4g} bits per weight{share}"


class TensorSource(ABC):
    """Named tensors of one checkpoint. Safe to read from several threads at once; close it when done.

    `name` is the label shown to people (a file name or "sample:NAME", never an absolute path), `memory_note` one
    sentence on what reading costs in memory.
    """

    name: str
    memory_note: str
    size_bytes: int
    #: What holds for the file as a whole, one sentence each: "a LoRA adapter, not a model", "1 of 3 shards is missing".
    notes: tuple[str, ...] = ()
    #: What the file says of its model: its architecture and the heads of its attention.
    facts: ModelFacts = ModelFacts()
    #: Whether tensors of one axis are measured like the others: true of arrays that a caller chose.
    measures_vectors: bool = False

    @property
    @abstractmethod
    def tensors(self) -> tuple[TensorInfo, ...]:
        """Every tensor in the order of the file."""

    @abstractmethod
    def read(self, info: TensorInfo) -> NDArray[np.float32]:
        """Values of one tensor, float32, C order, in `info.shape`; do not write into them, they may be the source's own
        memory.

        Raises CheckpointError where they can not be had.
        """

    def read_slice(self, info: TensorInfo, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop of the flattened tensor, 1-D float32."""
        return self.read(info).reshape(-1)[start:stop]

    def read_columns(
        self, info: TensorInfo, start: int, stop: int, *, width: int, first: int, last: int
    ) -> NDArray[np.float32]:
        """Columns first..last, (rows, last - first), of elements start..stop seen as rows of `width`."""
        return self.read_slice(info, start, stop).reshape(-1, width)[:, first:last]

    def is_sliceable(self, info: TensorInfo) -> bool:  # noqa: ARG002  readers decide per tensor
        """Whether `read_slice` costs only the slice, so that a tensor larger than memory can be measured."""
        return False

    @cached_property
    def digest(self) -> str:
        """Hash of the content, as "sha256:" and hexadecimal digits; computed on first use."""
        return f"sha256:{self._hash_content().hexdigest()}"

    @abstractmethod
    def _hash_content(self) -> hashlib._Hash: ...

    def close(self) -> None:  # noqa: B027  most readers hold nothing that must be released by hand
        """Release maps and handles."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


#: How the text of a source begins that names a sample instead of a path.
SAMPLE_PREFIX = "sample:"
#: What arrays are called that no file holds.
ARRAYS = "arrays"
_TABLE_CHUNK = 1 << 16  # values looked up at once: their 8-byte indices, which numpy makes of the codes, stay in cache


@cache
def _float_table(dtype: np.dtype) -> NDArray[np.float32]:
    codes = np.arange(1 << (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")
    with np.errstate(invalid="ignore"):
        return codes.view(dtype).astype(np.float32)


def _look_up(values: NDArray[Any]) -> NDArray[np.float32]:
    codes = np.ascontiguousarray(values).reshape(-1).view(f"u{values.dtype.itemsize}")
    table, widened = _float_table(values.dtype), np.empty(codes.size, dtype=np.float32)
    for start in range(0, codes.size, _TABLE_CHUNK):
        part = slice(start, start + _TABLE_CHUNK)
        np.take(table, codes[part], out=widened[part], mode="clip")
    return widened.reshape(values.shape)


def widen(values: NDArray[Any]) -> NDArray[np.float32]:
    """Real values as C-ordered float32 in the same shape: exact from narrower floats, rounded from float64.

    Overflow becomes infinity without a warning. A C-ordered float32 array comes back as it is, without a copy.
    float8 and float16 go through a table of all their codes: 1.1 ns per value against 11 and 1.4 to 2.7 ns for numpy's
    cast; bfloat16 is cast, at 0.3 ns per value.

    >>> widen(np.array([1.5, 1e300])).tolist()
    [1.5, inf]
    """
    if (
        values.dtype.itemsize <= 2
        and values.dtype.isnative
        and values.dtype.name in FLOAT_DTYPES
        and values.dtype.name != "bfloat16"
    ):
        return _look_up(values)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, dtype=np.float32, order="C")


class PickedSource(TensorSource):
    """Some tensors of another source, as they are described here; reading goes to the other one, which stays open."""

    measures_vectors = True

    def __init__(self, source: TensorSource, tensors: Sequence[TensorInfo]) -> None:
        self.name, self.memory_note, self.size_bytes = source.name, source.memory_note, source.size_bytes
        self.facts = source.facts
        self._source, self._tensors = source, tuple(tensors)

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return self._tensors

    def read(self, info: TensorInfo) -> NDArray[np.float32]:
        return self._source.read(info)

    def read_slice(self, info: TensorInfo, start: int, stop: int) -> NDArray[np.float32]:
        return self._source.read_slice(info, start, stop)

    def read_columns(
        self, info: TensorInfo, start: int, stop: int, *, width: int, first: int, last: int
    ) -> NDArray[np.float32]:
        return self._source.read_columns(info, start, stop, width=width, first=first, last=last)

    def is_sliceable(self, info: TensorInfo) -> bool:
        return self._source.is_sliceable(info)

    @cached_property
    def digest(self) -> str:
        return self._source.digest

    def _hash_content(self) -> hashlib._Hash:
        raise NotImplementedError("the digest is that of the other source")


class ArraySource(TensorSource):
    """A mapping of names to arrays, held in memory by the caller; all of them are weights.

    >>> with ArraySource({"w": np.array([[1.0, 2.0]], dtype=np.float16), "steps": np.array([3])}) as source:
    ...     [(info.name, info.shape, info.dtype, info.decodes) for info in source.tensors]
    ...     source.read(source.tensors[0])
    [('w', (1, 2), 'float16', True), ('steps', (1,), 'int64', False)]
    array([[1., 2.]], dtype=float32)
    """

    measures_vectors = True

    def __init__(self, arrays: Mapping[str, NDArray[Any]], *, name: str = ARRAYS, kind: str = "weight") -> None:
        self.name = name
        self.memory_note = "Held in memory by the caller; nothing is copied until it is measured."
        self._arrays = {key: np.asarray(value) for key, value in arrays.items()}
        self.size_bytes = sum(array.nbytes for array in self._arrays.values())
        self._kind = kind

    @cached_property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return tuple(
            TensorInfo(
                name,
                array.shape,
                array.dtype.name,
                array.nbytes,
                kind=self._kind,
                decodes=array.dtype.name in FLOAT_DTYPES,
            )
            for name, array in self._arrays.items()
        )

    def read(self, info: TensorInfo) -> NDArray[np.float32]:
        return widen(self._arrays[info.name])

    def read_slice(self, info: TensorInfo, start: int, stop: int) -> NDArray[np.float32]:
        return widen(self._arrays[info.name].reshape(-1)[start:stop])

    def is_sliceable(self, info: TensorInfo) -> bool:
        return bool(self._arrays[info.name].flags.c_contiguous)

    def _hash_content(self) -> hashlib._Hash:
        digest = hashlib.sha256()
        for info in self.tensors:
            digest.update(f"{info.name}\0{info.dtype}\0{info.shape}\0".encode())
            digest.update(np.ascontiguousarray(self._arrays[info.name]).reshape(-1).view(np.uint8).data)
        return digest
