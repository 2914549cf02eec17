"""How does a scaled value become a whole number? Rounding modes as values with a text form; the draw of the stochastic
one is seeded.

A mode rounds elementwise and keeps the dtype; NaN and infinities stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats, Reals
from qanalysis.kernels import codes
from qanalysis.notation import quote


@dataclass(frozen=True, slots=True)
class Rounding:
    """One mode; text form is the word, "stochastic:SEED" for the seeded draw."""

    name: str = "nearest-even"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in ROUNDINGS:
            raise ValueError(f"round {quote(self.name)} is unknown; modes are {', '.join(ROUNDINGS)} (stochastic:SEED)")

    def __str__(self) -> str:
        return f"stochastic:{self.seed}" if self.is_stochastic else self.name

    @property
    def is_stochastic(self) -> bool:
        """Whether a draw decides, which belongs to an element's place in the tensor."""
        return self.name == "stochastic"

    @property
    def is_nearest(self) -> bool:
        """Whether the nearest whole number wins, whatever becomes of ties."""
        return self.name in ("nearest-even", "nearest-away", "half-up")

    @property
    def mode(self) -> int:
        """The number by which the compiled loops know it."""
        return codes.ROUNDINGS.index(self.name)

    def __call__(self, scaled: Reals) -> Reals:
        """Round elementwise; the draw of element i depends on the seed and on i (C order) alone.

        >>> Rounding("half-up")(np.array([2.5, -2.5, 0.3]))
        array([ 3., -2.,  0.])
        """
        rounded: Reals = ROUNDINGS[self.name](scaled, self.seed)
        return rounded


def parse_rounding(text: str) -> Rounding:
    """A rounding mode from its text form; ValueError names the forms."""
    name, colon, seed = text.partition(":")
    if name == "stochastic" and colon:
        if not re.fullmatch(r"\d{1,9}", seed):
            raise ValueError(f"round {quote(text)}: the seed is a whole number of at most 9 digits")
        return Rounding(name, int(seed))
    if name == "stochastic":
        raise ValueError(
            "round 'stochastic' needs its seed, for example stochastic:0: the same input must give the same table"
        )
    return Rounding(text)


def _away(scaled: Reals, _seed: int) -> Reals:
    whole = np.trunc(scaled)
    away: Reals = np.copysign((np.abs(scaled - whole) >= 0.5).astype(scaled.dtype), scaled)
    return whole + away


def _half_up(scaled: Reals, _seed: int) -> Reals:
    whole = np.floor(scaled)
    return whole + (scaled - whole >= 0.5)


def _stochastic(scaled: Reals, seed: int) -> Reals:
    whole = np.floor(scaled)
    draws = draw_uniform(np.arange(scaled.size, dtype=np.uint64), seed).reshape(scaled.shape)
    return whole + (draws < scaled - whole)


def draw_uniform(index: NDArray[np.uint64], seed: int) -> Floats:
    """Uniform draws in [0, 1) on a grid of 2^-24, one per index: the output function of SplitMix64 (Steele et al.
    2014).
    """
    with np.errstate(over="ignore"):
        mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


ROUNDINGS: dict[str, Callable[[Reals, int], Reals]] = {
    "nearest-even": lambda scaled, _seed: np.rint(scaled),
    "nearest-away": _away,
    "half-up": _half_up,
    "floor": lambda scaled, _seed: np.floor(scaled),
    "ceil": lambda scaled, _seed: np.ceil(scaled),
    "to-zero": lambda scaled, _seed: np.trunc(scaled),
    "stochastic": _stochastic,
}
