"""How does a result leave a page? As the files that the command line writes, of exactly the rows in sight, and as a
link to the view.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from qanalysis.charts.linked.scene import Panel
from qanalysis.checkpoints.catalogue import SUFFIX_KINDS
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.session import write_link
from qanalysis.dashboard.views import View
from qanalysis.diagnosis.findings import Diagnosis
from qanalysis.diagnosis.profile import LayerProfile
from qanalysis.reports.pictures import Chart, make_chart
from qanalysis.reports.report import write_report
from qanalysis.results.document import kind_of
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_KINDS = (
    (".csv", "CSV", "text/csv"),
    (".json", "JSON", "application/json"),
    (".parquet", "Parquet", "application/vnd.apache.parquet"),
    (".html", "HTML report", "text/html"),
)
Picture = tuple[str, str, Callable[[], "Figure"]]
"""A chart's heading, its caption, and what draws it."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What a report shows beside the rows: the scheme it speaks of, layers from inside, diagnoses, other charts.

    Profiles and pictures stand in the HTML report only, and are made when it is; the other files hold rows, totals and
    settings.
    """

    scheme: str | None = None
    profiles: Callable[[], Sequence[LayerProfile]] = tuple
    diagnoses: Sequence[Diagnosis] = ()
    pictures: Sequence[Picture] = ()


def render_file(rows: Table[Any], suffix: str, extras: Extras) -> bytes:
    """The bytes of the file for one suffix; needs no session, so that a download may run on any thread.

    `suffix` is one of .csv, .json, .parquet, .html. ValueError and OSError as `write_report` raises them.
    """
    with tempfile.TemporaryDirectory(prefix="qanalysis-") as folder:
        target = Path(folder, f"rows{suffix}")
        page = suffix == ".html"
        return write_report(
            rows,
            target,
            scheme=extras.scheme,
            profiles=extras.profiles() if page else (),
            diagnoses=extras.diagnoses,
            charts=[_draw(picture) for picture in extras.pictures] if page else (),
        ).read_bytes()


def _draw(picture: Picture) -> Chart:
    heading, caption, draw = picture
    return make_chart(heading, caption, Panel("chart", draw()))


def name_file(rows: Table[Any], suffix: str) -> str:
    """A download's name: the command where it is no sweep, the source's label in plain characters, "partial" where it
    is, and the suffix.

    At most 60 characters before the suffix, letters, digits, dots, dashes and underscores; "rows" where nothing is
    left.
    """
    command = "" if rows.row_type is Row else f"{kind_of(rows).command}-"
    label = Path(rows.source.path.removeprefix(SAMPLE_PREFIX) if rows.source else "")
    own = label.stem if command or label.suffix in SUFFIX_KINDS else label.name
    stem = re.sub(r"[^\w.-]+", "-", f"{command}{own}").strip("-.") or "rows"
    return f"{stem[:60]}{'' if rows.complete else '-partial'}{suffix}"


def draw_export(rows: Table[Any], kind: type[View], key: str, extras: Extras) -> None:
    """Four downloads side by side, and the link to the view.

    Buttons have the keys KEY-csv, KEY-json, KEY-parquet and KEY-html; a file is made when its button is pressed, not
    before.
    """
    with st.container(horizontal=True):
        for suffix, label, mime in _KINDS:
            st.download_button(
                label,
                _delay(rows, suffix, extras),
                file_name=name_file(rows, suffix),
                mime=mime,
                key=f"{key}-{suffix[1:]}",
                on_click="ignore",
                icon=":material/download:",
            )
        draw_link(kind)


def draw_link(kind: type[View]) -> None:
    """A popover with the address of the view.

    Parameters that have their defaults are left out; an untouched page has the bare address.
    """
    with st.popover("Copy link", icon=":material/link:"):
        st.caption("This address shows the same numbers in another browser on this machine.")
        st.code(write_link(kind), language=None, wrap_lines=True)


def _delay(rows: Table[Any], suffix: str, extras: Extras) -> Callable[[], bytes]:
    """What a button is given in place of the bytes: they are made when it is pressed."""
    return lambda: render_file(rows, suffix, extras)
