"""How does a quantized tensor become parts of a file? Codes in a stream of bits along each row, scales, zero points and
the scheme, as the reader of packed weights takes them (docs/checkpoints.md, layout `qanalysis`).
"""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme

#: Widest codes that the layout takes.
MOST_BITS = 8
_SCALES: dict[str, Any] = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
_AT_ONCE = 1 << 20


def refuse_scheme(scheme: Scheme) -> str:
    """Why no layout holds weights of this scheme, in a sentence; empty where one does."""
    if scheme.format.laying is not None and scheme.format.laying.offset is not None:
        return f"{scheme} adds the low end of each group, which no layout written here holds; take int4 asym group=32"
    if _count_bits(scheme) > MOST_BITS:
        return f"{scheme} has codes of more than {MOST_BITS} bits, which no layout written here holds; take int8"
    return ""


def pack(info: TensorInfo, values: Floats, quantizer: LevelQuantizer, scheme: Scheme) -> dict[str, NDArray[Any]]:
    """The parts of a tensor by the endings of their names; `values` (the tensor's shape) lie on the quantizer's grid.

    Raises ValueError, one line, for a scheme without a layout, values that are not finite, and such as are not on the
    grid.
    """
    refusal = refuse_scheme(scheme)
    if refusal:
        raise ValueError(refusal)
    if not np.isfinite(values).all():
        raise ValueError(f"{info.name} holds NaN or infinities, which codes can not tell; leave it float with --keep")
    codes = quantizer.encode(values)
    if not np.array_equal(quantizer.decode(codes), values):
        raise ValueError(f"{info.name} holds values that are not on the grid of {scheme}; it can not be saved as codes")
    layout, grid = quantizer.layout, quantizer.grid
    told = {"scheme": str(scheme), "shape": list(layout.shape), "view": str(layout.view)}
    blocks = (layout.group_rows, layout.group_columns)
    parts: dict[str, NDArray[Any]] = {
        ".q_layout": np.frombuffer(json.dumps(told).encode(), np.uint8),
        ".q_codes": pack_rows(layout.to_matrix(_place(codes, quantizer)), _count_bits(scheme)),
        ".q_scales": _narrow(grid.scale, scheme).reshape(blocks),
    }
    if grid.zero_points is not None:
        middle = 1 << (_count_bits(scheme) - 1)
        parts[".q_zeros"] = (grid.zero_points - middle).astype(np.int8).reshape(blocks)
    return parts


def _count_bits(scheme: Scheme) -> int:
    return int(scheme.coder.levels.size - 1).bit_length()


def _place(codes: Floats, quantizer: LevelQuantizer) -> NDArray[np.uint8]:
    """Places among the levels, ascending, of codes as the format has them."""
    coder = quantizer.grid.coder
    if quantizer.grid.zero_points is not None:
        return (codes - np.float32(quantizer.code_min)).astype(np.uint8)
    levels = coder.levels.astype(np.float32)
    return np.searchsorted(levels, coder.from_codes(codes)).astype(np.uint8)


def _narrow(scale: Floats, scheme: Scheme) -> NDArray[Any]:
    """Scales in the type that the scheme stores them in, where that is a float of two bytes."""
    found: NDArray[Any] = scale.astype(_SCALES.get(str(scheme.scale), np.float32))
    return found if np.array_equal(found.astype(np.float32), scale) else scale


def pack_rows(places: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Codes (rows, columns) of so many bits as one stream of bits along each row, the lowest bit first; rows end on a
    whole byte.

    >>> pack_rows(np.uint8([[1, 2, 3]]), 4)
    array([[33,  3]], dtype=uint8)
    """
    rows, columns = places.shape
    packed = np.empty((rows, -(-columns * bits // 8)), np.uint8)
    step = max(1, _AT_ONCE // max(columns, 1))
    for first in range(0, rows, step):
        some = places[first : first + step]
        each = np.unpackbits(some[:, :, np.newaxis], axis=2, count=bits, bitorder="little")
        packed[first : first + step] = np.packbits(each.reshape(len(some), -1), axis=1, bitorder="little")
    return packed
