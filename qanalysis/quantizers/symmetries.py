"""How are integer codes laid over a range? The conventions that tools mean by the same words, as values.

q = 2^(bits-1) - 1 is the largest signed code; ranges are widened to hold zero. Steps are float32, each operation
rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.notation import quote
from qanalysis.quantizers.coders import Coder, IntegerCoder
from qanalysis.quantizers.grids import LARGEST_STEP, SMALLEST_STEP, Grid, is_invertible
from qanalysis.quantizers.scales import FLOAT32, LARGEST_FLOAT, ScaleType
from qanalysis.quantizers.statistics import Range

ONE, HALF, TWO = np.float32(1), np.float32(0.5), np.float32(2)


@dataclass(frozen=True, slots=True)
class Symmetry:
    """How an integer format's codes are laid over a range: the convention's word, its step, its end codes.

    `step` gives the ideal step from low, high and q, float32, which broadcast: a column of q gives the steps of many
    widths; `ends` the lowest and the highest code from q. `signed`: zero has code 0, otherwise codes start at 0 and a
    zero point is stored for each group. `by_largest`: the step follows the largest magnitude alone. `divisor` and
    `formula` say the step in words, `users` who means this by a bare "int4": templates for `describe`. `peers` are the
    tools whose values it was checked equal to, in words.
    """

    name: str
    step: Callable[[Floats, Floats, Floats | np.float32], NDArray[Any]]
    ends: Callable[[int], tuple[int, int]]
    divisor: str
    formula: str
    users: str
    peers: str = "no tool checked"
    signed: bool = True
    by_largest: bool = True

    def __str__(self) -> str:
        return self.name

    def describe(self, largest_code: int) -> tuple[str, str, str]:
        """Divisor, formula and users in words, for the integers with this q.

        >>> SYMMETRIES["sym-noclip"].describe(7)[0]
        'max / 7, −min / 8'
        """
        q = largest_code
        numbers = {"q": q, "more": q + 1, "middle": q + 0.5, "all": 2 * q + 1}
        return self.divisor.format(**numbers), self.formula.format(**numbers), self.users.format(**numbers)

    def find_coder(self, largest_code: int) -> IntegerCoder:
        """The codes that serve, for the integers with this q."""
        return IntegerCoder(*self.ends(largest_code))

    def lay_grid(self, found: Range, largest_code: int, *, scale: ScaleType = FLOAT32) -> Grid:
        """The grid of the integers with this q over the ranges of all groups.

        >>> SYMMETRIES["sym"].lay_grid(Range(np.float32([-0.7]), np.float32([0.35])), 7).step
        array([0.1], dtype=float32)
        """
        widened = Range(np.minimum(found.low, np.float32(0)), np.maximum(found.high, np.float32(0)))
        coder = self.find_coder(largest_code)
        step: Floats = self.step(widened.low, widened.high, np.float32(largest_code))
        smallest, largest, unused = step.min(), step.max(), None
        if not SMALLEST_STEP <= smallest <= largest <= LARGEST_STEP:
            unused = ~is_invertible(step)
            step = np.where(unused, np.float32(1), step)
        if not scale.is_exact:
            reach: Floats = widened.largest if self.signed else widened.high / TWO - widened.low / TWO
            fitted = scale.fit(step, reach, (coder.high_code - coder.low_code).bit_length() - 1)
            usable = is_invertible(fitted) if unused is None else is_invertible(fitted) & ~unused
            step = np.where(usable, fitted, ONE)
        if unused is not None or not scale.is_exact:
            active = step if unused is None else step[~unused]
            smallest, largest = active.min(initial=np.float32(np.inf)), active.max(initial=np.float32(0))
        zero_points = self._find_zero_points(widened.low, step, coder)
        if float(largest) * max(-coder.low, coder.high) > LARGEST_FLOAT:
            farthest: float | Floats = max(-coder.low, coder.high)
            if zero_points is not None:
                farthest = np.maximum(zero_points, np.float32(coder.high) - zero_points)
            step = scale.cut(step, farthest)
            largest, zero_points = step.max(), self._find_zero_points(widened.low, step, coder)
        return Grid(step, coder, float(smallest), float(largest), zero_points, unused)

    def _find_zero_points(self, low: Floats, step: Floats, coder: Coder) -> Floats | None:
        return None if self.signed else np.clip(-np.rint(low / step), np.float32(coder.low), np.float32(coder.high))


def _step_of_span(low: Floats, high: Floats, q: Floats | np.float32) -> Floats:
    codes = TWO * q + ONE
    with np.errstate(over="ignore"):
        step = (high - low) / codes
    # Only a range beyond the largest float32 needs the split form, which rounds twice.
    return np.where(np.isfinite(step), step, high / codes - low / codes)


SYMMETRIES: dict[str, Symmetry] = {
    symmetry.name: symmetry
    for symmetry in (
        Symmetry(
            "sym",
            lambda low, high, q: np.maximum(-low, high) / q,
            lambda q: (-q, q),
            divisor="absmax / {q}",
            formula="step = largest |x| / {q}, codes −{q} to {q}; nothing clips",
            users="torch fake_quantize ±{q}, optimum-quanto",
            peers="torch fake_quantize, torchao",
        ),
        Symmetry(
            "sym-full",
            lambda low, high, q: np.maximum(-low, high) / (q + HALF),
            lambda q: (-q - 1, q),
            divisor="absmax / {middle:g}",
            formula="step = largest |x| / {middle:g}, codes −{more} to {q}; the ends lie half a step off",
            users="torchao SYMMETRIC, compressed-tensors",
            peers="torchao SYMMETRIC, compressed-tensors",
        ),
        Symmetry(
            "sym-noclip",
            lambda low, high, q: np.maximum(high / q, -low / (q + ONE)),
            lambda q: (-q - 1, q),
            divisor="max / {q}, −min / {more}",
            formula="step = the larger of max / {q} and −min / {more}, codes −{more} to {q}; nothing clips",
            users="torchao SYMMETRIC_NO_CLIPPING_ERR",
            peers="torchao SYMMETRIC_NO_CLIPPING_ERR",
            by_largest=False,
        ),
        Symmetry(
            "sym-clip",
            lambda low, high, q: np.maximum(-low, high) / (q + ONE),
            lambda q: (-q - 1, q),
            divisor="absmax / {more}",
            formula="step = largest |x| / {more}, codes −{more} to {q}; a positive one clips by a step",
            users="fixed-point (Q format) code",
        ),
        Symmetry(
            "asym",
            _step_of_span,
            lambda q: (0, 2 * q + 1),
            divisor="(max − min) / {all}",
            formula="step = (max − min) / {all}, 0 inside the range; each group stores the code of 0",
            users="torchao ASYMMETRIC, compressed-tensors",
            peers="torch fake_quantize, torchao ASYMMETRIC",
            signed=False,
            by_largest=False,
        ),
    )
}


def parse_symmetry(text: str) -> Symmetry:
    """A symmetry convention from its word; ValueError lists them."""
    if text not in SYMMETRIES:
        raise ValueError(f"symmetry {quote(text)} is unknown; conventions are {', '.join(SYMMETRIES)}")
    return SYMMETRIES[text]
