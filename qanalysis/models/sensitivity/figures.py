"""What do the sums of all samples say? Every output figure by its column, with the ends between which it lies."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from qanalysis.arrays import Doubles, Reals
from qanalysis.models.calibration.samples import Loss
from qanalysis.models.sensitivity.damage import DamageSums
from qanalysis.models.sensitivity.intervals import Cosine, Estimate, Estimator, Ratio, Resampling, Share, estimate_all
from qanalysis.models.sensitivity.quantiles import estimate_quantile

_P99 = 0.99


def estimate_sums(sums: DamageSums, resampling: Resampling | None, *, loss: Loss | None) -> dict[str, Estimate]:
    """The figures of sums per sample; those are left out for which nothing was measured. `loss` tells what targets are:
    there is an accuracy of labels alone. Without draws figures have no ends.
    """

    def group(values: Doubles) -> Doubles:
        return values if resampling is None else resampling.group(values)

    y2, e2, tokens, targets = (group(part) for part in (sums.y2, sums.e2, sums.tokens, sums.targets))
    estimators: dict[str, Estimator] = {}
    if y2.sum() > 0:
        estimators["output_nsr"] = Ratio(e2, y2, is_log=True)
        estimators["output_cosine"] = Cosine(y2, group(sums.yq - sums.y2), e2)
    if tokens.sum() > 0:
        estimators["output_kl"] = Ratio(group(sums.kl), tokens, is_log=True)
    if targets.sum() > 0:
        estimators["loss"] = Ratio(group(sums.loss), targets, is_log=True)
        estimators["loss_delta"] = Ratio(group(sums.loss - sums.float_loss), targets)
    if targets.sum() > 0 and loss == "cross-entropy":
        estimators["accuracy"] = Share(group(sums.right), targets)
    return _add_norms(estimate_all(estimators, resampling))


def _add_norms(found: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The same with relative L2 and SQNR, which are functions of the NSR."""
    nsr = found.get("output_nsr")
    if nsr is None:
        return dict(found)
    low, high = nsr.low, nsr.high
    sqnr = Estimate(_to_db(nsr.value), _to_db(high), _to_db(low), nsr.damage, nsr.damages)
    norm = Estimate(math.sqrt(nsr.value), math.sqrt(low), math.sqrt(high), nsr.damage, nsr.damages)
    return {"output_sqnr_db": sqnr, "output_relative_l2": norm, **found}


def _to_db(nsr: float) -> float:
    """The SQNR of an NSR, infinite without an error."""
    return -10 * math.log10(nsr) if nsr > 0 else math.nan if math.isnan(nsr) else math.inf


def estimate_p99(positions: Reals, sums: DamageSums, resampling: Resampling | None) -> dict[str, Estimate]:
    """The 99 % quantile of the divergence over positions, which lie in the order of samples; nothing without any."""
    if not positions.size:
        return {}
    if resampling is None:
        value = float(np.quantile(positions, _P99))
        return {"output_kl_p99": Estimate(value, math.nan, math.nan, value, np.zeros(0))}
    groups = np.arange(resampling.samples) % resampling.groups
    places = np.repeat(groups, sums.tokens.astype(np.int64))
    return {"output_kl_p99": estimate_quantile(positions, places, _P99, resampling)}


def name_figures(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """The cells of a row: each figure, and its ends where its column has ends and they are finite."""
    cells = dict[str, float]()
    for column, found in estimates.items():
        if math.isnan(found.value):
            continue
        cells[column] = found.value
        if column != "output_nsr" and math.isfinite(found.low) and math.isfinite(found.high):
            cells |= {f"{column}_low": found.low, f"{column}_high": found.high}
    return cells
