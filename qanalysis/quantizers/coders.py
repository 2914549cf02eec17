"""Which numbers does a format hold at scale 1, and which of them does a scaled value become?

A coder rounds scaled float32 values to its numbers without clipping them: what lies beyond `low`..`high` is clipped
later, and counted. `levels` are all its numbers, ascending. The compiled loops know a coder by its `kind` and
`parameters`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Floats
from qanalysis.kernels.codes import BIASED, FLOAT, INTEGER, MOST_THRESHOLDS, SIGN, TABLE

Round = Callable[[NDArray[Any]], NDArray[Any]]


class Coder(ABC):
    """Numbers at scale 1 and the rounding to them. Coders are frozen and compared by value.

    `kind` is the number by which the compiled loops know a sort of coder, `parameters` what they take of one.
    `own_rounding` says how a coder rounds that leaves the scheme no choice; `is_uniform`, whether its numbers stand at
    equal distances.
    """

    __slots__ = ()
    kind: ClassVar[int]
    is_uniform: ClassVar[bool] = False

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
    def levels(self) -> Doubles:
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
    def bits(self) -> int:
        """Bits that tell the numbers apart."""
        return (self.levels.size - 1).bit_length()

    @property
    def top_exponent(self) -> int:
        """Exponent of the largest number's octave, floor(log2 high)."""
        _mantissa, exponent = math.frexp(self.high)
        return exponent - 1

    @property
    def edges(self) -> tuple[float, float] | None:
        """Where a value counts as clipped, at scale 1; None where its rounded code tells."""
        return None

    @property
    def own_rounding(self) -> str:
        """How it rounds, in words; empty where the scheme's rounding has its say."""
        return ""

    @abstractmethod
    def to_codes(self, numbers: Floats) -> Floats:
        """The codes of numbers at scale 1, as whole floats; NaN stays NaN."""

    @abstractmethod
    def from_codes(self, codes: Floats) -> Floats:
        """The number of each code."""

    @abstractmethod
    def round(self, x: Floats, coding: Floats, rounding: Round) -> Floats:
        """What `x` wants to be at scale 1, before clipping.

        `coding`, broadcast against x, is what the grid says of the groups: the factor that brings values to scale 1,
        unless the coder says otherwise.
        """


class WholeCoder(Coder):
    """Whole numbers low_code..high_code, which are their own codes."""

    __slots__ = ()
    low_code: int
    high_code: int
    is_uniform: ClassVar[bool] = True

    @property
    def bits(self) -> int:
        return (self.high_code - self.low_code).bit_length()

    @property
    def low(self) -> float:
        return float(self.low_code)

    @property
    def high(self) -> float:
        return float(self.high_code)

    @property
    def levels(self) -> Doubles:
        return np.arange(self.low_code, self.high_code + 1, dtype=np.float64)

    @property
    def widest_gap(self) -> float:
        return 1.0

    def to_codes(self, numbers: Floats) -> Floats:
        return numbers + np.float32(0)  # no negative zero

    def from_codes(self, codes: Floats) -> Floats:
        return codes


@dataclass(frozen=True, slots=True)
class IntegerCoder(WholeCoder):
    """Whole numbers low_code..high_code, rounded as the scheme asks."""

    low_code: int
    high_code: int
    kind: ClassVar[int] = INTEGER

    @property
    def parameters(self) -> tuple[float, ...]:
        return self.low, self.high

    def round(self, x: Floats, coding: Floats, rounding: Round) -> Floats:
        """The nearest number, or the one that the scheme's rounding finds.

        >>> IntegerCoder(-7, 7).round(np.float32([0.75]), np.float32([10]), np.rint)
        array([8.], dtype=float32)
        """
        return rounding(x * coding)


@dataclass(frozen=True, slots=True)
class BiasedCoder(WholeCoder):
    """Whole numbers rounded as floor(scaled + bias) - floor(bias), the sum in float32: a half goes up, after the sum
    was rounded.

    GGUF's 4- and 5-bit blocks code so, with bias 8.5, 16.5 or 0.5, and codes stored from 0.
    """

    low_code: int
    high_code: int
    bias: float
    kind: ClassVar[int] = BIASED

    @property
    def parameters(self) -> tuple[float, ...]:
        """Ends and bias."""
        return self.low, self.high, self.bias

    @property
    def own_rounding(self) -> str:
        return "floor(x + 0.5), the sum in float32: halves go up"

    def round(self, x: Floats, coding: Floats, rounding: Round) -> Floats:
        """The scaled value as a whole number; the scheme's rounding has no say."""
        whole: Floats = np.floor(x * coding + np.float32(self.bias)) - np.float32(np.floor(self.bias))
        return whole


@dataclass(frozen=True, slots=True)
class FixedCoder(Coder):
    """Whole multiples of 2^-fraction_bits, with codes up to 2^(fraction_bits + 1): six of them in MXINT8.

    To the compiled loops these are the subnormal numbers of a float.
    """

    low_code: int
    high_code: int
    fraction_bits: int
    kind: ClassVar[int] = FLOAT
    is_uniform: ClassVar[bool] = True

    @property
    def low(self) -> float:
        return self.low_code * self.widest_gap

    @property
    def high(self) -> float:
        return self.high_code * self.widest_gap

    @property
    def levels(self) -> Doubles:
        return np.arange(self.low_code, self.high_code + 1, dtype=np.float64) * self.widest_gap

    @property
    def widest_gap(self) -> float:
        """2^-fraction_bits."""
        return float(2.0**-self.fraction_bits)

    @property
    def parameters(self) -> tuple[float, ...]:
        """Ends, mantissa bits and smallest exponent of that float."""
        return self.low, self.high, self.fraction_bits + 1, 1

    def to_codes(self, numbers: Floats) -> Floats:
        return numbers / np.float32(self.widest_gap)

    def from_codes(self, codes: Floats) -> Floats:
        return codes * np.float32(self.widest_gap)

    def round(self, x: Floats, coding: Floats, rounding: Round) -> Floats:
        """The nearest multiple, or the one that the scheme's rounding finds."""
        # Two factors, both exact for powers of two, as float32 may not hold their product.
        return rounding(x * coding / np.float32(self.widest_gap)) * np.float32(self.widest_gap)


class ListedCoder(Coder):
    """Few numbers without a rule, ascending; codes are places among them, from 0, and clipping begins half an end gap
    beyond the ends.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def listed(self) -> tuple[float, ...]:
        """The numbers, two or more."""

    @property
    def low(self) -> float:
        return self.listed[0]

    @property
    def high(self) -> float:
        return self.listed[-1]

    @property
    def levels(self) -> Doubles:
        return np.array(self.listed)

    @property
    def widest_gap(self) -> float:
        return max(above - below for below, above in pairwise(self.listed))

    @property
    def edges(self) -> tuple[float, float]:
        """Where the next number of a longer list would begin."""
        listed = self.listed
        return listed[0] - (listed[1] - listed[0]) / 2, listed[-1] + (listed[-1] - listed[-2]) / 2

    @property
    def parameters(self) -> tuple[float, ...]:
        return self.edges

    def to_codes(self, numbers: Floats) -> Floats:
        """Places in `levels`; NaN stays NaN."""
        return np.where(
            np.isnan(numbers),
            np.float32(np.nan),
            np.searchsorted(self.levels.astype(np.float32), numbers).astype(np.float32),
        )

    def from_codes(self, codes: Floats) -> Floats:
        """The number at each place; ValueError for a place that is none."""
        return look_up(self.levels, codes)


@dataclass(frozen=True, slots=True)
class TableCoder(ListedCoder):
    """Up to 16 numbers, ascending; the nearest wins, and a value on a midpoint goes down, or toward zero. Midpoints are
    taken in float32.
    """

    numbers: tuple[float, ...]
    ties_to_zero: bool = False
    kind: ClassVar[int] = TABLE

    @property
    def listed(self) -> tuple[float, ...]:
        return self.numbers

    @property
    def thresholds(self) -> Floats:
        """What a value must exceed to leave each number for the next; below zero a tie that goes up has its threshold
        an ulp lower.
        """
        numbers = np.array(self.numbers, np.float32)
        middle = (numbers[:-1] + numbers[1:]) / np.float32(2)
        return np.where(self.ties_to_zero & (middle < 0), np.nextafter(middle, np.float32(-np.inf)), middle)

    @property
    def parameters(self) -> tuple[float, ...]:
        """Edges, then thresholds and numbers, both filled up to their most."""
        spare = MOST_THRESHOLDS + 1 - len(self.numbers)
        return *self.edges, *map(float, self.thresholds), *[float("inf")] * spare, *self.numbers, *[self.high] * spare

    @property
    def own_rounding(self) -> str:
        return f"to the nearest level; a value midway goes {'toward zero' if self.ties_to_zero else 'down'}"

    def round(self, x: Floats, coding: Floats, rounding: Round) -> Floats:
        """The nearest number; NaN for NaN.

        >>> TableCoder((-1.0, 0.0, 0.5)).round(np.float32([0.25, 0.3]), np.float32([1]), np.rint)
        array([0. , 0.5], dtype=float32)
        """
        scaled = x * coding
        place = np.searchsorted(self.thresholds, scaled, side="left").clip(0, len(self.numbers) - 1)
        return np.where(np.isnan(scaled), scaled, np.array(self.numbers, np.float32)[place])


@dataclass(frozen=True, slots=True)
class SignCoder(ListedCoder):
    """-1 and 1, or with `has_zero` -1, 0 and 1: the sign of `x` where |x| exceeds a threshold. The sign of 0 is +1.

    What the grid says of a group is that threshold, negative where every value counts: the comparison is exact, nothing
    is scaled.
    """

    has_zero: bool
    kind: ClassVar[int] = SIGN

    @property
    def listed(self) -> tuple[float, ...]:
        """-1 and 1, and 0 between them where it is a level."""
        return (-1.0, 0.0, 1.0) if self.has_zero else (-1.0, 1.0)

    @property
    def own_rounding(self) -> str:
        return "by the sign, and by the threshold where 0 is a level"

    def round(self, x: Floats, coding: Floats, rounding: Round) -> Floats:
        """The sign, or 0 at or below the threshold.

        >>> SignCoder(has_zero=True).round(np.float32([-3, 0.5, 2]), np.float32([0.5]), np.rint)
        array([-1.,  0.,  1.], dtype=float32)
        """
        signs = np.where(np.isnan(x), x, np.where(x < 0, np.float32(-1), np.float32(1)))
        return np.where(np.abs(x) <= coding, np.float32(0), signs).astype(np.float32)


def look_up(table: Doubles, codes: Floats) -> Floats:
    """The number at each place of a table, float32; NaN stays NaN. ValueError for a place that is none."""
    known = np.where(np.isnan(codes), 0, codes).astype(np.int64)
    if known.size and not 0 <= known.min() <= known.max() < table.size:
        wrong = int(known[(known < 0) | (known >= table.size)][0])
        raise ValueError(f"code {wrong}: this format's codes are 0 to {table.size - 1}")
    return np.where(np.isnan(codes), np.float32(np.nan), table[known].astype(np.float32))
