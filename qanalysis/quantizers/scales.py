"""In which type is a group's scale stored, and what does storing make of it?

A scale type rounds the step that a grid asks for; the rounded one is used for coding. Most types look at one group.
`DOUBLE` looks at all scales of a tensor, as bitsandbytes does for NF4: they lose their mean, which is kept in float32;
what is left is coded in blocks of 256 with a float32 largest magnitude each and a dynamic code book: a sign, a decimal
exponent in unary, the rest linear (Dettmers 2016; Dettmers et al. 2023, QLoRA).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats

LARGEST_FLOAT = float(np.finfo(np.float32).max)
LARGEST_HALF, LARGEST_BFLOAT16 = 65504.0, 2.0**127 * (2 - 2.0**-7)
LARGEST_E4M3, SMALLEST_NORMAL_E4M3 = 448.0, 2.0**-6
SCALES_PER_BLOCK = 256
FLOAT_BITS = 32
# The peer looks codes up by the scaled value's place among 2^16.
_PLACES = 65535

#: From the step, the largest magnitude that the grid must reach and the exponent b of its top code (about 2^b) to the
#: step as stored.
Fit = Callable[[Floats, Floats, int], Floats]


@dataclass(frozen=True, slots=True)
class ScaleType:
    """A type that steps are stored in: its word, its bits per group, the rounding of a step to it.

    `is_exact`: steps stay as computed. `is_power_of_two`: all its numbers are powers of two. `is_double`: what is
    stored of a group depends on the scales of the whole tensor. `formula` says the rounding in words, `peers` who
    stores scales so.
    """

    name: str
    bits: int
    fit: Fit
    is_exact: bool = False
    is_power_of_two: bool = False
    is_double: bool = False
    formula: str = ""
    peers: str = ""

    def __str__(self) -> str:
        return self.name

    def tensor_bits(self, groups: int) -> int:
        """Bits beside those of each group, for a tensor of so many: of doubled scales a largest magnitude per block and
        their mean.
        """
        return FLOAT_BITS * (-(-groups // SCALES_PER_BLOCK) + 1) if self.is_double else 0

    def cut(self, scale: Floats, reach: float | Floats) -> Floats:
        """Scales cut to what keeps their largest level, `reach` of them, a float32 number; the limit is one that the
        type holds.
        """
        # The upper half of the bits is a bfloat16, without its mantissa it is a power of two.
        mask = np.uint32(0xFF800000 if self.is_power_of_two else 0xFFFF0000)
        limit = (np.asarray(LARGEST_FLOAT / reach, np.float32).view(np.uint32) & mask).view(np.float32)
        return np.clip(scale, -limit, limit)


def _as_computed(step: Floats, _reach: Floats, _top_exponent: int) -> Floats:
    return step


def _to_type(dtype: type, largest: float) -> Fit:
    def fit(step: Floats, _reach: Floats, _top_exponent: int) -> Floats:
        return np.minimum(step, np.float32(largest)).astype(dtype).astype(np.float32)

    return fit


def _to_e4m3(step: Floats, _reach: Floats, _top_exponent: int) -> Floats:
    """Steps to E4M3, nearest-even and saturating; by their bits, as a cast would hold up the other threads."""
    bounded = np.clip(step, np.float32(0), np.float32(LARGEST_E4M3)).astype(np.float32, copy=False)
    bits = bounded.view(np.uint32)
    # 20 of the 23 mantissa bits go: add just below half of what they can hold, and the last bit that stays.
    last = (bits >> np.uint32(20)) & np.uint32(1)
    normal = ((bits + np.uint32(0x7FFFF) + last) & np.uint32(0xFFF00000)).view(np.float32)
    subnormal = np.rint(bounded * np.float32(512)) / np.float32(512)
    return np.where(bounded < np.float32(SMALLEST_NORMAL_E4M3), subnormal, normal)


def _to_normal_e4m3(step: Floats, reach: Floats, top_exponent: int) -> Floats:
    return _to_e4m3(np.maximum(step, np.float32(SMALLEST_NORMAL_E4M3)), reach, top_exponent)


def _by_exponent(rule: str) -> Fit:
    def fit(step: Floats, reach: Floats, top_exponent: int) -> Floats:
        return _power_of_two(find_exponent(rule, step, reach, top_exponent), top_exponent)

    return fit


def find_exponent(
    rule: str, step: NDArray[Any], reach: NDArray[Any], top_exponent: int | NDArray[np.int64]
) -> NDArray[Any]:
    """The exponent s of a power-of-two step, by the rule: covering, source or library; no bounds are kept.

    `step` is reach over the largest number at scale 1, `reach` the largest magnitude, both above 0; `top_exponent` b
    says that this number is about 2^b. Covering is ceil(log2 step); source ceil(log2 reach) - b, which misses reaches
    just below and at a power of two; library floor(log2 reach) - (b - 1).
    """
    if rule == "covering":
        return _ceil_log2(step)
    return _ceil_log2(reach) - top_exponent if rule == "source" else np.frexp(reach)[1] - 1 - (top_exponent - 1)


def _ceil_log2(value: NDArray[Any]) -> NDArray[np.int32]:
    # value = m 2^e with m in [0.5, 1): exact, where log2 of a float can land on the wrong side of an integer.
    mantissa, exponent = np.frexp(value)
    whole: NDArray[np.int32] = np.where(mantissa == 0.5, exponent - 1, exponent)
    return whole


def _power_of_two(exponent: NDArray[np.int32], top_exponent: int) -> Floats:
    # An 8-bit exponent field holds -127..127; the top code, below 2^top_exponent, must stay a float32 number.
    return np.ldexp(np.float32(1), np.clip(exponent, -127, min(127, 128 - top_exponent))).astype(np.float32)


FLOAT32 = ScaleType(
    "float32",
    32,
    _as_computed,
    is_exact=True,
    formula="the scale as computed",
    peers="torch, ONNX Runtime",
)
FLOAT16 = ScaleType(
    "float16",
    16,
    _to_type(np.float16, LARGEST_HALF),
    formula="the scale rounded to float16",
    peers="GGUF, GPTQ and AWQ checkpoints",
)
_POWERS = (
    ("pow2", "covering", "the smallest power of two that covers the largest |x|", "fixed-point back ends"),
    (
        "pow2:source",
        "source",
        "2^ceil(log2 absmax) over the power of two above the largest number",
        "Sony MCT power-of-two thresholds",
    ),
    (
        "pow2:library",
        "library",
        "2^floor(log2 absmax) over the power of two in the largest number",
        "block scales of the OCP MX formats",
    ),
)
BFLOAT16 = ScaleType(
    "bfloat16",
    16,
    _to_type(ml_dtypes.bfloat16, LARGEST_BFLOAT16),
    formula="the scale rounded to bfloat16",
    peers="torchao int4, bfloat16 checkpoints",
)
#: What any format with free scales may store, the default first.
STORED_FLOATS = (
    FLOAT32,
    FLOAT16,
    BFLOAT16,
    *(
        ScaleType(name, 8, _by_exponent(rule), is_power_of_two=True, formula=words, peers=peers)
        for name, rule, words, peers in _POWERS
    ),
)
SCALE_TYPES: dict[str, ScaleType] = {scale.name: scale for scale in STORED_FLOATS}
# What formats with blocks of their own store: named by their columns, not offered to others.
E8M0 = ScaleType("e8m0", 8, _by_exponent("library"), is_power_of_two=True)
FP8 = ScaleType("fp8_e4m3", 8, _to_e4m3, formula="its subnormals used", peers="the formula alone")
NORMAL_FP8 = ScaleType(
    "fp8_e4m3:normal",
    8,
    _to_normal_e4m3,
    formula="not below its smallest normal number",
    peers="torchao NVFP4Tensor, one-level",
)
DOUBLE = ScaleType(
    "double",
    8,
    _as_computed,
    is_double=True,
    formula="scales less their mean, in 8 bits, 256 to a second scale",
    peers="bitsandbytes compress_statistics",
)
NO_SCALE = ScaleType("none", 0, _as_computed, is_exact=True)


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


@cache
def _code_book() -> Floats:
    """256 numbers in -1..1: in each decade 10^-6..1, twice as many as in the one below, the middles of equal parts of
    0.1..1.
    """
    numbers = [np.float32(0), np.float32(1)]
    for decade in range(7):
        middles = _middles(2**decade) * np.float32(10.0 ** (decade - 6))
        numbers += [*middles, *-middles]
    return np.sort(np.array(numbers, np.float32))


def _middles(parts: int) -> Floats:
    """Middles of `parts` equal parts of 0.1..1; the borders are counted from the nearer end, as the peer's linspace
    does.
    """
    place = np.arange(parts + 1)
    step = float((np.float32(1) - np.float32(0.1)) / np.float32(parts))
    from_low, from_high = float(np.float32(0.1)) + place * step, 1 - (parts - place) * step
    borders = np.where(place < (parts + 1) // 2, from_low, from_high).astype(np.float32)
    return (borders[:-1] + borders[1:]) / np.float32(2)


@cache
def _code_of_place() -> NDArray[np.int64]:
    book = _code_book()
    values = np.arange(_PLACES + 1, dtype=np.float32) / np.float32(_PLACES) * np.float32(2) - np.float32(1)
    return np.searchsorted((book[:-1] + book[1:]) / np.float32(2), values, side="left")
