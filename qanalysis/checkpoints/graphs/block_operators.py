"""How do operators store weights in blocks of their own? As bits packed along the rows, with a scale for each block.

MatMulNBits, and its fused kin: y = (code - zero) * scale over blocks of `block_size` along K, each on whole bytes; zero
points are packed along their own rows, real numbers, or left out: the middle of the codes. GatherBlockQuantized:
the same along one axis, where integers of 4 bits have 0 in place of the middle. MatMulBnb4: codes of a table of 16 in
blocks of the flattened matrix, the first of two in the high bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.graphs.block_grids import BlockGrid, GridValues, RowCodes
from qanalysis.checkpoints.graphs.computed import find_operand, need_operand, read_integer
from qanalysis.checkpoints.graphs.constants import Constant
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.operands import Operand, check_types, decode, lay_blocks
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import gather_parts, pack, refuse, take_codes
from qanalysis.checkpoints.graphs.scopes import Node, Use
from qanalysis.checkpoints.packed.parts import LayoutError, Part, RowValues
from qanalysis.checkpoints.source import FLOAT_DTYPES
from qanalysis.kernels.unpacking import look_up_codes, unpack_bits
from qanalysis.quantizers.families import NORMAL_QUANTILES
from qanalysis.quantizers.matrix_view import MatrixView

_MS = "com.microsoft."


class Slot(NamedTuple):
    """One matrix of an operator: its inputs (codes, scales, zero points, blocks of columns), the attribute of its N."""

    codes: int
    scales: int
    zeros: int | None
    groups: int | None
    rows: str


_SLOTS: Mapping[str, tuple[Slot, ...]] = {
    f"{_MS}MatMulNBits": (Slot(1, 2, 3, 4, "N"),),
    f"{_MS}MatMulNBitsQLoRA": (Slot(1, 2, 3, 4, "N"),),
    f"{_MS}MatMulNBitsQkv": (
        Slot(3, 4, None, None, "Nq"),
        Slot(6, 7, None, None, "Nkv"),
        Slot(9, 10, None, None, "Nkv"),
    ),
    f"{_MS}MatMulNBitsMlp": (Slot(3, 4, None, None, "N"), Slot(6, 7, None, None, "N")),
}


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sizes of a matrix of codes: (rows, columns) in blocks of `length` along the columns, `bits` to a code."""

    rows: int
    columns: int
    length: int
    bits: int

    @property
    def count(self) -> int:
        """Blocks of a row, a last short one counted."""
        return -(-self.columns // self.length)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's codes: all its blocks are whole."""
        return self.count * self.length * self.bits // 8

    @property
    def zero_bytes(self) -> int:
        """Bytes of a row's packed zero points."""
        return -(-self.count * self.bits // 8)


def need_bytes(codes: Constant) -> Part:
    """The bytes of packed codes. LayoutError where they can not be read or are no bytes."""
    part = codes.part
    if part is None or codes.dtype not in {"uint8", "int8"}:
        raise LayoutError(f"its codes can not be read as bytes: {codes.info.reason or codes.dtype}")
    return part


def need_number(node: Node, name: str, default: int | None = None) -> int:
    """A positive integer attribute. LayoutError for another one."""
    found = read_integer(node, name, default)
    if not 0 < found < 1 << 40:
        raise LayoutError(f"its attribute {name} is {found}; it must be a positive number below 2**40")
    return found


def _read_matrix(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    slot = next((slot for slot in _SLOTS[node.op] if slot.codes == use.operand), None)
    if codes is None or slot is None:
        return None
    bits = need_number(node, "bits", 4)
    blocks = Blocks(need_number(node, slot.rows), need_number(node, "K"), need_number(node, "block_size"), bits)
    if bits not in {2, 4, 8} or blocks.length * bits % 8:
        raise LayoutError(f"it has codes of {bits} bits in blocks of {blocks.length}; codes have 2, 4 or 8 bits")
    if read_integer(node, "weight_prepacked", 0):
        return refuse(codes, f"matmulnbits int{bits}", "it is packed for one kind of processor (weight_prepacked)")
    stored = need_bytes(codes)
    check_count(codes.info.numel, blocks.rows * blocks.row_bytes, "codes", "bytes")
    scales = need_operand(node, slot.scales, "scale")
    check_scales(scales, blocks.rows * blocks.count)
    zeros = find_operand(node, slot.zeros, "zero point") if slot.zeros is not None else None
    groups = find_operand(node, slot.groups, "g_idx") if slot.groups is not None else None
    index = _read_index(groups, blocks) if groups is not None else None
    values = GridValues(
        RowCodes(stored, blocks.row_bytes, bits, blocks.columns),
        blocks.columns,
        _lay(scales, blocks, index),
        _lay_zeros(zeros, blocks, index),
    )
    words = f"matmulnbits int{bits} group={blocks.length}{' asym' if zeros else ''}"
    parts = (codes, *gather_parts(scales, zeros, groups))
    return pack(values, parts, words, shape=(blocks.rows, blocks.columns))


def _lay(operand: Operand, blocks: Blocks, index: np.ndarray | None) -> BlockGrid:
    return BlockGrid(operand.values, blocks.count, step=1, column_block=blocks.length, index=index)


def _lay_zeros(zeros: Operand | None, blocks: Blocks, index: np.ndarray | None) -> BlockGrid | float:
    if zeros is None:
        return float(1 << blocks.bits - 1)
    if zeros.dtype in FLOAT_DTYPES:
        check_count(zeros.numel, blocks.rows * blocks.count, "zero points", "numbers")
        return _lay(zeros, blocks, index)
    check_count(zeros.numel, blocks.rows * blocks.zero_bytes, "zero points", "bytes")
    return _lay(unpack_zeros(zeros, blocks), blocks, index)


def unpack_zeros(zeros: Operand, blocks: Blocks) -> Operand:
    """Packed zero points as numbers, (rows, blocks). LayoutError where they are no bytes."""
    part = zeros.parts[0].part if len(zeros.parts) == 1 else None
    if part is None or zeros.dtype != "uint8":
        raise LayoutError(f"its zero points are {zeros.dtype}; they must be packed in uint8 or be real numbers")
    codes = RowCodes(part, blocks.zero_bytes, blocks.bits, blocks.count)
    return Operand((blocks.rows, blocks.count), "uint8", codes, zeros.parts)


def check_count(found: int, wanted: int, what: str, unit: str) -> None:
    """LayoutError for another number of elements than the sizes ask for."""
    if found != wanted:
        raise LayoutError(f"its {what} have {found} {unit}; its sizes need {wanted}")


def check_scales(scales: Operand, wanted: int) -> None:
    """LayoutError for scales that are no floats or of another number."""
    if scales.dtype not in FLOAT_DTYPES:
        raise LayoutError(f"its scales are {scales.dtype}; scales are floats")
    check_count(scales.numel, wanted, "scales", "numbers")


def _read_index(groups: Operand, blocks: Blocks) -> np.ndarray | None:
    """The block of each column, (columns,) int64; None where they are those of their places."""
    if groups.dtype not in {"int32", "int64"} or groups.numel not in {blocks.columns, blocks.count * blocks.length}:
        raise LayoutError(f"its g_idx has {groups.numel} numbers of {groups.dtype}; it needs {blocks.columns} integers")
    index = groups.values.read(0, blocks.columns).astype(np.int64)
    if index.size and not 0 <= index.min() <= index.max() < blocks.count:
        raise LayoutError(f"its g_idx names block {index.min()} to {index.max()}; there are {blocks.count}")
    return None if (index == np.arange(blocks.columns) // blocks.length).all() else index


def _read_table(use: Use, _graph: Graph) -> PackedWeight | None:
    """The data of GatherBlockQuantized: rows that are looked up."""
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None or use.operand != 0:
        return None
    bits, rank = need_number(node, "bits", 4), len(codes.shape)
    packed = codes.dtype == "uint8" and bits < 8
    if rank < 1 or (codes.dtype == "uint8" and bits not in {2, 4, 8}):
        raise LayoutError(f"its codes are {codes.dtype} of {bits} bits in {rank} axes; they need 2, 4 or 8 and an axis")
    shape = (*codes.shape[:-1], codes.shape[-1] * 8 // bits) if packed else codes.shape
    axis, rows = (_find_axis(node, name, rank, default) for name, default in (("quantize_axis", 1), ("gather_axis", 0)))
    block = read_integer(node, "block_size", 128) or shape[axis]
    if block < 1:
        raise LayoutError(f"its block_size is {block}; blocks hold at least 1 value")
    scale, zero = need_operand(node, 2, "scale"), find_operand(node, 3, "zero point")
    check_types(Operand(shape, codes.dtype, codes.values), scale, zero)
    values = take_codes(codes).values
    if packed:
        values = RowCodes(need_bytes(codes), codes.shape[-1], bits, shape[-1])
    held = Operand(shape, codes.dtype, values, (codes,))
    zeros = _widen_zeros(zero, scale, bits) if zero and packed and scale.shape else zero
    default = float(1 << bits - 1) if codes.dtype == "uint8" else 0.0
    found = decode(
        held,
        scale,
        zeros,
        lambda part, what: lay_blocks(part, held, axis, block=block, what=what, spreads="float" in codes.dtype),
        grouping=f"group={block}",
        default=default,
    )
    word = f"int{bits}" if codes.dtype == "uint8" else codes.dtype
    stored = f"gatherblockquantized {word} {found.grouping}"
    parts = gather_parts(held, scale, zero)
    return pack(found.values, parts, stored, shape=shape, role="embedding", view=MatrixView((rows,)))


def _find_axis(node: Node, name: str, rank: int, default: int) -> int:
    axis = read_integer(node, name, default)
    if not -rank <= axis < rank:
        raise LayoutError(f"its {name} is {axis}; its codes have {rank} axes")
    return axis % rank


def _widen_zeros(zero: Operand, scale: Operand, bits: int) -> Operand:
    """Zero points that are packed along their last axis, in the shape of the scales."""
    rows, count = scale.numel // max(1, scale.shape[-1]), scale.shape[-1]
    blocks = Blocks(rows, count, 1, bits)
    check_count(zero.numel, rows * blocks.zero_bytes, "zero points", "bytes")
    found = unpack_zeros(zero, blocks)
    return Operand(scale.shape, found.dtype, found.values, found.parts)


_FP4 = (0.0, 5.208333333e-03, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
#: Numbers of the codes by the attribute quant_type.
_TABLES = {
    0: ("fp4", np.array([*_FP4, *(-number for number in _FP4)], dtype=np.float32)),
    1: ("nf4", np.array(NORMAL_QUANTILES, dtype=np.float32)),
}


@dataclass(frozen=True, slots=True)
class TableValues(RowValues):
    """4-bit codes of a table in blocks of the flattened matrix, of which each is a row here."""

    stored: Part
    scales: Operand
    table: Floats
    length: int

    @property
    def columns(self) -> int:
        return self.length

    @property
    def sliceable(self) -> bool:
        return self.stored.raw.sliceable

    def decode(self, first: int, last: int) -> Floats:
        """Blocks first..last; what is missing of the last one is code 0."""
        half = self.columns // 2
        found = self.stored.raw.read_raw(first * half, min(last * half, self.stored.info.numel)).view(np.uint8)
        held = np.pad(found, (0, (last - first) * half - found.size)).reshape(-1, half)
        codes = unpack_bits(held, 4, self.columns, high_first=True)
        return look_up_codes(codes, self.table, self.scales.values.read(first, last)[:, None], self.columns)


def _read_bnb4(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None or use.operand != 1:
        return None
    rows, columns, length = (need_number(node, name) for name in ("N", "K", "block_size"))
    kind = read_integer(node, "quant_type", 1)
    if kind not in _TABLES or length % 2:
        raise LayoutError(f"its quant_type is {kind} in blocks of {length}; types are 0 (fp4) and 1 (nf4)")
    word, table = _TABLES[kind]
    stored = need_bytes(codes)
    check_count(codes.info.numel, -(-rows * columns // 2), "codes", "bytes")
    scales = need_operand(node, 2, "scale")
    check_scales(scales, -(-rows * columns // length))
    parts = gather_parts(take_codes(codes), scales)
    whole = rows * columns + rows * columns % 2
    values = TableValues(stored, scales, table, min(length, whole))
    if not read_integer(node, "transB", 1):
        return refuse(codes, f"matmulbnb4 {word}", "its matrix is not transposed (transB=0)")
    return pack(values, parts, f"matmulbnb4 {word} group={length}", shape=(rows, columns))


MATMUL_NBITS = PackedOperator("matmulnbits", tuple(_SLOTS), _read_matrix)
GATHER = PackedOperator("gatherblockquantized", (f"{_MS}GatherBlockQuantized",), _read_table)
MATMUL_BNB4 = PackedOperator("matmulbnb4", (f"{_MS}MatMulBnb4",), _read_bnb4)
