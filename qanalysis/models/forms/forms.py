"""What does quantizing the whole model cost and save? Weights, activations and both at several widths, side by side,
before and after repairs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qanalysis.models.activations.input_statistics import Averaging
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.forms.form import Form, cross_forms
from qanalysis.models.forms.onnx_codes import check_scheme
from qanalysis.models.forms.row import FormRow
from qanalysis.models.forms.work import Work
from qanalysis.models.repairs.catalogue import find_repair
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.threads import on_few_threads
from qanalysis.models.sensitivity.gathering import Clock, SensitivityProgress, choose_chunk
from qanalysis.models.sensitivity.sensitivity import choose_layers
from qanalysis.results.table import Table
from qanalysis.sweeps.selection import Filter, Selection, select_tensors

#: The widths of the nine forms: 8 bit, 4 bit, binary.
WIDTHS = ("8", "4", "1")
#: Samples that go through the model at once: the outputs of all its layers are held beside those of the form.
MOST_AT_ONCE = 128


@on_few_threads
def measure_forms(
    model: Runnable,
    calibration: Calibration,
    forms: Sequence[Form | str] = (),
    *,
    repairs: Sequence[str] = (),
    keep: str | None = None,
    keep_ends: bool = False,
    averaging: Averaging = "none",
    save: Path | None = None,
    load: Path | None = None,
    batch: int | None = None,
    seed: int = 0,
    on_progress: Callable[[SensitivityProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Table[FormRow]:
    """The whole model in each form against the float model over all samples; without forms the nine of 8 bit, 4 bit
    and binary. Forms with quantized weights are measured again after each of the `repairs`.

    Tensors are chosen as a sweep chooses them; those whose name has a match of `keep` stay float, and with `keep_ends`
    those of the first and the last layer. Ranges of activations come from the same samples; with averaging="moving" the
    ends of range=minmax are moving averages over batches. `batch` is how many samples go through the model at once and
    changes no figure beyond rounding; `seed` draws the samples of the intervals.
    `save` writes the one form, after its repair if there is one: see `save_form`. `load` measures the form that such a
    file holds, and no other: ranges and what stays float are those of the file.

    Setting `cancel` ends the work after the run at hand; the table then has `complete` false, and nothing is saved.
    Raises ValueError for a form or repair that is none, a filter that leaves no tensor, and a model that does not run
    on the samples or whose outputs are not finite.
    """
    plan = _plan(forms, repairs, save, load)
    selection = select_tensors(model.tensors, Filter(exclude=keep), notes=model.notes)
    layers = choose_quantized(model, calibration, selection, keep_ends=keep_ends)
    chunk = batch or min(choose_chunk(model, calibration), MOST_AT_ONCE)
    clock = _start_clock(calibration, plan, repairs, chunk, on_progress, cancel)
    work = Work(model, calibration, layers, chunk=chunk, clock=clock, seed=seed, averaging=averaging)
    rows = work.measure(plan, repairs, save) if load is None else work.measure_saved(load)
    return Table.from_rows(
        FormRow,
        rows,
        source=model.identity,
        settings=_describe(
            [row.form for row in rows if not row.repair] if load else list(map(str, plan)),
            calibration,
            repairs=list(repairs) or None,
            keep=keep,
            keep_ends=keep_ends,
            averaging=averaging,
            loaded=load.name if load else None,
            seed=seed,
        ),
        complete=work.complete,
        coverage=[*selection.to_coverage(), *map(_note, calibration.notes)],
    )


def _plan(forms: Sequence[Form | str], repairs: Sequence[str], save: Path | None, load: Path | None) -> list[Form]:
    """The forms that are measured; ValueError for what does not go together."""
    if load is not None:
        if forms or repairs or save:
            raise ValueError(f"{load}: a saved form is measured by itself; leave other forms, repairs and --save out")
        return []
    plan = [form if isinstance(form, Form) else Form.parse(form) for form in forms] or cross_forms(WIDTHS)
    for name in repairs:
        find_repair(name)
    if save is not None and (len(plan) > 1 or len(repairs) > 1):
        raise ValueError(f"{save}: a file holds one form; name it, such as --form W8A8, with one repair at most")
    if save is not None and save.suffix.lower() == ".onnx":
        for scheme in (plan[0].weights, plan[0].activations):
            if scheme is not None:
                check_scheme(scheme)
    return plan


def _start_clock(
    calibration: Calibration,
    plan: Sequence[Form],
    repairs: Sequence[str],
    chunk: int,
    on_progress: Callable[[SensitivityProgress], None] | None,
    cancel: threading.Event | None,
) -> Clock:
    chunks = sum(1 for _ in calibration.batches(chunk))
    repaired = sum(form.weights is not None for form in plan) * len(repairs)
    return Clock(chunks * max(len(plan), 1) + (chunks + 1) * repaired, on_progress, cancel)


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


def _describe(forms: Sequence[str], calibration: Calibration, **asked: Any) -> dict[str, Any]:
    return {"forms": list(forms), **asked, "calibration": calibration.name, "samples": len(calibration)}


def _note(text: str) -> dict[str, Any]:
    return {"part": "note", "role": "", "reason": text, "tensors": None, "values": None}
