"""What is added before rounding so that the error forgets the signal? The four dithers, side by side.

Draws are in LSB. Sources: Lipshitz, Wannamaker, Vanderkooy (1992), "Quantization and dither: a theoretical survey".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.choices import DitherName, check_dither


@dataclass(frozen=True, slots=True)
class Dither:
    """One kind: how a draw is made, whether it is taken out after decoding,
    and the mean error power it leads to, over q^2/12.
    """

    name: DitherName
    draw: Callable[[np.random.Generator, tuple[int, ...]], Doubles]
    power_ratio: float
    subtracted: bool = False


def _draw_none(_rng: np.random.Generator, shape: tuple[int, ...]) -> Doubles:
    return np.zeros(shape)


def _draw_rectangle(rng: np.random.Generator, shape: tuple[int, ...]) -> Doubles:
    return rng.random(shape) - 0.5


def _draw_triangle(rng: np.random.Generator, shape: tuple[int, ...]) -> Doubles:
    return np.asarray(rng.random(shape) - rng.random(shape))


# Power over q^2/12: none 1; RPDF the mean of f (1 - f) q^2, q^2/6; TPDF q^2/4 for every input; subtractive RPDF 1 for
# every input.
_CATALOGUE = (
    Dither("none", _draw_none, 1.0),
    Dither("rpdf", _draw_rectangle, 2.0),
    Dither("tpdf", _draw_triangle, 3.0),
    Dither("subtractive", _draw_rectangle, 1.0, subtracted=True),
)
DITHERS: dict[DitherName, Dither] = {dither.name: dither for dither in _CATALOGUE}


def find_dither(name: str) -> Dither:
    """The dither of that name; ValueError names them all.

    >>> find_dither("tpdf").power_ratio
    3.0
    """
    return DITHERS[check_dither(name)]
