"""How are block scales themselves stored in 8 bits? Double quantization as bitsandbytes does it for NF4.

Scales lose their mean, which is kept in float32; what is left is coded in blocks of 256 with a float32 largest magnitude each
and a dynamic code book: a sign, a decimal exponent in unary, the rest linear (Dettmers 2016; Dettmers et al. 2023, QLoRA).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats

SCALES_PER_BLOCK = 256
FLOAT_BITS = 32
# The peer looks codes up by the scaled value's place among 2^16.
_PLACES = 65535


def store_scales(scales: Floats) -> Floats:
    """What is left of non-negative `scales` (groups,) after storing them in 8 bits; the result can be a little below 0.

    >>> store_scales(np.float32([1, 2, 3])).round(2)
    array([1.01, 2.  , 3.  ], dtype=float32)
    """
    mean = np.float32(scales.astype(np.float64).mean())
    rest = scales - mean
    padded = np.concatenate([rest, np.zeros(-rest.size % SCALES_PER_BLOCK, np.float32)]).reshape(-1, SCALES_PER_BLOCK)
    largest = np.abs(padded).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(largest > 0, np.float32(1) / np.maximum(largest, np.float32(2**-126)), np.float32(0))
    scaled = np.clip(padded * inverse, np.float32(-1), np.float32(1))
    place = ((scaled + np.float32(1)) * np.float32(0.5)) * np.float32(_PLACES) + np.float32(0.5)
    stored: Floats = _code_book()[_code_of_place()[place.astype(np.int64)]] * largest
    restored: Floats = stored.reshape(-1)[: scales.size] + mean
    return restored


def storage_bits(groups: int) -> int:
    """Bits beside the 8 per scale: a largest magnitude per block of scales, and their mean."""
    return FLOAT_BITS * (-(-groups // SCALES_PER_BLOCK) + 1)


@cache
def _code_book() -> Floats:
    """256 numbers in -1..1: in each decade 10^-6..1, twice as many as in the one below, the middles of equal parts of 0.1..1."""
    numbers = [np.float32(0), np.float32(1)]
    for decade in range(7):
        middles = _middles(2**decade) * np.float32(10.0 ** (decade - 6))
        numbers += [*middles, *-middles]
    return np.sort(np.array(numbers, np.float32))


def _middles(parts: int) -> Floats:
    """Middles of `parts` equal parts of 0.1..1; the borders are counted from the nearer end, as the peer's linspace does."""
    place = np.arange(parts + 1)
    step = float((np.float32(1) - np.float32(0.1)) / np.float32(parts))
    borders = np.where(place < (parts + 1) // 2, float(np.float32(0.1)) + place * step, 1 - (parts - place) * step).astype(np.float32)
    return (borders[:-1] + borders[1:]) / np.float32(2)


@cache
def _code_of_place() -> NDArray[np.int64]:
    book = _code_book()
    values = np.arange(_PLACES + 1, dtype=np.float32) / np.float32(_PLACES) * np.float32(2) - np.float32(1)
    return np.searchsorted((book[:-1] + book[1:]) / np.float32(2), values, side="left")
