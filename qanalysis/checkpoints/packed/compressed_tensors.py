"""How does compressed-tensors store weights? Integers packed into words or a byte each, FP4 and FP6 codes in bytes.

Packed integers are stored with 2^(b-1) added, zero points too: y = (u - 2^(b-1)) * s, or (u - z) * s of stored ones.
Codes are one stream of bits along a row; older releases padded words to whole codes. NVFP4 divides its fp8 scales by
one number of the matrix, y = F4[c] * (s / G).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.packed.coded_rows import ByteCodes, CodedRows, Grid, RowGrid, StreamCodes
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed, refuse_known
from qanalysis.checkpoints.packed.packed_words import PaddedCodes, ZeroRows
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, Stem
from qanalysis.checkpoints.packed.scale_grids import Blocks, Matrices, fit_blocks, tell_doubt
from qanalysis.checkpoints.packed.settings import list_bits, list_blocks
from qanalysis.checkpoints.packed.small_floats import FP4, FP6

_WORD_BITS = 32
_LARGEST_SHAPE = 4  # numbers in weight_shape
_ROTATED = "transform_config rotates some weights of this file: they are measured as stored"
_POWERS = ("uint8", "float8_e8m0fnu")


@dataclass(frozen=True, slots=True)
class Packing:
    """Codes of `bits` bits in words: one stream along a row, or (`padded`) whole codes in each word."""

    bits: int
    padded: bool

    def count_words(self, codes: int) -> int:
        """Words that hold so many codes."""
        return -(-codes // (_WORD_BITS // self.bits)) if self.padded else -(-codes * self.bits // _WORD_BITS)


def _read_packed(stem: Stem) -> Packed | None:
    codes = stem.find("weight_packed")
    if codes is None or len(codes.shape) < 2:
        return None
    if stem.find("scale_packed") or stem.find("meta"):
        parts = (codes, stem.find("scale_packed"), stem.find("meta"))
        reason = refuse_known("compressed-tensors marlin-24", "two of four values, permuted for its kernel")
        return keep_packed(f"{stem.stem}weight", parts, stored="compressed-tensors marlin-24", reason=reason)
    if codes.dtype in {"int32", "uint32"}:
        return _read_integers(stem, codes)
    return _read_small_floats(stem, codes) if codes.dtype in {"uint8", "float4_e2m1fn"} else None


def _read_integers(stem: Stem, codes: Part) -> Packed:
    scale, sizes, zeros = stem.need("weight_scale"), stem.find("weight_shape"), stem.find("weight_zero_point")
    index = stem.find("weight_g_idx")
    columns, packing = _measure(stem, codes, sizes)
    shape = (*codes.shape[:-1], columns)
    matrices = Matrices.of(shape)
    blocks = fit_blocks(matrices, scale, list_blocks(stem.evidence))
    order = None if index is None else _read_order(index, blocks)
    rows = (PaddedCodes if packing.padded else StreamCodes)(codes, packing.bits, columns)
    middle = float(1 << (packing.bits - 1))
    offsets = middle if zeros is None else _lay_zeros(zeros, scale, blocks, packing, middle)
    values = CodedRows(rows, blocks.lay(scale), blocks.length, zeros=offsets, index=order)
    ending = "".join((" asym" if zeros else "", "" if order is None else " act-order"))
    stored = f"compressed-tensors int{packing.bits} {blocks.word}{ending}"
    parts = (codes, scale, sizes, zeros, index)
    is_stated = [1, blocks.length] in list_blocks(stem.evidence)
    note = "" if is_stated or blocks.height > 1 else tell_doubt(blocks.length, columns, blocks.groups)
    return _join(stem, parts, values, shape=shape, stored=stored, note=note)


def _measure(stem: Stem, codes: Part, sizes: Part | None) -> tuple[int, Packing]:
    """Columns and packing; LayoutError where weight_shape and the words contradict one another."""
    words, told = codes.shape[-1], list_bits(stem.evidence)
    if sizes is None:
        if not told or not words:
            raise LayoutError(f"{stem.stem}weight_shape is missing, and nothing tells how many bits its codes have")
        return words * _WORD_BITS // told[0], Packing(told[0], padded=False)
    if not 2 <= sizes.info.numel <= _LARGEST_SHAPE or not sizes.dtype.startswith(("int", "uint")):
        raise LayoutError(f"weight_shape of shape {list(sizes.shape)} and {sizes.dtype} must hold two or three sizes")
    shape = sizes.whole().reshape(-1).tolist()
    columns = shape[-1]
    fitting = list(_list_packings(columns, words, told)) if columns > 0 else []
    if not fitting or tuple(shape[:-1]) not in {codes.shape[:-1], codes.shape[-2:-1]}:
        raise LayoutError(f"weight_shape {shape} does not fit weight_packed of shape {list(codes.shape)}")
    return columns, fitting[0]


def _list_packings(columns: int, words: int, told: list[int]) -> Iterator[Packing]:
    """The packings by which so many codes fill so many words; widths that are told first, streams before padding."""
    for bits in dict.fromkeys([*told, min(8, _WORD_BITS * words // columns), *range(8, 0, -1)]):
        for packing in (Packing(bits, padded=False), Packing(bits, padded=True)) if bits else ():
            if packing.count_words(columns) == words:
                yield packing


def _read_order(index: Part, blocks: Blocks) -> NDArray[Any] | None:
    """The group of each column; None where they are in order, which an index of -1 throughout says as well."""
    columns = blocks.matrices.columns
    if index.info.numel != columns or not index.dtype.startswith("int"):
        raise LayoutError(f"weight_g_idx of shape {list(index.shape)} and {index.dtype} must name {columns} groups")
    order = index.whole().reshape(-1)
    if (order == -1).all() or (order == np.arange(columns) // blocks.length).all():
        return None
    if order.min() < 0 or order.max() >= blocks.groups:
        wrong = order.min() if order.min() < 0 else order.max()
        raise LayoutError(f"weight_g_idx names group {wrong}, where scales have 0 to {blocks.groups - 1}")
    return order


def _lay_zeros(zeros: Part, scale: Part, blocks: Blocks, packing: Packing, middle: float) -> Grid:
    """Zero points as stored: packed along the rows of each matrix, or numbers of the scales' shape."""
    if zeros.shape == scale.shape and zeros.dtype == "int8":
        return blocks.lay(zeros, added=middle)
    matrices, words = blocks.matrices, packing.count_words(blocks.matrices.rows)
    stack = (matrices.count,) if matrices.count > 1 else ()
    expected = (*stack, words, blocks.groups)
    if zeros.dtype not in {"int32", "uint32"} or zeros.shape not in {expected, (1, *expected)} or blocks.height != 1:
        raise LayoutError(
            f"weight_zero_point of shape {list(zeros.shape)} and {zeros.dtype} must be int32 words {list(expected)} "
            f"for scales of {list(scale.shape)}"
        )
    return ZeroRows(zeros, packing.bits, packing.padded, matrices.rows, words)


def _read_small_floats(stem: Stem, codes: Part) -> Packed:
    scale, divisor = stem.need("weight_scale"), stem.find("weight_global_scale")
    row_bytes = codes.shape[-1] // (2 if codes.dtype == "float4_e2m1fn" else 1)
    is_six = scale.dtype in _POWERS and scale.shape[-1:] == (row_bytes // 24,) and row_bytes % 24 == 0
    bits, group = (6, 32) if is_six else (4, 32 if scale.dtype in _POWERS else 16)
    if group == 16 and divisor is None:
        raise LayoutError(f"{stem.stem}weight_global_scale is missing, by which its scales are divided")
    if (group == 16 and scale.dtype != "float8_e4m3fn") or (divisor and not divisor.dtype.startswith("float")):
        raise LayoutError(f"scales of {scale.dtype} must be float8_e4m3fn (weight_global_scale float32), or exponents")
    shape = (*codes.shape[:-1], row_bytes * 8 // bits)
    matrices = Matrices.of(shape)
    if scale.shape != (*shape[:-1], -(-shape[-1] // group)):
        raise LayoutError(f"scales of shape {list(scale.shape)} must be one for {group} values of {list(shape)}")
    if divisor and divisor.info.numel not in {1, matrices.count}:
        raise LayoutError(f"weight_global_scale of shape {list(divisor.shape)} must hold 1 or {matrices.count} numbers")
    grid = fit_blocks(matrices, scale, [(1, group)]).lay(scale, factors=divisor, divides=True)
    values = CodedRows(StreamCodes(codes, bits, shape[-1]), grid, group, table=FP6 if is_six else FP4)
    stored = f"{'nv' if group == 16 else 'mx'}fp{bits}"
    parts = (codes, scale, divisor)
    return _join(stem, parts, values, shape=shape, stored=stored)


def _read_bytes(stem: Stem) -> Packed | None:
    """Integers of a byte each, of the layer's own shape."""
    if stem.tensors[f"{stem.stem}weight"].info.dtype != "int8":
        return None
    codes, scale, zeros = stem.find("weight"), stem.find("weight_scale"), stem.find("weight_zero_point")
    if codes is None or scale is None or scale.dtype in _POWERS:
        return None
    blocks = fit_blocks(Matrices.of(codes.shape), scale, list_blocks(stem.evidence))
    if zeros and (zeros.shape != scale.shape or not zeros.dtype.startswith("int")):
        raise LayoutError(
            f"weight_zero_point of shape {list(zeros.shape)} and {zeros.dtype} must be integers of the scales' shape "
            f"{list(scale.shape)}"
        )
    offsets: RowGrid | float = blocks.lay(zeros) if zeros else 0.0
    rows = ByteCodes(codes, blocks.matrices.columns)
    values = CodedRows(rows, blocks.lay(scale), blocks.length, zeros=offsets)
    told = list_bits(stem.evidence)
    maker = "modelopt" if stem.evidence.quantization.get("quant_method") == "modelopt" else "compressed-tensors"
    stored = f"{maker} int{told[0] if len(told) == 1 else 8} {blocks.word}{' asym' if zeros else ''}"
    return _join(stem, (codes, scale, zeros), values, shape=codes.shape, stored=stored)


def _join(
    stem: Stem,
    parts: tuple[Part | None, ...],
    values: CodedRows,
    *,
    shape: tuple[int, ...],
    stored: str,
    note: str = "",
) -> Packed:
    """The layer's weight; where a rotation was fused into it, that is told."""
    rotated = _ROTATED if stem.evidence.quantization.get("transform_config") else ""
    note = "; ".join(text for text in (note, rotated) if text)
    stacked = len(shape) == 3
    return join_parts(f"{stem.stem}weight", parts, values, shape=shape, stored=stored, note=note, stacked=stacked)


def _read_sparse(stem: Stem) -> Packed | None:
    """Weights of which only what is not zero is stored."""
    mask, values = stem.find("bitmask"), stem.find("compressed")
    if mask is None or values is None:
        return None
    parts = (values, mask, stem.find("row_offsets"), stem.find("shape"))
    word = "sparse-bitmask" if stem.find("row_offsets") else "sparse-24-bitmask"
    name = f"{stem.stem.rstrip('.')}" if stem.stem.endswith("weight.") else f"{stem.stem}weight"
    reason = refuse_known(f"compressed-tensors {word}", "only the values that a bit mask names")
    return keep_packed(name, parts, stored=f"compressed-tensors {word}", reason=reason)


PACKED = PackedLayout("compressed-tensors", ("weight_packed",), _read_packed)
BYTES = PackedLayout("compressed-tensors", ("weight",), _read_bytes)
SPARSE = PackedLayout("compressed-tensors", ("bitmask",), _read_sparse)
