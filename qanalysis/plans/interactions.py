"""What does a sum of damages miss? Joint runs of a sensitivity say how far damages of layers together leave the sum."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: The warning has one sentence for each column, which begins with its name.
_SENTENCES = re.compile(r"(?<=\.) (?=\w+ does not add up)")
_LEAST_SETS = 3
_NOT_MEASURED = "no run of several layers together measures it"


def describe_interactions(more: Mapping[str, Any], objective: float, column: str = "output_nsr") -> dict[str, Any]:
    """The predicted damage of all tensors together, from the sum `objective` of a `column` and the block `additivity`
    of a sensitivity's document.

    `metric` is the column, `ratio` joint damage over sum, of all sets pooled; `predicted` = sum · ratio, and `low`,
    `high` its ends: the sum times the smallest and the largest ratio that any set has, within its 95 % interval where
    that leaves one, or that one more set may have, as a plan is one (the 95 % prediction interval of the ratios'
    logarithms, of three sets or more); one lies among them. `sets` is how many, `warning` the document's own. Where
    nothing of the column was measured together `note` says so and all others are None.
    """
    block = more.get("additivity")
    if not isinstance(block, Mapping) or not block:
        return _tell_nothing("the rows come without runs of several layers together: the sum stands for itself")
    told = next((one for one in (block, *_list_others(block)) if one.get("metric") == column), None)
    if told is None:
        return _tell_nothing(f"{column}: {_NOT_MEASURED}; the sum stands for itself")
    span = _find_span(told)
    if span is None:
        return _tell_nothing(f"{column}: no set of layers has a damage above chance; the sum stands for itself")
    low, ratio, high, sets = span
    ends = sorted((objective * low, objective * high))
    return {
        "metric": column,
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "sum": objective,
        "predicted": objective * ratio,
        "low": ends[0],
        "high": ends[1],
        "sets": sets,
        "warning": _find_warning(str(block.get("warning") or ""), column),
        "note": f"from {sets} sets of layers run together, joint damages are {low:.3g} to {high:.3g} times the sum",
    }


def widen(interval: tuple[float, float] | None, told: Mapping[str, Any]) -> tuple[float, float] | None:
    """The interval of a sum, widened by what interactions may add to each end; that of interactions alone where the sum
    has none, None where nothing is known.
    """
    low, high = told.get("ratio_low"), told.get("ratio_high")
    if low is None or high is None:
        return interval
    if interval is None:
        return float(told["low"]), float(told["high"])
    ends = [end * ratio for end in interval for ratio in (low, high)]
    return min(ends), max(ends)


def _list_others(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    others = block.get("others")
    return [one for one in others if isinstance(one, Mapping)] if isinstance(others, list) else []


def _find_span(told: Mapping[str, Any]) -> tuple[float, float, float, int] | None:
    """The smallest ratio, that of all sets pooled, the largest, and how many sets there are."""
    listed = told.get("points")
    points = [
        point
        for point in (listed if isinstance(listed, list) else [])
        if isinstance(point, Mapping) and _is_ratio(point.get("ratio"))
    ]
    if not points:
        return None
    ratios = sorted(float(point["ratio"]) for point in points)
    ends = [*ratios, *(end for point in points for end in _list_ends(point)), *_predict(ratios)]
    middle = ratios[len(ratios) // 2]
    pooled = told.get("ratio")
    ratio = float(pooled) if isinstance(pooled, int | float) and _is_ratio(pooled) else middle
    return float(min(*ends, 1.0)), ratio, float(max(*ends, 1.0)), len(points)


def _list_ends(point: Mapping[str, Any]) -> list[float]:
    """The ends of a set's interval, where it leaves one: the width of others is chance, and no interaction."""
    ends = [float(point[name]) for name in ("ratio_low", "ratio_high") if _is_ratio(point.get(name))]
    return ends if len(ends) == 2 and not ends[0] <= 1 <= ends[1] else []


def _predict(ratios: Sequence[float]) -> list[float]:
    """Between which ends one more ratio lies at 95 %, by Student's t of the logarithms; none of fewer than three."""
    from scipy import special

    count = len(ratios)
    if count < _LEAST_SETS:
        return []
    logs = np.log(ratios)
    reach = special.stdtrit(count - 1, 0.975) * logs.std(ddof=1) * np.sqrt(1 + 1 / count)
    return [float(np.exp(logs.mean() - reach)), float(np.exp(logs.mean() + reach))]


def _find_warning(warning: str, column: str) -> str:
    """The sentence of a block's warning that is about one column."""
    return next((one for one in _SENTENCES.split(warning) if one.startswith(f"{column} ")), "")


def _is_ratio(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _tell_nothing(note: str) -> dict[str, Any]:
    names = ("metric", "ratio", "ratio_low", "ratio_high", "sum", "predicted", "low", "high")
    return {**dict.fromkeys(names), "sets": 0, "warning": "", "note": note}
