"""How do sums become rows? Each figure over all samples, with the ends between which it lies."""

from __future__ import annotations

import math
from typing import Any

from qanalysis.arrays import Doubles
from qanalysis.models.forms.measuring import Comparison, Measured
from qanalysis.models.forms.row import FormRow
from qanalysis.models.sensitivity.intervals import find_interval

#: Columns with intervals, and the figure of the sums that each is.
FIGURES = {
    "output_sqnr_db": "output_sqnr_db",
    "output_relative_l2": "output_relative_l2",
    "loss": "mean_loss",
    "loss_delta": "loss_delta",
    "accuracy": "accuracy",
}


def tabulate(comparison: Comparison, weights: Doubles | None, *, float_bytes: int, is_labelled: bool) -> list[FormRow]:
    """One row per candidate; `weights` are the draws of the bootstrap, None for no intervals. `is_labelled` tells that
    the targets are labels, so that there is an accuracy.
    """
    accuracy = comparison.float_right / comparison.float_targets if comparison.float_targets and is_labelled else None
    return [_make_row(one, comparison, weights, float_bytes, accuracy) for one in comparison.measured]


def _make_row(
    one: Measured, comparison: Comparison, weights: Doubles | None, float_bytes: int, float_accuracy: float | None
) -> FormRow:
    candidate = one.candidate
    form = candidate.form
    cells: dict[str, Any] = {}
    if one.status == "ok" and one.parts:
        cells = _find_figures(one, weights, is_labelled=float_accuracy is not None) | _tell_layers(one)
    return FormRow(
        form=form.name,
        target=form.target,
        bits=form.bits,
        weight_scheme=str(form.weights or ""),
        activation_scheme=str(form.activations or ""),
        repair=candidate.repair,
        size_bytes=candidate.size_bytes,
        size_ratio=candidate.size_bytes / float_bytes if float_bytes else 1.0,
        float_accuracy=float_accuracy,
        samples=comparison.samples,
        tokens=comparison.tokens,
        status=one.status,
        reason=one.reason or "; ".join(candidate.notes),
        **cells,
    )


def _find_figures(one: Measured, weights: Doubles | None, *, is_labelled: bool) -> dict[str, Any]:
    sums, cells = one.sums, dict[str, Any]()
    pooled, drawn = sums.pool(), sums.draw(weights) if weights is not None else None
    for column, figure in FIGURES.items():
        value = float(getattr(pooled, figure))
        if math.isnan(value) or (column == "accuracy" and not is_labelled):
            continue
        cells[column] = value
        if drawn is not None:
            low, high = find_interval(getattr(drawn, figure))
            cells |= {} if math.isnan(low) else {f"{column}_low": low, f"{column}_high": high}
    return cells


def _tell_layers(one: Measured) -> dict[str, Any]:
    errors = one.errors.relative
    if not errors:
        return {}
    worst = max(errors, key=errors.__getitem__)
    mean = math.fsum(errors.values()) / len(errors)
    return {"layer_error": mean, "layer_error_worst": errors[worst], "worst_layer": worst}
