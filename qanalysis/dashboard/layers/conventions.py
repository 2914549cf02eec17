"""What does the scheme in view cost against other tools' readings of its words?

A section of page Layers, compared when it is open.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from qanalysis.dashboard.cache import Subject
from qanalysis.dashboard.elements import ask_first, draw_marked_table
from qanalysis.dashboard.layers.cache import read_conventions
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.tables import build_conventions
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.diagnosis.conventions import Convention, describe_spread
from qanalysis.notation import count
from qanalysis.sweeps.row import Row

MOST_UNASKED = 2**20
"""Elements of a layer that is compared without being asked, in about half a second.

A searched range costs a hundred round trips.
"""


def draw_conventions(subject: Subject, row: Row) -> None:
    """The section for the layer and scheme of `row`, whose status is ok; closed, it costs nothing.

    A layer of more than `MOST_UNASKED` values waits for the button "compare". The expander's key is "conventions".
    """
    section = st.expander(
        "Conventions: what the same words cost in other tools",
        key=keep("conventions"),
        on_change="rerun",
        icon=":material/balance:",
    )
    if not section.open:
        return
    with section:
        if row.numel <= MOST_UNASKED or ask_first("compare", subject, f"Compare on {count(row.numel)} values"):
            _draw_comparison(read_conventions(subject), row)


def _draw_comparison(conventions: Sequence[Convention], row: Row) -> None:
    """The spread in one sentence, then the table "conventions-table" with the convention in view tinted.

    A very large layer is compared on its first values, which a caption says.
    """
    place = next(index for index, convention in enumerate(conventions) if convention.is_asked)
    measured = conventions[place].row.numel
    st.markdown(f"**{escape_markdown(row.tensor)}**: {escape_markdown(describe_spread(conventions))}")
    if measured < row.numel:
        st.caption(
            f"Compared on the first {count(measured)} of {count(row.numel)} values; the tables above count all of them."
        )
    draw_marked_table(
        build_conventions(conventions), "conventions-table", place=place, alt=describe_spread(conventions)
    )
