"""How far are the sweeps, trainings, comparisons and measurements of sensitivities?

The strip of page Layers: one bar, one button, and a line for each other job; on every page without a strip those lines
alone. One fragment on the page, drawn again every half second while something runs.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import streamlit as st

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.cache import get_jobs
from qanalysis.dashboard.comparisons import CompareRequest, get_comparisons, tell_comparison
from qanalysis.dashboard.jobs import Job, JobManager, Snapshot, SweepJob, SweepRequest
from qanalysis.dashboard.sensitivities import SensitivityRequest, get_sensitivities, tell_measurement
from qanalysis.dashboard.trainings import TrainingRequest, get_trainings, tell_run
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import about, about_size, count, duration, percent, shorten
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import SweepProgress
from qanalysis.sweeps.work import WORK_PER_CALL, Estimate, weigh_work

POLL_S = 0.5
SETTLE_S = 0.3
"""A sweep that ends within this time is shown at once, without a strip that flickers."""
MOST_UNASKED = 1_000_000_000
"""Work that is swept without a click, that of each row counted; about a second on two cores."""


def follow_sweep(request: SweepRequest, tensors: Sequence[TensorInfo], *, named: str) -> SweepJob | None:
    """The job of what the controls ask for: found, started where the work is small or the address has `named` it, else
    None.

    Waits at most `SETTLE_S` seconds for a job that it starts. None: the page asks for a click on "Sweep".
    """
    jobs = get_jobs()
    job = jobs.find(request.digest)
    work = weigh_work(tensors, request.schemes) + WORK_PER_CALL * len(tensors) * len(request.schemes)
    if job is None and (work <= MOST_UNASKED or named == request.digest):
        job = jobs.submit(request)
        job.wait(SETTLE_S)
    return job


def draw_strip(request: SweepRequest, tensors: Sequence[TensorInfo]) -> None:
    """The strip; it asks for a full run of the page when a job starts or ends.

    A fragment of its own; without anything at work it does not poll. Names of tensors are shown as text.
    """
    st.session_state["has_strip"] = True
    active = _active_jobs()
    st.fragment(_poll, run_every=POLL_S if active else None)(request, tensors, active)


@contextmanager
def tell_jobs() -> Iterator[None]:
    """A place above what the block draws, with a line for each job of the server that waits or works.

    Empty where nothing does, and where the block draws the strip, which has those lines.
    """
    place = st.container()
    st.session_state["has_strip"] = False
    yield
    active = _active_jobs()
    if active and not st.session_state["has_strip"]:
        with place:
            st.fragment(_poll_others, run_every=POLL_S)(active)


def _poll_others(drawn: frozenset[str]) -> None:
    """The lines of all jobs as they stand; with other jobs than `drawn` the page is drawn anew."""
    for job in _list_active():
        _draw_line(job, "Running")
    if _active_jobs() != drawn:
        st.rerun()


def draw_other_jobs(own: Container[str]) -> None:
    """A line for each job of the server that waits or works, but for those whose digests are in `own`."""
    for job in _list_active():
        if job.request.digest not in own:
            _draw_line(job, "Also running")


def _list_active() -> tuple[Job[Any, Any, Any], ...]:
    """The server's jobs that wait or work, sweeps first, those of other sessions among them."""
    return tuple(job for jobs in _list_managers() for job in jobs.active())


def _list_managers() -> tuple[JobManager[Any, Any, Any], ...]:
    return get_jobs(), get_trainings(), get_sensitivities(), get_comparisons()


def _active_jobs() -> frozenset[str]:
    """Their digests."""
    return frozenset(job.request.digest for job in _list_active())


def _poll(request: SweepRequest, tensors: Sequence[TensorInfo], drawn: frozenset[str]) -> None:
    """The strip as it stands: a bar while the sweep is at work, else a line; one button; other jobs below.

    `drawn` are the jobs that were active when the page was drawn: when others are, the page is drawn anew.
    """
    job = get_jobs().find(request.digest)
    snapshot = job.snapshot if job else None
    words = describe_progress(snapshot, tensors, schemes=request.schemes)
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        if snapshot and snapshot.is_active:
            st.progress(snapshot.share_done, text=words)
        else:
            st.caption(words, width="stretch")
        _draw_button(request, snapshot)
    draw_other_jobs({request.digest})
    # What a click did is in sight before the whole page, which may take seconds, is drawn anew.
    if _active_jobs() != drawn:
        st.rerun()


def _draw_button(request: SweepRequest, snapshot: Snapshot[SweepProgress, Rows] | None) -> None:
    """The one button that makes sense: "sweep" before, "cancel" during, "again" after."""
    if snapshot is None:
        st.button("Sweep", type="primary", key="sweep", width=120, on_click=_start, args=(request,))
    elif snapshot.is_active:
        st.button("Cancel", key="cancel", width=120, on_click=cancel_job, args=(request.digest,))
    else:
        st.button("Sweep again", key="again", width=120, on_click=_start, args=(request,))


def _start(request: SweepRequest) -> None:
    """Start the sweep, again where it has ended; for a button's callback."""
    get_jobs().submit(request, again=True)


def cancel_job(digest: str) -> None:
    """Cancel a job and give it a moment to end, so that the next run shows the rows so far; for callbacks."""
    for job in filter(None, (jobs.find(digest) for jobs in _list_managers())):
        job.cancel()
        job.wait(SETTLE_S)


def _draw_line(job: Job[Any, Any, Any], label: str) -> None:
    """A line and a button for a job that is not this page's: another source, or choices left behind."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{label}: {describe_job(job.request, job.snapshot)}", width="stretch")
        st.button(
            "Cancel", key=f"cancel-{job.request.digest}", width=120, on_click=cancel_job, args=(job.request.digest,)
        )


def describe_job(
    request: SweepRequest | TrainingRequest | SensitivityRequest | CompareRequest, snapshot: Snapshot[Any, Any]
) -> str:
    """A job in a few words for pages that are not its own: source, schemes, share done, time left, the steps of a
    training, the runs of a model, or the tensors of a comparison; as markdown.

    The source is named by the last part of its path, as text.
    """
    if isinstance(request, TrainingRequest):
        return escape_markdown(f"{request.subject}, {tell_run(snapshot)}")
    if isinstance(request, SensitivityRequest):
        return escape_markdown(f"{request.subject}, {tell_measurement(snapshot)}")
    if isinstance(request, CompareRequest):
        return escape_markdown(f"{request.subject}, {tell_comparison(snapshot)}")
    source = escape_markdown(shorten(request.source.rstrip("/").rpartition("/")[2]))
    if snapshot.state == "queued":
        return f"{source}, {len(request.schemes)} schemes, waiting for its turn"
    left = _name_time_left(snapshot.progress) if snapshot.progress else ""
    return f"{source}, {len(request.schemes)} schemes, {percent(snapshot.share_done)}{left}"


def describe_progress(
    snapshot: Snapshot[SweepProgress, Rows] | None, tensors: Sequence[TensorInfo], *, schemes: Sequence[str]
) -> str:
    """One line on where a sweep of these tensors stands, as markdown with every name escaped.

    `schemes` are canonical texts. Partial results say so in bold; without a snapshot it tells the work ahead, with
    about how long it takes and how much memory.
    """
    if snapshot is None:
        ahead = _estimate(tuple(tensors), tuple(schemes))
        cost = f"{about(ahead.seconds)}, {about_size(ahead.memory_bytes)} of memory"
        return f"Not swept yet: {count(sum(info.numel for info in tensors), 'values')} × {len(schemes)} schemes, {cost}"
    progress = snapshot.progress
    if snapshot.state == "running" and (progress is None or not progress.share_done):
        return f"{escape_markdown(shorten(tensors[0].name))}: 0 of {len(tensors)} tensors × {len(schemes)} schemes"
    if progress is None or not (progress.done or snapshot.is_active):
        return _WITHOUT_PROGRESS[snapshot.state]
    counted = f"{progress.done} of {progress.total} tensors × {len(schemes)} schemes"
    if snapshot.is_active:
        done = f"{percent(progress.share_done)}, {_name_speed(progress)}{_name_time_left(progress)}"
        return f"{escape_markdown(shorten(progress.tensor))}: {counted}, {done}"
    if snapshot.state == "done":
        bare = _count_bare(snapshot)
        counted = f"{progress.done - bare} of {progress.total} tensors × {len(schemes)} schemes"
        without = f"; {bare} without figures" if bare else ""
        return f"Complete: {counted} in {duration(snapshot.seconds)}, {_name_speed(progress)}{without}"
    return f"**Partial**: {counted} before it was {'cancelled' if snapshot.state == 'cancelled' else 'stopped'}"


def _count_bare(snapshot: Snapshot[SweepProgress, Rows]) -> int:
    """How many tensors of a complete sweep have figures under none of the schemes."""
    if snapshot.rows is None:
        return 0
    tensors, has_figures = snapshot.rows.column("tensor"), snapshot.rows.column("status") == "ok"
    return len(set(tensors.tolist()) - set(tensors[has_figures].tolist()))


_WITHOUT_PROGRESS = {
    "queued": "Waiting for its turn",
    "done": "Complete",
    "cancelled": "Cancelled before the first tensor",
    "failed": "The sweep failed",
}


@lru_cache(maxsize=4)
def _estimate(tensors: tuple[TensorInfo, ...], schemes: tuple[str, ...]) -> Estimate:
    """The estimate of the last requests, which the strip tells at every run."""
    return Estimate.of(tensors, schemes)


def _name_time_left(progress: SweepProgress) -> str:
    """The end of a line that tells the time left, empty where that is not known."""
    return "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"


def _name_speed(progress: SweepProgress) -> str:
    """Values per second over all schemes, in words."""
    # One value under one scheme is one round trip.
    return f"{count(progress.values_per_s)} round trips/s"
