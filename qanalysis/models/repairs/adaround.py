"""Which weights should go up, which down? AdaRound learns it, so that the outputs of the layer change least.

Source: Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", arXiv 2004.10568: the level is
low + h(V) (high − low) with the rectified sigmoid h(V) = clip(1.2 σ(V) − 0.1, 0, 1), and V minimises the error of the
output, here tr(E C Eᵀ), plus λ Σ (1 − |2h − 1|^β), whose β falls from 20 to 2, so that h goes to 0 or 1. In the
end single weights go to their other level where that lowers the error: learning moves weights that are alike alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qanalysis.arrays import Doubles, Floats
from qanalysis.models.repairs.gptq import sum_errors
from qanalysis.models.repairs.levels import check_elementwise, find_neighbours
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.stages import Rounder, Rounding
from qanalysis.quantizers.quantizer import LevelQuantizer

#: The rectified sigmoid reaches beyond 0 and 1 by a tenth and is cut there.
ABOVE, BELOW = 1.1, -0.1
#: A layer takes as many steps as asked, or fewer, but at least a tenth, where each has more products than this allows.
_MOST_PRODUCTS = 4e11
_MOST_SWEEPS = 20
_LEAST_GAIN = 1e-9  # relative: what is less is rounding


@dataclass(frozen=True, slots=True)
class AdaptiveRounding(Rounder):
    """`iterations` steps of Adam at `rate`. The first `warm_up` share has no penalty; then `penalty` weighs it against
    the error, which is scaled so that nearest rounding has 1 a weight in every row: the published weight of 0.01 is for
    errors that are not scaled, and depends on how large weights and inputs are.
    """

    iterations: int = 1000
    rate: float = 0.02
    penalty: float = 10.0
    warm_up: float = 0.2
    first_beta: float = 20.0
    last_beta: float = 2.0

    def round(self, values: Floats, quantizer: LevelQuantizer, matrix: Doubles, check: Callable[[], None]) -> Rounding:
        """See `Rounder.round`; where nearest rounding has the smaller tr(E C Eᵀ), that is kept and noted."""
        check_elementwise(quantizer)
        layout = quantizer.layout
        shape = (len(matrix), -1, matrix.shape[-1])
        weights, nearest = (
            layout.to_matrix(one).astype(np.float64).reshape(shape) for one in (values, quantizer.round_trip(values))
        )
        low, high = (
            layout.to_matrix(one).astype(np.float64).reshape(shape) for one in find_neighbours(quantizer, values)
        )
        if not (matrix.any() and (low < high).any()):
            return Rounding(quantizer.round_trip(values))
        up = self._learn(weights, low, high, matrix, nearest, check)
        learned = np.where(up, high, low)
        lost = [sum_errors(one - weights, matrix) for one in (nearest, learned)]
        chosen = _flip(nearest if lost[0] < lost[1] else learned, weights, low, high, matrix, check)
        gained = sum_errors(chosen - weights, matrix) < lost[0]
        note = "" if gained else "learned rounding gained nothing; rounded to the nearest"
        return Rounding(layout.from_matrix(chosen.reshape(-1, shape[-1]).astype(np.float32)), note)

    def count_steps(self, products: float) -> int:
        """How many steps a layer takes of which each has so many products."""
        return min(self.iterations, max(int(_MOST_PRODUCTS / max(products, 1.0)), self.iterations // 10, 1))

    def _learn(
        self,
        weights: Doubles,
        low: Doubles,
        high: Doubles,
        matrix: Doubles,
        nearest: Doubles,
        check: Callable[[], None],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether each weight goes up; all arrays are (groups, rows, width)."""
        gap, offset, c = (torch.from_numpy(one).float() for one in (high - low, low - weights, matrix))
        share = (-offset / gap.where(gap > 0, torch.ones_like(gap))).clamp(0, 1)
        lost = nearest - weights
        each = (lost @ matrix * lost).sum(-1, keepdims=True) / weights.shape[-1]
        per = torch.from_numpy(1 / np.where(each > 0, each, 1.0)).float()
        v = torch.nn.Parameter(start(share))
        optimizer = torch.optim.Adam([v], lr=self.rate)
        steps = self.count_steps(float(weights.size) * weights.shape[-1])
        for step in range(steps):
            check()
            sigmoid = torch.sigmoid(v.detach())
            h = (sigmoid * (ABOVE - BELOW) + BELOW).clamp(0, 1)
            slope = ((h > 0) & (h < 1)) * sigmoid * (1 - sigmoid) * (ABOVE - BELOW)
            pull = 2 * ((offset + h * gap) @ c) * gap * per + self._press(h, step / steps)
            v.grad = pull * slope
            optimizer.step()
        return (v.detach() >= 0).numpy()

    def _press(self, h: Tensor, done: float) -> Tensor | float:
        """The slope of the penalty in h."""
        if done < self.warm_up:
            return 0.0
        left = 1 - (done - self.warm_up) / (1 - self.warm_up)
        beta = self.last_beta + (self.first_beta - self.last_beta) * left
        centred = 2 * h - 1
        return -self.penalty * 2 * beta * centred.abs() ** (beta - 1) * centred.sign()


def _flip(
    chosen: Doubles, weights: Doubles, low: Doubles, high: Doubles, matrix: Doubles, check: Callable[[], None]
) -> Doubles:
    """Move single weights to the other level, column by column, as long as the error falls by it."""
    values = chosen.copy()
    slopes = (values - weights) @ matrix
    for _ in range(_MOST_SWEEPS):
        check()
        flips = 0
        for column in range(weights.shape[-1]):
            now = values[..., column]
            step = np.where(now == low[..., column], high[..., column], low[..., column]) - now
            curvature = matrix[:, column, column, np.newaxis]
            step *= 2 * step * slopes[..., column] + step**2 * curvature < -_LEAST_GAIN * step**2 * curvature
            if step.any():
                flips += int(np.count_nonzero(step))
                values[..., column] += step
                slopes += step[..., np.newaxis] * matrix[:, np.newaxis, column, :]
        if not flips:
            break
    return np.where(np.abs(values - low) < np.abs(values - high), low, high)


def start(share: Tensor) -> Tensor:
    """V of which h is `share`, the way from the level below to the one above.

    >>> round(float(start(torch.tensor(0.7))), 8)
    0.69314718
    """
    return -torch.log((ABOVE - BELOW) / (share - BELOW) - 1)


ADAROUND = Repair("adaround", "learns which weights go up and which down", rounder=AdaptiveRounding())
