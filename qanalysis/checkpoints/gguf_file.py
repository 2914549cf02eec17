"""What is in a GGUF file?

The header is parsed here with every count and offset held against the file's size first, since the format's own reader
believes them and takes seconds over a vocabulary; blocks are decoded by the format's own package. GGUF states the
fastest-running size first: shapes are reversed to row-major.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGUF_DEFAULT_ALIGNMENT, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content, Entry, Values
from qanalysis.checkpoints.facts import ARCHITECTURE, KEPT_ENDINGS
from qanalysis.checkpoints.header_text import MOST_TENSORS
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN, StoredValues
from qanalysis.checkpoints.shard_contents import SPLIT_COUNT, SPLIT_TENSORS
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo
from qanalysis.notation import quote, shorten
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

MEMORY_NOTE = "Mapped: a read costs the tensor or the slice asked for; quantized blocks are decoded to float32 for it."
_PLAIN = {
    "f64": "float64",
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "i64": "int64",
    "i32": "int32",
    "i16": "int16",
    "i8": "int8",
}
_VALUE_BYTES = {
    0: 1,
    1: 1,
    2: 2,
    3: 2,
    4: 4,
    5: 4,
    6: 4,
    7: 1,
    10: 8,
    11: 8,
    12: 8,
}  # of metadata types; the others are text and arrays
_INTEGERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}  # of metadata types
_STRUCTS = {layout: struct.Struct(f"<{layout}") for layout in (*_INTEGERS.values(), "IQ", "QQ")}
_LEAST_WINDOW, _MOST_WINDOW = 1 << 15, 1 << 20
_TEXT, _ARRAY = 8, 9
_TYPE, _ALIGNMENT = "general.type", "general.alignment"
#: What general.type says of an importance matrix, and what such a file says of its calibration run.
IMATRIX, CHUNKS, CHUNK_SIZE = "imatrix", "imatrix.chunk_count", "imatrix.chunk_size"
_KEYS = (_TYPE, ARCHITECTURE, _ALIGNMENT, "split.no", SPLIT_COUNT, SPLIT_TENSORS, CHUNKS, CHUNK_SIZE)
_MAX_DIMENSIONS = 4
_MIN_TENSOR_BYTES, _MIN_FIELD_BYTES, _MIN_TEXT_BYTES, _MIN_ARRAY_BYTES = 24, 13, 8, 12
#: Stacked experts are (expert, out, in): a row is one output of one of them.
_EXPERTS = MatrixView((0, 1))
_DECODED_AT_ONCE = 1 << 18  # bytes of blocks: the package's intermediate arrays take 11 to 80 times as many


@dataclass(frozen=True, slots=True)
class BlockValues:
    """Values in quantized blocks of `block_length` values and `block_bytes` bytes. Slices decode the blocks they
    touch.
    """

    file: DataFile
    offset: int
    kind: GGMLQuantizationType
    sliceable: bool = True

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        length, size = GGML_QUANT_SIZES[self.kind]
        first, last = start // length, -(-stop // length)
        blocks = self.file.read_array(self.offset + first * size, dtype=np.dtype(np.uint8), count=(last - first) * size)
        values = np.empty((last - first) * length, dtype=np.float32)
        at_once = max(1, _DECODED_AT_ONCE // size)
        for begin in range(0, last - first, at_once):
            part = blocks[begin * size : (begin + at_once) * size]
            with np.errstate(all="ignore"):
                values[begin * length : (begin + at_once) * length] = dequantize(
                    part.reshape(1, -1), self.kind
                ).reshape(-1)
        return values[start - first * length : stop - first * length]


class _Cursor:
    """Reads the header forwards, a window of the file at a time, and refuses what would lie behind its end."""

    def __init__(self, file: DataFile, offset: int) -> None:
        self._file, self._place = file, shorten(file.name, 80)
        self.offset, self.fields = offset, 0
        self._window, self._start, self._ahead = b"", 0, _LEAST_WINDOW

    def check_room(self, count: int, *, each: int, what: str) -> None:
        left = self._file.size - self.offset
        if count * each > left:
            message = (
                f"{self._place}: {what} at byte {self.offset} claims {count} entries of {each} or more bytes, "
                f"{left} bytes are left; {SAVE_AGAIN}"
            )
            raise CheckpointError(message)

    def take(self, layout: str, what: str) -> Any:
        form = _STRUCTS[layout]
        begin = self._reach(form.size, what)  # which may change the window
        values = form.unpack_from(self._window, begin)
        self.offset += form.size
        return values if len(values) > 1 else values[0]

    def _reach(self, size: int, what: str) -> int:
        """Where the next `size` bytes begin in the window."""
        begin = self.offset - self._start
        if not 0 <= begin <= len(self._window) - size:
            self.check_room(1, each=size, what=what)
            self._window, self._start, begin = (
                self._file.read_header(self.offset, max(size, self._ahead)),
                self.offset,
                0,
            )
            self._ahead = min(2 * self._ahead, _MOST_WINDOW)
        return begin

    def skip(self, count: int, *, each: int, what: str) -> None:
        self.check_room(count, each=each, what=what)
        self.offset += count * each

    def take_text(self, what: str) -> str:
        length = self.take("Q", what)
        self.check_room(length, each=1, what=what)
        begin = self._reach(length, what)
        raw = self._window[begin : begin + length]
        self.offset += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(
                f"{self._place}: {what} at byte {self.offset - length} is not UTF-8 text; {SAVE_AGAIN}"
            ) from None

    def take_value(self, kind: int) -> str:
        """A number or a short text of the metadata, as text; empty for everything else, which is passed over."""
        if kind in _INTEGERS:
            return str(self.take(_INTEGERS[kind], "a metadata value"))
        if kind != _TEXT:
            self.skip_value(kind)
            return ""
        return shorten(self.take_text("a metadata value"), 80)

    def skip_value(self, kind: int, *, count: int = 1, depth: int = 0) -> None:
        if kind in _VALUE_BYTES:
            self.skip(count, each=_VALUE_BYTES[kind], what="a metadata value")
        elif kind == _TEXT:
            self.check_room(count, each=_MIN_TEXT_BYTES, what="metadata text")
            for _ in range(count):
                self.skip(self.take("Q", "metadata text"), each=1, what="metadata text")
        elif kind == _ARRAY and depth < _MAX_DIMENSIONS:
            self.check_room(count, each=_MIN_ARRAY_BYTES, what="a metadata array")
            for _ in range(count):
                item_kind, length = self.take("IQ", "a metadata array")
                self.skip_value(item_kind, count=length, depth=depth + 1)
        else:
            raise CheckpointError(
                f"{self._place}: metadata at byte {self.offset} has the unknown type {kind}; types go from 0 to "
                f"12, {SAVE_AGAIN}"
            )


def read_gguf(file: DataFile, _folder: Folder) -> Content:
    """Tensors of a GGUF file, version 2 or 3, little-endian; of a split one those of this part, with what its header
    says of the others (`split.count`) as metadata. Raises CheckpointError for other or damaged files.
    """
    content = _read(file)
    notes = _name_type(content.metadata, shorten(file.name, 80))
    return replace(content, notes=notes)


def read_gguf_statistics(file: DataFile) -> Content:
    """Sums and counts of an importance matrix in a GGUF file, its metadata beside them; CheckpointError for a file that
    holds something else, and as `read_gguf`.
    """
    content = _read(file)
    if content.metadata.get(_TYPE) != IMATRIX:
        raise CheckpointError(
            f"{shorten(file.name, 80)} is a GGUF file, but no importance matrix: its general.type is "
            f"{quote(content.metadata.get(_TYPE, ''))}; give a file that llama-imatrix wrote"
        )
    return content


def _read(file: DataFile) -> Content:
    place = shorten(file.name, 80)
    cursor = _Cursor(file, 4)
    tensor_count = _read_counts(cursor, place)
    metadata = {}
    for _ in range(cursor.fields):
        key, kind = cursor.take_text("a metadata key"), cursor.take("I", "a metadata type")
        if key in _KEYS or key.endswith(KEPT_ENDINGS):
            metadata[key] = cursor.take_value(kind)
        else:
            cursor.skip_value(kind)
    alignment = int(metadata.get(_ALIGNMENT, GGUF_DEFAULT_ALIGNMENT) or 0)
    if alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(f"{place}: {_ALIGNMENT} is {alignment}, it must be a power of two; {SAVE_AGAIN}")
    tensors = [_read_tensor(cursor, place) for _ in range(tensor_count)]
    base = -(-cursor.offset // alignment) * alignment
    _check_layout(tensors, place=place, data_bytes=file.size - base)
    entries = [Entry(info, _locate_values(file, base + begin, info, kind=kind)) for info, begin, kind in tensors]
    return Content(entries, [file], MEMORY_NOTE, (), metadata)


def _read_counts(cursor: _Cursor, place: str) -> int:
    version = cursor.take("I", "the version")
    if version in (2 << 24, 3 << 24):
        raise CheckpointError(
            f"{place} is a big-endian GGUF file, which is not read; turn it with gguf's gguf_convert_endian.py, or "
            "take the little-endian one"
        )
    if version not in (2, 3):
        raise CheckpointError(
            f"{place}: GGUF version {version:#x} is not read; versions 2 and 3 are, so convert the model again"
        )
    tensor_count, cursor.fields = cursor.take("QQ", "the counts")
    cursor.check_room(tensor_count, each=_MIN_TENSOR_BYTES, what="the tensor count")
    cursor.check_room(cursor.fields, each=_MIN_FIELD_BYTES, what="the metadata count")
    if tensor_count > MOST_TENSORS:
        raise CheckpointError(f"{place} claims {tensor_count} tensors, more than the {MOST_TENSORS} that are read")
    return int(tensor_count)


def _name_type(metadata: Mapping[str, str], place: str) -> tuple[str, ...]:
    word, architecture = metadata.get(_TYPE, ""), metadata.get(ARCHITECTURE, "")
    if word == IMATRIX:
        raise CheckpointError(
            f"{place} is an importance matrix (imatrix): statistics, not weights; give the model it was made for, "
            "and this file to sensitivity --imatrix"
        )
    if word == "adapter":
        return ("an adapter of a base model, as general.type says",)
    if word == "mmproj" or architecture == "clip":
        return ("a multimodal projector (mmproj), not the language model",)
    return ()


def _read_tensor(cursor: _Cursor, place: str) -> tuple[TensorInfo, int, int]:
    name = cursor.take_text("a tensor name")
    rank = cursor.take("I", "the rank of a tensor")
    if rank > _MAX_DIMENSIONS:
        raise CheckpointError(
            f"{place}: tensor {shorten(name, 80)!r} claims {rank} dimensions, GGUF has at most {_MAX_DIMENSIONS}; "
            f"{SAVE_AGAIN}"
        )
    shape = tuple(cursor.take("Q", "the shape of a tensor") for _ in range(rank))[::-1]
    kind, begin = cursor.take("IQ", "the place of a tensor")
    if kind not in GGML_QUANT_SIZES:
        return TensorInfo(name, shape, f"ggml_type_{kind}", 0, decodes=False), begin, kind
    word, block_length, block_bytes, decodes = _describe_kind(kind)
    row = shape[-1] if shape else 1
    if row % block_length:
        raise CheckpointError(
            f"{place}: tensor {shorten(name, 80)!r} has rows of {row} values, {word} needs a multiple of "
            f"{block_length}; {SAVE_AGAIN}"
        )
    size_bytes = math.prod(shape) // block_length * block_bytes
    view = _EXPERTS if len(shape) == len(_EXPERTS.rows) + 1 and "_exps" in name else ALONG_FIRST
    stored = "" if block_length == 1 else f"gguf:{word}"
    return TensorInfo(name, shape, word, size_bytes, view, decodes=decodes, stored=stored), begin, kind


@cache
def _describe_kind(number: int) -> tuple[str, int, int, bool]:
    """Its word, values and bytes of a block, and whether values can be had."""
    kind = GGMLQuantizationType(number)
    block_length, block_bytes = GGML_QUANT_SIZES[kind]
    word = kind.name.lower()
    dtype = _PLAIN.get(word, word)
    return dtype, block_length, block_bytes, dtype in FLOAT_DTYPES or (word not in _PLAIN and _can_decode(kind))


def _can_decode(kind: GGMLQuantizationType) -> bool:
    try:
        with np.errstate(all="ignore"):
            dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def _locate_values(file: DataFile, offset: int, info: TensorInfo, *, kind: int) -> Values:
    if info.dtype in FLOAT_DTYPES:
        return StoredValues(file, offset, FLOAT_DTYPES[info.dtype], info.numel)
    if kind in GGML_QUANT_SIZES:
        return BlockValues(file, offset, GGMLQuantizationType(kind))
    return StoredValues(file, offset, np.dtype(np.uint8), info.size_bytes)


def _check_layout(tensors: list[tuple[TensorInfo, int, int]], *, place: str, data_bytes: int) -> None:
    end = 0
    for info, begin, _ in sorted(tensors, key=lambda tensor: (tensor[1], tensor[0].size_bytes)):
        if begin < end or begin + info.size_bytes > data_bytes:
            holds = f"bytes {begin} to {begin + info.size_bytes} of the data"
            rule = f"tensors before it end at {end} and the file holds {max(data_bytes, 0)}"
            raise CheckpointError(
                f"{place}: tensor {shorten(info.name, 80)!r} claims {holds}, but {rule}; {SAVE_AGAIN}"
            )
        end = begin + info.size_bytes
