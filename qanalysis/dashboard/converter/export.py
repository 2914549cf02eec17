"""How do the rows of a converter leave the page? As the files that the command line writes, with the chart in the HTML."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from qanalysis.converters.rows import ConverterRows
from qanalysis.dashboard.converter.elements import draw_link
from qanalysis.dashboard.converter.view import ConverterView
from qanalysis.reports.converter_files import write_converter_report
from qanalysis.reports.page import make_chart

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_KINDS = (
    (".csv", "CSV", "text/csv"),
    (".json", "JSON", "application/json"),
    (".parquet", "Parquet", "application/vnd.apache.parquet"),
    (".html", "HTML report", "text/html"),
)
Picture = tuple[str, str, Callable[..., "Figure"]]
"""A chart's heading, its caption, and what draws it for a `theme`."""


def draw_converter_export(rows: ConverterRows, view: ConverterView, key: str, *, pictures: tuple[Picture, ...] = ()) -> None:
    """Four downloads of `rows` and the link to the view."""
    with st.container(horizontal=True):
        for suffix, label, mime in _KINDS:
            st.download_button(
                label,
                _delay(rows, suffix, pictures),
                file_name=f"{name_rows(rows)}{suffix}",
                mime=mime,
                key=f"{key}-{suffix[1:]}",
                on_click="ignore",
                icon=":material/download:",
            )
        draw_link(view)


def _delay(rows: ConverterRows, suffix: str, pictures: tuple[Picture, ...]) -> Callable[[], bytes]:
    return lambda: render_rows(rows, suffix, pictures=pictures)


def render_rows(rows: ConverterRows, suffix: str, *, pictures: tuple[Picture, ...] = ()) -> bytes:
    """The bytes of the file for one suffix; needs no session, so that a download may run on any thread."""
    charts = [make_chart(*picture) for picture in pictures] if suffix == ".html" else []
    with tempfile.TemporaryDirectory(prefix="qanalysis-") as folder:
        return write_converter_report(rows, Path(folder, f"rows{suffix}"), charts=charts).read_bytes()


def name_rows(rows: ConverterRows) -> str:
    """A download's name without suffix: the command, and the record's own name in plain characters."""
    own = Path(rows.source.path).stem if rows.source else ""
    return re.sub(r"[^\w.-]+", "-", f"{rows.command}-{own}").strip("-.")[:60]
