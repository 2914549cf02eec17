"""What does the scheme in view cost against other tools' readings of its words? A section of page Layers, compared when it is open."""

from __future__ import annotations

import streamlit as st

from qanalysis.conventions import describe_spread
from qanalysis.dashboard.cache import read_conventions
from qanalysis.dashboard.controls import BOUND
from qanalysis.dashboard.elements import draw_marked_table
from qanalysis.dashboard.tables import build_conventions
from qanalysis.dashboard.wording import escape_markdown, format_count
from qanalysis.results import Row


def draw_conventions(source: str, identity: str, row: Row) -> None:
    """The section for the layer and scheme of `row`, whose status is ok; closed, it costs nothing."""
    section = st.expander("Conventions: what the same words cost in other tools", key="conv", bind=BOUND, icon=":material/balance:")
    if not section.open:
        return
    conventions = read_conventions(source, identity, row.tensor, row.scheme)
    place = next(index for index, convention in enumerate(conventions) if convention.is_asked)
    measured = conventions[place].row.numel
    with section:
        st.markdown(f"**{escape_markdown(row.tensor)}**: {escape_markdown(describe_spread(conventions))}")
        if measured < row.numel:
            st.caption(f"Compared on the first {format_count(measured)} of {format_count(row.numel)} values; the tables above count all of them.")
        draw_marked_table(build_conventions(conventions), "conventions", place=place, alt=describe_spread(conventions))
