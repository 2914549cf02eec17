"""Which layer hurts? Every layer of a model under every scheme, measured on the model's outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qanalysis.checkpoints.imatrix import Imatrix
from qanalysis.models.activations.input_statistics import Averaging
from qanalysis.models.activations.turns import calibrate_inputs
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.measures.closed import measure_closed
from qanalysis.models.measures.findings import COLUMNS, ClosedMeasures, Column
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.threads import on_few_threads
from qanalysis.models.sensitivity.beside import Asked, count_all, measure_beside
from qanalysis.models.sensitivity.cells import list_cells
from qanalysis.models.sensitivity.changes import Changes
from qanalysis.models.sensitivity.gathering import Clock, SensitivityProgress, choose_chunk, gather
from qanalysis.models.sensitivity.ranking import check_metric
from qanalysis.models.sensitivity.row import Mode, SensitivityRow, Target
from qanalysis.models.sensitivity.telling import tell_all
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.table import Table
from qanalysis.sweeps.held import TENSORS, describe_tensors
from qanalysis.sweeps.selection import Filter, Roles, Selection, select_tensors

#: What layers are ranked by where nothing else is asked for.
METRIC = "output_sqnr_db"


@on_few_threads
def measure_sensitivity(
    model: Runnable,
    calibration: Calibration,
    schemes: Sequence[Scheme | str],
    *,
    targets: Sequence[Target] = ("weights",),
    modes: Sequence[Mode] = ("enable-one",),
    include: str | None = None,
    exclude: str | None = None,
    roles: Roles = None,
    axis: Mapping[str, Axes | str] | None = None,
    batch: int | None = None,
    metric: str = METRIC,
    seed: int = 0,
    averaging: Averaging = "none",
    measures: Sequence[Column] = COLUMNS,
    imatrix: Imatrix | None = None,
    floor: bool = True,
    additivity: bool = True,
    on_progress: Callable[[SensitivityProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Table[SensitivityRow]:
    """What quantizing each layer does to the outputs of `model` over all samples of `calibration`.

    `metric` is the column that layers are ranked by. Tensors are chosen as a sweep chooses them; `batch` is how many
    samples go through the model at once, by default so many that memory suffices, and changes no figure beyond
    rounding. `seed` draws the samples of the intervals. `averaging` is how static ranges of inputs follow from batches.
    `measures` are columns in closed form, `imatrix` statistics that take the place of the samples' own in one of them.
    `floor` measures the noise floors and `additivity` what layers do together; with much work both stay below some
    tenth of what the cells take, see `floors` and `joint`.

    Setting `cancel` ends the work after the run at hand; the table then has `complete` false. Raises ValueError for no
    scheme, a filter that leaves no tensor, and a model that does not run on the samples or whose outputs are not
    finite.
    """
    plan = [scheme if isinstance(scheme, Scheme) else Scheme.parse(scheme) for scheme in schemes]
    if not plan:
        raise ValueError("a sensitivity needs at least one scheme, for example 'int4 group=128'")
    check_metric(metric)
    if batch is not None and batch < 1:
        raise ValueError(f"batch {batch}: at least one sample goes through the model at a time; leave it out")
    wanted = Filter(include, exclude, roles, axis=axis or {})
    selection = select_tensors(model.tensors, wanted, notes=model.notes)
    layers = choose_layers(model, calibration, selection)
    cells = list_cells(layers, plan, targets, modes)
    chunk = batch or choose_chunk(model, calibration)
    asked = Asked(layers, plan, targets, floor, additivity, seed)
    clock = Clock(count_all(asked, calibration, len(cells), chunk=chunk), on_progress, cancel)
    takes_inputs = any(target != "weights" for target in targets)
    inputs = (
        calibrate_inputs(model, calibration, layers, plan, batch=chunk, averaging=averaging) if takes_inputs else None
    )
    changes = Changes(model, inputs)
    measurement = gather(model, calibration, cells, changes.make, chunk=chunk, clock=clock)
    beside = measure_beside(model, calibration, asked, measurement, changes, chunk=chunk, clock=clock)
    how: dict[str, Any] = {"columns": measures, "imatrix": imatrix, "seed": seed, "batch": chunk, "cancel": cancel}
    closed = measure_closed(model, calibration, layers, plan, quantized=changes.quantize, **how)
    told = tell_all(measurement, beside, asked, closed.figures, metric=metric, loss=calibration.loss)
    return Table.from_rows(
        SensitivityRow,
        told.rows,
        totals=told.totals,
        source=model.identity,
        settings={
            **_describe(plan, targets, modes, wanted, calibration, seed),
            "metric": metric,
            "averaging": averaging,
        },
        complete=measurement.complete and beside.is_complete and closed.complete,
        coverage=(*selection.to_coverage(), *_note([*calibration.notes, *list_gaps(closed), *told.notes])),
        more={"measures": closed.describe(), **told.parts, TENSORS: describe_tensors(model.tensors)},
    )


def choose_layers(model: Runnable, calibration: Calibration, selection: Selection) -> list[Layer]:
    """The layers of the selected tensors in the order of a run."""
    chosen = {info.name: info for info in selection.tensors}
    ordered = model.order(calibration.blocks[0])
    return [
        Layer(layer.name, chosen[layer.tensor.name], layer.is_linear, layer.has_real_input)
        for layer in ordered
        if layer.tensor.name in chosen
    ]


def _describe(
    plan: Sequence[Scheme],
    targets: Sequence[Target],
    modes: Sequence[Mode],
    wanted: Filter,
    calibration: Calibration,
    seed: int,
) -> dict[str, Any]:
    return {
        "schemes": [str(scheme) for scheme in plan],
        "targets": list(targets),
        "modes": list(modes),
        **wanted.describe(),
        "calibration": calibration.name,
        "samples": len(calibration),
        "seed": seed,
    }


def list_gaps(closed: ClosedMeasures) -> list[str]:
    """What all figures of measures in closed form assume; for how many layers each is missing, and of how many there
    is something to know, with the first reason.
    """
    missing = [f"{column} is missing for {told}" for column, told in _count_layers(closed.notes)]
    known = [f"{column} of {told}" for column, told in _count_layers(closed.cautions)]
    return [*closed.assumptions, *missing, *known]


def _count_layers(notes: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """How many tensors have a note on each column, and the first of them."""
    found = dict[str, list[str]]()
    for by_column in notes.values():
        for column, reason in by_column.items():
            found.setdefault(column, []).append(reason)
    return [(column, _tell_first(reasons)) for column, reasons in found.items()]


def _tell_first(reasons: Sequence[str]) -> str:
    more = ", for example" if len(set(reasons)) > 1 else ""
    return f"{len(reasons)} tensor{'s' if len(reasons) > 1 else ''}: {reasons[0]}{more}"


def _note(sentences: Sequence[str]) -> list[dict[str, Any]]:
    return [{"part": "note", "role": "", "reason": one, "tensors": None, "values": None} for one in sentences]
