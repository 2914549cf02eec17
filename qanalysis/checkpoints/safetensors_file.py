"""What is in a .safetensors file, or in the shards of an index or a folder?

The header is parsed here because the format's numpy reader can not give fp8 or bfloat16: 8 bytes of header length,
JSON, then the values back to back. Checked as the format demands: unique names, offsets that follow one another without
gap or overlap from the first byte to the last, and as many bytes as shape and dtype ask for.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from pathlib import Path, PureWindowsPath
from typing import Any, TypeGuard

import numpy as np

from qanalysis.checkpoints.file_source import FileSource
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN, MappedFile, MappedValues, read_head, stat_file
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo

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
_NO_VALUES = np.dtype(np.uint8)


def open_safetensors(*paths: Path, name: str) -> FileSource:
    """Tensors of one file or of all shards, in the order of `paths` and, within each, of its header. Raises
    CheckpointError.
    """
    files = [MappedFile(path) for path in paths]
    entries: list[tuple[TensorInfo, MappedValues]] = []
    shard_of: dict[str, str] = {}
    for file in files:
        for info, values in _read_header(file):
            if info.name in shard_of:
                shards = f"{shard_of[info.name]} and {file.path.name}"
                raise CheckpointError(
                    f"{name}: tensor {info.name!r} is in both {shards}; a folder must hold one model, so open one "
                    "file or its index"
                )
            shard_of[info.name] = file.path.name
            entries.append((info, values))
    return FileSource(name, entries, files=paths, memory_note=MEMORY_NOTE, resources=files)


def open_safetensors_index(path: Path, *, name: str) -> FileSource:
    """Tensors of the shards that a `*.safetensors.index.json` names.

    Raises CheckpointError where the index is broken or names a tensor, a shard or a place that is not there.
    """
    weight_map = _read_weight_map(path)
    shards = [_locate_shard(path, shard) for shard in sorted(set(weight_map.values()))]
    source = open_safetensors(*shards, name=name)
    if missing := weight_map.keys() - {info.name for info in source.tensors}:
        tensor = min(missing)
        source.close()
        raise CheckpointError(
            f"{path.name}: tensor {tensor!r} is not in its shard {weight_map[tensor]!r}; download the model again"
        )
    return source


def _read_weight_map(path: Path) -> dict[str, str]:
    index = _parse_json(read_head(path, HEADER_LIMIT_BYTES), path.name)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if (
        not isinstance(weight_map, dict)
        or not weight_map
        or not all(isinstance(shard, str) for shard in weight_map.values())
    ):
        raise CheckpointError(f"{path.name} has no 'weight_map' from tensor names to shard files; {SAVE_AGAIN}")
    return weight_map


def _locate_shard(index: Path, shard: str) -> Path:
    # The name alone decides: download caches lay out a model as links to files elsewhere, which the user's own folder
    # may do.
    if shard != PureWindowsPath(shard).name or not shard.endswith(".safetensors"):
        raise CheckpointError(
            f"{index.name} names the shard {shard!r}; shards must be .safetensors files in the folder of the index"
        )
    path = index.parent / shard
    try:
        stat_file(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{index.name} names the shard {shard!r}, but {error}; download the shard again"
        ) from None
    return path


def _read_header(file: MappedFile) -> list[tuple[TensorInfo, MappedValues]]:
    place = file.path.name
    start = file.read_header(0, 8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    limit = min(HEADER_LIMIT_BYTES, file.size - 8)
    if not 2 <= length <= limit:
        raise CheckpointError(
            f"{place}: the header claims {length} bytes, it must have 2 to {limit} in a file of {file.size}; "
            f"{SAVE_AGAIN}"
        )
    header = _parse_json(file.read_header(8, length), place)
    if not isinstance(header, dict):
        raise CheckpointError(f"{place}: the header is not a JSON object of tensors; {SAVE_AGAIN}")
    header.pop("__metadata__", None)
    base = 8 + length
    entries = [_read_entry(f"{place}: tensor {name!r}", name, entry) for name, entry in header.items()]
    _check_layout(entries, place=place, data_bytes=file.size - base)
    return [
        (info, MappedValues(file, base + begin, FLOAT_DTYPES.get(info.dtype, _NO_VALUES))) for info, begin in entries
    ]


def _parse_json(text: bytes, place: str) -> Any:
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{place}: the header is not valid JSON: {str(error)[:100]}; {SAVE_AGAIN}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {name!a} occurs twice")
    return keys


def _read_entry(place: str, name: str, entry: Any) -> tuple[TensorInfo, int]:
    word, shape, offsets = (
        entry.get(key) if isinstance(entry, dict) else None for key in ("dtype", "shape", "data_offsets")
    )
    if (
        not isinstance(word, str)
        or not _is_sizes(shape)
        or not _is_sizes(offsets)
        or len(offsets) != 2
        or offsets[0] > offsets[1]
    ):
        raise CheckpointError(
            f"{place} needs a dtype, a shape and two rising data_offsets, it has {str(entry)[:100]}; {SAVE_AGAIN}"
        )
    dtype, bits = _DTYPES.get(word, (word.lower(), 0))
    begin, end = offsets
    if bits and math.prod(shape) * bits != 8 * (end - begin):
        needs = f"{math.prod(shape) * bits / 8:.15g}"
        raise CheckpointError(
            f"{place} has shape {shape} of {word}, which is {needs} bytes, but its data_offsets {offsets} hold "
            f"{end - begin}; {SAVE_AGAIN}"
        )
    return TensorInfo(name, tuple(shape), dtype, end - begin, decodes=dtype in FLOAT_DTYPES), begin


def _is_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _check_layout(entries: list[tuple[TensorInfo, int]], *, place: str, data_bytes: int) -> None:
    end = 0
    for info, begin in sorted(entries, key=lambda entry: (entry[1], entry[1] + entry[0].size_bytes)):
        if begin != end:
            fault = "overlap those before" if begin < end else "leave a gap"
            raise CheckpointError(
                f"{place}: the data_offsets of tensor {info.name!r} begin at {begin} and {fault}, which end at "
                f"{end}; {SAVE_AGAIN}"
            )
        end += info.size_bytes
    if end != data_bytes:
        last = max(entries, key=lambda entry: entry[1])[0].name if entries else "no tensor"
        raise CheckpointError(
            f"{place}: the tensors (last {last!r}) end at byte {end} of the data, the file holds {data_bytes}; "
            f"{SAVE_AGAIN}"
        )
