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
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from qanalysis.arrays import Doubles
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
_LEAST_DRAWS, _MOST_PAIRS, _AT_ONCE = 200, 20_000_000, 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class _Measure:
    """One measure of some layers: (layers,), and of draws of samples, (draws, layers), None where it has none."""

    damage: Doubles
    drawn: Doubles | None


def describe_agreement(judged: Sequence[Judged], resampling: Resampling | None, *, seed: int) -> list[dict[str, Any]]:
    """One entry for every two measures that are known for the same three layers or more, for each scheme and target,
    each layer changed alone. `over` tells what was drawn; ends are null with a single sample, and all figures of a
    measure that is the same for all layers.
    """
    rankings = defaultdict[tuple[str, str], list[Judged]](list)
    for one in judged:
        cell = one.one.cell
        if cell.mode == "enable-one" and one.one.status == "ok":
            rankings[(str(cell.scheme), cell.target)].append(one)
    found = list[dict[str, Any]]()
    for (scheme, target), layers in rankings.items():
        for a, b in combinations(MEASURES, 2):
            told = _compare(layers, a, b, resampling, seed)
            if told:
                found.append({"a": a, "b": b, "scheme": scheme, "target": target, **told})
    return found


def _compare(judged: Sequence[Judged], a: str, b: str, resampling: Resampling | None, seed: int) -> dict[str, Any]:
    layers = [one for one in judged if not (math.isnan(find_damage(one, a)) or math.isnan(find_damage(one, b)))]
    if len(layers) < _LEAST_LAYERS:
        return {}
    first, second = _collect(layers, a, resampling), _collect(layers, b, resampling)
    is_output = a in layers[0].estimates or b in layers[0].estimates
    x, y = _draw_samples(first, second) if is_output else _draw_layers(first, second, seed)
    told: dict[str, Any] = {"layers": len(layers), "over": "samples" if is_output else "layers"}
    for name, correlate in (("spearman", find_spearman), ("kendall", find_kendall)):
        value = float(correlate(first.damage, second.damage)[0])
        low, high = find_ends(value, correlate(x, y))
        told |= {name: round_figure(value), f"{name}_low": round_figure(low), f"{name}_high": round_figure(high)}
    return told


def _draw_samples(first: _Measure, second: _Measure) -> tuple[Doubles, Doubles]:
    """Both measures of the same draws of samples, none with a single sample; fewer draws of very many layers, whose
    pairs are compared one by one.
    """
    layers = len(first.damage)
    kept = max(_MOST_PAIRS // (layers * (layers - 1) // 2), _LEAST_DRAWS)
    drawn = [one.drawn[:kept] for one in (first, second) if one.drawn is not None]
    count = len(drawn[0]) if drawn else 0
    x, y = (
        np.broadcast_to(one.damage, (count, layers)) if one.drawn is None else one.drawn[:kept]
        for one in (first, second)
    )
    return x, y


def _draw_layers(first: _Measure, second: _Measure, seed: int) -> tuple[Doubles, Doubles]:
    """Both measures of the same draws of layers."""
    layers = len(first.damage)
    places = np.random.default_rng(seed).integers(layers, size=(_LEAST_DRAWS, layers))
    return first.damage[places], second.damage[places]


def _collect(layers: Sequence[Judged], measure: str, resampling: Resampling | None) -> _Measure:
    damage = np.array([find_damage(one, measure) for one in layers])
    if resampling is None or any(measure not in one.estimates for one in layers):
        return _Measure(damage, None)
    return _Measure(damage, np.stack([one.estimates[measure].damages for one in layers], axis=1))


def find_ends(value: float, drawn: Doubles) -> tuple[float, float]:
    """The interval of a figure from those of its draws; NaN where one of them does not exist."""
    known = drawn[np.isfinite(drawn)]
    if math.isnan(value) or not known.size:
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2
    low, high = (float(end) for end in np.quantile(known, [tail, 1 - tail]))
    return max(min(low, 2 * value - high, value), -1.0), min(max(high, 2 * value - low, value), 1.0)


def find_spearman(a: Doubles, b: Doubles) -> Doubles:
    """Pearson's correlation of ranks, ties at their mean; (draws, layers) or (layers,) each to (draws,). NaN where one
    is the same for all layers.
    """
    ranks = [np.atleast_2d(stats.rankdata(np.atleast_2d(one), axis=1)) for one in (a, b)]
    x, y = (one - one.mean(axis=1, keepdims=True) for one in ranks)
    return _divide((x * y).sum(axis=1), (x * x).sum(axis=1) * (y * y).sum(axis=1))


def find_kendall(a: Doubles, b: Doubles) -> Doubles:
    """Kendall's tau-b, shapes as above: pairs in the same order less those in another, over the root of the product of
    the pairs that each does not tie.
    """
    a, b = np.atleast_2d(a), np.atleast_2d(b)
    one, other = np.triu_indices(a.shape[1], 1)
    step = max(1, _AT_ONCE // max(len(one), 1))
    parts = [np.zeros(0)]
    for start in range(0, len(a), step):
        x, y = (_compare_pairs(values[start : start + step], one, other) for values in (a, b))
        same = np.einsum("dp,dp->d", x, y, dtype=np.float64)
        parts.append(_divide(same, (x != 0).sum(axis=1) * (y != 0).sum(axis=1, dtype=np.float64)))
    return np.concatenate(parts)


def _compare_pairs(values: Doubles, one: Any, other: Any) -> Any:
    """Which layer of each pair hurts more, as -1, 0 and 1: comparisons, as of two that hurt not at all."""
    first, second = values[:, one], values[:, other]
    return (first > second).astype(np.float32) - (first < second).astype(np.float32)


def _divide(part: Doubles, square: Doubles) -> Doubles:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Doubles = np.where(square > 0, part / np.sqrt(square), np.nan)
    return found
