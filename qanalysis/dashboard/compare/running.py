"""How is a comparison asked for on page Compare, and how far is it? Its job, and one strip with one button."""

from __future__ import annotations

import streamlit as st

from qanalysis.comparisons.row import ComparisonRow
from qanalysis.dashboard.comparisons import (
    CompareJob,
    CompareRequest,
    count_compared,
    get_comparisons,
    tell_comparison,
)
from qanalysis.dashboard.progress import POLL_S, SETTLE_S, cancel_job, draw_other_jobs
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import count
from qanalysis.results.table import Table

MOST_UNASKED = 100_000_000
"""Values that are compared without a click; a few seconds on two cores."""


def follow(request: CompareRequest, structure: Table[ComparisonRow], *, named: str) -> CompareJob | None:
    """The job of two sources: found, started where the work is small or the address has named it, else None.

    Waits a moment for one that it starts.
    """
    jobs = get_comparisons()
    job = jobs.find(request.digest)
    if job is None and (count_compared(structure) <= MOST_UNASKED or named == request.digest):
        job = jobs.submit(request)
        job.wait(SETTLE_S)
    return job


def draw_strip(request: CompareRequest, structure: Table[ComparisonRow], *, working: bool) -> None:
    """One bar or line, and the one button that makes sense; the page is drawn anew where the work has begun or ended.

    A fragment of its own, which polls while the page was drawn with a comparison at work.
    """
    st.session_state["has_strip"] = True
    st.fragment(_poll, run_every=POLL_S if working else None)(request, count_compared(structure), working=working)


def _poll(request: CompareRequest, values: int, *, working: bool) -> None:
    job = get_comparisons().find(request.digest)
    snapshot = job.snapshot if job else None
    with st.container(horizontal=True, vertical_alignment="center", key="strip"):
        if snapshot is not None and snapshot.is_active:
            st.progress(snapshot.share_done, text=escape_markdown(tell_comparison(snapshot)))
            st.button("Cancel", key="cancel", width=120, on_click=cancel_job, args=(request.digest,))
        else:
            ahead = f"Not compared yet: {count(values, 'values')} of each side are to be read"
            st.caption(escape_markdown(tell_comparison(snapshot) if snapshot else ahead), width="stretch")
            label, key = ("Compare", "run") if snapshot is None else ("Compare again", "again")
            st.button(
                label, type="primary" if snapshot is None else "secondary", key=key, on_click=_start, args=(request,)
            )
    draw_other_jobs({request.digest})
    if (snapshot is not None and snapshot.is_active) != working:
        st.rerun()


def _start(request: CompareRequest) -> None:
    """Start the comparison, again where it has ended; for the button."""
    get_comparisons().submit(request, again=True).wait(SETTLE_S)
