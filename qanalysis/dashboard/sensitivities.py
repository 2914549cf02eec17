"""How are models measured beside the pages: sensitivities, forms, activations? As jobs, which keep what is done when
they are cancelled.

A measurement is known by everything that it depends on: the same choices are the same job, at work or ended. Models
load torch, on the job's own thread.
"""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any, cast

import streamlit as st

from qanalysis.charts.sensitivity_sheet import USUAL
from qanalysis.checkpoints.path_policy import resolve_inside
from qanalysis.dashboard.jobs import ENGINE_VERSION, JobManager, Snapshot
from qanalysis.dashboard.runnable_models import (
    OWN_DATA,
    get_model_uploads,
    locate_data,
    locate_model,
    locate_weights,
)
from qanalysis.dashboard.sources import UPLOAD_PREFIX, name_source, read_root
from qanalysis.models.forms.row import FormRow
from qanalysis.models.sensitivity.row import Mode, SensitivityRow, Target
from qanalysis.notation import duration, shorten
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row


@dataclass(frozen=True, slots=True)
class SensitivityRequest:
    """What to measure: a model, weights in place of its own, data, and canonical scheme texts, as typed; and the
    identities of the files behind them. Equal requests are one job.

    `kind` is one of KINDS; forms are of their own widths, and targets, modes and the metric of the ranks are those of
    sensitivities.
    """

    model: str
    data: str
    identity: str
    schemes: tuple[str, ...]
    targets: tuple[str, ...] = ("weights",)
    modes: tuple[str, ...] = ("enable-one",)
    weights: str = ""
    include: str = ""
    samples: int | None = None
    length: int | None = None
    kind: str = "sensitivity"
    metric: str = USUAL

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over every field and the engine's version."""
        return hashlib.sha256(repr((ENGINE_VERSION, astuple(self))).encode()).hexdigest()[:16]

    @property
    def subject(self) -> str:
        """The measurement by its model."""
        return f"the {self.kind} of {shorten(name_source(self.model).rstrip('/').rpartition('/')[2])}"


@dataclass(frozen=True, slots=True)
class SensitivityStep:
    """How far a measurement is: `done` of `total` runs of the model or other steps, what is at work, and the seconds
    left.
    """

    label: str
    done: int
    total: int
    seconds_left: float | None
    unit: str = "runs of the model"

    @property
    def share_done(self) -> float:
        """The part of the runs that is done."""
        return self.done / self.total if self.total else 0.0


SensitivityJobs = JobManager[SensitivityRequest, SensitivityStep, Table[Any]]
Measured = Snapshot[SensitivityStep, Table[Any]]


@st.cache_resource
def get_sensitivities() -> SensitivityJobs:
    """The server's measurements, one at a time, since each takes all processors; the last twelve are kept."""
    return JobManager(run_sensitivity, turns=1)


def run_sensitivity(
    request: SensitivityRequest, on_progress: Callable[[SensitivityStep], None], cancel: threading.Event
) -> Table[Any]:
    """What a job does: open model and data, measure, and end early with the rows so far where it is cancelled.

    Raises ValueError for a model or data that do not fit. Paths of the server stay out of the result.
    """
    _load_libraries()
    from qanalysis.models.calibration.opening import open_calibration
    from qanalysis.models.running.opening import open_model

    def tell(progress: Any) -> None:
        left = getattr(progress, "seconds_left", None)
        step = SensitivityStep(progress.label, progress.done, progress.total, left)
        on_progress(replace(step, unit="steps") if request.kind == "activations" else step)

    located = locate_model(request.model)
    with open_model(located, weights=locate_weights(request.weights)) as model:
        data = open_calibration(
            locate_data(request.data, request.model), model, samples=request.samples, length=request.length
        )
        table = KINDS[request.kind](request, model, data, on_progress=tell, cancel=cancel)
        digest = model.digest
    return _name_source(table, request, digest)


@cache
def _load_libraries() -> None:
    """Import once what measurements need, out of the collector's sight.

    Streamlit collects garbage after every drawing of a page. Going through all that torch and scipy define takes longer
    than the drawing, and holds up the measurement as often as the page looks how far it is.
    """
    gc.freeze()
    for name in ("calibration.opening", "running.opening", "sensitivity.sensitivity"):
        import_module(f"qanalysis.models.{name}")
    gc.freeze()


def _measure_sensitivity(request: SensitivityRequest, model: Any, data: Any, **rest: Any) -> Table[Any]:
    from qanalysis.models.sensitivity.sensitivity import measure_sensitivity

    targets, modes = cast("Sequence[Target]", request.targets), cast("Sequence[Mode]", request.modes)
    asked: dict[str, Any] = {
        "targets": targets,
        "modes": modes,
        "include": request.include or None,
        "metric": request.metric,
    }
    return measure_sensitivity(model, data, request.schemes, **asked, **rest)


def _measure_forms(_request: SensitivityRequest, model: Any, data: Any, **rest: Any) -> Table[Any]:
    from qanalysis.models.forms.forms import measure_forms

    return measure_forms(model, data, **rest)


def _measure_activations(request: SensitivityRequest, model: Any, data: Any, **rest: Any) -> Table[Any]:
    from qanalysis.models.activations.activations import measure_activations

    return measure_activations(model, data, request.schemes, include=request.include or None, **rest)


#: What a model is measured for, and how.
KINDS: Mapping[str, Callable[..., Table[Any]]] = {
    "sensitivity": _measure_sensitivity,
    "forms": _measure_forms,
    "activations": _measure_activations,
}


def _name_source(table: Table[Any], request: SensitivityRequest, digest: str | None) -> Table[Any]:
    """The table with model and data as a person typed them."""
    size = table.source.size if table.source else 0
    source = SourceIdentity(name_source(request.model), size, digest)
    told = name_source(request.model if request.data == OWN_DATA else request.data)
    names = {"model": name_source(request.model), "calib": told, "calibration": told}
    settings = {name: names.get(name, value) for name, value in table.settings.items()}
    return replace(table, source=source, settings=settings)


def tell_measurement(snapshot: Measured) -> str:
    """Where a measurement stands in one line, plain text.

    >>> tell_measurement(Snapshot("running"))
    'Loading the model and its data'
    """
    progress = snapshot.progress
    if snapshot.state == "queued":
        return "Waiting for another measurement to end"
    if progress is None:
        return {
            "running": "Loading the model and its data",
            "failed": "The measurement failed",
            "done": "Complete",
        }.get(snapshot.state, "Cancelled before the first run")
    counted = f"{progress.done:,} of {progress.total:,} {progress.unit}"
    if snapshot.is_active:
        left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
        return f"{shorten(progress.label)}: {counted}{left}" if progress.label else f"{counted}{left}"
    if snapshot.state == "done":
        ran = "" if progress.unit == "steps" else f": {progress.done:,} {progress.unit}"
        return f"Complete{ran} in {duration(snapshot.seconds)}"
    return f"Incomplete, {'cancelled' if snapshot.state == 'cancelled' else 'stopped'}: {counted}"


def open_result(text: str) -> Table[Any]:
    """Rows that were measured before, of a kind in KINDS, from a file inside the root or an upload.

    Raises ValueError for a file of another command, CheckpointError for a path outside the root.
    """
    from qanalysis.reports.report import read_result
    from qanalysis.results.document import kind_of

    path = get_model_uploads().locate(text) if text.startswith(UPLOAD_PREFIX) else resolve_inside(read_root(), text)
    try:
        table = read_result(path)
    except ValueError as error:
        told = str(error).replace(str(path), name_source(text))
        raise ValueError(told.replace(Row.KIND.again, SensitivityRow.KIND.again)) from None
    if not find_kind(table):
        raise ValueError(
            f"{name_source(text)} holds a result of `qanalysis {kind_of(table).command}`; open one of "
            f"{', '.join(f'`qanalysis {kind}`' for kind in KINDS)}, or a model"
        )
    return table


def find_kind(table: Table[Any]) -> str:
    """Which of KINDS a table is of; "" for none."""
    if table.row_type is Row:
        return "activations" if len(table) and table[0].kind == "activation" else ""
    return {SensitivityRow: "sensitivity", FormRow: "forms"}.get(table.row_type, "")
