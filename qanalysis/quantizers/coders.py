"""Which numbers does a format hold at scale 1, and which of them does a scaled value become?

A coder rounds scaled float32 values to its numbers without clipping them: what lies beyond `low`..`high` is clipped later,
and counted. `levels` are all its numbers, ascending. The compiled loops know a coder by its `kind` and `parameters`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.kernels.codes import BIASED, FLOAT, INTEGER, MOST_THRESHOLDS, SIGN, TABLE

Round = Callable[[NDArray[Any]], NDArray[Any]]


class Coder(ABC):
    """Numbers at scale 1 and the rounding to them. Coders are frozen and compared by value.

    `kind` is the number by which the compiled loops know a sort of coder, `parameters` what they take of one.
    """

    __slots__ = ()
    kind: ClassVar[int]

    @property
    @abstractmethod
    def low(self) -> float:
        """The smallest number."""

    @property
    @abstractmethod
    def high(self) -> float:
        """The largest number."""

    @property
    @abstractmethod
    def levels(self) -> NDArray[np.float64]:
        """All numbers, ascending; +0 and -0 are one."""

    @property
    @abstractmethod
    def widest_gap(self) -> float:
        """The largest distance between neighbours."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[float, ...]:
        """What the compiled loops need to know; the first two are the ends, or the edges where there are such."""

    @property
    def edges(self) -> tuple[float, float] | None:
        """Where a value counts as clipped, at scale 1; None where its rounded code tells."""
        return None

    @abstractmethod
    def to_codes(self, numbers: Floats) -> Floats:
        """The codes of numbers at scale 1, as whole floats; NaN stays NaN."""

    @abstractmethod
    def from_codes(self, codes: Floats) -> Floats:
        """The number of each code."""

    @abstractmethod
    def round(self, x: Floats, inverse: Floats, rounding: Round) -> Floats:
        """What `x` wants to be at scale 1, before clipping; `inverse` multiplies to scale 1 (broadcast against x)."""


@dataclass(frozen=True, slots=True)
class IntegerCoder(Coder):
    """Whole numbers low_code..high_code, rounded as the scheme asks."""

    low_code: int
    high_code: int
    kind: ClassVar[int] = INTEGER

    @property
    def low(self) -> float:
        """The smallest number."""
        return self.low_code * self.widest_gap

    @property
    def high(self) -> float:
        """The largest number."""
        return self.high_code * self.widest_gap

    @property
    def levels(self) -> NDArray[np.float64]:
        """All numbers, ascending."""
        return np.arange(self.low_code, self.high_code + 1, dtype=np.float64) * self.widest_gap

    @property
    def widest_gap(self) -> float:
        """Whole numbers stand 1 apart."""
        return 1.0

    @property
    def parameters(self) -> tuple[float, ...]:
        """Ends."""
        return self.low, self.high

    def to_codes(self, numbers: Floats) -> Floats:
        """The whole numbers."""
        return numbers / np.float32(self.widest_gap)

    def from_codes(self, codes: Floats) -> Floats:
        """The numbers."""
        return codes * np.float32(self.widest_gap)

    def round(self, x: Floats, inverse: Floats, rounding: Round) -> Floats:
        """The nearest number, or the one that the scheme's rounding finds.

        >>> IntegerCoder(-7, 7).round(np.float32([0.75]), np.float32([10]), np.rint)
        array([8.], dtype=float32)
        """
        # Two factors, both exact for powers of two, as float32 may not hold their product.
        return rounding(x * inverse / np.float32(self.widest_gap)) * np.float32(self.widest_gap)


@dataclass(frozen=True, slots=True)
class FixedCoder(IntegerCoder):
    """Whole multiples of 2^-fraction_bits, with codes up to 2^(fraction_bits + 1): six of them in MXINT8.

    To the compiled loops these are the subnormal numbers of a float.
    """

    fraction_bits: int
    kind: ClassVar[int] = FLOAT

    @property
    def widest_gap(self) -> float:
        """2^-fraction_bits."""
        return float(2.0**-self.fraction_bits)

    @property
    def parameters(self) -> tuple[float, ...]:
        """Ends, mantissa bits and smallest exponent of that float."""
        return self.low, self.high, self.fraction_bits + 1, 1


@dataclass(frozen=True, slots=True)
class BiasedCoder(IntegerCoder):
    """Whole numbers rounded as floor(scaled + bias) - floor(bias), the sum in float32: a half goes up, after the sum was rounded.

    GGUF's 4- and 5-bit blocks code so, with bias 8.5, 16.5 or 0.5, and codes stored from 0.
    """

    bias: float
    kind: ClassVar[int] = BIASED

    @property
    def parameters(self) -> tuple[float, ...]:
        """Ends and bias."""
        return self.low, self.high, self.bias

    def round(self, x: Floats, inverse: Floats, rounding: Round) -> Floats:
        """The scaled value as a whole number; the scheme's rounding has no say."""
        whole: Floats = np.floor(x * inverse + np.float32(self.bias)) - np.float32(np.floor(self.bias))
        return whole


@dataclass(frozen=True, slots=True)
class FloatCoder(Coder):
    """Floating-point numbers, IEEE 754's way: exponent bias 2^(exponent_bits-1) - 1, subnormals, finite up to `largest`.

    Rounding beyond `largest` goes on as if exponents went on. Codes are the bit patterns, sign first.
    """

    exponent_bits: int
    mantissa_bits: int
    largest: float
    kind: ClassVar[int] = FLOAT

    @property
    def least_exponent(self) -> int:
        """Exponent of the smallest normal number; below it the gap stays the same."""
        return 2 - (1 << (self.exponent_bits - 1))

    @property
    def low(self) -> float:
        """The most negative number."""
        return -self.largest

    @property
    def high(self) -> float:
        """The largest finite number."""
        return self.largest

    @property
    def top_exponent(self) -> int:
        """Exponent of the largest number's octave, floor(log2 largest)."""
        _mantissa, exponent = math.frexp(self.largest)
        return exponent - 1

    @property
    def levels(self) -> NDArray[np.float64]:
        """All numbers, ascending; +0 and -0 are one."""
        return _list_floats(self)

    @property
    def widest_gap(self) -> float:
        """The gap below the largest number."""
        return float(2.0 ** (self.top_exponent - self.mantissa_bits))

    @property
    def parameters(self) -> tuple[float, ...]:
        """Ends, mantissa bits, exponent of the smallest normal number."""
        return self.low, self.high, self.mantissa_bits, self.least_exponent

    def gap_at(self, magnitude: NDArray[Any]) -> NDArray[np.float64]:
        """Distance between neighbours around `magnitude`, 2^(exponent - mantissa_bits).

        >>> FloatCoder(2, 1, 6.0).gap_at(np.array([0.3, 1.0, 2.5, 5.0])).tolist()
        [0.5, 0.5, 1.0, 2.0]
        """
        exponent = np.maximum(np.frexp(np.float64(magnitude))[1] - 1, self.least_exponent)
        gap: NDArray[np.float64] = np.ldexp(1.0, exponent - self.mantissa_bits)
        return gap

    def to_codes(self, numbers: Floats) -> Floats:
        """Bit patterns as whole numbers; NaN stays NaN."""
        magnitudes = self.levels[self.levels >= 0]
        patterns = np.searchsorted(magnitudes, np.abs(numbers)) + np.signbit(numbers) * 2 ** (self.exponent_bits + self.mantissa_bits)
        return np.where(np.isnan(numbers), np.float32(np.nan), patterns.astype(np.float32))

    def from_codes(self, codes: Floats) -> Floats:
        """The value of each bit pattern, NaN and infinite ones included.

        >>> FloatCoder(4, 3, 448.0).from_codes(np.float32([1, 126, 127, 254]))
        array([ 1.953125e-03,  4.480000e+02,           nan, -4.480000e+02],
              dtype=float32)
        """
        return _look_up(_list_patterns(self), codes)

    def round(self, x: Floats, inverse: Floats, rounding: Round) -> Floats:
        """The scaled value as a multiple of the gap around it; nearest-even finds the even mantissa."""
        scaled = (x * inverse).astype(np.float64)
        gap = self.gap_at(np.where(np.isfinite(scaled), scaled, 1.0))
        # A quotient by a power of two is exact, and the stochastic draw is compared in float32.
        with np.errstate(over="ignore"):
            wanted: NDArray[Any] = rounding((scaled / gap).astype(np.float32)) * gap
            return wanted.astype(np.float32)


@cache
def _list_patterns(coder: FloatCoder) -> NDArray[np.float64]:
    """The value of each bit pattern: what follows the largest finite magnitude is infinite where a whole octave is left, then NaN."""
    magnitudes = coder.levels[coder.levels >= 0]
    spare = 2 ** (coder.exponent_bits + coder.mantissa_bits) - magnitudes.size
    beyond = np.full(spare, np.nan)
    beyond[: spare >= 2**coder.mantissa_bits] = np.inf
    magnitudes = np.concatenate([magnitudes, beyond])
    return np.concatenate([magnitudes, -magnitudes])


@cache
def _list_floats(coder: FloatCoder) -> NDArray[np.float64]:
    per_octave = 2**coder.mantissa_bits
    subnormal = np.arange(per_octave) * 2.0 ** (coder.least_exponent - coder.mantissa_bits)
    octaves = 2.0 ** np.arange(coder.least_exponent, coder.top_exponent + 1)
    normal = (octaves[:, np.newaxis] * (1 + np.arange(per_octave) / per_octave)).reshape(-1)
    magnitudes = np.concatenate([subnormal, normal[normal <= coder.largest]])
    levels = np.concatenate([-magnitudes[:0:-1], magnitudes])
    levels.flags.writeable = False
    return levels


class ListedCoder(Coder):
    """Few numbers without a rule; codes are places in `levels`, from 0, and clipping begins half an end gap beyond the ends."""

    __slots__ = ()

    @property
    def low(self) -> float:
        """The smallest number."""
        return float(self.levels[0])

    @property
    def high(self) -> float:
        """The largest number."""
        return float(self.levels[-1])

    @property
    def widest_gap(self) -> float:
        """The largest distance between neighbours."""
        return float(np.diff(self.levels).max())

    @property
    def edges(self) -> tuple[float, float]:
        """Where the next number of a longer list would begin."""
        gaps = np.diff(self.levels)
        return self.low - float(gaps[0]) / 2, self.high + float(gaps[-1]) / 2

    @property
    def parameters(self) -> tuple[float, ...]:
        """Edges."""
        return self.edges

    def to_codes(self, numbers: Floats) -> Floats:
        """Places in `levels`; NaN stays NaN."""
        return np.where(np.isnan(numbers), np.float32(np.nan), np.searchsorted(self.levels.astype(np.float32), numbers).astype(np.float32))

    def from_codes(self, codes: Floats) -> Floats:
        """The number at each place; ValueError for a place that is none."""
        return _look_up(self.levels, codes)


@dataclass(frozen=True, slots=True)
class TableCoder(ListedCoder):
    """Up to 16 numbers, ascending; the nearest wins, and a value on a midpoint goes down, or toward zero. Midpoints are taken in float32."""

    numbers: tuple[float, ...]
    ties_to_zero: bool = False
    kind: ClassVar[int] = TABLE

    @property
    def levels(self) -> NDArray[np.float64]:
        """The numbers."""
        return np.array(self.numbers)

    @property
    def thresholds(self) -> Floats:
        """What a value must exceed to leave each number for the next; below zero a tie that goes up has its threshold an ulp lower."""
        numbers = np.array(self.numbers, np.float32)
        middle = (numbers[:-1] + numbers[1:]) / np.float32(2)
        return np.where(self.ties_to_zero & (middle < 0), np.nextafter(middle, np.float32(-np.inf)), middle)

    @property
    def parameters(self) -> tuple[float, ...]:
        """Edges, then thresholds and numbers, both filled up to their most."""
        spare = MOST_THRESHOLDS + 1 - len(self.numbers)
        return *self.edges, *map(float, self.thresholds), *[float("inf")] * spare, *self.numbers, *[self.high] * spare

    def round(self, x: Floats, inverse: Floats, rounding: Round) -> Floats:
        """The nearest number; NaN for NaN.

        >>> TableCoder((-1.0, 0.0, 0.5)).round(np.float32([0.25, 0.3]), np.float32([1]), np.rint)
        array([0. , 0.5], dtype=float32)
        """
        scaled = x * inverse
        place = np.searchsorted(self.thresholds, scaled, side="left").clip(0, len(self.numbers) - 1)
        return np.where(np.isnan(scaled), scaled, np.array(self.numbers, np.float32)[place])


@dataclass(frozen=True, slots=True)
class SignCoder(ListedCoder):
    """-1 and 1, or with `has_zero` -1, 0 and 1: the sign of `x` where |x| exceeds a threshold. The sign of 0 is +1.

    Here `inverse` is that threshold, negative where every value counts, so that the comparison is exact.
    """

    has_zero: bool
    kind: ClassVar[int] = SIGN

    @property
    def levels(self) -> NDArray[np.float64]:
        """-1, perhaps 0, and 1."""
        return np.array([-1.0, 0.0, 1.0] if self.has_zero else [-1.0, 1.0])

    def round(self, x: Floats, inverse: Floats, rounding: Round) -> Floats:
        """The sign, or 0 at or below the threshold.

        >>> SignCoder(has_zero=True).round(np.float32([-3, 0.5, 2]), np.float32([0.5]), np.rint)
        array([-1.,  0.,  1.], dtype=float32)
        """
        signs = np.where(np.isnan(x), x, np.where(x < 0, np.float32(-1), np.float32(1)))
        return np.where(np.abs(x) <= inverse, np.float32(0), signs).astype(np.float32)


def _look_up(table: NDArray[np.float64], codes: Floats) -> Floats:
    known = np.where(np.isnan(codes), 0, codes).astype(np.int64)
    if known.size and not 0 <= known.min() <= known.max() < table.size:
        raise ValueError(f"code {int(known[(known < 0) | (known >= table.size)][0])}: this format's codes are 0 to {table.size - 1}")
    return np.where(np.isnan(codes), np.float32(np.nan), table[known].astype(np.float32))
