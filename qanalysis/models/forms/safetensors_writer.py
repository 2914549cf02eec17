"""How are arrays written as a .safetensors file? 8 bytes of header length, JSON, then the values back to back."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.results.files import write_whole

#: The format's word of each type of numpy and of ml-dtypes.
WORDS = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
    "complex64": "C64",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_ALIGNED = 8


def write_safetensors(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write arrays in C order, the widest types first so that all lie aligned; the file appears whole or not at all.

    Raises ValueError for a type that the format does not have, OSError where writing fails.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    ordered = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    place = 0
    for name, array in ordered:
        word = WORDS.get(array.dtype.name)
        if word is None:
            raise ValueError(f"{name} is of {array.dtype.name}, which a .safetensors file does not hold")
        header[name] = {
            "dtype": word,
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNED)
    with write_whole(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _name, array in ordered:
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
