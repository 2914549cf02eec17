"""How does ONNX hold a quantized tensor? Whole numbers of 4, 8 or 16 bits, a scale and a zero point for each group.

y = (code - zero point) * scale in float32, as here: what ONNX Runtime makes of the codes is the quantizer's own round
trip bit for bit. DequantizeLinear: https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.notation import quote
from qanalysis.quantizers.coders import Coder, FixedCoder, SignCoder, WholeCoder
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme

#: The version of ONNX's operators from which on codes have 4 bits and scales stand in blocks.
BLOCKS_OPSET = 21
#: A row of so many values has whole blocks in every format.
_LONGEST_BLOCK = 256
_OFFSET = "its groups have an offset that is no code, which ONNX can not hold"
_TYPES: tuple[tuple[str, int, int], ...] = (
    ("int4", -8, 7),
    ("uint4", 0, 15),
    ("int8", -128, 127),
    ("uint8", 0, 255),
    ("int16", -32768, 32767),
    ("uint16", 0, 65535),
)


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """A tensor as DequantizeLinear takes it: `codes` of any shape, `scale` and `zero_point` of the shape that `axis`
    and `block` ask for. `shape` is what it is reshaped to then, `order` the order of axes after that, `final` the
    tensor's own shape; each None where nothing is to be done. `cut` is how many columns of a row are kept.
    """

    codes: NDArray[Any]
    scale: Floats
    zero_point: NDArray[Any] | None
    axis: int | None = None
    block: int | None = None
    padded: tuple[int, int] | None = None
    cut: int | None = None
    shape: tuple[int, ...] | None = None
    order: tuple[int, ...] | None = None
    final: tuple[int, ...] | None = None


def name_type(quantizer: LevelQuantizer, *, opset: int = BLOCKS_OPSET, fewest_bits: int = 4) -> str:
    """The type in which ONNX holds the codes, the narrowest that has them all. ValueError for numbers that are not
    evenly spaced, and for more than 16 bits.

    >>> from qanalysis.quantizers.scheme import Scheme
    >>> name_type(Scheme.parse("int3 channel").fit(np.eye(4, dtype=np.float32)))
    'int4'
    """
    low, high = _find_ends(quantizer.grid.coder)
    fitting = [
        word
        for word, least, most in _TYPES
        if least <= low and high <= most and (opset >= BLOCKS_OPSET or _count_bits(word) == 8)
    ]
    fitting = [word for word in fitting if _count_bits(word) >= fewest_bits]
    if not fitting:
        raise ValueError(
            f"codes from {low} to {high} find no integer type in version {opset} of ONNX's operators"
            f"{', which has 8 bits at most' if opset < BLOCKS_OPSET else ', which have 16 bits at most'}; choose fewer "
            "bits"
        )
    return fitting[0]


def check_scheme(scheme: Scheme) -> None:
    """ValueError where ONNX can not hold what the scheme makes of any tensor."""
    row = np.ones((1, _LONGEST_BLOCK), np.float32)
    quantizer = scheme.fit(row)
    name_type(quantizer)
    if quantizer.grid.centre is not None:
        raise ValueError(f"{scheme}: {_OFFSET}")


def find_range(word: str) -> tuple[int, int]:
    """The smallest and the largest code of a type."""
    return next((least, most) for name, least, most in _TYPES if name == word)


def find_dtype(word: str) -> np.dtype:
    """The type as numpy knows it."""
    return np.dtype(getattr(ml_dtypes, word, word))


def _count_bits(word: str) -> int:
    return int(word.lstrip("uint"))


def tell_storage(quantizers: Iterable[LevelQuantizer], *, opset: int = BLOCKS_OPSET) -> list[str]:
    """What is stored in a wider type than its codes need, a sentence each."""
    wider: dict[tuple[int, str], int] = {}
    for quantizer in quantizers:
        word, bits = name_type(quantizer, opset=opset), quantizer.grid.coder.bits
        if _count_bits(word) > bits:
            wider[bits, word] = wider.get((bits, word), 0) + 1
    return [
        f"codes of {bits} bit{'s' * (bits > 1)} in {count} tensor{'s' * (count > 1)} are stored as {word}"
        for (bits, word), count in wider.items()
    ]


def _find_ends(coder: Coder) -> tuple[int, int]:
    """The smallest and the largest code as they are stored."""
    if isinstance(coder, WholeCoder | FixedCoder):
        return coder.low_code, coder.high_code
    if isinstance(coder, SignCoder):
        return -1, 1
    raise ValueError(
        "ONNX holds numbers at even distances alone, and those of this format are not; write int2 to int16 or binary, "
        "or keep the tensor in a file of safetensors"
    )


def encode(quantizer: LevelQuantizer, values: Floats, *, opset: int, name: str) -> Codes:
    """A tensor as codes for that version of the operators, laid out so that DequantizeLinear has its groups.

    ValueError for a format that ONNX can not hold, and for values that are not finite.
    """
    grid, layout = quantizer.grid, quantizer.layout
    word = name_type(quantizer, opset=opset)
    if grid.centre is not None:
        raise ValueError(f"{quote(name)}: {_OFFSET}")
    if not np.isfinite(values).all():
        raise ValueError(f"{quote(name)} holds NaN or infinities, which have no code; mend the model")
    coder, scale = grid.coder, grid.scale
    codes = quantizer.encode(values)
    if isinstance(coder, SignCoder):
        codes = coder.from_codes(codes)
    elif isinstance(coder, FixedCoder):
        scale = scale * np.float32(coder.widest_gap)
    dtype = find_dtype(word)
    zero_point = None if grid.zero_points is None else grid.zero_points
    return _lay_out(codes.astype(np.int32).astype(dtype), scale, zero_point, dtype, layout, opset=opset)


def _lay_out(
    codes: NDArray[Any], scale: Floats, zeros: Floats | None, dtype: np.dtype, layout: Layout, *, opset: int
) -> Codes:
    """One scale, one for each place of an axis, or blocks where the tensor lies so; else its matrix, put back."""

    def spread(values: Floats) -> Floats:
        """One value for each row and each group along it."""
        grid = values.reshape(layout.group_rows, layout.group_columns)
        return np.repeat(grid, layout.block_rows, axis=0)[: layout.rows]

    def typed(values: Floats | None) -> NDArray[Any] | None:
        return None if values is None else np.ascontiguousarray(values.astype(np.int32).astype(dtype))

    if layout.groups == 1:
        return Codes(codes, scale.reshape(()), typed(None if zeros is None else zeros.reshape(())))
    view, is_plain = layout.view, not layout.view.fold and len(layout.view.rows) == 1
    if layout.group_columns == 1 and is_plain and layout.block_rows == 1:
        return Codes(codes, scale, typed(zeros), axis=view.rows[0])
    scales, points = spread(scale), None if zeros is None else spread(zeros)
    wide = [axis for axis, size in enumerate(layout.shape) if size > 1 and axis not in view.rows]
    if opset >= BLOCKS_OPSET and is_plain and len(wide) == 1:
        sizes = [size if axis in view.rows else 1 for axis, size in enumerate(layout.shape)]
        sizes[wide[0]] = layout.group_columns

        def place(one: NDArray[Any]) -> NDArray[Any]:
            return np.ascontiguousarray(one if view.rows[0] < wide[0] else one.T).reshape(sizes)

        shifts = None if points is None else typed(place(points))
        return Codes(codes, place(scales), shifts, axis=wide[0], block=layout.block_columns)
    return _lay_matrix(codes, scales, typed(points), layout, opset=opset)


def _lay_matrix(
    codes: NDArray[Any], scales: Floats, zeros: NDArray[Any] | None, layout: Layout, *, opset: int
) -> Codes:
    """The tensor's matrix in blocks along its rows; before there were blocks, rows of one group each, filled up to
    whole groups. Afterwards it is put back.
    """
    matrix = layout.to_matrix(codes)
    folded, rows = layout.view.fold or layout.shape, layout.view.rows
    order = (*rows, *(axis for axis in range(len(folded)) if axis not in rows))
    back = tuple(order.index(axis) for axis in range(len(folded)))
    made = Codes(
        np.ascontiguousarray(matrix),
        np.ascontiguousarray(scales),
        zeros,
        axis=1,
        block=layout.block_columns,
        shape=tuple(folded[axis] for axis in order),
        order=None if back == tuple(range(len(back))) else back,
        final=layout.shape if layout.view.fold else None,
    )
    if layout.group_columns == 1:
        return replace(made, scale=scales.reshape(-1), zero_point=_flatten(zeros), axis=0, block=None)
    if opset >= BLOCKS_OPSET:
        return made
    width, length = layout.block_columns, layout.group_columns * layout.block_columns
    whole = np.zeros((layout.rows, length), codes.dtype)
    whole[:, : layout.columns] = matrix
    return replace(
        made,
        codes=whole.reshape(-1, width),
        scale=scales.reshape(-1),
        zero_point=_flatten(zeros),
        axis=0,
        block=None,
        padded=(layout.rows, length),
        cut=layout.columns if layout.columns < length else None,
    )


def _flatten(zeros: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if zeros is None else zeros.reshape(-1)
