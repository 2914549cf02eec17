"""How do sums become rows? Each figure over all samples, and the ends between which it lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.models.sensitivity.gathering import Gathered, Measurement
from qanalysis.models.sensitivity.intervals import find_interval
from qanalysis.models.sensitivity.row import SensitivityRow

#: Columns with intervals, and the figure of the sums that each is.
FIGURES = {
    "output_sqnr_db": "output_sqnr_db",
    "output_relative_l2": "output_relative_l2",
    "output_cosine": "output_cosine",
    "output_kl": "output_kl",
    "loss": "mean_loss",
    "loss_delta": "loss_delta",
    "accuracy": "accuracy",
}


def tabulate(
    measurement: Measurement, weights: Doubles | None, closed: Mapping[tuple[str, str], Mapping[str, float]]
) -> list[SensitivityRow]:
    """One row per cell; `weights` are the draws of the bootstrap, None for no intervals. `closed` are further figures
    of weights by tensor and scheme.
    """
    return [_make_row(one, measurement, weights, closed) for one in measurement.gathered]


def _make_row(
    one: Gathered,
    measurement: Measurement,
    weights: Doubles | None,
    closed: Mapping[tuple[str, str], Mapping[str, float]],
) -> SensitivityRow:
    cell = one.cell
    cells: dict[str, Any] = describe_size(cell.layer.tensor, cell.scheme) if cell.target != "activations" else {}
    if one.status == "ok" and one.parts:
        cells |= find_figures(one, weights)
    if cell.target == "weights" and cell.mode == "enable-one":
        cells |= closed.get((cell.layer.tensor.name, str(cell.scheme)), {})
    return SensitivityRow(
        layer=cell.layer.name,
        tensor=cell.layer.tensor.name,
        target=cell.target,
        mode=cell.mode,
        scheme=str(cell.scheme),
        samples=measurement.samples,
        tokens=measurement.tokens,
        status=one.status,
        reason=one.reason,
        **cells,
    )


def describe_size(info: Any, scheme: Any) -> dict[str, Any]:
    """Bits per weight and bytes of a tensor under a scheme; nothing where it does not fit."""
    try:
        layout = scheme.lay_out(info.shape, axis=info.view)
    except ValueError:
        return {}
    code_bits, group_bits = scheme.storage_bits
    bits = code_bits * info.numel + group_bits * layout.groups + scheme.tensor_bits(layout.groups)
    return {"bits_per_weight": bits / info.numel, "size_bytes": -(-bits // 8)} if info.numel else {}


def find_figures(one: Gathered, weights: Doubles | None) -> dict[str, Any]:
    """Every figure of a cell by column, with its interval."""
    sums, cells = one.sums, dict[str, Any]()
    pooled = sums.pool()
    drawn = sums.draw(weights) if weights is not None else None
    for column, figure in FIGURES.items():
        value = float(getattr(pooled, figure))
        if math.isnan(value):
            continue
        cells[column] = value
        if drawn is not None:
            cells |= _name_interval(column, getattr(drawn, figure))
    if "output_relative_l2" in cells:
        cells["output_nsr"] = cells["output_relative_l2"] ** 2
    positions = one.divergences
    if positions.size:
        cells["output_kl_p99"] = float(np.quantile(positions, 0.99))
    return cells


def _name_interval(column: str, figures: Doubles) -> dict[str, float]:
    low, high = find_interval(figures)
    return {} if math.isnan(low) else {f"{column}_low": low, f"{column}_high": high}
