"""How do real transitions lie off the straight line?

Four shapes of integral nonlinearity, all zero at the two end transitions.

Sign: INL[k] = (T[k] - ideal) / q, so a positive INL makes codes come late. u = -1..1 runs from the first transition to
the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.choices import InlShape, check_shape
from qanalysis.converters.converter import Converter

SHAPES: dict[InlShape, Callable[[Doubles], Doubles]] = {
    "none": np.zeros_like,
    # A second harmonic, a third, the segments of a coarse-fine converter (4 of them), and the major carry at half
    # scale.
    "bow": lambda u: 1.0 - u**2,
    "s-shape": lambda u: np.sin(np.pi * u),
    "saw-tooth": lambda u: (2.0 * u) % 1.0,
    "mid-step": lambda u: np.where(u < 0, -1.0 - u, 1.0 - u),
}


@dataclass(frozen=True, slots=True)
class Inl:
    """One of SHAPES, with its peak in LSB; false where it is nothing.

    ValueError for another word or a peak that is not finite.
    """

    shape: InlShape = "none"
    peak_lsb: float = 0.0

    def __post_init__(self) -> None:
        check_shape(self.shape)
        if not math.isfinite(self.peak_lsb):
            raise ValueError(f"INL peak {self.peak_lsb} LSB is not finite")

    def __bool__(self) -> bool:
        return self.shape != "none" and self.peak_lsb != 0

    def __call__(self, u: Doubles) -> Doubles:
        """INL in LSB at positions u in -1..1, same shape.

        >>> Inl("bow", 0.5)(np.array([-1.0, 0.0, 0.5])).tolist()
        [0.0, 0.5, 0.375]
        """
        return self.peak_lsb * SHAPES[self.shape](u)

    def displace(self, x: Doubles, converter: Converter) -> Doubles:
        """INL in LSB at inputs x: how far the transitions near x lie too high; zero beyond the end transitions."""
        first, last = converter.locate_transitions([1, converter.codes - 1])
        return self(np.clip(2.0 * (x - first) / max(last - first, converter.lsb) - 1.0, -1.0, 1.0))


STRAIGHT = Inl()


@lru_cache(maxsize=8)
def bend_transitions(converter: Converter, inl: Inl) -> Doubles:
    """Transitions 0..2^n with `inl` on them, ascending and read-only;
    the first and last are those of the codes beyond the ends.

    Where the shape falls by more than a step the codes between are missing: their transitions coincide.
    """
    straight = converter.locate_transitions(np.arange(converter.codes + 1))
    bent = np.maximum.accumulate(straight + converter.lsb * inl.displace(straight, converter))
    bent.flags.writeable = False
    return bent
