"""The levels of every format that is not intN, listed from bit patterns, and each rounding mode by its definition.

Written from the OCP FP8 and MX v1.0 specifications, IEEE 754 and the NF4 levels of QLoRA; the package is not asked.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from tests.reference import F, Span, draw

ZERO = F(0)
# name: (exponent bits, mantissa bits, bias, codes of the largest exponent that stand for no number)
FLOATS = {
    "fp8_e4m3": (4, 3, 7, 1),
    "fp8_e5m2": (5, 2, 15, 4),
    "fp6_e2m3": (2, 3, 1, 0),
    "fp6_e3m2": (3, 2, 3, 0),
    "fp4_e2m1": (2, 1, 1, 0),
    "bfloat16": (8, 7, 127, 128),
    "float16": (5, 10, 15, 1024),
}
NF4 = (
    *(
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
    ),
    *(
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ),
)


# --- levels -------------------------------------------------------------------------------------------------------


def decode_bits(code: int, name: str) -> float:
    """The value of a bit pattern: sign, exponent, mantissa; NaN or infinity where the format says so."""
    exponent_bits, mantissa_bits, bias, specials = FLOATS[name]
    magnitude = code & ((1 << (exponent_bits + mantissa_bits)) - 1)
    sign = -1.0 if code >> (exponent_bits + mantissa_bits) else 1.0
    if magnitude >= (1 << (exponent_bits + mantissa_bits)) - specials:
        # IEEE formats spend a whole exponent, its first code on infinity; E4M3 has one NaN per sign.
        return sign * math.inf if specials > 1 and magnitude & ((1 << mantissa_bits) - 1) == 0 else math.nan
    return sign * _magnitude(magnitude, mantissa_bits, bias)


def _magnitude(pattern: int, mantissa_bits: int, bias: int) -> float:
    exponent, mantissa = pattern >> mantissa_bits, pattern & ((1 << mantissa_bits) - 1)
    whole = mantissa + (1 << mantissa_bits) if exponent else mantissa
    return math.ldexp(whole, max(exponent, 1) - bias - mantissa_bits)


@dataclass(frozen=True)
class Ladder:
    """Magnitudes a format could hold with exponents without end, number k being pattern k, and the patterns of its own largest ones."""

    magnitudes: list[float]
    top: int
    bottom: int

    @property
    def high(self) -> float:
        return self.magnitudes[self.top]

    @property
    def low(self) -> float:
        return -self.magnitudes[self.bottom]

    @property
    def widest_gap(self) -> float:
        """The top binade's."""
        return self.high - self.magnitudes[self.top - 1]


@cache
def list_levels(name: str) -> Ladder:
    """The ladder of a float format, or of MXINT8's k/64, k = -128..127."""
    if name == "int8/64":
        return Ladder([k / 64 for k in range(1024)], 127, 128)
    exponent_bits, mantissa_bits, bias, specials = FLOATS[name]
    top = (1 << (exponent_bits + mantissa_bits)) - specials - 1
    endless = [_magnitude(pattern, mantissa_bits, bias) for pattern in range((130 + bias) << mantissa_bits)]
    return Ladder(endless, top, top)


def round_to_ladder(s: np.float32, ladder: Ladder, mode: str, place: int) -> float:
    """`s` as one of the ladder's levels, by the definition of each rounding mode; infinities stay."""
    value = float(s)
    if not math.isfinite(value):
        return value
    sign, magnitude = math.copysign(1, value), abs(value)
    below = bisect_right(ladder.magnitudes, magnitude) - 1
    if ladder.magnitudes[below] == magnitude:
        return value
    lower, upper = ladder.magnitudes[below], ladder.magnitudes[below + 1]
    middle = (lower + upper) / 2
    if mode.startswith("stochastic"):
        floor, gap = (lower, upper - lower) if sign > 0 else (-upper, upper - lower)
        rises = draw(place, int(mode.partition(":")[2])) < float(
            F(float((Fraction(value) - Fraction(floor)) / Fraction(gap)))
        )
        return floor + gap if rises else floor
    outward = {
        "nearest-even": magnitude > middle or (magnitude == middle and below % 2 == 1),
        "nearest-away": magnitude >= middle,
        "half-up": magnitude > middle or (magnitude == middle and sign > 0),
        "to-middle": magnitude > middle,
        "floor": sign < 0,
        "ceil": sign > 0,
        "to-zero": False,
    }[mode]
    return sign * (upper if outward else lower)


# --- one block ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Levels:
    """What one block makes of an element: `round` gives its unclipped unit level, then y = unit * scale + centre."""

    round: Callable[[np.float32, int], float]
    low: float
    high: float
    gap: float
    scale: np.float32
    centre: np.float32 = ZERO
    idle: bool = False
    # For levels without codes beyond the ends: how far past the low and the high one x counts as clipped, in scales.
    slack: tuple[float, float] | None = None

    def decode(self, unit: float) -> np.float32:
        clipped = unit if math.isnan(unit) else min(max(unit, self.low), self.high)
        with np.errstate(over="ignore", invalid="ignore"):
            return F(F(F(clipped) * self.scale) + self.centre)

    def is_outside(self, x: np.float32, unit: float) -> bool:
        if self.slack is None:
            return not self.low <= unit <= self.high
        return (
            bool(self.scale)
            and not self.low - self.slack[0] <= float(x) / float(self.scale) <= self.high + self.slack[1]
        )

    @property
    def span(self) -> Span:
        if not self.scale:
            # Nothing to measure errors in, and no end level for a value to lie beyond.
            return Span(math.inf, -math.inf, math.inf, self.idle)
        low, high = sorted(end * float(self.scale) + float(self.centre) for end in (self.low, self.high))
        return Span(float(F(self.gap) * abs(self.scale)), low, high, self.idle)


def on_ladder(name: str, scale: np.float32, inverse: np.float32, mode: str, *, idle: bool = False) -> Levels:
    ladder = list_levels(name)

    def round_one(x: np.float32, place: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return round_to_ladder(F(x * inverse), ladder, mode, place)

    return Levels(round_one, ladder.low, ladder.high, ladder.widest_gap, scale, idle=idle)


@cache
def list_dynamic_code_book() -> list[np.float32]:
    """The 256 values of 8-bit dynamic quantization (Dettmers 2015): seven decades, each decade's mantissas twice as dense."""
    book = [F(0), F(1)]
    for decade in range(7):
        count = 2**decade
        step = float((F(1) - F(0.1)) / F(count))
        # From the nearer end, so that both ends are exact.
        borders = [
            F(float(F(0.1)) + step * k) if 2 * k <= count else F(1 - step * (count - k)) for k in range(count + 1)
        ]
        for low, high in itertools.pairwise(borders):
            value = F(10.0 ** (decade - 6)) * F(F(low + high) / F(2))
            book += [value, -value]
    return sorted(book)
