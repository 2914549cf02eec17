"""How does torch name the types of elements? By a class of storage, "FloatStorage", or by the type, "float32"."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from qanalysis.checkpoints.source import FLOAT_DTYPES
from qanalysis.checkpoints.torch.stubs import Name

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "uint8",
}
_PLAIN = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "complex64", "complex128")
#: The numpy type of the stored elements of each type that torch has, by torch's name; those of types of less than a
#: byte are bytes, several elements in each.
ELEMENTS: dict[str, np.dtype] = {
    **FLOAT_DTYPES,
    **{word: np.dtype(word) for word in _PLAIN},
    "complex32": np.dtype("V4"),
    "qint8": np.dtype(np.int8),
    "quint8": np.dtype(np.uint8),
    "qint32": np.dtype(np.int32),
    "quint4x2": np.dtype(np.uint8),
    "quint2x4": np.dtype(np.uint8),
    "float4_e2m1fn_x2": np.dtype(np.uint8),
    "float8_e8m0fnu": np.dtype(ml_dtypes.float8_e8m0fnu),
    **{f"{sign}int{bits}": np.dtype(np.uint8) for sign in ("", "u") for bits in range(1, 8)},
}


def read_dtype(name: Any) -> str:
    """The word of a global such as "torch.float32" or "torch.FloatStorage", empty for any other value."""
    if not isinstance(name, Name) or name.module.partition(".")[0] != "torch":
        return ""
    word = _STORAGES.get(name.name, name.name)
    return word if word in ELEMENTS else ""


def storage_itemsize(kind: Any) -> int:
    """Bytes of an element of a storage of this class; 1 where the class is not known."""
    word = read_dtype(kind)
    return ELEMENTS[word].itemsize if word else 1
