"""How far is the sweep? The strip under the title: one bar, one button, drawn again every half second while something runs."""

from __future__ import annotations

import streamlit as st

from qanalysis.dashboard.cache import get_jobs
from qanalysis.dashboard.jobs import Job, Snapshot, SweepRequest
from qanalysis.dashboard.wording import escape_markdown, format_count, format_duration, shorten_middle
from qanalysis.sweep import SweepProgress

POLL_S = 0.5
SETTLE_S = 0.3
"""A sweep that ends within this time is shown at once, without a strip that flickers."""
MOST_UNASKED = 1_000_000_000
"""Values times schemes that are swept without a click; about a second of work."""


def follow_sweep(request: SweepRequest, work: int) -> Job | None:
    """The job of what the controls ask for: found, started where the work is small or the address names it, else None.

    `work` is values times schemes.
    """
    jobs = get_jobs()
    job = jobs.find(request.digest)
    if job is None and (work <= MOST_UNASKED or st.query_params.get("job") == request.digest):
        job = jobs.submit(request)
        job.wait(SETTLE_S)
    if job is not None and st.query_params.get("job") != request.digest:
        st.query_params["job"] = request.digest
    return job


def draw_strip(request: SweepRequest, work: int) -> None:
    """The strip; it asks for a full run of the page when a job starts or ends."""
    active = _active_jobs()
    st.fragment(_poll, run_every=POLL_S if active else None)(request, work, active)


def _active_jobs() -> frozenset[str]:
    return frozenset(job.request.digest for job in get_jobs().active())


def _poll(request: SweepRequest, work: int, drawn: frozenset[str]) -> None:
    if _active_jobs() != drawn:
        st.rerun()
    job = get_jobs().find(request.digest)
    snapshot = job.snapshot if job else None
    words = describe_progress(snapshot, work=work, schemes=len(request.schemes))
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        if snapshot and snapshot.is_active:
            st.progress(snapshot.share_done, text=words)
        else:
            st.caption(words, width="stretch")
        _draw_button(request, snapshot)
    for other in get_jobs().active():
        if other.request.digest != request.digest:
            _draw_other(other)


def _draw_button(request: SweepRequest, snapshot: Snapshot | None) -> None:
    if snapshot is None:
        st.button("Sweep", type="primary", key="sweep", width=120, on_click=_start, args=(request,))
    elif snapshot.is_active:
        st.button("Cancel", key="cancel", width=120, on_click=_cancel, args=(request.digest,))
    else:
        st.button("Sweep again", key="again", width=120, on_click=_start, args=(request,))


def _start(request: SweepRequest) -> None:
    get_jobs().submit(request, again=True)


def _cancel(digest: str) -> None:
    job = get_jobs().find(digest)
    if job is not None:
        job.cancel()
        job.wait(SETTLE_S)


def _draw_other(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"Also running: {escape_markdown(shorten_middle(job.request.source))}, {len(job.request.schemes)} schemes, {job.snapshot.share_done:.0%}",
            width="stretch",
        )
        st.button("Cancel", key=f"cancel-{job.request.digest}", width=120, on_click=_cancel, args=(job.request.digest,))


def describe_progress(snapshot: Snapshot | None, *, work: int, schemes: int) -> str:
    """One line on where a sweep stands, as markdown with every name escaped."""
    if snapshot is None:
        return f"Not swept yet: {format_count(work / max(schemes, 1), 'values')} × {schemes} schemes"
    progress = snapshot.progress
    if progress is None:
        return _WITHOUT_PROGRESS[snapshot.state]
    counted = f"{progress.done} of {progress.total} tensors × {schemes} schemes"
    if snapshot.is_active:
        left = f", {format_duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
        return f"{escape_markdown(shorten_middle(progress.tensor))}: {counted}, {_name_speed(progress)}{left}"
    if snapshot.state == "done":
        return f"Complete: {counted} in {format_duration(snapshot.seconds)}, {_name_speed(progress)}"
    return f"**Partial**: {counted} before it was {'cancelled' if snapshot.state == 'cancelled' else 'stopped'}"


_WITHOUT_PROGRESS = {
    "queued": "Waiting for its turn",
    "running": "Reading the first tensor",
    "done": "Complete",
    "cancelled": "Cancelled before the first tensor",
    "failed": "The sweep failed",
}


def _name_speed(progress: SweepProgress) -> str:
    # One value under one scheme is one round trip.
    return f"{format_count(progress.values_per_s)} round trips/s"
