"""How does a result leave the page? Files of exactly the rows in sight, and a link to the view."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from qanalysis.checkpoints.file_kinds import SUFFIX_KINDS
from qanalysis.dashboard.layers.view import ViewState, write_link
from qanalysis.diagnosis import Diagnosis
from qanalysis.diagnosis.profile import LayerProfile
from qanalysis.reports import write_report
from qanalysis.sweeps.row import Rows

_KINDS = (
    (".csv", "CSV", "text/csv"),
    (".json", "JSON", "application/json"),
    (".parquet", "Parquet", "application/vnd.apache.parquet"),
    (".html", "HTML report", "text/html"),
)


def render_file(rows: Rows, suffix: str, *, scheme: str, profiles: Sequence[LayerProfile] = (), diagnoses: Sequence[Diagnosis] = ()) -> bytes:
    """The bytes of `write_report` for one suffix; needs no session, so that a download may run on any thread."""
    with tempfile.TemporaryDirectory(prefix="qanalysis-") as folder:
        return write_report(rows, Path(folder, f"rows{suffix}"), scheme=scheme, profiles=profiles, diagnoses=diagnoses).read_bytes()


def name_file(rows: Rows, suffix: str) -> str:
    """A download's name: the source's label in plain characters without its own suffix, "partial" where it is, and the suffix."""
    label = Path(rows.source.path.removeprefix("sample:"))
    stem = re.sub(r"[^\w.-]+", "-", label.stem if label.suffix in SUFFIX_KINDS else label.name).strip("-.") or "rows"
    return f"{stem[:60]}{'' if rows.complete else '-partial'}{suffix}"


def draw_export(rows: Rows, view: ViewState, *, scheme: str, profiles: Sequence[LayerProfile], diagnoses: Sequence[Diagnosis] = (), job: str) -> None:
    """Four downloads side by side, what they hold, and the link."""
    schemes = len({row.scheme for row in rows})
    tensors = len(rows) // max(schemes, 1)
    state = "" if rows.complete else " The sweep was cancelled: these are the rows so far."
    st.caption(
        f"{len(rows):,} rows: {tensors} tensors × {schemes} schemes, with every column, the totals, the settings and the input's digest.{state}".replace(
            ",", " ", 1
        )
    )
    with st.container(horizontal=True):
        for suffix, label, mime in _KINDS:
            st.download_button(
                label,
                _delay(rows, suffix, scheme, profiles, diagnoses),
                file_name=name_file(rows, suffix),
                mime=mime,
                key=f"save-{suffix[1:]}",
                on_click="ignore",
                icon=":material/download:",
            )
        with st.popover("Copy link", icon=":material/link:"):
            st.caption("This address shows the same numbers in another browser on this machine.")
            st.code(write_link(st.context.url or "", view, job), language=None, wrap_lines=True)


def _delay(rows: Rows, suffix: str, scheme: str, profiles: Sequence[LayerProfile], diagnoses: Sequence[Diagnosis]) -> Callable[[], bytes]:
    return lambda: render_file(rows, suffix, scheme=scheme, profiles=profiles if suffix == ".html" else (), diagnoses=diagnoses)
