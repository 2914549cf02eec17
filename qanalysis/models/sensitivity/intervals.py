"""How sure is a figure? Samples are drawn anew with replacement, the same draws for all cells, and the figure is taken
of each draw.
"""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Doubles

DRAWS = 1000
LEVEL = 0.95


def draw_weights(samples: int, *, seed: int, draws: int = DRAWS) -> Doubles:
    """(draws, samples): how often each sample is drawn, with replacement, as many draws as there are samples."""
    generator = np.random.default_rng(seed)
    chances = np.full(samples, 1 / samples)
    return generator.multinomial(samples, chances, size=draws).astype(np.float64)


def find_interval(figures: Doubles, level: float = LEVEL) -> tuple[float, float]:
    """The ends between which the middle share of the draws' figures lies; NaN where a draw has none."""
    tail = (1 - level) / 2
    low, high = np.quantile(figures, [tail, 1 - tail]) if np.isfinite(figures).all() else (np.nan, np.nan)
    return float(low), float(high)
