"""Tensors written as a safetensors file and read back as logical tensors; for types that numpy's writer does not know."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import TensorInfo

WORDS = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint32": "U32",
    "uint8": "U8",
}


class Logical(NamedTuple):
    """One tensor as the listing has it; its values are those of the whole and None where it does not decode."""

    info: TensorInfo
    values: NDArray[np.float32] | None


def write_file(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> Path:
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": WORDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    text = json.dumps(header).encode()
    body = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def read_logical(
    folder: Path,
    tensors: Mapping[str, NDArray[Any]],
    *,
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    beside: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Logical]:
    """The logical tensors of a file with these stored ones; each is read whole, and in pieces that must agree."""
    for name, content in {**({"config.json": config} if config else {}), **(beside or {})}.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    path = write_file(folder / "model.safetensors", tensors, metadata)
    found = {}
    with open_checkpoint(path) as source:
        for info in source.tensors:
            values = source.read(info) if info.decodes else None
            if values is not None and info.numel:
                cuts = sorted({0, 1, info.numel // 3, info.numel // 2 + 1, max(0, info.numel - 1), info.numel})
                cuts = [cut for cut in cuts if cut <= info.numel]
                pieces = [source.read_slice(info, *cut) for cut in itertools.pairwise(cuts)]
                np.testing.assert_array_equal(np.concatenate(pieces), values.reshape(-1))
            found[info.name] = Logical(info, values)
    return found


def read_one(folder: Path, name: str, tensors: Mapping[str, NDArray[Any]], **beside: Any) -> Logical:
    """The same for one tensor by its logical name."""
    return read_logical(folder, tensors, **beside)[name]


def to_arrays(tensors: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Tensors of torch as arrays of the same bytes."""
    import ml_dtypes
    import torch

    viewed = {
        torch.bfloat16: (torch.int16, ml_dtypes.bfloat16),
        torch.float8_e4m3fn: (torch.uint8, ml_dtypes.float8_e4m3fn),
        torch.float8_e5m2: (torch.uint8, ml_dtypes.float8_e5m2),
        torch.float8_e8m0fnu: (torch.uint8, ml_dtypes.float8_e8m0fnu),
    }
    arrays = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().contiguous()
        if flat.dtype in viewed:
            word, dtype = viewed[flat.dtype]
            arrays[name] = flat.view(word).numpy().view(dtype)
        else:
            arrays[name] = flat.numpy()
    return arrays
