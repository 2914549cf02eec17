"""How do packed codes become numbers? Codes out of bit streams, and codes into values by the scales of their groups.

Codes are (rows, columns), scales and zero points (rows, groups) float32: column k belongs to group k // length, and the
last group may be ragged. Products and sums are rounded one by one, as float32 arithmetic does: nothing is contracted.

The loops are imported when the first codes are read: numba takes a tenth of a second, and a listing needs none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats

#: Stored bytes, and codes without a sign.
Bytes = NDArray[np.uint8]
#: Codes of a byte each, signed or not.
SmallCodes = NDArray[np.uint8] | NDArray[np.int8]


def unpack_bits(rows: Bytes, bits: int, count: int, *, high_first: bool = False) -> Bytes:
    """The first `count` codes of each row, (rows, count) uint8.

    Parameters
    ----------
    rows : (rows, bytes): words of any width seen as their bytes, little-endian. A row is one stream of bits: code k is
        in bits k * bits .. of it, lowest bit first, across bytes and words.
    bits : 1 to 8.
    high_first : the first code of a byte is in its highest bits instead; for 1, 2, 4 bits.

    ValueError where the bits do not divide a byte that they must, or a row is too short.
    """
    from qanalysis.kernels import unpacking_loops as loops

    if not 1 <= bits <= 8 or (high_first and 8 % bits):
        raise ValueError(f"codes of {bits} bits; they have 1 to 8, from the highest bit 1, 2, 4 or 8")
    if count * bits > 8 * rows.shape[1]:
        raise ValueError(f"{count} codes of {bits} bits need more than the {rows.shape[1]} bytes of a row")
    rows = np.ascontiguousarray(rows)
    if bits == 8:
        return rows[:, :count]
    codes = np.empty((rows.shape[0], count), np.uint8)
    if bits == 4:
        loops.split_nibbles(rows, 4 if high_first else 0, codes)
    elif high_first:
        loops.split_bytes(rows, bits, codes)
    else:
        loops.unpack_stream(rows, bits, codes)
    return codes


def unpack_words(words: NDArray[np.uint32], bits: int, order: NDArray[np.int64]) -> Bytes:
    """Codes of words that hold one code of each of several rows, (groups of rows * 32 / bits, columns) uint8.

    Parameters
    ----------
    words : (groups of rows, columns) uint32.
    bits : 1, 2, 4 or 8.
    order : (32 / bits,): which row of its group the field at bits i * bits .. belongs to, a permutation.
    """
    from qanalysis.kernels import unpacking_loops as loops

    per_word = 32 // bits
    codes = np.empty((words.shape[0] * per_word, words.shape[1]), np.uint8)
    loops.split_words(np.ascontiguousarray(words), np.uint32(bits), order, codes)
    return codes


def scale_codes(codes: SmallCodes, zeros: Floats, scales: Floats, length: int) -> Floats:
    """(code - zero) * scale, (rows, columns) float32, by the groups of `length` columns along each row."""
    from qanalysis.kernels import unpacking_loops as loops

    values = np.empty(codes.shape, np.float32)
    _check_groups(codes, scales, length)
    loops.scale_groups(np.ascontiguousarray(codes), _lay_out(zeros, scales), _lay_out(scales, scales), length, values)
    return values


def scale_codes_by_index(codes: SmallCodes, zeros: Floats, scales: Floats, index: NDArray[Any]) -> Floats:
    """(code - zero) * scale, (rows, columns) float32, where column k belongs to group index[k].

    ValueError where an index names no group.
    """
    from qanalysis.kernels import unpacking_loops as loops

    if index.size != codes.shape[1] or (index.size and not 0 <= index.min() <= index.max() < scales.shape[1]):
        raise ValueError(f"{index.size} indices for {codes.shape[1]} columns must name {scales.shape[1]} groups")
    values = np.empty(codes.shape, np.float32)
    loops.scale_by_index(np.ascontiguousarray(codes), _lay_out(zeros, scales), _lay_out(scales, scales), index, values)
    return values


def shift_codes(codes: SmallCodes, scales: Floats, offsets: Floats, length: int) -> Floats:
    """Code * scale, rounded, + offset, (rows, columns) float32, by the groups of `length` columns along each row."""
    from qanalysis.kernels import unpacking_loops as loops

    values = np.empty(codes.shape, np.float32)
    _check_groups(codes, scales, length)
    loops.shift_groups(np.ascontiguousarray(codes), _lay_out(scales, scales), _lay_out(offsets, scales), length, values)
    return values


def look_up_codes(codes: Bytes, table: Floats, scales: Floats, length: int) -> Floats:
    """table[code] * scale, (rows, columns) float32, by the groups of `length` columns along each row.

    `table` has a power of two of numbers; the higher bits of a code are not looked at.
    """
    from qanalysis.kernels import unpacking_loops as loops

    if table.size & (table.size - 1):
        raise ValueError(f"a table of {table.size} numbers; it must have a power of two")
    values = np.empty(codes.shape, np.float32)
    _check_groups(codes, scales, length)
    loops.look_up_groups(
        np.ascontiguousarray(codes), np.ascontiguousarray(table), _lay_out(scales, scales), length, values
    )
    return values


def _check_groups(codes: NDArray[Any], scales: Floats, length: int) -> None:
    if length < 1 or codes.shape[0] != scales.shape[0] or scales.shape[1] * length < codes.shape[1]:
        raise ValueError(f"codes of shape {codes.shape} do not lie in {scales.shape} groups of {length}")


def _lay_out(parts: Floats, like: Floats) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(parts, like.shape), dtype=np.float32)
