"""Do measures name the same layers? Rank correlations between every two of them, and how sure they are.

Spearman's rho and Kendall's tau-b of the damages of layers, so that 1 is full agreement whatever direction is good.
Where a measure comes from outputs, samples are drawn anew, the same for both; between two measures of weights alone,
layers are. Draws add noise to ranks and so agree less than the figures themselves: the interval reaches over the
percentiles of the draws and over those mirrored at the figure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from qanalysis.arrays import Codes, Doubles
from qanalysis.models.sensitivity.intervals import LEVEL, Resampling
from qanalysis.models.sensitivity.ranking import find_damage
from qanalysis.models.sensitivity.rounding import round_figure
from qanalysis.models.sensitivity.tabulating import Judged

#: The measures that are compared; those that rank as one of them does are left out.
MEASURES = (
    "output_sqnr_db",
    "output_cosine",
    "output_kl",
    "output_kl_p99",
    "loss_delta",
    "accuracy",
    "layer_output_error",
    "imatrix_mse",
    "fisher",
    "hawq",
)
_LEAST_LAYERS = 3
#: Of very many layers, whose pairs are compared one by one, fewer draws are taken.
_MOST_PAIRS, _LEAST_DRAWS, _LAYER_DRAWS = 5_000_000, 100, 200


class Orders:
    """How damages order some layers, (layers,) or, of several draws, (draws, layers): what rank correlations need."""

    def __init__(self, damage: Doubles) -> None:
        rows = np.atleast_2d(damage)
        one, other = np.triu_indices(rows.shape[1], 1)
        first, second = rows[:, one], rows[:, other]
        # Which of a pair hurts more, as -1, 0, 1; by comparing, since two that hurt not at all have no difference.
        self._signs = (first > second).view(np.int8) - (first < second).view(np.int8)
        self._untied = np.count_nonzero(self._signs, axis=1).astype(np.float64)
        ranks = stats.rankdata(rows, axis=1)
        self._ranks = ranks - ranks.mean(axis=1, keepdims=True)
        self._squares = (self._ranks**2).sum(axis=1)

    def find_spearman(self, other: Orders) -> Doubles:
        """Pearson's correlation of ranks, ties at their mean, (draws,); NaN where one is the same for all layers."""
        return _divide((self._ranks * other._ranks).sum(axis=1), self._squares * other._squares)

    def find_kendall(self, other: Orders) -> Doubles:
        """Kendall's tau-b, (draws,): pairs in the same order less those in the opposite one, over the root of the
        product of the pairs that each does not tie; NaN where one ties all.
        """
        same = (self._signs * other._signs).sum(axis=1, dtype=np.int64)
        return _divide(same.astype(np.float64), self._untied * other._untied)


def describe_agreement(judged: Sequence[Judged], resampling: Resampling | None, *, seed: int) -> list[dict[str, Any]]:
    """One entry for every two measures that are known for the same three layers or more, for each scheme and target,
    each layer changed alone. `over` tells what was drawn; ends are null with a single sample, and all figures where one
    measure is the same for all layers.
    """
    rankings = defaultdict[tuple[str, str], list[Judged]](list)
    for one in judged:
        cell = one.one.cell
        if cell.mode == "enable-one" and one.one.status == "ok":
            rankings[(str(cell.scheme), cell.target)].append(one)
    found = list[dict[str, Any]]()
    for (scheme, target), layers in rankings.items():
        ranking = _Ranking(layers, resampling, seed)
        for a, b in combinations(MEASURES, 2):
            told = ranking.compare(a, b)
            if told:
                found.append({"a": a, "b": b, "scheme": scheme, "target": target, **told})
    return found


class _Ranking:
    """The layers of one scheme and target, and how the measures order those that two of them know."""

    def __init__(self, layers: Sequence[Judged], resampling: Resampling | None, seed: int) -> None:
        self._layers, self._resampling, self._seed = layers, resampling, seed
        self._damage = {name: np.array([find_damage(one, name) for one in layers]) for name in MEASURES}
        self._orders = dict[tuple[str, bytes], tuple[Orders, Orders | None]]()

    def compare(self, a: str, b: str) -> dict[str, Any]:
        """The correlations of two measures; empty where they know fewer than three layers."""
        known = np.flatnonzero(~(np.isnan(self._damage[a]) | np.isnan(self._damage[b])))
        if len(known) < _LEAST_LAYERS:
            return {}
        is_output = any(name in self._layers[known[0]].estimates for name in (a, b))
        (x, drawn_x), (y, drawn_y) = (self._order(name, known) for name in (a, b))
        drawn: tuple[Orders, Orders] | None = None
        if not is_output:
            places = known[np.random.default_rng(self._seed).integers(len(known), size=(_LAYER_DRAWS, len(known)))]
            drawn = Orders(self._damage[a][places]), Orders(self._damage[b][places])
        elif self._resampling is not None:
            drawn = drawn_x or x, drawn_y or y
        told: dict[str, Any] = {"layers": len(known), "over": "samples" if is_output else "layers"}
        for name, correlate in (("spearman", Orders.find_spearman), ("kendall", Orders.find_kendall)):
            value = float(correlate(x, y)[0])
            low, high = find_ends(value, correlate(*drawn)) if drawn is not None else (math.nan, math.nan)
            told |= {name: round_figure(value), f"{name}_low": round_figure(low), f"{name}_high": round_figure(high)}
        return told

    def _order(self, name: str, known: Codes) -> tuple[Orders, Orders | None]:
        """Of the figures, and of draws of samples where it is a measure of outputs."""
        key = (name, known.tobytes())
        if key not in self._orders:
            damage, drawn = self._damage[name][known], None
            if self._resampling is not None and name in self._layers[known[0]].estimates:
                kept = max(2 * _MOST_PAIRS // len(known) ** 2, _LEAST_DRAWS)
                each = [self._layers[place].estimates[name].damages[:kept] for place in known]
                drawn = Orders(np.stack(each, axis=1))
            self._orders[key] = Orders(damage), drawn
        return self._orders[key]


def find_ends(value: float, drawn: Doubles) -> tuple[float, float]:
    """The interval of a figure from those of its draws; NaN where one of them does not exist."""
    known = drawn[np.isfinite(drawn)]
    if math.isnan(value) or not known.size:
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2
    low, high = (float(end) for end in np.quantile(known, [tail, 1 - tail]))
    return max(min(low, 2 * value - high, value), -1.0), min(max(high, 2 * value - low, value), 1.0)


def _divide(part: Doubles, square: Doubles) -> Doubles:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Doubles = np.where(square > 0, part / np.sqrt(square), np.nan)
    return found
