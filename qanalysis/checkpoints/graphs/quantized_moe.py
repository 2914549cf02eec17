"""What are the experts of a QMoE operator? Matrices (experts, out, in) in one stack, their codes packed along the rows.

Integers: y = (code - zero) * scale with a scale for each row or for each block of it; zero points are packed in uint8
or left out: the middle of the codes. FP4: y = F4[code] * scale * global scale of the expert, in blocks of 32 (E8M0
scales) or 16 (E4M3). FP8: one scale for each square block, or one for each expert.
"""

from __future__ import annotations

from typing import NamedTuple

from qanalysis.checkpoints.graphs.block_grids import BlockGrid, GridValues, RowCodes
from qanalysis.checkpoints.graphs.block_operators import (
    Blocks,
    check_count,
    check_scales,
    need_bytes,
    need_number,
    unpack_zeros,
)
from qanalysis.checkpoints.graphs.computed import find_operand, need_operand, read_integer
from qanalysis.checkpoints.graphs.constants import Constant
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.operands import Operand
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import gather_parts, pack, refuse, take_codes
from qanalysis.checkpoints.graphs.scaled_floats import Fp4Codes, TwiceScaled, read_scales
from qanalysis.checkpoints.graphs.scopes import Node, Use
from qanalysis.checkpoints.packed.parts import LayoutError
from qanalysis.quantizers.matrix_view import MatrixView

_STACKED = MatrixView((0, 1))
_BLOCKS = {"fp4": (32, "float8_e8m0fnu"), "wfp4afp8": (32, "float8_e8m0fnu"), "nvfp4": (16, "float8_e4m3fn")}


class Slot(NamedTuple):
    """One stack: the inputs of its scales, zero points and global scales, and the attribute with its own bits."""

    scales: int
    zeros: int
    outer: int | None
    bits: str


_SLOTS = {
    2: Slot(3, 11, 15, "fc1_expert_weight_bits"),
    5: Slot(6, 12, 16, "fc2_expert_weight_bits"),
    8: Slot(9, 13, None, "fc3_expert_weight_bits"),
}


def _read_experts(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes, slot = use.node, use.node.constant(use.operand), _SLOTS.get(use.operand)
    if codes is None or slot is None:
        return None
    if len(codes.shape) != 3:
        raise LayoutError(f"its experts have {len(codes.shape)} axes; they are a stack of matrices")
    kind = str(node.attribute("quant_type", "int"))
    if kind == "int":
        return _read_integers(node, codes, slot)
    if kind in _BLOCKS:
        return _read_fp4(node, codes, slot, kind)
    if kind == "fp8":
        return _read_fp8(node, codes, slot)
    return refuse(codes, f"qmoe {kind[:20]}", f"the quant_type {kind[:40]!r} is not known")


def _read_integers(node: Node, codes: Constant, slot: Slot) -> PackedWeight:
    bits = need_number(node, slot.bits, read_integer(node, "expert_weight_bits", 4))
    if bits not in {2, 3, 4, 8}:
        raise LayoutError(f"it has codes of {bits} bits; codes have 2, 3, 4 or 8")
    stored = need_bytes(codes)
    experts, rows, row_bytes = codes.shape
    columns = row_bytes * 8 // bits
    scales = need_operand(node, slot.scales, "scale")
    block = read_integer(node, "block_size", 0)
    if block < 0:
        raise LayoutError(f"its block_size is {block}; it is 0 for whole rows, else a positive number")
    blocks = Blocks(experts * rows, columns, block or max(1, columns), bits)
    check_scales(scales, blocks.rows * blocks.count)
    zeros = find_operand(node, slot.zeros, "zero point")
    grid = BlockGrid(scales.values, blocks.count, step=1, column_block=blocks.length)
    values = GridValues(
        RowCodes(stored, row_bytes, bits, columns), max(1, columns), grid, _lay_zeros(zeros, blocks, codes.shape)
    )
    grouping = f"group={block}" if block else "channel"
    words = f"qmoe int{bits} {grouping}{' asym' if zeros else ''}"
    note = _note_prepacking(node)
    parts = (codes, *gather_parts(scales, zeros))
    return pack(values, parts, words, shape=(experts, rows, columns), view=_STACKED, note=note)


def _note_prepacking(node: Node) -> str:
    """A number other than 0 leaves the order of the bytes to the device; the one without such an order is assumed."""
    found = read_integer(node, "weights_prepacked", -1)
    return "" if found == 0 else f"rows taken as they are, though weights_prepacked={found} leaves that to the device"


def _lay_zeros(zeros: Operand | None, blocks: Blocks, shape: tuple[int, ...]) -> BlockGrid | float:
    if zeros is None:
        return float(1 << blocks.bits - 1)
    if blocks.count > 1 or len(zeros.shape) == 3:
        check_count(zeros.numel, blocks.rows * blocks.zero_bytes, "zero points", "bytes")
        return BlockGrid(unpack_zeros(zeros, blocks).values, blocks.count, step=1, column_block=blocks.length)
    # One zero point for each row: they are packed along the rows of an expert.
    along = Blocks(shape[0], shape[1], 1, blocks.bits)
    check_count(zeros.numel, along.rows * along.zero_bytes, "zero points", "bytes")
    return BlockGrid(unpack_zeros(zeros, along).values, 1, step=1)


def _read_fp4(node: Node, codes: Constant, slot: Slot, kind: str) -> PackedWeight:
    if kind == "nvfp4" and read_integer(node, "weights_prepacked", -1) != 1:
        return refuse(codes, "qmoe nvfp4", "its bytes are packed along the outputs (weights_prepacked is not 1)")
    length, word = _BLOCKS[kind]
    stored, (experts, rows, row_bytes) = need_bytes(codes), codes.shape
    blocks = Blocks(experts * rows, 2 * row_bytes, length, 4)
    scales = need_operand(node, slot.scales, "scale")
    check_count(scales.numel, blocks.rows * blocks.count, "scales", "numbers")
    outer = find_operand(node, slot.outer, "global scale") if slot.outer is not None else None
    held = read_scales(scales, word)
    if outer is not None:
        check_scales(outer, experts)
        held = TwiceScaled(held, outer.values, max(1, rows * blocks.count))
    grid = BlockGrid(held, blocks.count, step=1, column_block=length)
    numbers = Fp4Codes(RowCodes(stored, row_bytes, 4, blocks.columns))
    parts = (codes, *gather_parts(scales, outer))
    return pack(
        GridValues(numbers, max(1, blocks.columns), grid),
        parts,
        f"qmoe {kind} group={length}",
        shape=(experts, rows, blocks.columns),
        view=_STACKED,
    )


def _read_fp8(node: Node, codes: Constant, slot: Slot) -> PackedWeight:
    if not codes.dtype.startswith("float8"):
        raise LayoutError(f"its experts are {codes.dtype}; quant_type fp8 needs float8_e4m3fn")
    held, (experts, rows, columns) = take_codes(codes), codes.shape
    block = read_integer(node, "block_size", 0)
    if block > 0:
        scales = need_operand(node, slot.scales, "scale")
        grid_rows, grid_columns = -(-rows // block), -(-columns // block)
        check_scales(scales, experts * grid_rows * grid_columns)
        grid = BlockGrid(scales.values, grid_columns, max(1, rows), grid_rows, block, block)
        grouping = f"block={block}x{block}"
    else:
        if slot.outer is None:
            return refuse(codes, "qmoe fp8", "nothing names the scale of its experts")
        scales, grouping = need_operand(node, slot.outer, "global scale"), "expert"
        check_scales(scales, experts)
        grid = BlockGrid(scales.values, 1, max(1, rows), 1, max(1, rows))
    values = GridValues(held.values, max(1, columns), grid)
    parts = gather_parts(held, scales)
    return pack(values, parts, f"qmoe {codes.dtype} {grouping}", shape=codes.shape, view=_STACKED)


QMOE = PackedOperator("qmoe", ("com.microsoft.QMoE",), _read_experts)
