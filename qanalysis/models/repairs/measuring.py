"""What did a repair do? The quantized model before and after it, on the outputs of the model and layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.forms.candidates import Candidate, FormMaker
from qanalysis.models.forms.form import Form
from qanalysis.models.forms.measuring import Measured, compare_forms
from qanalysis.models.forms.repairing import repair_form
from qanalysis.models.repairs.stages import ignore
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.sensitivity.damage import DamageSums
from qanalysis.models.sensitivity.figures import estimate_sums
from qanalysis.models.sensitivity.gathering import Clock, choose_chunk
from qanalysis.models.sensitivity.intervals import Estimate, Ratio, Resampling, estimate_all
from qanalysis.quantizers.scheme import Scheme

ALL_LAYERS = "(all)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRow:
    """One layer before and after a repair of the whole model; or, with layer "(all)", the model's own outputs.

    `layer_error` is √(Σ(o′ − o)² / Σo²) of the layer's output o in the float model and o′ in the quantized one, what
    comes before it quantized too; that of all layers is their mean. Figures of the outputs stand with "(all)" alone:
    `sqnr_gain_db` is what the SQNR gained, between the ends of a 95 % bootstrap interval over samples that are paired
    before and after. What was not measured is None.
    """

    repair: str
    layer: str
    scheme: str
    activation_scheme: str
    layer_error_before: float | None = None
    layer_error: float | None = None
    output_sqnr_db_before: float | None = None
    output_sqnr_db: float | None = None
    sqnr_gain_db: float | None = None
    sqnr_gain_db_low: float | None = None
    sqnr_gain_db_high: float | None = None
    loss_before: float | None = None
    loss: float | None = None
    accuracy_before: float | None = None
    accuracy: float | None = None
    samples: int = 0
    reason: str = ""


def measure_repairs(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    scheme: Scheme,
    names: Sequence[str],
    *,
    activation_scheme: Scheme | None = None,
    evaluation: Calibration | None = None,
    seed: int = 0,
    check: Callable[[], None] = ignore,
) -> list[RepairRow]:
    """Rows of each repair in `names`, those of all layers first, held against rounding to the nearest level.

    Repairs are made on `calibration` and measured on `evaluation`; without it on the same samples, which flatters a
    repair where they are few. `seed` draws the samples of the intervals. `check` may raise to end the work. Raises
    ValueError for an unknown repair and where the model does not run or its outputs are not finite.
    """
    form = Form("", scheme, activation_scheme)
    maker = FormMaker(model, calibration, layers)
    maker.calibrate([] if activation_scheme is None else [activation_scheme])
    plain, rows = maker.make(form), list[RepairRow]()
    for name in names:
        repaired = repair_form(maker, form, name, seed=seed, check=check)
        rows += _compare(model, evaluation or calibration, layers, plain, repaired, seed)
    return rows


def _compare(
    model: Runnable,
    samples: Calibration,
    layers: Sequence[Layer],
    plain: Candidate,
    repaired: Candidate,
    seed: int,
) -> list[RepairRow]:
    chunk = choose_chunk(model, samples)
    found = compare_forms(model, samples, [plain, repaired], layers, chunk=chunk, clock=Clock(1))
    before, after = found.measured
    common: dict[str, Any] = {
        "repair": repaired.repair,
        "scheme": str(repaired.form.weights or ""),
        "activation_scheme": str(repaired.form.activations or ""),
    }
    errors = before.errors.relative, after.errors.relative
    means = [math.fsum(one.values()) / len(one) if one else None for one in errors]
    whole = RepairRow(
        layer=ALL_LAYERS,
        layer_error_before=means[0],
        layer_error=means[1],
        samples=found.samples,
        reason=before.reason or after.reason or "; ".join(repaired.notes),
        **common,
        **_tell_outputs(before, after, samples, seed),
    )
    names = dict.fromkeys(layer.name for layer in layers if layer.name in errors[0] or layer.name in errors[1])
    each = [
        RepairRow(layer=name, layer_error_before=errors[0].get(name), layer_error=errors[1].get(name), **common)
        for name in names
    ]
    return [whole, *each]


def _tell_outputs(before: Measured, after: Measured, samples: Calibration, seed: int) -> dict[str, Any]:
    """The figures of the model's outputs before and after, and what was gained."""
    if before.status != "ok" or after.status != "ok":
        return {}
    cells = dict[str, float]()
    for end, one in (("_before", before), ("", after)):
        figures = estimate_sums(one.sums, None, loss=samples.loss)
        for name in ("output_sqnr_db", "loss", "accuracy"):
            if name in figures and not math.isnan(figures[name].value):
                cells[name + end] = figures[name].value
    gain = _estimate_gain(before.sums, after.sums, seed)
    if gain is not None:
        ends = {"": gain.value, "_low": gain.low, "_high": gain.high}
        cells |= {f"sqnr_gain_db{end}": 10 * math.log10(ratio) for end, ratio in ends.items() if 0 < ratio < math.inf}
    return cells


def _estimate_gain(before: DamageSums, after: DamageSums, seed: int) -> Estimate | None:
    """How many times smaller the energy of the error became, the same samples drawn before and after."""
    if not (before.e2.sum() > 0 and after.e2.sum() > 0):
        return None
    resampling = Resampling.draw(len(before.e2), seed=seed) if len(before.e2) > 1 else None
    pair = [one.e2 if resampling is None else resampling.group(one.e2) for one in (before, after)]
    return estimate_all({"gain": Ratio(pair[0], pair[1], is_log=True)}, resampling)["gain"]
