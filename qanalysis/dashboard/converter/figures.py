"""How does each tab of page Converter draw the figures of a row? As the reports write them, with the convention
beside each number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from qanalysis.converters.findings import Finding
from qanalysis.converters.lines import Told
from qanalysis.dashboard.converter.wording import name_boxes
from qanalysis.dashboard.elements import Fact, draw_facts
from qanalysis.dashboard.wording import escape_markdown


def draw_figures(row: Told, *, alt: str, more: Sequence[Fact] = ()) -> None:
    """The figures of a row as the reports write them, and `more` below.

    `alt` says the figures' headline to those who do not see the table; `more` are facts that no row holds.
    """
    lines = ((line.label, line.text, name_boxes(line.convention)) for line in row.lines)
    draw_facts([*lines, *more], alt=alt)


def draw_notes(findings: Iterable[Finding]) -> None:
    """How something was read, in small print.

    Nothing is drawn where nothing had to be decided.
    """
    text = " ".join(escape_markdown(finding.text) for finding in findings)
    if text:
        st.caption(f"**How the file was read.** {text}")
