"""Does the plan do what its sum predicts? All its tensors are quantized together, and the model really runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.threads import on_few_threads
from qanalysis.models.sensitivity.cells import Cell
from qanalysis.models.sensitivity.changes import Changes
from qanalysis.models.sensitivity.damage import DamageSums
from qanalysis.models.sensitivity.gathering import Clock, Gathered, Measurement, SensitivityProgress, choose_chunk
from qanalysis.models.sensitivity.intervals import Resampling
from qanalysis.models.sensitivity.joint import JointSet, measure_sets
from qanalysis.models.sensitivity.tabulating import estimate_figures
from qanalysis.notation import quote, shorten
from qanalysis.plans.plan import Plan
from qanalysis.quantizers.scheme import Scheme

#: Columns whose sum over tensors predicts what a run of all of them gives.
PREDICTED = ("output_nsr", "output_kl", "loss_delta")
_FIGURES = (
    *("output_sqnr_db", "output_sqnr_db_low", "output_sqnr_db_high", "output_nsr", "output_nsr_low", "output_nsr_high"),
    *("output_kl", "output_kl_low", "output_kl_high", "loss", "loss_delta", "loss_delta_low", "loss_delta_high"),
    *("accuracy", "accuracy_low", "accuracy_high"),
)
_SEED = 0


def prove_plan(
    plan: Plan,
    model: Runnable,
    calibration: Calibration,
    batch: int | None = None,
    *,
    on_progress: Callable[[SensitivityProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, Any]:
    """The part `forward` of a plan's proof: the model under the whole plan against the float one, over all samples,
    `batch` at a time.

    Figures of the outputs stand under the names of a sensitivity's columns, with 95 % ends, beside `float_loss` and
    `float_accuracy`; those that the data does not tell, and infinite ones, are None. Where the objective is a damage of
    outputs, `predicted` is the plan's sum, `measured` the run's own, `ratio` measured / predicted, `low` and `high` the
    interval that the plan's certainty predicts, and `is_inside` whether the measured one lies in it; elsewhere these
    are None and `note` says why.

    Raises ValueError for a plan of another model, a scheme that does not fit a tensor, a model that does not run, and
    where the work was cancelled before the first samples were done.
    """
    changed = _find_tensors(plan, model)
    cells = [Cell(layer, Scheme.parse(scheme), "weights", "enable-one", (layer,)) for layer, scheme in changed]
    chunk = batch or choose_chunk(model, calibration)
    clock = Clock(sum(1 for _ in calibration.batches(chunk)), on_progress, cancel)
    found = _run_together(model, calibration, cells, chunk=chunk, clock=clock)
    one = _check(found)
    figures = _read_figures(one, calibration)
    return {
        "model": model.name,
        "calibration": calibration.name,
        "samples": found.samples,
        "tokens": found.tokens,
        "tensors": len(cells),
        "complete": found.complete,
        "status": one.status,
        "reason": one.reason,
        **figures,
        **_read_float(found.floats, calibration),
        **_hold_against(plan, figures),
    }


@on_few_threads
def _run_together(
    model: Runnable, calibration: Calibration, cells: Sequence[Cell], *, chunk: int, clock: Clock
) -> Measurement:
    joint = JointSet("mixed", 1.0, [Gathered(cell) for cell in cells])
    return measure_sets(model, calibration, [joint], Changes(model), chunk=chunk, clock=clock)


def _find_tensors(plan: Plan, model: Runnable) -> list[tuple[Layer, str]]:
    """Where each tensor of the plan works, and its scheme; ValueError where the model has not all of them."""
    layers = {layer.tensor.name: layer for layer in model.layers}
    known = {name: info for info in model.tensors for name in (info.name, *info.aliases)}
    rows = list(plan)
    missing = [row.tensor for row in rows if row.tensor not in known]
    whose = f"{quote(plan.source.path)}" if plan.source else "another model"
    if missing:
        raise ValueError(
            f"the plan is of {whose}: {len(missing)} of its {len(rows)} tensors are not in {quote(model.name)}, first "
            f"{quote(missing[0])}; give the model that the rows were measured of"
        )
    for row in rows:
        info = known[row.tensor]
        if row.shape and row.shape != info.shape_text:
            raise ValueError(
                f"the plan is of {whose}: {quote(row.tensor)} has the shape {row.shape} there and {info.shape_text} in "
                f"{quote(model.name)}; give the model that the rows were measured of"
            )
    return [(_place(layers, known[row.tensor]), row.scheme) for row in rows]


def _place(layers: Mapping[str, Layer], info: TensorInfo) -> Layer:
    return layers.get(info.name) or Layer(info.name, info)


def _check(found: Measurement) -> Gathered:
    """What was measured of the plan; ValueError where there is nothing."""
    one = next(iter(found.gathered), None)
    if one is None or not (one.parts or one.reason):
        raise ValueError("the run of the plan was cancelled before the first samples were done")
    if one.status in ("unsupported", "failed"):
        raise ValueError(f"the model does not run under the plan: {shorten(one.reason, 300)}")
    return one


def _read_figures(one: Gathered, calibration: Calibration) -> dict[str, float | None]:
    figures: dict[str, float | None] = dict.fromkeys(_FIGURES)
    if one.status != "ok":
        return figures
    samples = len(one.sums.y2)
    resampling = Resampling.draw(samples, seed=_SEED) if samples > 1 else None
    for name, estimate in estimate_figures(one, resampling, loss=calibration.loss).items():
        for column, value in ((name, estimate.value), (f"{name}_low", estimate.low), (f"{name}_high", estimate.high)):
            if column in figures and math.isfinite(value):
                figures[column] = float(value)
    return figures


def _read_float(sums: DamageSums | None, calibration: Calibration) -> dict[str, float | None]:
    """The float model's own loss and accuracy."""
    if sums is None or calibration.loss is None:
        return {"float_loss": None, "float_accuracy": None}
    whole = sums.pool()
    is_right = calibration.loss == "cross-entropy"
    return {"float_loss": float(whole.mean_loss), "float_accuracy": float(whole.accuracy) if is_right else None}


def _hold_against(plan: Plan, figures: Mapping[str, float | None]) -> dict[str, Any]:
    """The plan's sum beside what the run gave."""
    told: dict[str, Any] = dict.fromkeys(("predicted", "measured", "ratio", "low", "high", "is_inside"))
    column, certainty = plan.objective_column, plan.more.get("certainty")
    parts = certainty if isinstance(certainty, Mapping) else {}
    told["objective_column"] = column
    if column not in PREDICTED or parts.get("scores"):
        text = parts.get("objective") or column
        return {**told, "note": f"a sum of {text} predicts no figure of the outputs: the run stands for itself"}
    predicted, measured = plan.objective, figures[column]
    low, high = parts.get("predicted_low"), parts.get("predicted_high")
    told |= {"predicted": predicted, "measured": measured, "low": low, "high": high}
    if measured is None:
        return {**told, "note": f"the run has no {column} to hold against the plan's sum"}
    if predicted:
        told["ratio"] = measured / predicted
    if isinstance(low, int | float) and isinstance(high, int | float):
        told["is_inside"] = bool(low <= measured <= high)
    return {**told, "note": "" if told["is_inside"] is not None else "the plan's certainty predicts no interval"}
