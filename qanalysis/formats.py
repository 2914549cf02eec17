"""Which numbers can a code stand for? Number formats as values, and the grids an integer format lays over a range.

A grid maps a code c to (c - zero_point) * step. All arithmetic is float32, as the back ends do it; q = 2^(bits-1) - 1.
A group whose step could not be inverted in float32 (all zeros, or below about 1e-38) gets step 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# 1/step is finite in float32 between these.
SMALLEST_STEP, LARGEST_STEP = np.float32(2**-127), np.finfo(np.float32).max


@dataclass(frozen=True, slots=True)
class IntegerFormat:
    """Integers of `bits` bits, 2 to 16; text form "int4"."""

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"int{self.bits}: integer formats have 2 to 16 bits")

    def __str__(self) -> str:
        return f"int{self.bits}"

    @property
    def max_code(self) -> int:
        """The largest signed code, q = 2^(bits-1) - 1."""
        return (1 << (self.bits - 1)) - 1

    @property
    def min_code(self) -> int:
        """-2^(bits-1), the smallest signed code."""
        return -(1 << (self.bits - 1))


FORMATS: dict[str, IntegerFormat] = {str(IntegerFormat(bits)): IntegerFormat(bits) for bits in range(2, 17)}


def parse_format(text: str) -> IntegerFormat:
    """The format named `text`; ValueError lists what there is.

    >>> parse_format("int4").max_code
    7
    """
    if text in FORMATS:
        return FORMATS[text]
    if re.fullmatch(r"int\d+", text):
        raise ValueError(f"format {text!r}: integer formats have 2 to 16 bits")
    raise ValueError(f"format {text!r} is unknown; formats are int2 to int16")


@dataclass(frozen=True, slots=True)
class ScaleType:
    """The type that steps are stored in: its word, its size in bits, and the rounding of a step to it.

    `fit` takes the step, the largest magnitude the grid must reach and the exponent b of its top code (about 2^b).
    """

    name: str
    bits: int
    fit: Callable[[Floats, Floats, int], Floats]


def _to_type(dtype: type) -> Callable[[Floats, Floats, int], Floats]:
    largest = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]

    def fit(step: Floats, _reach: Floats, _top_exponent: int) -> Floats:
        return np.minimum(step, np.float32(largest)).astype(dtype).astype(np.float32)

    return fit


def _covering_power(step: Floats, _reach: Floats, _top_exponent: int) -> Floats:
    return _power_of_two(_ceil_log2(step))


def _source_power(_step: Floats, reach: Floats, top_exponent: int) -> Floats:
    return _power_of_two(_ceil_log2(reach) - top_exponent)


def _library_power(_step: Floats, reach: Floats, top_exponent: int) -> Floats:
    return _power_of_two(np.frexp(reach)[1] - 1 - (top_exponent - 1))


def _ceil_log2(value: Floats) -> NDArray[np.int32]:
    # value = m 2^e with m in [0.5, 1): exact, where log2 of a float can land on the wrong side of an integer.
    mantissa, exponent = np.frexp(value)
    return np.where(mantissa == 0.5, exponent - 1, exponent)


def _power_of_two(exponent: NDArray[np.int32]) -> Floats:
    # An 8-bit exponent field holds -127..127.
    return np.ldexp(np.float32(1), np.clip(exponent, -127, 127)).astype(np.float32)


SCALE_TYPES: dict[str, ScaleType] = {
    scale.name: scale
    for scale in (
        ScaleType("float32", 32, lambda step, _reach, _top: step),
        ScaleType("float16", 16, _to_type(np.float16)),
        ScaleType("bfloat16", 16, _to_type(ml_dtypes.bfloat16)),
        ScaleType("pow2", 8, _covering_power),
        ScaleType("pow2:source", 8, _source_power),
        ScaleType("pow2:library", 8, _library_power),
    )
}


@dataclass(frozen=True, slots=True)
class Grid:
    """One uniform grid per group: `step` of shape (groups,), codes code_min..code_max for all.

    `zero_points` and `unused` are None where no group has one: a sweep lays millions of groups and looks at each only once.
    `smallest` and `largest` are the extreme steps of the groups in use.
    """

    step: Floats
    code_min: int
    code_max: int
    smallest: float
    largest: float
    zero_points: Floats | None = None
    unused: NDArray[np.bool_] | None = None

    @property
    def zero_point(self) -> Floats:
        """The code of 0 in each group, (groups,)."""
        return np.zeros_like(self.step) if self.zero_points is None else self.zero_points

    @property
    def idle(self) -> NDArray[np.bool_]:
        """Groups without a signal (all zeros, or too small to invert), whose step of 1 says nothing about the data; (groups,)."""
        return np.zeros(self.step.shape, np.bool_) if self.unused is None else self.unused

    @property
    def inverse(self) -> Floats:
        """1/step, rounded once."""
        return np.float32(1) / self.step

    @property
    def end_codes(self) -> tuple[Floats, Floats]:
        """Smallest and largest code relative to the zero point: (groups,), or (1,) where one pair serves all groups."""
        zero_points = np.zeros(1, np.float32) if self.zero_points is None else self.zero_points
        return np.float32(self.code_min) - zero_points, np.float32(self.code_max) - zero_points


@dataclass(frozen=True, slots=True)
class Symmetry:
    """How an integer format's codes are laid over a range (low, high): the convention's word and its two formulas.

    `step` gives the ideal step from (low, high, format); `signed` says that the codes are signed and zero has code 0,
    otherwise codes start at 0 and a zero point is stored for each group.
    """

    name: str
    step: Callable[[Floats, Floats, IntegerFormat], NDArray[Any]]
    low_code: Callable[[IntegerFormat], int]
    high_code: Callable[[IntegerFormat], int]
    signed: bool = True

    def lay_grid(self, low: Floats, high: Floats, fmt: IntegerFormat, *, scale: ScaleType = SCALE_TYPES["float32"]) -> Grid:
        """The grid of `fmt` over low..high, arrays of shape (groups,); ranges are widened to hold zero.

        >>> SYMMETRIES["sym"].lay_grid(np.float32([-0.7]), np.float32([0.35]), IntegerFormat(4)).step
        array([0.1], dtype=float32)
        """
        low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        step: Floats = self.step(low, high, fmt)
        smallest, largest, unused = step.min(), step.max(), None
        if not SMALLEST_STEP <= smallest <= largest <= LARGEST_STEP:
            unused = ~_is_invertible(step)
            step = np.where(unused, np.float32(1), step)
        if scale.name != "float32":
            reach: Floats = np.maximum(-low, high) if self.signed else high / np.float32(2) - low / np.float32(2)
            fitted = scale.fit(step, reach, fmt.bits - 1)
            step = np.where(_is_invertible(fitted) if unused is None else _is_invertible(fitted) & ~unused, fitted, np.float32(1))
        if unused is not None or scale.name != "float32":
            active = step if unused is None else step[~unused]
            smallest, largest = active.min(initial=np.float32(np.inf)), active.max(initial=np.float32(0))
        code_min, code_max = self.low_code(fmt), self.high_code(fmt)
        zero_points = None if self.signed else np.clip(-np.rint(low / step), np.float32(code_min), np.float32(code_max))
        return Grid(step, code_min, code_max, float(smallest), float(largest), zero_points, unused)


def _is_invertible(step: Floats) -> NDArray[np.bool_]:
    return (step >= SMALLEST_STEP) & (step <= LARGEST_STEP)


def _asymmetric_step(low: Floats, high: Floats, fmt: IntegerFormat) -> Floats:
    codes = np.float32(2**fmt.bits - 1)
    with np.errstate(over="ignore"):
        step = (high - low) / codes
    # Only a range beyond the largest float32 needs the split form, which rounds twice.
    return np.where(np.isfinite(step), step, high / codes - low / codes)


SYMMETRIES: dict[str, Symmetry] = {
    symmetry.name: symmetry
    for symmetry in (
        Symmetry("sym", lambda lo, hi, f: np.maximum(-lo, hi) / np.float32(f.max_code), lambda f: -f.max_code, lambda f: f.max_code),
        Symmetry("sym-full", lambda lo, hi, f: np.maximum(-lo, hi) / np.float32((2**f.bits - 1) / 2), lambda f: f.min_code, lambda f: f.max_code),
        Symmetry(
            "sym-noclip",
            lambda lo, hi, f: np.maximum(hi / np.float32(f.max_code), -lo / np.float32(-f.min_code)),
            lambda f: f.min_code,
            lambda f: f.max_code,
        ),
        Symmetry("sym-clip", lambda lo, hi, f: np.maximum(-lo, hi) / np.float32(-f.min_code), lambda f: f.min_code, lambda f: f.max_code),
        Symmetry("asym", _asymmetric_step, lambda _f: 0, lambda f: 2**f.bits - 1, signed=False),
    )
}
