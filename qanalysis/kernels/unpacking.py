"""How do packed codes become numbers? Codes out of bit streams, and codes into values by the scales of their groups.

Codes are (rows, columns), scales and zero points (rows, groups) float32: column k belongs to group k // length, and the
last group may be ragged. Products and sums are rounded one by one, as float32 arithmetic does: nothing is contracted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.kernels.lanes import compiled

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
    if not 1 <= bits <= 8 or (high_first and 8 % bits):
        raise ValueError(f"codes of {bits} bits; they have 1 to 8, from the highest bit 1, 2, 4 or 8")
    if count * bits > 8 * rows.shape[1]:
        raise ValueError(f"{count} codes of {bits} bits need more than the {rows.shape[1]} bytes of a row")
    rows = np.ascontiguousarray(rows)
    if bits == 8:
        return rows[:, :count]
    codes = np.empty((rows.shape[0], count), np.uint8)
    if bits == 4:
        _split_nibbles(rows, 4 if high_first else 0, codes)
    elif high_first:
        _split_bytes(rows, bits, codes)
    else:
        _unpack_stream(rows, bits, codes)
    return codes


def unpack_words(words: NDArray[np.uint32], bits: int, order: NDArray[np.int64]) -> Bytes:
    """Codes of words that hold one code of each of several rows, (groups of rows * 32 / bits, columns) uint8.

    Parameters
    ----------
    words : (groups of rows, columns) uint32.
    bits : 1, 2, 4 or 8.
    order : (32 / bits,): which row of its group the field at bits i * bits .. belongs to, a permutation.
    """
    per_word = 32 // bits
    codes = np.empty((words.shape[0] * per_word, words.shape[1]), np.uint8)
    _split_words(np.ascontiguousarray(words), np.uint32(bits), order, codes)
    return codes


def scale_codes(codes: SmallCodes, zeros: Floats, scales: Floats, length: int) -> Floats:
    """(code - zero) * scale, (rows, columns) float32, by the groups of `length` columns along each row."""
    values = np.empty(codes.shape, np.float32)
    _check_groups(codes, scales, length)
    _scale_groups(np.ascontiguousarray(codes), _lay_out(zeros, scales), _lay_out(scales, scales), length, values)
    return values


def scale_codes_by_index(codes: SmallCodes, zeros: Floats, scales: Floats, index: NDArray[Any]) -> Floats:
    """(code - zero) * scale, (rows, columns) float32, where column k belongs to group index[k].

    ValueError where an index names no group.
    """
    if index.size != codes.shape[1] or (index.size and not 0 <= index.min() <= index.max() < scales.shape[1]):
        raise ValueError(f"{index.size} indices for {codes.shape[1]} columns must name {scales.shape[1]} groups")
    values = np.empty(codes.shape, np.float32)
    _scale_by_index(np.ascontiguousarray(codes), _lay_out(zeros, scales), _lay_out(scales, scales), index, values)
    return values


def shift_codes(codes: SmallCodes, scales: Floats, offsets: Floats, length: int) -> Floats:
    """Code * scale, rounded, + offset, (rows, columns) float32, by the groups of `length` columns along each row."""
    values = np.empty(codes.shape, np.float32)
    _check_groups(codes, scales, length)
    _shift_groups(np.ascontiguousarray(codes), _lay_out(scales, scales), _lay_out(offsets, scales), length, values)
    return values


def look_up_codes(codes: Bytes, table: Floats, scales: Floats, length: int) -> Floats:
    """table[code] * scale, (rows, columns) float32, by the groups of `length` columns along each row.

    `table` has a power of two of numbers; the higher bits of a code are not looked at.
    """
    if table.size & (table.size - 1):
        raise ValueError(f"a table of {table.size} numbers; it must have a power of two")
    values = np.empty(codes.shape, np.float32)
    _check_groups(codes, scales, length)
    _look_up_groups(np.ascontiguousarray(codes), np.ascontiguousarray(table), _lay_out(scales, scales), length, values)
    return values


def _check_groups(codes: NDArray[Any], scales: Floats, length: int) -> None:
    if length < 1 or codes.shape[0] != scales.shape[0] or scales.shape[1] * length < codes.shape[1]:
        raise ValueError(f"codes of shape {codes.shape} do not lie in {scales.shape} groups of {length}")


def _lay_out(parts: Floats, like: Floats) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(parts, like.shape), dtype=np.float32)


# Unsigned indices: numba then leaves out the wrap-around of negative ones, and LLVM can use vector stores.


@compiled()
def _split_nibbles(rows, first_shift, codes):
    """Both nibbles of each byte, that at `first_shift` first."""
    first, second = np.uint8(first_shift), np.uint8(4 - first_shift)
    pairs = np.uint64(codes.shape[1] // 2)
    for row in range(rows.shape[0]):
        source, target = rows[row], codes[row]
        for i in range(pairs):
            target[i + i] = (source[i] >> first) & np.uint8(15)
            target[i + i + np.uint64(1)] = (source[i] >> second) & np.uint8(15)
        if codes.shape[1] % 2:
            target[pairs + pairs] = (source[pairs] >> first) & np.uint8(15)


@compiled()
def _split_bytes(rows, bits, codes):
    """The codes of each byte from its highest bits down."""
    per_byte, mask = 8 // bits, np.uint8((1 << bits) - 1)
    for row in range(rows.shape[0]):
        for k in range(codes.shape[1]):
            codes[row, k] = (rows[row, k // per_byte] >> np.uint8(8 - bits * (k % per_byte + 1))) & mask


@compiled()
def _unpack_stream(rows, bits, codes):
    """The stream of codes of each row, eight at a time: they fill `bits` bytes."""
    mask, width = np.uint64((1 << bits) - 1), np.uint64(bits)
    blocks = codes.shape[1] // 8
    for row in range(rows.shape[0]):
        source, target = rows[row], codes[row]
        for block in range(blocks):
            word = np.uint64(0)
            for i in range(bits):
                word |= np.uint64(source[np.uint64(block * bits + i)]) << np.uint64(8 * i)
            place = np.uint64(8 * block)
            for j in range(np.uint64(8)):
                target[place + j] = np.uint8((word >> (width * j)) & mask)
        for k in range(8 * blocks, codes.shape[1]):
            place = k * bits
            word = np.uint64(source[place // 8])
            if place % 8 + bits > 8:
                word |= np.uint64(source[place // 8 + 1]) << np.uint64(8)
            target[k] = np.uint8((word >> np.uint64(place % 8)) & mask)


@compiled()
def _split_words(words, bits, order, codes):
    """Each field of the words as a row of its own."""
    per_word, mask = order.size, np.uint32((1 << bits) - 1)
    for group in range(words.shape[0]):
        for field in range(per_word):
            source, target = words[group], codes[group * per_word + order[field]]
            shift = np.uint32(field * bits)
            for k in range(np.uint64(words.shape[1])):
                target[k] = np.uint8((source[k] >> shift) & mask)


@compiled()
def _scale_groups(codes, zeros, scales, length, values):
    for row in range(codes.shape[0]):
        source, target = codes[row], values[row]
        for group in range(scales.shape[1]):
            zero, scale = zeros[row, group], scales[row, group]
            for k in range(np.uint64(group * length), np.uint64(min((group + 1) * length, codes.shape[1]))):
                target[k] = (np.float32(source[k]) - zero) * scale


@compiled()
def _scale_by_index(codes, zeros, scales, index, values):
    for row in range(codes.shape[0]):
        source, target, zero, scale = codes[row], values[row], zeros[row], scales[row]
        for k in range(np.uint64(codes.shape[1])):
            group = np.uint64(index[k])
            target[k] = (np.float32(source[k]) - zero[group]) * scale[group]


@compiled()
def _shift_groups(codes, scales, offsets, length, values):
    for row in range(codes.shape[0]):
        source, target = codes[row], values[row]
        for group in range(scales.shape[1]):
            offset, scale = offsets[row, group], scales[row, group]
            for k in range(np.uint64(group * length), np.uint64(min((group + 1) * length, codes.shape[1]))):
                target[k] = np.float32(source[k]) * scale + offset


@compiled()
def _look_up_groups(codes, table, scales, length, values):
    mask = np.uint64(table.size - 1)
    for row in range(codes.shape[0]):
        source, target = codes[row], values[row]
        for group in range(scales.shape[1]):
            scale = scales[row, group]
            for k in range(np.uint64(group * length), np.uint64(min((group + 1) * length, codes.shape[1]))):
                target[k] = table[np.uint64(source[k]) & mask] * scale
