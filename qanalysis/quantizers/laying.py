"""How does a group's statistic become a grid? One rule for each way in which formats make their scales.

A rule takes the format's numbers, the statistic that it names, and the type of the scale. Integers of free convention
are laid by `symmetries`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.quantizers.coders import Coder
from qanalysis.quantizers.float_coders import FloatCoder
from qanalysis.quantizers.grids import Grid, find_unused, is_invertible, keep_any, lay_scaled
from qanalysis.quantizers.scales import FLOAT16, LARGEST_E4M3, LARGEST_FLOAT, SMALLEST_NORMAL_E4M3, ScaleType
from qanalysis.quantizers.statistics import (
    DoubledScale,
    Extremes,
    LargestOfTensor,
    MeanMagnitude,
    Range,
    SignedLargest,
    Statistic,
    Threshold,
)


@dataclass(frozen=True, slots=True)
class Laying:
    """A rule, and the statistic of each group that it asks for; `offset` is the type in which a group's low end is
    stored, if it is.

    What a whole tensor adds to the statistic, `Scheme.settle` knows.
    """

    statistic: type[Statistic]
    lay: Callable[[Any, Any, ScaleType], Grid]
    offset: ScaleType | None = None


def _lay_absmax(coder: Coder, found: Range, scale: ScaleType) -> Grid:
    """Scale = max|x| / largest number, stored as the scheme says."""
    step: NDArray[Any] = found.largest / np.float32(coder.high)
    unused = find_unused(step)
    step = step if unused is None else np.where(unused, np.float32(1), step)
    if not scale.is_exact:
        fitted = scale.fit(step, found.largest, int(np.frexp(coder.high)[1]) - (coder.high == 1))
        usable = is_invertible(fitted) if unused is None else is_invertible(fitted) & ~unused
        step = np.where(usable, fitted, np.float32(1))
    return lay_scaled(coder, step, stored=scale, unused=unused)


def _lay_table(coder: Coder, found: Range | DoubledScale, scale: ScaleType) -> Grid:
    """As absmax; doubled scales are coded with the true one and decoded with the stored one."""
    if not isinstance(found, DoubledScale):
        return _lay_absmax(coder, found, scale)
    unused = find_unused(found.true)
    true: Floats = found.true if unused is None else np.where(unused, np.float32(1), found.true)
    return lay_scaled(coder, found.stored, unused=unused, inverses=np.float32(1) / true)


def _lay_power_of_two(coder: Coder, found: Range, scale: ScaleType) -> Grid:
    """Scale = 2^(floor(log2 max|x|) - exponent of the largest number) (OCP MX v1.0, 6.3)."""
    unused = found.largest == 0
    fitted = np.where(unused, np.float32(1), scale.fit(found.largest, found.largest, int(np.frexp(coder.high)[1])))
    reach = fitted.astype(np.float64) * -coder.low
    if (reach > LARGEST_FLOAT).any():
        # Two's complement reaches one code farther below, where float32 ends: such groups keep to the codes above it.
        inverses: NDArray[Any] = np.float32(1) / fitted
        turned = (reach > LARGEST_FLOAT) & (-found.low > found.high)
        inverses = np.where(turned, inverses * np.float32(coder.high / -coder.low), inverses).astype(np.float32)
        return lay_scaled(coder, fitted, unused=keep_any(unused), inverses=inverses)
    return lay_scaled(coder, fitted, unused=keep_any(unused))


def _lay_one_level(coder: Coder, found: Range, scale: ScaleType) -> Grid:
    """Block scale max|x|/6 in E4M3 alone."""
    unused = find_unused(found.largest)
    step: NDArray[Any] = found.largest / np.float32(coder.high)
    fitted = scale.fit(step, found.largest, 0)
    usable = is_invertible(fitted) if unused is None else is_invertible(fitted) & ~unused
    return lay_scaled(coder, np.where(usable, fitted, np.float32(1)), unused=unused)


def _lay_two_levels(coder: Coder, found: LargestOfTensor, scale: ScaleType) -> Grid:
    """Block scales in E4M3 times one float32 scale that lets the tensor's largest block reach 448; the peer keeps block
    scales normal numbers.
    """
    # The tensor's largest magnitude is the same in all places.
    outer = found.tensor[:1] / np.float32(LARGEST_E4M3 * coder.high)
    unused = find_unused(found.largest)
    if not is_invertible(outer).all():
        outer, unused = np.ones_like(outer), np.ones(found.largest.shape, np.bool_)
    step: NDArray[Any] = found.largest / np.float32(coder.high) / outer
    inner = scale.fit(np.maximum(step, np.float32(SMALLEST_NORMAL_E4M3)), found.largest, 0)
    return lay_scaled(coder, outer * inner, unused=unused, inverses=np.float32(1) / outer / inner)


def _lay_unscaled(coder: FloatCoder, found: Range, _scale: ScaleType) -> Grid:
    """The numbers as they are; the step of a group is the gap at its largest magnitude."""
    gaps = coder.gap_at(np.minimum(found.largest, np.float32(coder.high))).astype(np.float32)
    return lay_scaled(coder, np.ones_like(found.largest), unused=keep_any(found.largest == 0), steps=gaps)


def _lay_signs(coder: Coder, level: Floats, threshold: Floats, scale: ScaleType) -> Grid:
    """Levels +-`level` where |x| exceeds `threshold`. A group of zeros has level 0 and stays 0."""
    stored = level if scale.is_exact else scale.fit(level, level, 0)
    unused = ~(is_invertible(level) & is_invertible(stored))
    return lay_scaled(coder, np.where(unused, np.float32(0), stored), unused=keep_any(unused), thresholds=threshold)


def _lay_binary(coder: Coder, found: MeanMagnitude, scale: ScaleType) -> Grid:
    """Every value counts, so the threshold lies below all magnitudes."""
    return _lay_signs(coder, found.mean, np.full_like(found.mean, -1), scale)


def _lay_ternary(coder: Coder, found: Threshold, scale: ScaleType) -> Grid:
    return _lay_signs(coder, found.mean_above, found.threshold, scale)


def _to_half(value: Floats) -> Floats:
    return FLOAT16.fit(np.abs(value), value, 0) * np.sign(value)


def _lay_gguf(coder: Coder, scale: Floats, *, centre: tuple[Floats, Floats] | None = None) -> Grid:
    """GGUF codes with the inverse of the scale as computed, and decodes with the scale as stored, float16; it may be
    negative.
    """
    usable = is_invertible(np.abs(scale))
    stored = np.where(usable, _to_half(scale), np.float32(0))
    # Where there is no scale every code stands for the same value: the inverse must only keep infinities from becoming
    # NaN.
    inverses = np.where(usable, np.float32(1) / np.where(usable, scale, np.float32(1)), np.float32(1))
    return lay_scaled(coder, stored, unused=keep_any(stored == 0), inverses=inverses, centre=centre)


def _lay_gguf_signed(coder: Coder, found: SignedLargest, _scale: ScaleType) -> Grid:
    """The element of largest magnitude gets the lowest code exactly."""
    return _lay_gguf(coder, found.extreme / np.float32(coder.low))


def _lay_gguf_offset(coder: Coder, found: Extremes, _scale: ScaleType) -> Grid:
    """Codes from 0 over low..high, the low end stored in float16 too."""
    with np.errstate(over="ignore"):
        step: NDArray[Any] = (found.high - found.low) / np.float32(coder.high)
    return _lay_gguf(coder, step, centre=(found.low, _to_half(found.low)))


def _lay_gguf_absmax(coder: Coder, found: Range, _scale: ScaleType) -> Grid:
    step: NDArray[Any] = found.largest / np.float32(coder.high)
    return _lay_gguf(coder, step)


def _lay_gguf_power(coder: Coder, found: Range, _scale: ScaleType) -> Grid:
    """As MXFP4, with the logarithm taken in float32: just below a power of two the scale is twice as large."""
    unused = found.largest == 0
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(found.largest)) - np.float32(coder.top_exponent)
    whole = np.clip(np.where(unused, 0, exponent), -127, 127).astype(np.int32)
    scale = np.ldexp(np.float32(1), whole).astype(np.float32)
    return lay_scaled(coder, scale, unused=keep_any(unused))


ABSMAX, TABLE, UNSCALED = Laying(Range, _lay_absmax), Laying(Range, _lay_table), Laying(Range, _lay_unscaled)
POWER_OF_TWO, ONE_LEVEL, TWO_LEVELS = (
    Laying(Range, _lay_power_of_two),
    Laying(Range, _lay_one_level),
    Laying(Range, _lay_two_levels),
)
BINARY, TERNARY = Laying(MeanMagnitude, _lay_binary), Laying(Threshold, _lay_ternary)
GGUF_SIGNED, GGUF_OFFSET = Laying(SignedLargest, _lay_gguf_signed), Laying(Extremes, _lay_gguf_offset, offset=FLOAT16)
GGUF_ABSMAX, GGUF_POWER = Laying(Range, _lay_gguf_absmax), Laying(Range, _lay_gguf_power)
