"""What would smoothing or rotating a linear layer's input gain? Its output's error with and without, on its values.

A layer is y = a Wᵀ, a one token. Scaling a_j by 1/s_j and column j of W by s_j changes no output, nor does rotating
both by an orthogonal H; their quantized copies differ. Smoothing: s_j = max|a_j|^α / max|w_j|^(1-α) (Xiao et al. 2023,
SmoothQuant). Rotation: Hadamard matrices of the largest power of two that divides the features (Ashkboos et al. 2024,
QuaRot).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from qanalysis.arrays import Floats, Reals
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.decibels import ratio_db
from qanalysis.models.activations.turns import find_extent
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView
from qanalysis.quantizers.observing import lay_at_once
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme

#: The strengths α that are tried.
ALPHAS = tuple(round(0.1 * part, 1) for part in range(1, 10))
USUAL_ALPHA = 0.5
#: Factors stay between these, so that a dead feature or column takes no part.
_LEAST, _MOST = 1e-5, 1e5
#: Up to so many bits an error stands far above what float32 sums lose, about -115 dB.
_COARSE_BITS = 8


@dataclass(frozen=True, slots=True)
class Cure:
    """SQNR in dB of a layer's output with weights and input on one scheme: as it is, smoothed, rotated.

    None where it is not defined: no error, no output, or, of a rotation, an odd number of features. `tokens` of
    `of_tokens` were taken. Gains are over `plain_db`.
    """

    layer: str
    tensor: str
    scheme: str
    tokens: int
    of_tokens: int
    plain_db: float | None
    smooth_db: float | None
    best_alpha: float | None
    best_smooth_db: float | None
    hadamard_block: int | None
    hadamard_db: float | None
    reason: str = ""

    @property
    def smooth_gain_db(self) -> float | None:
        """By smoothing with α = 0.5."""
        return _subtract(self.smooth_db, self.plain_db)

    @property
    def best_smooth_gain_db(self) -> float | None:
        """By smoothing with the best α."""
        return _subtract(self.best_smooth_db, self.plain_db)

    @property
    def hadamard_gain_db(self) -> float | None:
        """By the rotation."""
        return _subtract(self.hadamard_db, self.plain_db)

    def describe(self) -> dict[str, Any]:
        """As a document holds it."""
        gains = ("smooth_gain_db", "best_smooth_gain_db", "hadamard_gain_db")
        return {**asdict(self), **{name: getattr(self, name) for name in gains}}


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """A layer as matrices: tokens (n, features), weight (outputs, features), and how the weight lies in its tensor."""

    name: str
    info: TensorInfo
    tokens: Floats
    weight: Floats
    of_tokens: int

    @cached_property
    def output(self) -> Floats:
        """y, (n, outputs), which no cure changes."""
        return self.tokens @ self.weight.T

    def measure(self, scheme: Scheme, tokens: Floats, weight: Floats) -> float | None:
        """SQNR in dB of the output where a changed input meets a changed weight, both on the scheme.

        Beyond 8 bits ŷ - y = (â - a) Ŵᵀ + a (Ŵ - W)ᵀ is taken apart, as a difference of float32 sums would not tell so
        small an error.
        """
        quantized_weight = self._quantize_weight(weight, scheme)
        quantized_tokens = _round_trip(tokens, scheme, ALONG_FIRST)
        if scheme.format.bits <= _COARSE_BITS:
            error = quantized_tokens @ quantized_weight.T - self.output
        else:
            error = (quantized_tokens - tokens) @ quantized_weight.T + tokens @ (quantized_weight - weight).T
        return ratio_db(self._energy(self.output), self._energy(error))

    def _quantize_weight(self, weight: Floats, scheme: Scheme) -> Floats:
        values = self.info.view.from_matrix(weight, self.info.shape)
        matrix: Floats = self.info.view.to_matrix(_round_trip(values, scheme, self.info.view))
        return matrix

    @staticmethod
    def _energy(values: Reals) -> float:
        return float(np.square(values, dtype=np.float64).sum())


def _round_trip(values: Floats, scheme: Scheme, view: MatrixView) -> Floats:
    layout = scheme.lay_out(values.shape, axis=view)
    return pass_through(values, lay_at_once(values, scheme, layout), layout, scheme.rounding).y


def try_cures(layer: LinearLayer, schemes: Sequence[Scheme]) -> list[Cure]:
    """The cures of one layer under each scheme, exact on its tokens; a scheme that does not fit has a reason."""
    return [_try(layer, scheme) for scheme in schemes]


def _try(layer: LinearLayer, scheme: Scheme) -> Cure:
    block = find_block(layer.tokens.shape[1])
    empty = Cure(
        layer.name,
        layer.info.name,
        str(scheme),
        len(layer.tokens),
        layer.of_tokens,
        None,
        None,
        None,
        None,
        block if block > 1 else None,
        None,
    )
    try:
        find_extent(scheme)
        plain = layer.measure(scheme, layer.tokens, layer.weight)
        smoothed = {alpha: layer.measure(scheme, *smooth(layer.tokens, layer.weight, alpha)) for alpha in ALPHAS}
        rotated = layer.measure(scheme, rotate(layer.tokens), rotate(layer.weight)) if block > 1 else None
    except ValueError as error:
        return replace(empty, reason=str(error))
    known = {alpha: value for alpha, value in smoothed.items() if value is not None}
    best = max(known, key=lambda alpha: known[alpha]) if known else None
    return replace(
        empty,
        plain_db=plain,
        smooth_db=smoothed[USUAL_ALPHA],
        best_alpha=best,
        best_smooth_db=None if best is None else known[best],
        hadamard_db=rotated,
    )


def smooth(tokens: Floats, weight: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Tokens (n, features) over s and weight (outputs, features) times s; a feature or column of zeros has s = 1.

    >>> tokens, weight = np.float32([[8, 1]]), np.float32([[0.5, 1]])
    >>> [part.tolist() for part in smooth(tokens, weight, 0.5)]
    [[[2.0, 1.0]], [[2.0, 1.0]]]
    """
    inputs = np.abs(tokens).max(axis=0, initial=0).astype(np.float64)
    columns = np.abs(weight).max(axis=0, initial=0).astype(np.float64)
    usable = (inputs > 0) & (columns > 0)
    factors = np.where(usable, inputs, 1) ** alpha / np.where(usable, columns, 1) ** (1 - alpha)
    kept: Floats = np.clip(np.where(usable, factors, 1), _LEAST, _MOST).astype(np.float32)
    return np.divide(tokens, kept, dtype=np.float32), np.multiply(weight, kept, dtype=np.float32)


def find_block(features: int) -> int:
    """The largest power of two that divides a number of features.

    >>> find_block(768), find_block(11008), find_block(7)
    (256, 256, 1)
    """
    return features & -features


def rotate(matrix: Floats) -> Floats:
    """Rows times a block diagonal of orthonormal Hadamard matrices, (n, features) float32.

    >>> rotate(np.float32([[1, 1, 0, 0]])).tolist()
    [[1.0, 0.0, 1.0, 0.0]]
    """
    block = find_block(matrix.shape[1])
    turned = matrix.reshape(-1, block).astype(np.float64)
    half = 1
    while half < block:
        pairs = turned.reshape(-1, block // (2 * half), 2, half)
        turned = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(-1, block)
        half *= 2
    found: Floats = (turned / np.sqrt(block)).astype(np.float32).reshape(matrix.shape)
    return found


def _subtract(cured: float | None, plain: float | None) -> float | None:
    return None if cured is None or plain is None or not np.isfinite([cured, plain]).all() else cured - plain
