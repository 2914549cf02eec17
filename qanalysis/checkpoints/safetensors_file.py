"""What is in a .safetensors file?

The header is parsed here because the format's numpy reader can not give fp8 or bfloat16: 8 bytes of header length,
JSON, then the values back to back. Checked as the format demands: unique names, offsets that follow one another without
gap or overlap from the first byte to the last, and as many bytes as shape and dtype ask for.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.header_text import HeaderText
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN, StoredValues
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo
from qanalysis.notation import shorten

_TOO_LARGE = 1 << 63
_METADATA = "__metadata__"
HEADER_LIMIT_BYTES = 100_000_000  # the format's own cap
MEMORY_NOTE = "Mapped: a read costs the tensor or the slice asked for, the rest stays on disk."

# the format's word: (numpy's word, bits per value)
_DTYPES: dict[str, tuple[str, int]] = {
    "F64": ("float64", 64),
    "F32": ("float32", 32),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F6_E2M3": ("float6_e2m3fn", 6),
    "F6_E3M2": ("float6_e3m2fn", 6),
    "F4": ("float4_e2m1fn", 4),
    "C64": ("complex64", 64),
    "I64": ("int64", 64),
    "I32": ("int32", 32),
    "I16": ("int16", 16),
    "I8": ("int8", 8),
    "U64": ("uint64", 64),
    "U32": ("uint32", 32),
    "U16": ("uint16", 16),
    "U8": ("uint8", 8),
    "BOOL": ("bool", 8),
}
_BYTES = np.dtype(np.uint8)
_STORED = FLOAT_DTYPES | {
    word: np.dtype(word)
    for word in ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool", "complex64")
}


def read_safetensors(file: DataFile, _folder: Folder) -> Content:
    """Tensors of one file in the order of its header. Raises CheckpointError."""
    entries, metadata = _read_header(file)
    return Content(entries, [file], MEMORY_NOTE, metadata=metadata)


def _read_header(file: DataFile) -> tuple[list[Entry], dict[str, str]]:
    place = file.name
    start = file.read_header(0, 8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    limit = min(HEADER_LIMIT_BYTES, file.size - 8)
    if not 2 <= length <= limit:
        raise CheckpointError(
            f"{place}: the header claims {length} bytes, it must have 2 to {limit} in a file of {file.size}; "
            f"{SAVE_AGAIN}"
        )
    base = 8 + length
    entries, metadata = _parse_header(file.read_header(8, length), place)
    _check_layout(entries, place=place, data_bytes=file.size - base)
    return [Entry(info, _locate_values(file, base + begin, info)) for info, begin in entries], metadata


def _parse_header(data: bytes, place: str) -> tuple[list[tuple[TensorInfo, int]], dict[str, str]]:
    what = f"{place}: the header"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{what} is not valid JSON: {error.reason} at byte {error.start}; {SAVE_AGAIN}") from None
    header = HeaderText(text, what)
    if not header.begins("{"):
        raise CheckpointError(f"{what} is not a JSON object of tensors; {SAVE_AGAIN}")
    entries: list[tuple[TensorInfo, int]] = []
    metadata: dict[str, str] = {}
    for name in header.members():
        if name == _METADATA:
            metadata = _take_metadata(header)
        else:
            entries.append(_read_entry(name, header.take_record(name), place))
    header.finish()
    return entries, metadata


def _take_metadata(header: HeaderText) -> dict[str, str]:
    if not header.begins("{"):
        header.take_any(_METADATA)
        return {}
    return {key: header.take_text(f"{_METADATA} {shorten(key, 80)!r}") for key in header.members()}


def _locate_values(file: DataFile, offset: int, info: TensorInfo) -> StoredValues:
    dtype = _STORED.get(info.dtype, _BYTES)
    return StoredValues(file, offset, dtype, info.size_bytes // dtype.itemsize)


def _read_entry(name: str, entry: Any, place: str) -> tuple[TensorInfo, int]:
    try:
        word, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sound = type(word) is str and type(shape) is list and _are_sizes((*shape, begin, end)) and begin <= end
    except (TypeError, KeyError, ValueError):  # no object, one without those keys, or not two offsets
        sound = False
    if not sound:
        raise CheckpointError(
            f"{_name_tensor(place, name)} needs a dtype, a shape and two rising data_offsets, it has "
            f"{str(entry)[:100]}; {SAVE_AGAIN}"
        )
    dtype, bits = _DTYPES.get(word) or (shorten(word.lower(), 40), 0)
    count = math.prod(shape)
    if bits and count * bits != 8 * (end - begin):
        needs = f"{count * bits / 8:.15g}" if count < 1 << 80 else "more than any file's"
        raise CheckpointError(
            f"{_name_tensor(place, name)} has shape {str(shape)[:80]} of {word}, which is {needs} bytes, but its "
            f"data_offsets [{begin}, {end}] hold {end - begin}; {SAVE_AGAIN}"
        )
    return TensorInfo(name, tuple(shape), dtype, end - begin, decodes=dtype in FLOAT_DTYPES), begin


def _name_tensor(place: str, name: str) -> str:
    return f"{place}: tensor {shorten(name, 80)!r}"


def _are_sizes(values: tuple[Any, ...]) -> bool:
    return set(map(type, values)) == {int} and min(values) >= 0 and max(values) < _TOO_LARGE


def _check_layout(entries: list[tuple[TensorInfo, int]], *, place: str, data_bytes: int) -> None:
    end = 0
    for info, begin in sorted(entries, key=lambda entry: (entry[1], entry[1] + entry[0].size_bytes)):
        if begin != end:
            fault = "overlap those before" if begin < end else "leave a gap"
            raise CheckpointError(
                f"{place}: the data_offsets of tensor {shorten(info.name, 80)!r} begin at {begin} and {fault}, "
                f"which end at {end}; {SAVE_AGAIN}"
            )
        end += info.size_bytes
    if end != data_bytes:
        last = max(entries, key=lambda entry: entry[1])[0].name if entries else "no tensor"
        raise CheckpointError(
            f"{place}: the tensors (last {shorten(last, 80)!r}) end at byte {end} of the data, the file holds "
            f"{data_bytes}; {SAVE_AGAIN}"
        )
