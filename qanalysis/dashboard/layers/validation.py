"""Why trust these numbers? A section of the page: the cross-checks of `qanalysis validate`, run when somebody asks."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import streamlit as st

from qanalysis.dashboard.cache import get_checks
from qanalysis.dashboard.wording import escape_markdown

POLL_S = 0.5
TABLE_HEIGHT = 460
HEADINGS = {
    "check": "Check",
    "peer": "Judge",
    "version": "Version",
    "reached_text": "Reached",
    "required_text": "Required",
    "verdict": "Verdict",
    "reason": "Why",
}
_ORDER = ("failed", "ok", "by design", "not installed")
_INTRODUCTION = (
    "Every format is compared with the libraries that deploy it, on tensors with outliers, tiny rows, zeros, "
    "exact ties and ragged rows: restored values bit for bit wherever the judge computes in the same order, "
    "SQNR to 0.00001 dB elsewhere. Theory lines are compared with published tables. "
    "`qanalysis validate` does the same in a shell."
)


def draw_validation() -> None:
    """The section. The checks run once per server, in the background, and stay.

    The expander's key is "trust", no field of the view. While checks run the section asks twice a second.
    """
    with st.expander(
        "Why trust this: every number against other libraries and published tables",
        key="trust",
        icon=":material/verified:",
    ):
        st.markdown(_INTRODUCTION)
        running = get_checks().running
        st.fragment(_draw_checks, run_every=POLL_S if running else None)(drawn_running=running)


def _draw_checks(*, drawn_running: bool) -> None:
    """The state of the checks: how long they run, a fault, or the table, and the button "validate".

    A full run of the page follows when they begin or end, so that polling stops with them.
    """
    checks = get_checks()
    if checks.running != drawn_running:
        st.rerun()
    if checks.running:
        since = f"{time.monotonic() - checks.started_s:.0f} s so far …"
        st.caption(f"Asking every library that is installed; 10 to 30 seconds, the first time a minute more, {since}")
        return
    if checks.fault:
        st.error(escape_markdown(checks.fault), icon=":material/error:")
    if checks.document:
        _draw_document(checks.document)
    st.button(
        "Check again" if checks.document else "Run the checks",
        key="validate",
        icon=":material/rule:",
        on_click=checks.start,
    )


def _draw_document(document: dict[str, Any]) -> None:
    """The verdicts in one sentence, the table "checks", and what no check covers."""
    summary = document["settings"]["summary"]
    st.markdown(f"**{escape_markdown(summary)}**")
    st.dataframe(
        build_checks(document),
        key="checks",
        height=TABLE_HEIGHT,
        hide_index=True,
        column_config={
            "Check": st.column_config.TextColumn(width=330),
            "Judge": st.column_config.TextColumn(width=140),
            "Why": st.column_config.TextColumn(width="large"),
        },
        alt=f"Cross-checks: {summary}",
    )
    st.caption(document["settings"]["not_covered"])


def build_checks(document: dict[str, Any]) -> pd.DataFrame:
    """One line per check: what failed, what agrees, differences by design, who is not installed.

    `document` is that of `qanalysis validate --json`; no row leaves the headings alone.
    """
    rows = sorted(document["rows"], key=lambda row: _ORDER.index(row["verdict"]))
    return pd.DataFrame(
        [{heading: row[key] for key, heading in HEADINGS.items()} for row in rows], columns=list(HEADINGS.values())
    )
