"""Where do a group's numbers lie? Scales, the types that store them, and how integer codes are laid over a range.

A grid maps the coder's number u to y = u * scale + centre, group by group. All arithmetic is float32, as the back ends do
it; q = 2^(bits-1) - 1. A group whose scale could not be inverted in float32 (all zeros, or below about 1e-38) gets scale 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.kernels.codes import BIASED, CENTRE_AFTER, CENTRE_BEFORE, INVERSE, PARTS, PER_STEP, SCALE, STEP
from qanalysis.quantizers.coders import Coder, IntegerCoder

# 1/scale is finite in float32 between these.
SMALLEST_STEP, LARGEST_STEP = np.float32(2**-127), np.finfo(np.float32).max
LARGEST = float(LARGEST_STEP)
LARGEST_E4M3, SMALLEST_NORMAL_E4M3 = 448.0, 2.0**-6


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


def _to_e4m3(least: float) -> Callable[[Floats, Floats, int], Floats]:
    """Steps of at least `least` to E4M3, nearest-even and saturating; by their bits, as a cast would hold up the other threads."""

    def fit(step: Floats, _reach: Floats, _top_exponent: int) -> Floats:
        bounded = np.clip(step, np.float32(least), np.float32(LARGEST_E4M3)).astype(np.float32, copy=False)
        bits = bounded.view(np.uint32)
        # 20 of the 23 mantissa bits go: add just below half of what they can hold, and the last bit that stays.
        normal = ((bits + np.uint32(0x7FFFF) + ((bits >> np.uint32(20)) & np.uint32(1))) & np.uint32(0xFFF00000)).view(np.float32)
        subnormal = np.rint(bounded * np.float32(512)) / np.float32(512)
        return np.where(bounded < np.float32(SMALLEST_NORMAL_E4M3), subnormal, normal)

    return fit


def _covering_power(step: Floats, _reach: Floats, top_exponent: int) -> Floats:
    return _power_of_two(_ceil_log2(step), top_exponent)


def _source_power(_step: Floats, reach: Floats, top_exponent: int) -> Floats:
    return _power_of_two(_ceil_log2(reach) - top_exponent, top_exponent)


def _library_power(_step: Floats, reach: Floats, top_exponent: int) -> Floats:
    return _power_of_two(np.frexp(reach)[1] - 1 - (top_exponent - 1), top_exponent)


def _ceil_log2(value: Floats) -> NDArray[np.int32]:
    # value = m 2^e with m in [0.5, 1): exact, where log2 of a float can land on the wrong side of an integer.
    mantissa, exponent = np.frexp(value)
    return np.where(mantissa == 0.5, exponent - 1, exponent)


def _power_of_two(exponent: NDArray[np.int32], top_exponent: int) -> Floats:
    # An 8-bit exponent field holds -127..127; the top code, below 2^top_exponent, must stay a float32 number.
    return np.ldexp(np.float32(1), np.clip(exponent, -127, min(127, 128 - top_exponent))).astype(np.float32)


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
# What formats with blocks of their own store: named by their columns, not offered to others.
E8M0 = ScaleType("e8m0", 8, _library_power)
FP8_SCALE = ScaleType("fp8_e4m3", 8, _to_e4m3(0.0))
NORMAL_FP8_SCALE = ScaleType("fp8_e4m3:normal", 8, _to_e4m3(SMALLEST_NORMAL_E4M3))
# Beside a tensor scale the peer stores block scales as normal numbers only.
BLOCK_FP8_SCALE = ScaleType("fp8_e4m3", 8, _to_e4m3(SMALLEST_NORMAL_E4M3))
DOUBLE = ScaleType("double", 8, lambda step, _reach, _top: step)
NO_SCALE = ScaleType("none", 0, lambda step, _reach, _top: step)


@dataclass(frozen=True, slots=True)
class Grid:
    """One grid per group: `scale` of shape (groups,), the numbers of `coder` for all.

    What is None where no group needs it: a sweep lays millions of groups and looks at each only once. `zero_points` are
    asymmetric integers' codes of 0; `encode` multiplies to scale 1 where that is not 1/scale (or is a threshold, see
    `SignCoder`); `centre` is subtracted before coding and, as stored, added after decoding; `gap` is the widest gap where
    it is not that of the coder times the scale. `smallest` and `largest` are the extreme steps of the groups in use.
    """

    scale: Floats
    coder: Coder
    smallest: float
    largest: float
    zero_points: Floats | None = None
    unused: NDArray[np.bool_] | None = None
    encode: Floats | None = None
    centre: tuple[Floats, Floats] | None = None
    gap: Floats | None = None

    @property
    def step(self) -> Floats:
        """The widest gap between neighbouring levels, (groups,); the step of a uniform grid."""
        if self.gap is not None:
            return self.gap
        if self.coder.widest_gap == 1 and self.encode is None:
            return self.scale
        with np.errstate(over="ignore"):
            return np.minimum(np.abs(self.scale) * np.float32(self.coder.widest_gap), LARGEST_STEP)

    @property
    def zero_point(self) -> Floats:
        """The code of 0 in each group, (groups,)."""
        return np.zeros_like(self.scale) if self.zero_points is None else self.zero_points

    @property
    def idle(self) -> NDArray[np.bool_]:
        """Groups without a signal (all zeros, or too small to invert), whose step says nothing about the data; (groups,)."""
        return np.zeros(self.scale.shape, np.bool_) if self.unused is None else self.unused

    @property
    def inverse(self) -> Floats:
        """What values are multiplied by: 1/scale, rounded once, unless the format codes otherwise."""
        return np.float32(1) / self.scale if self.encode is None else self.encode

    @property
    def ends(self) -> tuple[Floats, Floats]:
        """Smallest and largest number at scale 1 (codes relative to the zero point): (groups,), or (1,) where one pair serves all."""
        zero_points = np.zeros(1, np.float32) if self.zero_points is None else self.zero_points
        return np.float32(self.coder.low) - zero_points, np.float32(self.coder.high) - zero_points

    @property
    def parts(self) -> NDArray[np.float32]:
        """(6, groups): scale, inverse, 1/step (0 where a group has none), step, centre before and after, as the compiled loops take them.

        Where no centre can be its places are left as they are: nothing reads them.
        """
        parts = np.empty((PARTS, self.scale.size), np.float32)
        parts[SCALE], parts[INVERSE], parts[STEP] = self.scale, self.inverse, self.step
        if self.unused is None and self.smallest >= SMALLEST_STEP:
            np.divide(np.float32(1), parts[STEP], out=parts[PER_STEP])
        else:
            parts[PER_STEP] = np.where(is_invertible(parts[STEP]), np.float32(1) / np.maximum(parts[STEP], SMALLEST_STEP), np.float32(0))
        if self.coder.kind == BIASED:
            parts[CENTRE_BEFORE], parts[CENTRE_AFTER] = self.centre or (0, 0)
        return parts

    def take(self, choose: Callable[[Any], Any]) -> Grid:
        """The grid of some of its groups; `choose` picks them from an array (groups,)."""
        arrays = {name: getattr(self, name) for name in ("scale", "zero_points", "unused", "encode", "gap")}
        chosen: dict[str, Any] = {name: None if array is None else choose(array) for name, array in arrays.items()}
        return replace(self, **chosen, centre=self.centre and (choose(self.centre[0]), choose(self.centre[1])))

    def levels(self, group: int) -> NDArray[np.float64]:
        """All values that the group can hold, ascending, as float32 arithmetic gives them."""
        centre = np.float32(0) if self.centre is None else self.centre[1][group]
        numbers = (self.coder.levels - float(self.zero_point[group])).astype(np.float32)
        return np.sort(np.float64(numbers * self.scale[group] + centre))


def lay_scaled(
    coder: Coder,
    scale: Floats,
    *,
    stored: ScaleType = SCALE_TYPES["float32"],
    unused: NDArray[np.bool_] | None = None,
    encode: Floats | None = None,
    gap: Floats | None = None,
    centre: tuple[Floats, Floats] | None = None,
) -> Grid:
    """A grid from its parts, scales as `stored`, its steps worked out once; `unused` groups are left out of the extreme ones."""
    if max(float(scale.max()), -float(scale.min())) * coder.high > LARGEST:
        scale = cut_scales(scale, coder.high, stored)
    step = Grid(scale, coder, 0.0, 0.0, encode=encode, gap=gap).step
    active = step if unused is None else step[~unused]
    smallest, largest = active.min(initial=np.float32(np.inf)), active.max(initial=np.float32(0))
    return Grid(scale, coder, float(smallest), float(largest), unused=unused, encode=encode, gap=step, centre=centre)


def cut_scales(scale: Floats, reach: float | Floats, stored: ScaleType) -> Floats:
    """Scales cut to what keeps their largest level, `reach` of them, a float32 number; the limit is one that the `stored` type holds."""
    # The upper half of the bits is a bfloat16, without its mantissa it is a power of two.
    mask = np.uint32(0xFF800000 if stored.name.startswith("pow2") else 0xFFFF0000)
    limit = (np.asarray(LARGEST / reach, np.float32).view(np.uint32) & mask).view(np.float32)
    return np.clip(scale, -limit, limit)


def find_unused(scale: Floats) -> NDArray[np.bool_] | None:
    """Groups whose scale can not be inverted; None where all can."""
    unused = ~is_invertible(scale)
    return unused if unused.any() else None


class Integers(Protocol):
    """What a symmetry asks of an integer format."""

    @property
    def bits(self) -> int: ...
    @property
    def max_code(self) -> int: ...
    @property
    def min_code(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Symmetry:
    """How an integer format's codes are laid over a range (low, high): the convention's word and its two formulas.

    `step` gives the ideal step from (low, high, format); `signed` says that the codes are signed and zero has code 0,
    otherwise codes start at 0 and a zero point is stored for each group.
    """

    name: str
    step: Callable[[Floats, Floats, Integers], NDArray[Any]]
    low_code: Callable[[Integers], int]
    high_code: Callable[[Integers], int]
    signed: bool = True

    def lay_grid(self, low: Floats, high: Floats, fmt: Integers, *, scale: ScaleType = SCALE_TYPES["float32"]) -> Grid:
        """The grid of `fmt` over low..high, arrays of shape (groups,); ranges are widened to hold zero.

        >>> from qanalysis.quantizers.formats import IntegerFormat
        >>> SYMMETRIES["sym"].lay_grid(np.float32([-0.7]), np.float32([0.35]), IntegerFormat(4)).step
        array([0.1], dtype=float32)
        """
        low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        step: Floats = self.step(low, high, fmt)
        smallest, largest, unused = step.min(), step.max(), None
        if not SMALLEST_STEP <= smallest <= largest <= LARGEST_STEP:
            unused = ~is_invertible(step)
            step = np.where(unused, np.float32(1), step)
        if scale.name != "float32":
            reach: Floats = np.maximum(-low, high) if self.signed else high / np.float32(2) - low / np.float32(2)
            fitted = scale.fit(step, reach, fmt.bits - 1)
            step = np.where(is_invertible(fitted) if unused is None else is_invertible(fitted) & ~unused, fitted, np.float32(1))
        if unused is not None or scale.name != "float32":
            active = step if unused is None else step[~unused]
            smallest, largest = active.min(initial=np.float32(np.inf)), active.max(initial=np.float32(0))
        coder = IntegerCoder(self.low_code(fmt), self.high_code(fmt))
        zero_points = self._find_zero_points(low, step, coder)
        if float(largest) * max(-coder.low, coder.high) > LARGEST:
            farthest = max(-coder.low, coder.high) if zero_points is None else np.maximum(zero_points, np.float32(coder.high) - zero_points)
            step = cut_scales(step, farthest, scale)
            largest, zero_points = step.max(), self._find_zero_points(low, step, coder)
        return Grid(step, coder, float(smallest), float(largest), zero_points, unused)

    def _find_zero_points(self, low: Floats, step: Floats, coder: Coder) -> Floats | None:
        return None if self.signed else np.clip(-np.rint(low / step), np.float32(coder.low), np.float32(coder.high))


def is_invertible(step: Floats) -> NDArray[np.bool_]:
    """Whether 1/step is finite and the step is a positive number; (groups,)."""
    return (step >= SMALLEST_STEP) & (step <= LARGEST_STEP)


def _asymmetric_step(low: Floats, high: Floats, fmt: Integers) -> Floats:
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
