"""How do sums become rows? Each figure over all samples, with the ends between which it lies."""

from __future__ import annotations

import math
from typing import Any

from qanalysis.models.calibration.samples import Loss
from qanalysis.models.forms.measuring import Comparison, Measured
from qanalysis.models.forms.row import FormRow
from qanalysis.models.sensitivity.figures import estimate_sums, name_figures
from qanalysis.models.sensitivity.intervals import Resampling

#: Those of the output figures that a form is told with.
FIGURES = ("output_sqnr_db", "output_relative_l2", "loss", "loss_delta", "accuracy")


def tabulate(
    comparison: Comparison, resampling: Resampling | None, *, float_bytes: int, loss: Loss | None
) -> list[FormRow]:
    """One row per candidate; `resampling` are the draws of the bootstrap, None for no intervals. `loss` tells what the
    targets are: there is an accuracy of labels alone.
    """
    is_labelled = bool(comparison.float_targets) and loss == "cross-entropy"
    accuracy = comparison.float_right / comparison.float_targets if is_labelled else None
    return [_make_row(one, comparison, resampling, float_bytes, accuracy, loss) for one in comparison.measured]


def _make_row(
    one: Measured,
    comparison: Comparison,
    resampling: Resampling | None,
    float_bytes: int,
    float_accuracy: float | None,
    loss: Loss | None,
) -> FormRow:
    candidate = one.candidate
    form = candidate.form
    cells: dict[str, Any] = {}
    if one.status == "ok" and one.parts:
        found = estimate_sums(one.sums, resampling, loss=loss)
        cells = name_figures({column: found[column] for column in FIGURES if column in found}) | _tell_layers(one)
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


def _tell_layers(one: Measured) -> dict[str, Any]:
    errors = one.errors.relative
    if not errors:
        return {}
    worst = max(errors, key=errors.__getitem__)
    mean = math.fsum(errors.values()) / len(errors)
    return {"layer_error": mean, "layer_error_worst": errors[worst], "worst_layer": worst}
