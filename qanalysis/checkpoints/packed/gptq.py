"""How does GPTQ store weights? Codes that run down the columns of words, zero points and scales by group of rows.

The stored matrix is (in, out), its transpose is the weight. y[k, n] = (q[k, n] - Z[g, n]) * scales[g, n] with
g = g_idx[k]; Z = z + 1 in version 1 of the format and z in version 2. Codes of 2, 3, 4 or 8 bits are a stream of bits,
lowest first, down a column for weights and along a row for zero points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.awq import says_awq
from qanalysis.checkpoints.packed.coded_rows import CodedRows, ColumnGrid, as_bytes
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed, refuse_known
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, Stem
from qanalysis.checkpoints.packed.scale_grids import list_lengths, tell_doubt
from qanalysis.kernels.unpacking import SmallCodes, unpack_bits

_BITS = (2, 3, 4, 8)
_MOST_ZEROS = 1 << 24  # fields of zero points looked at when a file is opened
_REFUSED = {
    "gptq_p": ("GPTQ with split bit planes", "low and high bits of a code lie in planes of their own"),
    "marlin": ("GPTQ repacked for Marlin", "codes are permuted for its kernel"),
}


@dataclass(frozen=True, slots=True)
class ColumnCodes:
    """Codes that run down the columns of words; a column is a row of the weight."""

    part: Part
    bits: int
    columns: int

    def read(self, first: int, last: int) -> SmallCodes:
        return unpack_bits(as_bytes(self.part.columns(first, last).T), self.bits, self.columns)


@dataclass(frozen=True, slots=True)
class ZeroColumns:
    """Zero points packed along the rows of (groups, words); `added` is what version 1 leaves out."""

    part: Part
    bits: int
    added: int

    def read(self, first: int, last: int) -> Floats:
        base = first // 64 * 64  # codes of any width end with a word there, be it of 64 bits
        word_bits = 8 * self.part.raw.dtype.itemsize
        words = self.part.columns(base * self.bits // word_bits, min(-(-last * self.bits // word_bits), self.width))
        fields = unpack_bits(as_bytes(words), self.bits, last - base)[:, first - base :]
        return np.ascontiguousarray(fields.T).astype(np.float32) + np.float32(self.added)

    @property
    def width(self) -> int:
        """Words of a row."""
        return self.part.shape[-1]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What shapes say: `rows` outputs, `columns` inputs, codes of `bits` bits, `groups` scales for each output."""

    rows: int
    columns: int
    bits: int
    groups: int


def _read(stem: Stem) -> Packed | None:
    codes, zeros, scales = stem.find("qweight"), stem.find("qzeros"), stem.find("scales")
    if codes is None or not _is_words(codes) or (zeros is None and scales is None):
        return None
    index = stem.find("g_idx")
    if index is None and says_awq(stem):
        return None
    zeros, scales = stem.need("qzeros"), stem.need("scales")
    if scales.shape[-1:] != codes.shape[-1:]:
        if index is None:
            return None
        raise LayoutError(
            f"qweight of shape {list(codes.shape)} and scales of {list(scales.shape)} must have one number of columns"
        )
    parts, name = (codes, zeros, scales, index), f"{stem.stem}weight"
    refused = _find_refused(stem)
    if refused:
        return keep_packed(name, parts, stored=refused, reason=refuse_known(*_REFUSED[refused]))
    sizes = _measure(codes, zeros, scales, index, stem)
    length, order = _find_groups(sizes, index, stem)
    added, note = _find_version(zeros, sizes, stem)
    stated = stem.evidence.quantization.get("group_size")
    doubt = "" if index or stated == length else tell_doubt(length, sizes.columns, sizes.groups)
    note = f"{note}; {doubt}" if doubt else note
    values = CodedRows(
        ColumnCodes(codes, sizes.bits, sizes.columns),
        ColumnGrid(scales),
        length,
        ZeroColumns(zeros, sizes.bits, added),
        index=order,
    )
    ending = "" if order is None else " act-order"
    stored = f"gptq int{sizes.bits} group={length}{ending}"
    return join_parts(name, parts, values, shape=(sizes.rows, sizes.columns), stored=stored, note=note)


def _is_words(part: Part) -> bool:
    return len(part.shape) == 2 and part.dtype.startswith(("int", "uint"))


def _find_refused(stem: Stem) -> str:
    settings = stem.evidence.quantization
    words = {str(settings.get(key)) for key in ("checkpoint_format", "quant_method", "format")}
    if settings.get("is_marlin_format") is True:
        return "marlin"
    return next((word for word in _REFUSED if word in words), "")


def _measure(codes: Part, zeros: Part, scales: Part, index: Part | None, stem: Stem) -> Sizes:
    """Rows, columns, bits and groups from shapes; LayoutError where they do not come out."""
    if len(scales.shape) != 2 or len(zeros.shape) != 2 or scales.shape[0] != zeros.shape[0] or not scales.info.numel:
        raise LayoutError(
            f"scales of shape {list(scales.shape)} and qzeros of {list(zeros.shape)} must have one row per group"
        )
    if not _is_words(zeros) or not scales.dtype.startswith(("float", "bfloat")):
        raise LayoutError(f"qzeros of {zeros.dtype} and scales of {scales.dtype} must be integer words and floats")
    groups, rows = scales.shape
    zero_bits = 8 * zeros.raw.dtype.itemsize * zeros.shape[1]
    tried = (stem.evidence.quantization.get("bits"), zero_bits // rows, *_BITS)  # short rows leave it open
    bits = next((bits for bits in tried if bits in _BITS and _fill(rows * bits, zeros) == zeros.shape[1]), 0)
    if not bits:
        raise LayoutError(
            f"qzeros of shape {list(zeros.shape)} hold {zero_bits / rows:g} bits for each of {rows} columns; "
            f"codes have 2, 3, 4 or 8"
        )
    code_bits = 8 * codes.raw.dtype.itemsize * codes.shape[0]
    columns = index.info.numel if index else code_bits // bits
    if _fill(columns * bits, codes) != codes.shape[0] or not columns:
        raise LayoutError(
            f"{columns} codes of {bits} bits in each column (g_idx, else whole words) do not fill qweight of shape "
            f"{list(codes.shape)}"
        )
    return Sizes(rows, columns, bits, groups)


def _fill(bits: int, words: Part) -> int:
    return -(-bits // (8 * words.raw.dtype.itemsize))


def _find_groups(sizes: Sizes, index: Part | None, stem: Stem) -> tuple[int, NDArray[Any] | None]:
    """The length of a group, and the group of each column where groups are not stretches of it."""
    lengths = _list_lengths(sizes, stem.evidence.quantization.get("group_size"))
    if index is None:
        if not lengths:
            raise LayoutError(f"{sizes.columns} columns do not divide into {sizes.groups} groups; group_size tells")
        return lengths[0], None
    if index.info.numel != sizes.columns or not index.dtype.startswith("int"):
        raise LayoutError(f"g_idx of shape {list(index.shape)} and {index.dtype} must name {sizes.columns} groups")
    order = index.whole().reshape(-1)
    if order.min() < 0 or order.max() >= sizes.groups:
        wrong = order.min() if order.min() < 0 else order.max()
        raise LayoutError(
            f"g_idx names group {wrong}, where scales of {sizes.groups} rows have 0 to {sizes.groups - 1}"
        )
    columns = np.arange(sizes.columns)
    for length in lengths:
        if (order == columns // length).all():
            return length, None
    return int(np.bincount(order).max()), order


def _list_lengths(sizes: Sizes, told: Any) -> list[int]:
    """Columns that a group may have, the likeliest first."""
    if type(told) is int and told > 0 and -(-sizes.columns // told) == sizes.groups:
        return [told]
    return list_lengths(sizes.columns, sizes.groups)


def _find_version(zeros: Part, sizes: Sizes, stem: Stem) -> tuple[int, str]:
    """What is added to stored zero points (1 in version 1, 0 in version 2), and why.

    Where all of them are equal and the middle of the codes, or one below, that tells, whatever the configuration says.
    """
    told = stem.evidence.quantization.get("checkpoint_format")
    middle, most = 1 << (sizes.bits - 1), (1 << sizes.bits) - 1
    at_once = max(1, _MOST_ZEROS // sizes.rows)
    stored = as_bytes(zeros.rows(0, min(sizes.groups, at_once)))
    if _holds_only(stored, middle - 1, sizes):
        against = ", though the configuration says gptq_v2" if told == "gptq_v2" else ""
        return 1, f"zero points read as version 1 (z + 1): all are {middle - 1}, the middle less one{against}"
    if _holds_only(stored, middle, sizes):
        against = f", though the configuration says {told}" if told == "gptq" else ""
        return 0, f"zero points read as version 2 (z): all are {middle}, the middle of the codes{against}"
    if told == "gptq_v2":
        return 0, "zero points read as version 2 (z), as the configuration says"
    why = "as the configuration says" if told == "gptq" else "as nothing says otherwise"
    full = int(np.count_nonzero(unpack_bits(stored, sizes.bits, sizes.rows) == most))
    wrapped = f"; {full} are {most}, read as {most + 1}, where some runtimes wrap to 0" if full else ""
    return 1, f"zero points read as version 1 (z + 1), {why}{wrapped}"


def _holds_only(stored: NDArray[np.uint8], code: int, sizes: Sizes) -> bool:
    """Whether every zero point of rows of bytes is one code; asked of each layer of a file, so that nothing is unpacked
    for it.
    """
    wanted, mask = _repeat(code, sizes.bits, sizes.rows)
    used = stored[:, : wanted.size]
    return bool((used == wanted).all()) if mask is None else not ((used ^ wanted) & mask).any()


@lru_cache(maxsize=64)
def _repeat(code: int, bits: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A row of bytes with `count` times the same code, and which bits of it are codes where some are none."""
    one = np.array([code >> bit & 1 for bit in range(bits)], np.uint8)
    wanted = np.packbits(np.tile(one, count), bitorder="little")
    whole = count * bits % 8 == 0
    return wanted, None if whole else np.packbits(np.ones(count * bits, np.uint8), bitorder="little")


def _read_permuted(stem: Stem) -> Packed | None:
    """Codes repacked for a kernel of Marlin's kind, told by the names of their parts."""
    codes = stem.find("B")
    if codes is None or codes.dtype != "int32":
        return None
    channel, group, scales = stem.find("s_channel"), stem.find("s_group"), stem.find("s")
    if channel:
        reason = refuse_known("QQQ", "codes are permuted for its kernel")
        return keep_packed(f"{stem.stem}weight", (codes, channel, group), stored="qqq", reason=reason)
    if scales is None:
        return None
    reason = refuse_known("Marlin", "codes are permuted for its kernel")
    return keep_packed(f"{stem.stem}weight", (codes, scales), stored="marlin", reason=reason)


LAYOUT = PackedLayout("gptq", ("qweight",), _read)
PERMUTED = PackedLayout("marlin", ("B",), _read_permuted)
