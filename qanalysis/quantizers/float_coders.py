"""Which floating-point numbers does a format hold at scale 1, and which of them does a scaled value become?

From FP4 to bfloat16 by one rule; what all coders have in common, and when they clip, stands in `coders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Floats
from qanalysis.kernels.codes import FLOAT
from qanalysis.quantizers.coders import Coder, Round, look_up


@dataclass(frozen=True, slots=True)
class FloatCoder(Coder):
    """Floating-point numbers, IEEE 754's way: exponent bias 2^(exponent_bits-1) - 1, subnormals, finite up to
    `largest`.

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
        return -self.largest

    @property
    def high(self) -> float:
        return self.largest

    @property
    def bits(self) -> int:
        """Sign, exponent and mantissa."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def levels(self) -> Doubles:
        return _list_floats(self)

    @property
    def widest_gap(self) -> float:
        """The gap below the largest number."""
        return float(2.0 ** (self.top_exponent - self.mantissa_bits))

    @property
    def parameters(self) -> tuple[float, ...]:
        """Ends, mantissa bits, exponent of the smallest normal number."""
        return self.low, self.high, self.mantissa_bits, self.least_exponent

    def gap_at(self, magnitude: NDArray[Any]) -> Doubles:
        """Distance between neighbours around `magnitude`, 2^(exponent - mantissa_bits).

        >>> FloatCoder(2, 1, 6.0).gap_at(np.array([0.3, 1.0, 2.5, 5.0])).tolist()
        [0.5, 0.5, 1.0, 2.0]
        """
        exponent = np.maximum(np.frexp(np.float64(magnitude))[1] - 1, self.least_exponent)
        gap: Doubles = np.ldexp(1.0, exponent - self.mantissa_bits)
        return gap

    def to_codes(self, numbers: Floats) -> Floats:
        """Bit patterns as whole numbers; NaN stays NaN."""
        magnitudes = self.levels[self.levels >= 0]
        sign_bit = 2 ** (self.exponent_bits + self.mantissa_bits)
        patterns = np.searchsorted(magnitudes, np.abs(numbers)) + np.signbit(numbers) * sign_bit
        return np.where(np.isnan(numbers), np.float32(np.nan), patterns.astype(np.float32))

    def from_codes(self, codes: Floats) -> Floats:
        """The value of each bit pattern, NaN and infinite ones included.

        >>> FloatCoder(4, 3, 448.0).from_codes(np.float32([1, 126, 127, 254]))
        array([ 1.953125e-03,  4.480000e+02,           nan, -4.480000e+02],
              dtype=float32)
        """
        return look_up(_list_patterns(self), codes)

    def round(self, x: Floats, coding: Floats, rounding: Round) -> Floats:
        """The scaled value as a multiple of the gap around it; nearest-even finds the even mantissa."""
        scaled = (x * coding).astype(np.float64)
        gap = self.gap_at(np.where(np.isfinite(scaled), scaled, 1.0))
        # A quotient by a power of two is exact, and the stochastic draw is compared in float32.
        with np.errstate(over="ignore"):
            wanted: NDArray[Any] = rounding((scaled / gap).astype(np.float32)) * gap
            return wanted.astype(np.float32)


@cache
def _list_patterns(coder: FloatCoder) -> Doubles:
    """The value of each bit pattern: what follows the largest finite magnitude is infinite where a whole octave is
    left, then NaN.
    """
    magnitudes = coder.levels[coder.levels >= 0]
    spare = 2 ** (coder.exponent_bits + coder.mantissa_bits) - magnitudes.size
    beyond = np.full(spare, np.nan)
    beyond[: spare >= 2**coder.mantissa_bits] = np.inf
    magnitudes = np.concatenate([magnitudes, beyond])
    return np.concatenate([magnitudes, -magnitudes])


@cache
def _list_floats(coder: FloatCoder) -> Doubles:
    per_octave = 2**coder.mantissa_bits
    subnormal = np.arange(per_octave) * 2.0 ** (coder.least_exponent - coder.mantissa_bits)
    octaves = 2.0 ** np.arange(coder.least_exponent, coder.top_exponent + 1)
    normal = (octaves[:, np.newaxis] * (1 + np.arange(per_octave) / per_octave)).reshape(-1)
    magnitudes = np.concatenate([subnormal, normal[normal <= coder.largest]])
    levels = np.concatenate([-magnitudes[:0:-1], magnitudes])
    levels.flags.writeable = False
    return levels
