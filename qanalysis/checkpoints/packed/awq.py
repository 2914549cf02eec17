"""How does AWQ store weights? Words that hold eight outputs of one input, their nibbles in an order of its own.

gemm: the stored matrix is (in, out), its transpose is the weight; nibble i of a word belongs to output
8 c + [0, 2, 4, 6, 1, 3, 5, 7][i], of zero points too. gemv: (out, in), nibbles in their natural order along a row.
y = (q - z) * s in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.coded_rows import CodedRows, ColumnGrid, StreamCodes, as_bytes, read_rows
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed, refuse_known
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, Stem
from qanalysis.checkpoints.source import widen
from qanalysis.kernels.unpacking import SmallCodes, unpack_bits, unpack_words

_PER_WORD = 8
_ORDER = np.array([0, 2, 4, 6, 1, 3, 5, 7])
_BITS = 4


@dataclass(frozen=True, slots=True)
class InterleavedCodes:
    """Codes of eight outputs in each word, (in, out / 8); an output is a row of the weight."""

    part: Part

    @property
    def columns(self) -> int:
        return self.part.shape[0]

    def read(self, first: int, last: int) -> SmallCodes:
        base = first // _PER_WORD
        words = self.part.columns(base, -(-last // _PER_WORD)).T
        codes = unpack_words(np.ascontiguousarray(words).view(np.uint32), _BITS, _ORDER)
        return codes[first - base * _PER_WORD : last - base * _PER_WORD]


@dataclass(frozen=True, slots=True)
class InterleavedZeros:
    """Zero points in the same order, (groups, out / 8)."""

    part: Part

    def read(self, first: int, last: int) -> Floats:
        return InterleavedCodes(self.part).read(first, last).astype(np.float32)


@dataclass(frozen=True, slots=True)
class PaddedGrid:
    """Scales or zero points of gemv by rows, of which the first `groups` count: the rest pads a row to whole words."""

    part: Part
    groups: int

    def read(self, first: int, last: int) -> Floats:
        rows = read_rows(self.part, first, last)
        if rows.dtype.kind in "iu":
            return unpack_bits(as_bytes(rows), _BITS, self.groups).astype(np.float32)
        return np.ascontiguousarray(widen(rows)[:, : self.groups])


def _read(stem: Stem) -> Packed | None:
    codes, scales = stem.find("qweight"), stem.find("scales")
    if codes is None or scales is None or stem.find("g_idx"):
        return None
    if len(codes.shape) != 2 or len(scales.shape) != 2:
        return None
    zeros = stem.find("qzeros")
    if codes.dtype == "int16":
        reason = refuse_known("AWQ gemv_fast", "rows are interleaved by four for its kernel")
        return keep_packed(f"{stem.stem}weight", (codes, zeros, scales), stored="awq", reason=reason)
    if codes.dtype not in {"int32", "uint32"} or (codes.shape[1] == scales.shape[1] and not says_awq(stem)):
        return None
    zeros = stem.need("qzeros")
    if zeros.dtype not in {"int32", "uint32"} or not scales.dtype.startswith(("float", "bfloat")):
        raise LayoutError(f"qzeros of {zeros.dtype} and scales of {scales.dtype} must be int32 words and floats")
    if codes.shape[1] * _PER_WORD == scales.shape[1] and zeros.shape == (scales.shape[0], codes.shape[1]):
        return _read_gemm(stem, codes, zeros, scales)
    if len(zeros.shape) == 2 and codes.shape[0] == scales.shape[0] == zeros.shape[0]:
        return _read_gemv(stem, codes, zeros, scales)
    raise LayoutError(
        f"qweight of shape {list(codes.shape)}, qzeros of {list(zeros.shape)} and scales of {list(scales.shape)} must "
        f"be (in, out/8), (groups, out/8) and (groups, out), or have one row per output"
    )


def says_awq(stem: Stem) -> bool:
    """Whether the configuration names this layout: padded scales of gemv can have the shapes of GPTQ's."""
    settings = stem.evidence.quantization
    return settings.get("quant_method") == "awq" or str(settings.get("packing_format", "")).endswith("awq")


def _read_gemm(stem: Stem, codes: Part, zeros: Part, scales: Part) -> Packed:
    columns, groups = codes.shape[0], scales.shape[0]
    if not groups or not columns or columns % groups:
        raise LayoutError(
            f"{columns} rows of qweight {list(codes.shape)} do not divide into the groups of scales "
            f"{list(scales.shape)}"
        )
    length = columns // groups
    values = CodedRows(InterleavedCodes(codes), ColumnGrid(scales), length, InterleavedZeros(zeros))
    stored = f"awq int{_BITS} group={length}"
    shape = (scales.shape[1], columns)
    return join_parts(f"{stem.stem}weight", (codes, zeros, scales), values, shape=shape, stored=stored)


def _read_gemv(stem: Stem, codes: Part, zeros: Part, scales: Part) -> Packed:
    rows, columns = codes.shape[0], codes.shape[1] * _PER_WORD
    settings = stem.evidence.quantization
    told = settings.get("group_size", settings.get("q_group_size"))
    told = columns if told == -1 else told
    if type(told) is not int or not 1 <= told <= columns or columns % told:
        raise LayoutError(
            f"rows of {columns} codes with {scales.shape[1]} scales, some of which pad, need group_size from the "
            f"configuration, which says {str(told)[:20]}"
        )
    groups = columns // told
    if scales.shape[1] < groups or zeros.shape[1] * _PER_WORD < groups:
        raise LayoutError(
            f"scales of shape {list(scales.shape)} and qzeros of {list(zeros.shape)} are too few for {groups} groups "
            f"of {told} in a row"
        )
    values = CodedRows(StreamCodes(codes, _BITS, columns), PaddedGrid(scales, groups), told, PaddedGrid(zeros, groups))
    return join_parts(
        f"{stem.stem}weight",
        (codes, zeros, scales),
        values,
        shape=(rows, columns),
        stored=f"awq int{_BITS} group={told}",
    )


LAYOUT = PackedLayout("awq", ("qweight",), _read)
