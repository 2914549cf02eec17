"""Which numbers does an element type of ONNX hold, and how do they lie in memory?

Types below a byte are a bit stream, the first element in the lowest bits; the last byte is padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.kernels.unpacking import look_up_codes, unpack_bits


@dataclass(frozen=True, slots=True)
class Element:
    """One element type: its `word` in numpy's spelling, `bits` of an element, the number `kind` ("float", "int",
    "other"), and the `field` of a TensorProto that holds elements one by one.
    """

    word: str
    bits: int
    kind: str
    field: str

    @property
    def dtype(self) -> np.dtype:
        """The type of stored elements: uint8, several elements in each, where they are narrower than a byte."""
        return _numpy_type(self.word) if self.bits % 8 == 0 and self.bits else np.dtype(np.uint8)

    @property
    def decodes(self) -> bool:
        """Whether its elements are real numbers that a tensor of weights may hold."""
        return self.kind == "float"

    @property
    def is_narrow(self) -> bool:
        """Whether several elements share a byte."""
        return 0 < self.bits < 8

    def count_bytes(self, elements: int) -> int:
        """Bytes of so many elements, the last one padded."""
        return -(-elements * self.bits // 8)


def _numpy_type(word: str) -> np.dtype:
    small = getattr(ml_dtypes, word, None)
    return np.dtype(word if small is None else small)


#: By the number of TensorProto.DataType.
ELEMENTS = {
    1: Element("float32", 32, "float", "float_data"),
    2: Element("uint8", 8, "int", "int32_data"),
    3: Element("int8", 8, "int", "int32_data"),
    4: Element("uint16", 16, "int", "int32_data"),
    5: Element("int16", 16, "int", "int32_data"),
    6: Element("int32", 32, "int", "int32_data"),
    7: Element("int64", 64, "int", "int64_data"),
    8: Element("string", 0, "other", "string_data"),
    9: Element("bool", 8, "int", "int32_data"),
    10: Element("float16", 16, "float", "int32_data"),
    11: Element("float64", 64, "float", "double_data"),
    12: Element("uint32", 32, "int", "uint64_data"),
    13: Element("uint64", 64, "int", "uint64_data"),
    14: Element("complex64", 64, "other", "float_data"),
    15: Element("complex128", 128, "other", "double_data"),
    16: Element("bfloat16", 16, "float", "int32_data"),
    17: Element("float8_e4m3fn", 8, "float", "int32_data"),
    18: Element("float8_e4m3fnuz", 8, "float", "int32_data"),
    19: Element("float8_e5m2", 8, "float", "int32_data"),
    20: Element("float8_e5m2fnuz", 8, "float", "int32_data"),
    21: Element("uint4", 4, "int", "int32_data"),
    22: Element("int4", 4, "int", "int32_data"),
    23: Element("float4_e2m1fn", 4, "float", "int32_data"),
    24: Element("float8_e8m0fnu", 8, "float", "int32_data"),
    25: Element("uint2", 2, "int", "int32_data"),
    26: Element("int2", 2, "int", "int32_data"),
    27: Element("float6_e2m3fn", 6, "float", "int32_data"),
    28: Element("float6_e3m2fn", 6, "float", "int32_data"),
}


#: The scale of codes that are numbers themselves.
_ONE = np.ones((1, 1), dtype=np.float32)


def find_element(number: int) -> Element:
    """The element type of a number; one without bits for a number that is not known."""
    return ELEMENTS.get(number) or Element(f"onnx_type_{number}"[:40], 0, "other", "")


def unpack_codes(stored: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Codes of 2, 4 or 6 bits of a bit stream that begins at a whole element, 1-D; padding comes out as codes too.

    >>> unpack_codes(np.array([0xF1, 0x03], dtype=np.uint8), 4).tolist()
    [1, 15, 3, 0]
    """
    rows = unpack_bits(stored[None, :], bits, stored.size * 8 // bits)
    return rows.reshape(-1)


def decode_codes(codes: NDArray[np.uint8], element: Element) -> Floats:
    """The numbers of codes of a narrow type, exact in float32.

    >>> decode_codes(np.array([1, 15, 3], dtype=np.uint8), ELEMENTS[23]).tolist()
    [0.5, -6.0, 1.5]
    """
    table = _code_table(element.word, element.bits)
    return look_up_codes(codes[None, :], table, _ONE, max(1, codes.size)).reshape(-1)


@cache
def _code_table(word: str, bits: int) -> NDArray[Any]:
    codes = np.arange(1 << bits, dtype=np.uint8)
    if word.startswith("int"):
        return np.where(codes >> (bits - 1), codes.astype(np.float32) - (1 << bits), codes).astype(np.float32)
    if word.startswith("uint"):
        return codes.astype(np.float32)
    return codes.view(_numpy_type(word)).astype(np.float32)
