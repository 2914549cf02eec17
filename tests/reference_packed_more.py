"""Packed layouts as their formulas say, one value after another: slow, obvious, with no code of the package in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F4 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0]


def pack_nibbles(codes: Sequence[int], *, high_first: bool) -> NDArray[np.uint8]:
    """Two codes a byte, an odd last one with a zero."""
    padded = [*codes, 0] if len(codes) % 2 else list(codes)
    pairs = zip(padded[::2], padded[1::2], strict=True)
    return np.array([(a << 4 | b) if high_first else (b << 4 | a) for a, b in pairs], np.uint8)


def pack_stream(codes: NDArray[Any], bits: int) -> NDArray[np.uint32]:
    """Rows of codes as one long number each, code k at bit k * bits, cut into words."""
    rows = []
    for row in codes.tolist():
        number = sum(code << (k * bits) for k, code in enumerate(row))
        rows.append([number >> (32 * word) & 0xFFFFFFFF for word in range(-(-len(row) * bits // 32))])
    return np.array(rows, np.uint32)


def pack_slabs(codes: NDArray[Any], bits: int, *, per_word: int, high_first: bool, dtype: Any) -> NDArray[Any]:
    """Slab s of the rows in the field s of the words, counted from the highest or the lowest."""
    rows = -(-codes.shape[0] // per_word)
    words = np.zeros((rows, *codes.shape[1:]), np.int64)
    for row in range(codes.shape[0]):
        field = row // rows
        words[row % rows] |= codes[row].astype(np.int64) << bits * (per_word - 1 - field if high_first else field)
    return words.astype(dtype)


def decode_blocks(
    codes: Sequence[int], table: Sequence[float], scales: Sequence[Any], block: int
) -> NDArray[np.float32]:
    """table[code] * scale of its block of the flattened tensor."""
    return np.array(
        [np.float32(table[code]) * np.float32(scales[i // block]) for i, code in enumerate(codes)], np.float32
    )


def nest_scales(codes: Any, table: Any, scales: Any, block: int, offset: float) -> list[np.float32]:
    return [np.float32(np.float32(table[a] * scales[i // block]) + np.float32(offset)) for i, a in enumerate(codes)]


def decode_groups(codes: NDArray[Any], scales: Any, zeros: Any, group: int) -> NDArray[np.float32]:
    """(code - zero) * scale by groups of columns."""
    values = np.empty(codes.shape, np.float32)
    for n, k in np.ndindex(*codes.shape):
        difference = np.float32(np.float32(codes[n, k]) - np.float32(zeros[n, k // group]))
        values[n, k] = difference * np.float32(scales[n, k // group])
    return values


def decode_shifted(codes: NDArray[Any], scales: Any, offsets: Any, group: int) -> NDArray[np.float32]:
    """Code * scale + offset by groups of columns, rounded twice."""
    values = np.empty(codes.shape, np.float32)
    for n, k in np.ndindex(*codes.shape):
        product = np.float32(np.float32(codes[n, k]) * np.float32(scales[n, k // group]))
        values[n, k] = product + np.float32(offsets[n, k // group])
    return values


def power_of_two(code: int) -> np.float32:
    return np.float32(np.nan) if code == 255 else np.float32(2.0 ** (code - 127))
