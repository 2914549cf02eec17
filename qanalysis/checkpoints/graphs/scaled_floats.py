"""How do operators scale weights of small floats? y = number * scale of its block * scale of the tensor.

MatMulBlockQuantizedFp8Weight and GemmFloat8 hold fp8 numbers, MatMulBlockQuantizedFp4Weight two E2M1 codes in a byte,
the first in the low bits, with E4M3 scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.graphs.block_grids import BlockGrid, GridValues, RowCodes
from qanalysis.checkpoints.graphs.block_operators import Blocks, check_count, check_scales, need_bytes, need_number
from qanalysis.checkpoints.graphs.computed import find_operand, has_input, need_operand, read_integer
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.operands import Operand, check_types, decode, lay_single
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import gather_parts, pack, take_codes
from qanalysis.checkpoints.graphs.scopes import Use
from qanalysis.checkpoints.packed.parts import LayoutError, Part, RowValues
from qanalysis.checkpoints.source import FLOAT_DTYPES, widen
from qanalysis.quantizers.matrix_view import MatrixView

_MS = "com.microsoft."


@dataclass(frozen=True, slots=True)
class Fp4Codes(RowValues):
    """E2M1 numbers of packed codes, the first of two in the low bits."""

    codes: RowCodes

    @property
    def columns(self) -> int:
        return self.codes.columns

    @property
    def sliceable(self) -> bool:
        return self.codes.sliceable

    def decode(self, first: int, last: int) -> Floats:
        """Rows first..last."""
        numbers = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)
        found: Floats = numbers[self.codes.decode(first, last).astype(np.uint8)]
        return found


@dataclass(frozen=True, slots=True)
class TwiceScaled:
    """Scales of blocks times that of their expert; `per_expert` scales belong to each."""

    scales: Values
    outer: Values
    per_expert: int
    sliceable: bool = False

    def read(self, start: int, stop: int) -> Floats:
        """Scales start..stop, 1-D."""
        first, last = start // self.per_expert, -(-stop // self.per_expert)
        outer = self.outer.read(first, last)[np.arange(start, stop) // self.per_expert - first]
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return self.scales.read(start, stop) * outer


@dataclass(frozen=True, slots=True)
class FloatBytes:
    """Numbers of a float of one byte that are stored as uint8."""

    stored: Part
    dtype: np.dtype

    @property
    def sliceable(self) -> bool:
        """Whether a part costs only the part."""
        return self.stored.raw.sliceable

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop, 1-D."""
        return widen(self.stored.raw.read_raw(start, stop).view(self.dtype))


def read_scales(scales: Operand, word: str) -> Values:
    """Scales of a float type of one byte, which may be stored as uint8. LayoutError for another type."""
    if scales.dtype == word:
        return scales.values
    part = scales.parts[0].part if len(scales.parts) == 1 else None
    if scales.dtype != "uint8" or part is None:
        raise LayoutError(f"its scales are {scales.dtype}; they must be {word}")
    return FloatBytes(part, FLOAT_DTYPES[word])


def _read_fp8(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None or use.operand != 1:
        return None
    if not codes.dtype.startswith("float8") or len(codes.shape) != 2:
        raise LayoutError(f"its codes are {codes.dtype} in {len(codes.shape)} axes; they are a matrix of fp8")
    held, scales, length = take_codes(codes), need_operand(node, 2, "scale"), need_number(node, "block_size", 128)
    count = -(-codes.shape[1] // length)
    check_scales(scales, codes.shape[0] * count)
    grid = BlockGrid(scales.values, count, step=1, column_block=length)
    values = GridValues(held.values, max(1, codes.shape[1]), grid)
    return pack(values, gather_parts(held, scales), f"fp8 {codes.dtype} group={length}")


def _read_fp4(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None or use.operand != 1:
        return None
    stored = need_bytes(codes)
    if len(codes.shape) != 2:
        raise LayoutError(f"its codes have {len(codes.shape)} axes; they are a matrix")
    rows, row_bytes = codes.shape
    blocks = Blocks(rows, 2 * row_bytes, need_number(node, "block_size", 16), 4)
    scales, outer = need_operand(node, 2, "scale"), find_operand(node, 3, "global scale")
    check_count(scales.numel, rows * blocks.count, "scales", "numbers")
    held = read_scales(scales, "float8_e4m3fn")
    if outer is not None:
        check_scales(outer, 1)
        held = TwiceScaled(held, outer.values, max(1, scales.numel))
    grid = BlockGrid(held, blocks.count, step=1, column_block=blocks.length)
    values = GridValues(Fp4Codes(RowCodes(stored, row_bytes, 4, blocks.columns)), max(1, blocks.columns), grid)
    parts = (codes, *gather_parts(scales, outer))
    return pack(values, parts, f"nvfp4 group={blocks.length}", shape=(rows, blocks.columns))


def _read_gemm(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None or use.operand != 1 or not codes.dtype.startswith("float8") or not has_input(node, 4):
        return None
    held, scale = take_codes(codes), need_operand(node, 4, "scale")
    check_types(held, scale, None)
    check_count(scale.numel, 1, "scales", "numbers")
    found = decode(held, scale, None, lambda part, _: lay_single(part), grouping="tensor")
    view = MatrixView((0 if read_integer(node, "transB", 0) else 1,))
    return pack(found.values, gather_parts(held, scale), f"fp8 {codes.dtype} tensor", view=view)


FP8 = PackedOperator("fp8", (f"{_MS}MatMulBlockQuantizedFp8Weight",), _read_fp8)
NVFP4 = PackedOperator("nvfp4", (f"{_MS}MatMulBlockQuantizedFp4Weight",), _read_fp4)
GEMM_FP8 = PackedOperator("fp8", (f"{_MS}GemmFloat8",), _read_gemm)
