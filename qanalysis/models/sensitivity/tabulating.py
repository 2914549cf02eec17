"""How do sums become rows? Each figure over all samples, and the ends between which it lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.models.calibration.samples import Loss
from qanalysis.models.sensitivity.gathering import Gathered, Measurement
from qanalysis.models.sensitivity.intervals import Cosine, Estimate, Estimator, Ratio, Resampling, Share, estimate_all
from qanalysis.models.sensitivity.quantiles import estimate_quantile
from qanalysis.models.sensitivity.row import SensitivityRow

_P99 = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One cell with its figures by column, output figures with intervals and draws; `closed` are those of weights
    alone.
    """

    one: Gathered
    estimates: Mapping[str, Estimate]
    closed: Mapping[str, float]


def judge(
    gathered: Sequence[Gathered],
    resampling: Resampling | None,
    closed: Mapping[tuple[str, str], Mapping[str, float]],
    *,
    loss: Loss | None,
) -> list[Judged]:
    """The figures of all cells; `closed` are further figures of weights by tensor and scheme, `loss` what the targets
    are.
    """
    return [Judged(one, estimate_figures(one, resampling, loss=loss), _find_closed(one, closed)) for one in gathered]


def estimate_figures(one: Gathered, resampling: Resampling | None, *, loss: Loss | None) -> dict[str, Estimate]:
    """Every output figure of a cell by column; none where it was not measured."""
    if one.status != "ok" or not one.parts:
        return {}
    sums = one.sums

    def group(values: Any) -> Any:
        return values if resampling is None else resampling.group(values)

    y2, e2, tokens, targets = (group(part) for part in (sums.y2, sums.e2, sums.tokens, sums.targets))
    estimators: dict[str, Estimator] = {}
    if y2.sum() > 0:
        estimators["output_nsr"] = Ratio(e2, y2, is_log=True)
        estimators["output_cosine"] = Cosine(y2, group(sums.yq - sums.y2), e2)
    if tokens.sum() > 0:
        estimators["output_kl"] = Ratio(group(sums.kl), tokens, is_log=True)
    if targets.sum() > 0:
        changed = group(sums.loss)
        estimators |= {"loss": Ratio(changed, targets), "loss_delta": Ratio(group(sums.loss - sums.float_loss), targets)}
        if loss == "cross-entropy":
            estimators["accuracy"] = Share(group(sums.right), targets)
    found = estimate_all(estimators, resampling)
    return _add_norms(found) | _find_quantile(one, resampling)


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


def _find_quantile(one: Gathered, resampling: Resampling | None) -> dict[str, Estimate]:
    """The 99 % quantile of the divergence, where there is one."""
    positions = one.divergences
    if not positions.size:
        return {}
    if resampling is None:
        value = float(np.quantile(positions, _P99))
        return {"output_kl_p99": Estimate(value, math.nan, math.nan, value, np.zeros(0))}
    groups = np.arange(resampling.samples) % resampling.groups
    places = np.repeat(groups, one.sums.tokens.astype(np.int64))
    return {"output_kl_p99": estimate_quantile(positions, places, _P99, resampling)}


def _find_closed(one: Gathered, closed: Mapping[tuple[str, str], Mapping[str, float]]) -> Mapping[str, float]:
    if one.cell.target != "weights" or one.cell.mode != "enable-one":
        return {}
    return closed.get((one.cell.layer.tensor.name, str(one.cell.scheme)), {})


def tabulate(
    judged: Sequence[Judged], measurement: Measurement, more: Sequence[Mapping[str, Any]] | None = None
) -> list[SensitivityRow]:
    """One row per cell; `more` are further cells of each row, ranks and floors, which go before the others."""
    told = more or [{} for _ in judged]
    return [_make_row(one, measurement, cells) for one, cells in zip(judged, told, strict=True)]


def _make_row(judged: Judged, measurement: Measurement, more: Mapping[str, Any]) -> SensitivityRow:
    cell, one = judged.one.cell, judged.one
    sizes = describe_size(cell.layer.tensor, cell.scheme) if cell.target != "activations" else {}
    facts: dict[str, Any] = {
        "layer": cell.layer.name,
        "tensor": cell.layer.tensor.name,
        "target": cell.target,
        "mode": cell.mode,
        "scheme": str(cell.scheme),
        "samples": measurement.samples,
        "tokens": measurement.tokens,
        "status": one.status,
        "reason": one.reason,
        **sizes,
        **name_figures(judged.estimates),
        **judged.closed,
    }
    return SensitivityRow(**(facts | dict(more)))


def describe_size(info: Any, scheme: Any) -> dict[str, Any]:
    """Bits per weight and bytes of a tensor under a scheme; nothing where it does not fit."""
    try:
        layout = scheme.lay_out(info.shape, axis=info.view)
    except ValueError:
        return {}
    code_bits, group_bits = scheme.storage_bits
    bits = code_bits * info.numel + group_bits * layout.groups + scheme.tensor_bits(layout.groups)
    return {"bits_per_weight": bits / info.numel, "size_bytes": -(-bits // 8)} if info.numel else {}


def name_figures(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """The cells of a row: each figure, and its ends where its column has ends and they were found."""
    cells = dict[str, float]()
    for column, found in estimates.items():
        if math.isnan(found.value):
            continue
        cells[column] = found.value
        if column != "output_nsr" and not math.isnan(found.low):
            cells |= {f"{column}_low": found.low, f"{column}_high": found.high}
    return cells
