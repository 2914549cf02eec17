"""Do damages add up? What layers do together, beside the sum of what each does alone, which is what planners count on.

The interaction share is (joint - sum) / joint: 0 where damages add, positive where layers hurt more together. Samples
are drawn anew, the same for the sum and for the joint run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.models.sensitivity.damage import DamageSums
from qanalysis.models.sensitivity.gathering import Gathered
from qanalysis.models.sensitivity.intervals import Ratio, Resampling, estimate_all
from qanalysis.models.sensitivity.joint import MIXED, JointSet
from qanalysis.models.sensitivity.rounding import round_figure
from qanalysis.notation import quote

#: Beyond this factor between joint damage and sum, and beyond chance, a plan from sums is warned of.
FACTOR = 1.5
COLUMNS = ("output_nsr", "output_kl", "loss_delta")


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """The damages of each sample by one column: summed over single layers, joint, and what they are ratios to."""

    alone: Doubles
    joint: Doubles
    wholes: Doubles

    def __add__(self, other: _Pair) -> _Pair:
        return _Pair(self.alone + other.alone, self.joint + other.joint, self.wholes)


def describe_additivity(
    sets: Sequence[JointSet], joint: Sequence[Gathered], resampling: Resampling | None
) -> dict[str, Any]:
    """The part of a document; empty without a set that ran.

    `sets` are what was quantized together: the tensors, with one scheme or, mixed, one each. Of the column `metric`,
    `points` hold for each set `sum` and `joint`, their `ratio` joint / sum and the `interaction_share` with 95 % ends,
    null where the sum is not above zero beyond chance; the same of all points pooled stands beside them, and `worst`,
    the number of the set whose ratio lies farthest from one. `others` are further columns, told in the same way.
    `warning` is empty where no set leaves its sum by more than the `factor` and chance.
    """
    ran = [(one, found) for one, found in zip(sets, joint, strict=True) if found.status == "ok" and found.parts]
    told = [_describe_column(column, ran, resampling) for column in COLUMNS] if ran else []
    known = [one for one in told if one]
    if not known:
        return {}
    listed = [{"tensors": one.tensors, "schemes": _list_schemes(one)} for one, _found in ran]
    warning = " ".join(filter(None, map(_warn, known)))
    return {**known[0], "others": known[1:], "sets": listed, "factor": FACTOR, "warning": warning}


def _describe_column(
    column: str, ran: Sequence[tuple[JointSet, Gathered]], resampling: Resampling | None
) -> dict[str, Any]:
    """One column; empty where nothing was measured of it."""
    pairs = [_pair(column, one, found.sums) for one, found in ran]
    if not any(pair.joint.any() for pair in pairs):
        return {}
    points = [
        {"set": number, **_describe_set(one), **_describe_pair(pair, resampling)}
        for number, ((one, _found), pair) in enumerate(zip(ran, pairs, strict=True))
    ]
    pooled = pairs[0]
    for pair in pairs[1:]:
        pooled += pair
    return {
        "metric": column,
        "points": points,
        **_describe_pair(pooled, resampling),
        "worst": _find_worst(points),
    }


def _describe_set(one: JointSet) -> dict[str, Any]:
    return {
        "scheme": one.scheme,
        "target": one.target,
        "choice": one.choice,
        "budget": one.budget,
        "layers": len(one.singles),
    }


def _list_schemes(one: JointSet) -> list[str]:
    """One scheme for all tensors, or one for each."""
    return [str(single.cell.scheme) for single in one.singles] if one.scheme == MIXED else [one.scheme]


def _pair(column: str, one: JointSet, joint: DamageSums) -> _Pair:
    alone = np.sum([_take(column, single.sums) for single in one.singles], axis=0)
    wholes = {"output_nsr": joint.y2, "output_kl": joint.tokens, "loss_delta": joint.targets}[column]
    return _Pair(alone, _take(column, joint), wholes)


def _take(column: str, sums: DamageSums) -> Doubles:
    found: Doubles = {"output_nsr": sums.e2, "output_kl": sums.kl}.get(column, sums.loss - sums.float_loss)
    return found


def _describe_pair(pair: _Pair, resampling: Resampling | None) -> dict[str, float | None]:
    whole, names = float(pair.wholes.sum()), ("ratio", "interaction_share")
    told: dict[str, float | None] = {
        "sum": round_figure(float(pair.alone.sum()) / whole),
        "joint": round_figure(float(pair.joint.sum()) / whole),
        **{f"{name}{end}": None for name in names for end in ("", "_low", "_high")},
    }
    if pair.alone.sum() <= 0 or pair.joint.sum() <= 0:
        return told
    group = resampling.group if resampling is not None else np.asarray
    alone, joint = group(pair.alone), group(pair.joint)
    ratio = Ratio(joint, alone, is_log=True)
    found = estimate_all({"ratio": ratio, "sum": Ratio(alone, group(pair.wholes))}, resampling)
    if found["sum"].low <= 0:
        return told
    ends = {"": ratio.value, "_low": found["ratio"].low, "_high": found["ratio"].high}
    for end, value in ends.items():
        told[f"ratio{end}"] = round_figure(value)
        told[f"interaction_share{end}"] = round_figure(1 - 1 / value if value else math.nan)
    return told


def _find_worst(points: Sequence[dict[str, Any]]) -> int | None:
    """The number of the set whose ratio lies farthest from one; None where no ratio is known."""
    known = [point for point in points if point["ratio"]]
    return max(known, key=lambda point: abs(math.log(point["ratio"])))["set"] if known else None


def _warn(told: dict[str, Any]) -> str:
    """One sentence where joint damages leave the sums by more than the factor and chance, else empty."""
    points = told["points"]
    beyond = [point for point in points if _is_beyond(point)]
    if not beyond:
        return ""
    worst = max(beyond, key=lambda point: abs(math.log(point["ratio"])))
    ends = "" if worst["ratio_low"] is None else f" ({worst['ratio_low']:.3g} to {worst['ratio_high']:.3g} at 95 %)"
    pooled = "" if told["ratio"] is None else f", {told['ratio']:.3g} over all sets"
    scheme = "several schemes" if worst["scheme"] == MIXED else quote(worst["scheme"])
    return (
        f"{told['metric']} does not add up: {len(beyond)} of {len(points)} sets of layers hurt together by more than a "
        f"factor of {FACTOR:g} otherwise than the sum of what each does alone, at worst {worst['ratio']:.3g} times"
        f"{ends} for {worst['layers']} layers under {scheme}{pooled}; measure a plan that is made of such sums."
    )


def _is_beyond(point: dict[str, Any]) -> bool:
    """Whether the ratio is farther from one than the factor, and its interval does not hold one."""
    ratio, low, high = point["ratio"], point["ratio_low"], point["ratio_high"]
    is_far = bool(ratio) and abs(math.log(ratio)) > math.log(FACTOR)
    return is_far and (low is None or not low <= 1 <= high)
