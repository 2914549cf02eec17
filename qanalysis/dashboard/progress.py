"""How far is the sweep?

The strip under the title: one bar, one button, drawn again every half second while something runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.cache import get_jobs
from qanalysis.dashboard.jobs import Job, Snapshot, SweepRequest
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import count, duration, percent, shorten
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import SweepProgress

POLL_S = 0.5
SETTLE_S = 0.3
"""A sweep that ends within this time is shown at once, without a strip that flickers."""
MOST_UNASKED = 1_000_000_000
"""Work of `weigh_work` that is swept without a click; about a second on two cores."""
UNEQUAL, UNEQUAL_SEARCHED = 3, 20
"""How many times the work of an integer format another one is, and where its range is searched."""


def weigh_work(tensors: Sequence[TensorInfo], schemes: Sequence[str]) -> int:
    """Values times schemes, each scheme weighed by its format and range rule against integers under minmax.

    A plain number to compare with `MOST_UNASKED`; the filter has been applied to `tensors`. ValueError for a bad text.

    >>> weigh_work([TensorInfo("w", (10, 10), "F32", 400)], ["int4", "int4 range=mse:20", "int4 range=kl"])
    101100
    """
    return sum(info.numel for info in tensors) * sum(_weigh(Scheme.parse(text)) for text in schemes)


def _weigh(scheme: Scheme) -> int:
    """How many times the work of integers under minmax one scheme is: its range's cost times that of its format."""
    unequal = UNEQUAL_SEARCHED if scheme.range.tries_grids else UNEQUAL
    return scheme.range.cost * (1 if scheme.format.is_integer else unequal)


def follow_sweep(request: SweepRequest, tensors: Sequence[TensorInfo], *, named: str) -> Job | None:
    """The job of what the controls ask for: found, started where the work is small or the address has `named` it, else
    None.

    Waits at most `SETTLE_S` seconds for a job that it starts. None: the page asks for a click on "Sweep".
    """
    jobs = get_jobs()
    job = jobs.find(request.digest)
    if job is None and (weigh_work(tensors, request.schemes) <= MOST_UNASKED or named == request.digest):
        job = jobs.submit(request)
        job.wait(SETTLE_S)
    return job


def draw_strip(request: SweepRequest, tensors: Sequence[TensorInfo]) -> None:
    """The strip; it asks for a full run of the page when a job starts or ends.

    A fragment of its own; without anything at work it does not poll. Names of tensors are shown as text.
    """
    active = _active_jobs()
    st.fragment(_poll, run_every=POLL_S if active else None)(request, tensors, active)


def _active_jobs() -> frozenset[str]:
    """Digests of the server's jobs that wait or work, those of other sessions among them."""
    return frozenset(job.request.digest for job in get_jobs().active())


def _poll(request: SweepRequest, tensors: Sequence[TensorInfo], drawn: frozenset[str]) -> None:
    """The strip as it stands: a bar while the sweep is at work, else a line; one button; other jobs below.

    `drawn` are the jobs that were active when the page was drawn: when others are, the page is drawn anew.
    """
    if _active_jobs() != drawn:
        st.rerun()
    job = get_jobs().find(request.digest)
    snapshot = job.snapshot if job else None
    words = describe_progress(snapshot, tensors, schemes=len(request.schemes))
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
    """The one button that makes sense: "sweep" before, "cancel" during, "again" after."""
    if snapshot is None:
        st.button("Sweep", type="primary", key="sweep", width=120, on_click=_start, args=(request,))
    elif snapshot.is_active:
        st.button("Cancel", key="cancel", width=120, on_click=_cancel, args=(request.digest,))
    else:
        st.button("Sweep again", key="again", width=120, on_click=_start, args=(request,))


def _start(request: SweepRequest) -> None:
    """Start the sweep, again where it has ended; for a button's callback."""
    get_jobs().submit(request, again=True)


def _cancel(digest: str) -> None:
    """Cancel the sweep and give it a moment to end, so that the next run shows the rows so far; for callbacks."""
    job = get_jobs().find(digest)
    if job is not None:
        job.cancel()
        job.wait(SETTLE_S)


def _draw_other(job: Job) -> None:
    """A line and a button for a job that is not this page's: another source, or choices left behind."""
    with st.container(horizontal=True, vertical_alignment="center"):
        source, schemes = escape_markdown(shorten(job.request.source)), len(job.request.schemes)
        st.caption(f"Also running: {source}, {schemes} schemes, {percent(job.snapshot.share_done)}", width="stretch")
        st.button("Cancel", key=f"cancel-{job.request.digest}", width=120, on_click=_cancel, args=(job.request.digest,))


def describe_progress(snapshot: Snapshot | None, tensors: Sequence[TensorInfo], *, schemes: int) -> str:
    """One line on where a sweep of these tensors stands, as markdown with every name escaped.

    `schemes` is how many there are. Partial results say so in bold; without a snapshot it tells the work ahead.
    """
    if snapshot is None:
        return f"Not swept yet: {count(sum(info.numel for info in tensors), 'values')} × {schemes} schemes"
    progress = snapshot.progress
    if progress is None and snapshot.state == "running":
        return f"{escape_markdown(shorten(tensors[0].name))}: 0 of {len(tensors)} tensors × {schemes} schemes"
    if progress is None:
        return _WITHOUT_PROGRESS[snapshot.state]
    counted = f"{progress.done} of {progress.total} tensors × {schemes} schemes"
    if snapshot.is_active:
        left = f", {duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
        return f"{escape_markdown(shorten(progress.tensor))}: {counted}, {_name_speed(progress)}{left}"
    if snapshot.state == "done":
        return f"Complete: {counted} in {duration(snapshot.seconds)}, {_name_speed(progress)}"
    return f"**Partial**: {counted} before it was {'cancelled' if snapshot.state == 'cancelled' else 'stopped'}"


_WITHOUT_PROGRESS = {
    "queued": "Waiting for its turn",
    "done": "Complete",
    "cancelled": "Cancelled before the first tensor",
    "failed": "The sweep failed",
}


def _name_speed(progress: SweepProgress) -> str:
    """Values per second over all schemes, in words."""
    # One value under one scheme is one round trip.
    return f"{count(progress.values_per_s)} round trips/s"
