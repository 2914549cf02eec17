"""How is a measurement asked for on page Sensitivity, and how far is it? The request of the choices, its job, one strip
with one button.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import streamlit as st

from qanalysis.charts.sensitivity_sheet import USUAL
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.cache import identify, read_contents
from qanalysis.dashboard.jobs import Job
from qanalysis.dashboard.progress import SETTLE_S, cancel_job, draw_other_jobs
from qanalysis.dashboard.runnable_models import OWN_DATA, identify_data, identify_model
from qanalysis.dashboard.sensitivities import (
    SensitivityRequest,
    SensitivityStep,
    get_sensitivities,
    tell_measurement,
)
from qanalysis.dashboard.sensitivity.view import SensitivityView
from qanalysis.dashboard.sources import name_source
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.results.table import Table
from qanalysis.sweeps.selection import Filter, select_tensors

MOST_UNASKED = 16
"""Measurements of a sample that are made without a click; about two seconds on two cores."""
Measurement = Job[SensitivityRequest, SensitivityStep, Table[Any]]


def make_request(view: SensitivityView) -> SensitivityRequest:
    """What the button measures; ValueError or CheckpointError for a model or data that a page does not open."""
    identity = f"{identify_model(view.model, view.weights)} {identify_data(view.data, view.model)}"
    request = SensitivityRequest(
        model=view.model,
        data=view.data,
        identity=identity,
        schemes=view.schemes,
        targets=view.targets,
        modes=view.modes,
        weights=view.weights,
        include=view.include,
        samples=view.samples,
        length=view.length,
        metric=view.ranking or USUAL,
    )
    if view.tab == "forms":  # which have widths of their own, for the whole model
        return replace(request, kind=view.tab, schemes=(), targets=(), modes=(), include="", metric=USUAL)
    if view.tab == "activations":
        return replace(request, kind=view.tab, targets=(), modes=(), metric=USUAL)
    return request


def follow(request: SensitivityRequest) -> Measurement | None:
    """The job of a request: found, or started where it is a small one of a sample; else None.

    Waits a moment for one that it starts.
    """
    jobs = get_sensitivities()
    job = jobs.find(request.digest)
    if job is None and _is_small(request):
        job = jobs.submit(request)
        job.wait(SETTLE_S)
    return job


def _is_small(request: SensitivityRequest) -> bool:
    """Whether a sample, its own data and weights, are measured a few times at most."""
    is_own = request.model.startswith(SAMPLE_PREFIX) and request.data == OWN_DATA and not request.weights
    if request.kind != "sensitivity" or not is_own:
        return False
    contents = read_contents(identify(request.model))
    tensors = select_tensors(contents.tensors, Filter(include=request.include or None)).tensors
    cells = len(tensors) * len(request.schemes) * len(request.targets) * len(request.modes)
    return cells <= MOST_UNASKED


def find_shown(request: SensitivityRequest, job: Measurement | None) -> Measurement | None:
    """The measurement in sight: that of the choices as they are where it has rows, else the last one of its kind that
    this session has seen of the same model.
    """
    key = f"last {request.kind}"
    if job is not None and job.snapshot.rows:
        st.session_state[key] = job.request.digest
        return job
    last = get_sensitivities().find(st.session_state.get(key, ""))
    return last if last is not None and last.request.model == request.model else None


def draw_strip(request: SensitivityRequest, *, working: bool) -> None:
    """One bar or line, and the one button that makes sense; the page is drawn anew where a run has begun or ended."""
    job = get_sensitivities().find(request.digest)
    snapshot = job.snapshot if job else None
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        if snapshot is not None and snapshot.is_active:
            st.progress(snapshot.share_done, text=escape_markdown(tell_measurement(snapshot)))
            st.button("Cancel", key="cancel", width=120, on_click=cancel_job, args=(request.digest,))
        else:
            _draw_run_button(request, is_first=snapshot is None)
            told = tell_measurement(snapshot) if snapshot else _tell_work(request)
            st.caption(escape_markdown(told), width="stretch")
    draw_other_jobs({request.digest})
    if (snapshot is not None and snapshot.is_active) != working:
        st.rerun()


def _draw_run_button(request: SensitivityRequest, *, is_first: bool) -> None:
    """Button "run" before the first run of a request, "again" after it."""
    label, key = ("Run", "run") if is_first else ("Run again", "again")
    st.button(
        label,
        type="primary" if is_first else "secondary",
        key=key,
        width=130,
        icon=":material/play_arrow:",
        on_click=_run,
        args=(request,),
    )


def _run(request: SensitivityRequest) -> None:
    """Start the measurement, again where it has ended; for the button."""
    get_sensitivities().submit(request, again=True)


def _tell_work(request: SensitivityRequest) -> str:
    """What Run would do, in one sentence."""
    words = {
        "sensitivity": [f"{len(request.schemes)} schemes", ", ".join(request.targets), ", ".join(request.modes)],
        "forms": ["weights, activations and both at 8 bit, 4 bit and binary"],
        "activations": [f"the inputs of all layers under {len(request.schemes)} schemes"],
    }
    told = "; ".join(words[request.kind])
    return f"Run measures {name_source(request.model)} on {name_source(request.data)}: {told}"


_AHEAD = {
    "sensitivity": "**Run** quantizes each layer by itself, runs the model on the data, and holds its outputs against "
    "the float model's.",
    "forms": "**Run** quantizes the whole model, weights, activations and both, and measures size, layer error and "
    "accuracy of each form.",
    "activations": "**Run** watches what goes into every layer, and measures what each scheme would lose of it, which "
    "features are outliers, and what smoothing or rotating would gain.",
}


def tell_ahead(request: SensitivityRequest, job: Measurement | None) -> None:
    """What will be seen, and the command that measures the same, before there are rows."""
    if job is not None and job.snapshot.state == "cancelled":
        st.info("Cancelled before anything was done: there are no rows. **Run again** starts anew.")
    elif job is None:
        st.markdown(f"Nothing is measured yet: a link never starts a long run. {_AHEAD[request.kind]}")
    st.caption("The same on the command line:")
    st.code(write_command(request), language="shell", wrap_lines=True)


def write_command(request: SensitivityRequest) -> str:
    """The command that makes the same rows, as a shell takes it."""
    words = ["qanalysis", request.kind, name_source(request.model), "--calib", name_source(request.data)]
    words += [word for scheme in request.schemes for word in ("--scheme", scheme)]
    options = {
        "--target": "" if request.targets in ((), ("weights",)) else ",".join(request.targets),
        "--mode": "" if request.modes in ((), ("enable-one",)) else ",".join(request.modes),
        "--metric": "" if request.metric == USUAL else request.metric,
        "--weights": request.weights,
        "--include": request.include,
        "--samples": request.samples,
        "--length": request.length,
    }
    words += [word for option, value in options.items() if value for word in (option, str(value))]
    return shlex.join([*words, "--out", "rows.json"])
