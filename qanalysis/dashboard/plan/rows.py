"""Which rows does page Plan choose from? A sweep or a sensitivity that is made here, or a file that holds them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.cache import get_jobs, identify, read_contents
from qanalysis.dashboard.jobs import SweepRequest
from qanalysis.dashboard.plan.view import PlanView
from qanalysis.dashboard.plans import Held, is_rows, open_rows
from qanalysis.dashboard.progress import SETTLE_S, cancel_job, draw_other_jobs, draw_strip, follow_sweep
from qanalysis.dashboard.runnable_models import MODEL_SAMPLES, OWN_DATA, identify_data, identify_model
from qanalysis.dashboard.sensitivities import SensitivityRequest, get_sensitivities, tell_measurement
from qanalysis.dashboard.session import change
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.sweeps.selection import select_tensors

POLL_S = 0.5


def find_rows(view: PlanView, ended: Any) -> Held | None:
    """The rows of the source, swept or measured here where that is not done; None while there are none yet.

    `ended` is the place for how far a sweep that has ended came. Raises ValueError, CheckpointError or OSError for a
    source that can not be opened, and for work that has failed.
    """
    if is_rows(view.source):
        return open_rows(view.source)
    if view.measure == "outputs" and _runs(view.source):
        return _follow_measurement(view)
    return _follow_sweep(view, ended)


def list_schemes(view: PlanView) -> tuple[str, ...]:
    """The candidates as they are swept: those chosen, or the usual ones."""
    return view.schemes or tuple(map(str, default_schemes()))


def _runs(source: str) -> bool:
    return source.startswith(SAMPLE_PREFIX) and source.removeprefix(SAMPLE_PREFIX) in MODEL_SAMPLES


def _follow_sweep(view: PlanView, ended: Any) -> Held | None:
    """The rows of a sweep that page Layers shares, and its strip: above the result while it works, in `ended` then."""
    origin = identify(view.source)
    contents = read_contents(origin)
    request = SweepRequest(view.source, origin.identity, list_schemes(view), view.include)
    tensors = select_tensors(contents.tensors, request.filter, notes=contents.notes).tensors
    job = follow_sweep(request, tensors, named=view.job)
    if job is not None:
        change(PlanView, job=request.digest)
    working = job is not None and job.snapshot.is_active
    with ended if job is not None and not working else st.container():
        draw_strip(request, tensors)
    if job is not None and working and not job.snapshot.is_active:
        st.rerun()  # it ended before the strip, which then polls no more
    return _read_job(get_jobs().find(request.digest))


def _follow_measurement(view: PlanView) -> Held | None:
    """The sensitivity of a sample's weights, with a button that measures it."""
    identity = f"{identify_model(view.source, '')} {identify_data(OWN_DATA, view.source)}"
    request = SensitivityRequest(view.source, OWN_DATA, identity, list_schemes(view), include=view.include)
    job = get_sensitivities().find(request.digest)
    st.session_state["has_strip"] = True
    working = job is not None and job.snapshot.is_active
    st.fragment(_draw_measurement, run_every=POLL_S if working else None)(request, working=working)
    return _read_job(job)


def _draw_measurement(request: SensitivityRequest, *, working: bool) -> None:
    """One bar or line and one button; the page is drawn anew where a measurement has begun or ended."""
    job = get_sensitivities().find(request.digest)
    snapshot = job.snapshot if job else None
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        if snapshot is not None and snapshot.is_active:
            st.progress(snapshot.share_done, text=escape_markdown(tell_measurement(snapshot)))
            st.button("Cancel", key="cancel", width=120, on_click=cancel_job, args=(request.digest,))
        else:
            st.button(
                "Measure" if snapshot is None else "Measure again", key="measure-run", on_click=_start, args=(request,)
            )
            ahead = f"What {len(request.schemes)} schemes of each layer do to the outputs is not measured yet"
            st.caption(escape_markdown(tell_measurement(snapshot) if snapshot else ahead), width="stretch")
    draw_other_jobs({request.digest})
    if (snapshot is not None and snapshot.is_active) != working:
        st.rerun()


def _start(request: SensitivityRequest) -> None:
    get_sensitivities().submit(request, again=True).wait(SETTLE_S)


def _read_job(job: Any) -> Held | None:
    """The rows of a job so far; ValueError where it has failed."""
    if job is None:
        return None
    if job.snapshot.state == "failed":
        raise ValueError(job.snapshot.message)
    rows = job.snapshot.rows
    return Held(f"{job.request.digest} {len(rows)}", rows) if rows is not None and len(rows) else None
