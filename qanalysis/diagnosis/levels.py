"""How far do groups reach over their RMS, and how far do Gaussian values? The yardstick for what a layer's shape
costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qanalysis.diagnosis.trials import SEED, LayerView, try_schemes
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Extremes

GAUSSIAN_VALUES = 1 << 20
GAUSSIAN_VALUES_SPANNING = 1 << 24


@dataclass(frozen=True, slots=True)
class Levels:
    """How far groups reach over their RMS, error-weighted, in dB: largest magnitude, half the span from lowest to
    highest.

    10 log10(sum over groups of length * reach^2 / sum x^2). `groups` is the number of equal groups that would vary as
    much.
    """

    crest_db: float
    span_db: float
    groups: float


def measure_levels(view: LayerView) -> Levels:
    """The levels of a matrix under the grouping of its scheme; spans are widened to hold zero, as every grid is."""
    layout = view.layout
    ends = Extremes.find(view.matrix, layout)
    low, high = np.minimum(ends.low.astype(np.float64), 0), np.maximum(ends.high.astype(np.float64), 0)
    lengths = _lengths(layout)
    reach = lengths * np.maximum(-low, high) ** 2
    span = lengths * (high / 2 - low / 2) ** 2
    signal = view.signal
    return Levels(
        10 * math.log10(reach.sum() / signal),
        10 * math.log10(span.sum() / signal),
        float(reach.sum() ** 2 / (reach**2).sum()),
    )


def _lengths(layout: Layout) -> NDArray[np.float64]:
    heights = np.full(layout.group_rows, layout.block_rows, np.float64)
    widths = np.full(layout.group_columns, layout.block_columns, np.float64)
    heights[-1] = layout.rows - (layout.group_rows - 1) * layout.block_rows
    widths[-1] = layout.columns - (layout.group_columns - 1) * layout.block_columns
    return np.asarray(np.outer(heights, widths).reshape(-1))


def flip_signs(view: LayerView) -> LayerView:
    """The layer with every sign drawn anew: what it would be if nothing lay to one side."""
    signs = np.random.default_rng(SEED).choice(np.array([-1, 1], np.float32), view.matrix.size)
    return LayerView(view.matrix * signs.reshape(view.matrix.shape), view.scheme)


@dataclass(frozen=True, slots=True)
class GaussianReference:
    """What independent Gaussian values in a layer of the same shape give under the same scheme."""

    sqnr_db: float
    clipping_share: float
    levels: Levels


@lru_cache(maxsize=64)
def draw_reference(scheme: Scheme, rows: int, columns: int) -> GaussianReference | None:
    """The reference, measured on a seeded draw of at most 2^20 values where groups lie in rows; None where the scheme
    does not fit.
    """
    block = scheme.grouping.lay_out((rows, columns)).block_rows
    limit = GAUSSIAN_VALUES if block == 1 else GAUSSIAN_VALUES_SPANNING
    height = min(rows, max(1, limit // columns // block) * block)
    matrix = np.random.default_rng(SEED).standard_normal((height, columns), dtype=np.float32)
    trial = try_schemes(matrix, [scheme])[0]
    if trial is None or trial.row is None or trial.row.sqnr_db is None:
        return None
    return GaussianReference(
        trial.row.sqnr_db, trial.row.clipping_share or 0.0, measure_levels(LayerView(matrix, scheme))
    )
