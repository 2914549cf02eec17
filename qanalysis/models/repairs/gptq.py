"""How does GPTQ round? Column by column, and what each rounding did to the output is made good by the columns to come.

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
arXiv 2210.17323, algorithm 1: with H = C + damping and H⁻¹ = Uᵀ U, U upper triangular, column j is rounded and
(w_j − q_j) / U_jj · U_j is taken from the columns after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.models.repairs.levels import ColumnRounder, check_elementwise
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.stages import Rounder, Rounding
from qanalysis.quantizers.quantizer import LevelQuantizer

_BLOCK = 128  # columns whose errors reach the columns after them together


@dataclass(frozen=True, slots=True)
class ErrorFeedback(Rounder):
    """Rounding with error feedback. `damping` times the mean of C's diagonal is added to the diagonal; `by_activity`
    takes columns of large inputs first ("act-order"), else in their order.

    Grids, those of groups too, are laid over the original weights.
    """

    damping: float = 0.01
    by_activity: bool = False

    def round(self, values: Floats, quantizer: LevelQuantizer, matrix: Doubles, check: Callable[[], None]) -> Rounding:
        """See `Rounder.round`; where nearest rounding has the smaller tr(E C Eᵀ), that is kept and noted."""
        check_elementwise(quantizer)
        groups, _width, width = matrix.shape
        weights = quantizer.layout.to_matrix(values).astype(np.float64).reshape(groups, -1, width)
        order = self._order(matrix)
        factors = np.stack([_factor(c, one, self.damping) for c, one in zip(matrix, order, strict=True)])
        rounded = _feed_back(weights, factors, order, ColumnRounder(quantizer), check)
        nearest = quantizer.layout.to_matrix(quantizer.round_trip(values)).reshape(weights.shape)
        if sum_errors(rounded - weights, matrix) > sum_errors(nearest - weights, matrix):
            return Rounding(quantizer.round_trip(values), "error feedback gained nothing; rounded to the nearest")
        return Rounding(quantizer.layout.from_matrix(rounded.reshape(-1, width).astype(np.float32)))

    def _order(self, matrix: Doubles) -> Codes:
        """(groups, width): the columns as they are rounded."""
        diagonal = np.diagonal(matrix, axis1=1, axis2=2)
        if self.by_activity:
            return np.argsort(-diagonal, axis=1, kind="stable")
        return np.broadcast_to(np.arange(diagonal.shape[1]), diagonal.shape)


def sum_errors(errors: Doubles, matrix: Doubles) -> float:
    """tr(E C Eᵀ) over all groups: errors (groups, rows, width), matrix (groups, width, width)."""
    return float((errors @ matrix * errors).sum())


def _factor(matrix: Doubles, order: Codes, damping: float) -> Doubles:
    """U of the inverse, columns in this order. A matrix of zeros has nothing to feed back: the identity."""
    mean = float(np.mean(np.diagonal(matrix)))
    if mean <= 0:
        return np.eye(len(matrix))
    damped = matrix[np.ix_(order, order)] + damping * mean * np.eye(len(matrix))
    # H = R Rᵀ with R upper triangular, from the Cholesky factor of H turned around; then U = R⁻¹.
    upper = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    factor: Doubles = solve_triangular(upper, np.eye(len(matrix)), lower=False)
    return factor


def _feed_back(
    weights: Doubles, factors: Doubles, order: Codes, rounder: ColumnRounder, check: Callable[[], None]
) -> Doubles:
    """The rounded weights, (groups, rows, width)."""
    groups, rows, width = weights.shape
    left = np.take_along_axis(weights, order[:, np.newaxis, :], axis=2)
    rounded, errors = np.empty_like(left), np.empty_like(left)
    for start in range(0, width, _BLOCK):
        check()
        stop = min(start + _BLOCK, width)
        for column in range(start, stop):
            places = np.repeat(order[:, column], rows)
            rounded[..., column] = rounder(left[..., column].reshape(-1), places).reshape(groups, rows)
            step = factors[:, np.newaxis, column, column]
            errors[..., column] = (left[..., column] - rounded[..., column]) / step
            left[..., column:stop] -= errors[..., column, np.newaxis] * factors[:, np.newaxis, column, column:stop]
        left[..., stop:] -= errors[..., start:stop] @ factors[:, start:stop, stop:]
    restored = np.empty_like(rounded)
    np.put_along_axis(restored, np.broadcast_to(order[:, np.newaxis, :], rounded.shape), rounded, axis=2)
    return restored


GPTQ = Repair("gptq", "rounds column by column and lets later columns make good what was lost", rounder=ErrorFeedback())
GPTQ_BY_ACTIVITY = Repair(
    "gptq:act-order",
    "as gptq, columns of large inputs first",
    rounder=ErrorFeedback(by_activity=True),
)
