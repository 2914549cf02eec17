"""What does quantizing the whole model cost and save? Weights, activations and both at several widths, side by side,
before and after repairs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from qanalysis.models.activations.turns import calibrate_inputs
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.forms.candidates import FormMaker
from qanalysis.models.forms.form import Form, cross_forms
from qanalysis.models.forms.measuring import compare_forms
from qanalysis.models.forms.row import FormRow
from qanalysis.models.forms.tabulating import tabulate
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.sensitivity.gathering import Clock, SensitivityProgress, choose_chunk
from qanalysis.models.sensitivity.intervals import Resampling
from qanalysis.models.sensitivity.sensitivity import choose_layers
from qanalysis.results.table import Table
from qanalysis.sweeps.selection import Filter, Selection, select_tensors

#: The widths of the nine forms: 8 bit, 4 bit, binary.
WIDTHS = ("8", "4", "1")


def measure_forms(
    model: Runnable,
    calibration: Calibration,
    forms: Sequence[Form | str] = (),
    *,
    keep: str | None = None,
    keep_ends: bool = False,
    batch: int | None = None,
    seed: int = 0,
    on_progress: Callable[[SensitivityProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Table[FormRow]:
    """The whole model in each form against the float model over all samples; without forms the nine of 8 bit, 4 bit
    and binary.

    Tensors are chosen as a sweep chooses them; those whose name has a match of `keep` stay float, and with `keep_ends`
    those of the first and the last layer. Ranges of activations come from the same samples. `batch` is how many samples
    go through the model at once and changes no figure beyond rounding; `seed` draws the samples of the intervals.

    Setting `cancel` ends the work after the run at hand; the table then has `complete` false. Raises ValueError for a
    form that can not be read, a filter that leaves no tensor, and a model that does not run on the samples or whose
    outputs are not finite.
    """
    plan = [form if isinstance(form, Form) else Form.parse(form) for form in forms] or cross_forms(WIDTHS)
    selection = select_tensors(model.tensors, Filter(exclude=keep), notes=model.notes)
    layers = choose_quantized(model, calibration, selection, keep_ends=keep_ends)
    schemes = list(dict.fromkeys(form.activations for form in plan if form.activations is not None))
    grids = calibrate_inputs(model, calibration, layers, schemes) if schemes else None
    maker = FormMaker(model, layers, grids)
    candidates = [maker.make(form) for form in plan]
    chunk = batch or choose_chunk(model, calibration)
    clock = Clock(sum(1 for _ in calibration.batches(chunk)) * len(candidates), on_progress, cancel)
    names = list(dict.fromkeys(layer.name for layer in layers))
    comparison = compare_forms(model, calibration, candidates, names, chunk=chunk, clock=clock)
    resampling = Resampling.draw(comparison.samples, seed=seed) if comparison.samples > 1 else None
    rows = tabulate(comparison, resampling, float_bytes=_count_bytes(model), loss=calibration.loss)
    return Table.from_rows(
        FormRow,
        rows,
        source=model.identity,
        settings=_describe(plan, calibration, keep=keep, keep_ends=keep_ends, seed=seed),
        complete=comparison.complete,
        coverage=[*selection.to_coverage(), *map(_note, calibration.notes)],
    )


def choose_quantized(
    model: Runnable, calibration: Calibration, selection: Selection, *, keep_ends: bool = False
) -> list[Layer]:
    """The layers of the selected tensors in the order of a run, without the first and the last one with `keep_ends`.

    ValueError where no layer is left.
    """
    layers = choose_layers(model, calibration, selection)
    if keep_ends:
        ran = list(dict.fromkeys(layer.name for layer in layers if model.is_used(layer)))
        layers = [layer for layer in layers if layer.name not in {*ran[:1], *ran[-1:]}]
    if not layers:
        raise ValueError(
            "no layer is left to quantize: the first and the last one stay float; leave out --keep-ends or --keep"
        )
    return layers


def _count_bytes(model: Runnable) -> int:
    return sum(info.size_bytes for info in model.tensors)


def _describe(
    plan: Sequence[Form], calibration: Calibration, *, keep: str | None, keep_ends: bool, seed: int
) -> dict[str, Any]:
    return {
        "forms": [str(form) for form in plan],
        "keep": keep,
        "keep_ends": keep_ends,
        "calibration": calibration.name,
        "samples": len(calibration),
        "seed": seed,
    }


def _note(text: str) -> dict[str, Any]:
    return {"part": "note", "role": "", "reason": text, "tensors": None, "values": None}
