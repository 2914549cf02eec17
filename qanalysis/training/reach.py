"""How far does a grid reach, and which step or exponent makes it hold a magnitude? The bridge from rules to grids.

pos = m * step, with m the largest number of the format at scale 1: 2^(bits-1) - 1 of signed integers (CN111832695A).
Exponents are those of the scale types pow2, pow2:source and pow2:library (A6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Codes, Doubles
from qanalysis.quantizers.scales import find_exponent
from qanalysis.quantizers.scheme import Scheme

ExponentRule = Literal["covering", "source", "library"]
#: Below, steps would leave float32's normal numbers with room to spare (A5).
LEAST_EXPONENT = -64


@dataclass(frozen=True, slots=True)
class Reach:
    """The largest number of a scheme's format, also at other widths where it is an integer."""

    scheme: Scheme

    @property
    def is_signed(self) -> bool:
        """Whether one step serves both signs, so that the range is symmetric."""
        return self.scheme.symmetry.signed

    @property
    def is_integer(self) -> bool:
        """Whether the width can change."""
        return self.scheme.format.is_integer

    def largest(self, bits: Codes) -> Doubles:
        """M by width, (n,) float64."""
        if self.is_integer:
            return np.asarray(np.exp2(bits - 1.0) - 1, np.float64)
        return np.full(bits.shape, self.scheme.coder.high)

    def top_exponent(self, bits: Codes) -> Codes:
        """The exponent b of the top number, about 2^b; (n,)."""
        if self.is_integer:
            return bits - 1
        return np.full(bits.shape, int(np.frexp(self.scheme.coder.high)[1]) - (self.scheme.coder.high == 1))

    def exponent(self, amount: Doubles, bits: Codes, rule: ExponentRule, least: int = LEAST_EXPONENT) -> Doubles:
        """The exponent s whose grid is to hold `amount` (n,), within least..127 - bits; 0 for an amount of 0.

        >>> Reach(Scheme.parse("int8")).exponent(np.array([0.999]), np.array([8]), "source")
        array([-7.])
        """
        top = self.top_exponent(bits)
        positive = np.where(amount > 0, amount, 1.0)
        found = find_exponent(rule, positive / self.largest(bits), positive, top)
        bounded = np.clip(found, least, 126 - top)
        return np.where(amount > 0, bounded, 0).astype(np.float64)

    def cover(self, amount: Doubles, bits: Codes, rule: ExponentRule | None, least: int = LEAST_EXPONENT) -> Doubles:
        """Pos for an amount: of the exponent where a rule is given, else the amount itself (f = amount / m); a step of
        1 where the amount is 0.
        """
        m = self.largest(bits)
        if rule is not None:
            return m * np.exp2(self.exponent(amount, bits, rule, least))
        reached: Doubles = m * np.clip(
            np.where(amount > 0, amount / m, 1.0), 2.0**least, np.exp2(126.0 - self.top_exponent(bits))
        )
        return reached

    def step(self, low: ArrayLike, high: ArrayLike, bits: Codes) -> Doubles:
        """The step of an integer grid over a range, by the scheme's symmetry; of other formats the scale; (n,)."""
        first, last = np.asarray(low, np.float64), np.asarray(high, np.float64)
        if not self.is_integer:
            return np.asarray(np.maximum(-first, last) / self.largest(bits), np.float64)
        step: Callable[..., Doubles] = self.scheme.symmetry.step
        found: Doubles = step(np.minimum(first, 0), np.maximum(last, 0), self.largest(bits))
        return found
