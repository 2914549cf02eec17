"""Which layer hurts most? Ranks by one column, for every scheme, target and mode by itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.models.sensitivity.intervals import Resampling
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.models.sensitivity.tabulating import Judged
from qanalysis.models.sensitivity.ties import NOTHING, rank_damages
from qanalysis.notation import quote
from qanalysis.results.columns import columns_of

#: Columns that say how much a layer hurts, and those that say it of weights alone.
METRICS = {one.name: one for one in columns_of(SensitivityRow) if one.better is not None}


def check_metric(metric: str) -> None:
    """ValueError for a column that layers can not be ranked by."""
    if metric not in METRICS:
        raise ValueError(f"metric {quote(metric)}: layers are ranked by one of {', '.join(METRICS)}")


def find_damage(judged: Judged, metric: str) -> float:
    """How much a cell hurts by a column, a larger number hurts more; NaN where it is not known."""
    if metric in judged.estimates:
        return judged.estimates[metric].damage if not math.isnan(judged.estimates[metric].value) else math.nan
    value = judged.closed.get(metric, math.nan)
    return -value if METRICS[metric].better == "higher" else value


def rank_cells(
    judged: Sequence[Judged],
    metric: str,
    resampling: Resampling | None,
    in_noise: Sequence[bool] | None = None,
) -> list[Mapping[str, Any]]:
    """The cells `rank` and `tie_group` of each row; none where the metric is not known.

    With all layers changed but one, that one hurts most without which the least damage is left.
    """
    noisy = in_noise or [False] * len(judged)
    rankings = defaultdict[tuple[str, str, str], list[int]](list)
    for place, one in enumerate(judged):
        cell = one.one.cell
        if one.one.status == "ok" and not math.isnan(find_damage(one, metric)):
            rankings[(str(cell.scheme), cell.target, cell.mode)].append(place)
    found: list[Mapping[str, Any]] = [{} for _ in judged]
    for (_scheme, _target, mode), places in rankings.items():
        chosen = [judged[place] for place in places]
        damage = np.array([find_damage(one, metric) for one in chosen])
        drawn = None
        if resampling is not None and all(metric in one.estimates for one in chosen):
            drawn = np.stack([one.estimates[metric].damages for one in chosen], axis=1)
        noise = [noisy[place] and mode != "disable-one" for place in places]
        if mode == "disable-one":
            damage, drawn = _turn(damage, damage), None if drawn is None else _turn(drawn, damage)
        samples = resampling.groups if resampling is not None else 1
        for place, told in zip(places, rank_damages(damage, drawn, samples=samples, in_noise=noise), strict=True):
            found[place] = asdict(told)
    return found


def _turn(values: Doubles, damage: Doubles) -> Doubles:
    """Damages with their sign turned; one of none at all stays finite, far beyond all others."""
    finite = damage[np.isfinite(damage)]
    least = (float(finite.min()) if finite.size else 0.0) - NOTHING
    turned: Doubles = -np.maximum(np.nan_to_num(values, nan=least), least)
    return turned
