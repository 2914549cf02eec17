"""Packed layouts decoded one value at a time with Python's integers, from the formulas alone: slow and obvious.

Values are float32(float32(q - z) * s): products of numbers that float64 holds exactly, rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def pack_stream(codes: Sequence[int], bits: int, *, word_bits: int = 32) -> list[int]:
    """Codes as one large integer, code k at bit k * bits, cut into words."""
    stream = sum(int(code) << (place * bits) for place, code in enumerate(codes))
    count = -(-len(codes) * bits // word_bits)
    return [stream >> (word_bits * word) & ((1 << word_bits) - 1) for word in range(count)]


def pack_rows(codes: NDArray[Any], bits: int, dtype: Any = np.int32) -> NDArray[Any]:
    """Each row of codes packed into words of its own."""
    width = np.dtype(dtype).itemsize
    words = [pack_stream(row, bits, word_bits=8 * width) for row in codes.tolist()]
    return np.array(words, f"u{width}").reshape(len(codes), -1).view(dtype)


def pack_padded(codes: NDArray[Any], bits: int) -> NDArray[np.int32]:
    """As many whole codes as fit into each word of 32 bits; the bits left over are 0."""
    per_word = 32 // bits
    rows = [
        [pack_stream(row[k : k + per_word], bits)[0] for k in range(0, len(row), per_word)] for row in codes.tolist()
    ]
    return np.array(rows, np.uint32).view(np.int32)


def take_field(words: Sequence[int], place: int, bits: int, word_bits: int = 32) -> int:
    """The code number `place` of a stream of words."""
    value = 0
    for bit in range(bits):
        at = place * bits + bit
        value |= (int(words[at // word_bits]) >> (at % word_bits) & 1) << bit
    return value


def scale(q: float, z: float, s: Any) -> np.float32:
    with np.errstate(all="ignore"):
        return np.float32(np.float64(q - z) * np.float64(s))


def decode_gptq(
    qweight: NDArray[Any], qzeros: NDArray[Any], scales: NDArray[Any], g_idx: NDArray[Any], bits: int, added: int
) -> NDArray[np.float32]:
    """(out, in)."""
    rows, columns = scales.shape[1], len(g_idx)
    values = np.empty((rows, columns), np.float32)
    for n, k in np.ndindex(rows, columns):
        g = int(g_idx[k])
        q = take_field(qweight[:, n].tolist(), k, bits)
        values[n, k] = scale(q, take_field(qzeros[g].tolist(), n, bits) + added, scales[g, n])
    return values


def decode_awq(qweight: NDArray[Any], qzeros: NDArray[Any], scales: NDArray[Any], group: int) -> NDArray[np.float32]:
    """(out, in)."""
    columns, rows = qweight.shape[0], scales.shape[1]
    values = np.empty((rows, columns), np.float32)
    for n, k in np.ndindex(rows, columns):
        nibble = AWQ_ORDER.index(n % 8)
        q = take_field([int(qweight[k, n // 8])], nibble, 4)
        z = take_field([int(qzeros[k // group, n // 8])], nibble, 4)
        values[n, k] = scale(q, z, scales[k // group, n])
    return values


def decode_e2m1(code: Any) -> float:
    return -FP4[code - 8] if code >= 8 else FP4[code]


def decode_e2m3(code: Any) -> float:
    """6 bits: sign, two of exponent with bias 1, three of mantissa, subnormals below 1."""
    code = int(code)
    sign, exponent, mantissa = code >> 5, code >> 3 & 3, code & 7
    size = mantissa / 8 if exponent == 0 else 2.0 ** (exponent - 1) * (1 + mantissa / 8)
    return -size if sign else size


def decode_e4m3(code: Any) -> float:
    """8 bits without infinities: exponent bias 7, NaN where all other bits are 1."""
    code = int(code)
    sign, exponent, mantissa = code >> 7, code >> 3 & 15, code & 7
    if code & 127 == 127:
        return float("nan")
    size = mantissa / 8 * 2.0**-6 if exponent == 0 else 2.0 ** (exponent - 7) * (1 + mantissa / 8)
    return -size if sign else size


def decode_e8m0(code: Any) -> float:
    return float("nan") if code == 255 else 2.0 ** (int(code) - 127)


def decode_blocks(
    numbers: NDArray[Any], scales: NDArray[Any], block: tuple[int, int], zeros: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """(number - zero) * scale of the block that holds it, of one matrix."""
    values = np.empty(numbers.shape, np.float32)
    for n, k in np.ndindex(*numbers.shape):
        at = n // block[0], k // block[1]
        values[n, k] = scale(float(numbers[n, k]), 0.0 if zeros is None else float(zeros[at]), float(scales[at]))
    return values
