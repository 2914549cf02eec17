"""How does every page draw a chart, a table, facts, findings and a fault?

The same settings everywhere, and an alternative text for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import streamlit as st

from qanalysis.charts.linked.scene import Panel, build_part, build_still
from qanalysis.charts.linked.table import TablePanel
from qanalysis.charts.palette import Theme
from qanalysis.converters.findings import Finding
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.sources import read_root
from qanalysis.dashboard.tables import format_columns, mark_row
from qanalysis.dashboard.wording import escape_markdown, hide_root
from qanalysis.notation import NOTHING, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Fact = tuple[str, str, str]
"""A quantity, its value and the convention that the value follows; plain texts."""
_GAP = "\u2003"  # an em space: markdown makes one of several blanks
_UNBROKEN = 16  # characters of a value that stays on one line with its unit


def read_theme() -> Theme:
    """The theme that this browser shows.

    Light where the browser has not told yet, as on the first run of a session.
    """
    return "dark" if st.context.theme.type == "dark" else "light"


def draw_chart(figure: Figure, key: str, *, python: str = "") -> None:
    """A chart by itself, with its numbers, its picture and, where there are any, the lines of Python that remake it.

    `figure` is in the light theme, which the browser turns into its own; it carries its alternative text in
    `layout.meta["alt"]`: KeyError for one that `charts` did not finish. `key` is the CSS class "st-key-KEY" too.
    """
    scene = PARTS.put(build_part([[Panel(key, figure, python)]]))
    draw_linked(scene, key, at={}, on_ask=lambda _asked: None)


def draw_table(frame: pd.DataFrame, key: str, *, height: int, alt: str) -> None:
    """A table of fixed height.

    `height` in pixels; a longer frame scrolls within. What is None or NaN shows as a dash.
    """
    st.dataframe(
        frame,
        key=key,
        height=height,
        hide_index=True,
        column_config=format_columns(frame),
        placeholder=NOTHING,
        alt=alt,
    )


def draw_marked_table(frame: pd.DataFrame, key: str, *, place: int, alt: str) -> None:
    """A table as high as its rows with one of them tinted.

    `place` counts the rows from 0. For tables of a few dozen rows, which need no scrolling.
    """
    st.dataframe(
        mark_row(frame, place),
        key=key,
        height="content",
        hide_index=True,
        column_config=format_columns(frame),
        placeholder=NOTHING,
        alt=alt,
    )


def draw_choice_table(panel: TablePanel, key: str, *, chosen: str, on_choose: Callable[[str], None]) -> None:
    """A table from which a person chooses a row by a click, Enter or Space: `on_choose` is given its name.

    The row named `chosen` is marked, none where there is no such row. `key` is the CSS class "st-key-KEY" too.
    """

    def take(asked: Mapping[str, Any]) -> None:
        """What was asked for, for the callback of the table."""
        name = pick_row(asked, panel.rows)
        if name is not None:
            on_choose(name)

    draw_linked(PARTS.put(build_still(panel.describe())), key, at={"row": chosen}, on_ask=take)


def ask_first(key: str, subject: object, label: str) -> bool:
    """Whether a person has asked for what takes long on `subject`; until then its button is drawn.

    `key` is the button's; another `subject`, equal to none before, has to be asked for again.
    """
    asked = bool(st.session_state.get(f"{key}-asked") == subject)
    if not asked:
        st.button(
            label,
            key=key,
            icon=":material/play_arrow:",
            on_click=st.session_state.update,
            kwargs={f"{key}-asked": subject},
        )
    return asked


def pick_row(asked: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The row that a browser asks for, whose words may be anything; None for one that is not among `names`.

    >>> pick_row({"row": "b"}, ["a", "b"]), pick_row({"row": 1}, ["a", "b"])
    ('b', None)
    """
    row = asked.get("row")
    return row if isinstance(row, str) and row in names else None


def draw_facts(facts: Sequence[Fact], *, alt: str) -> None:
    """A table of facts: each value in bold, its convention in small print behind it.

    Texts are shown as they are, whatever marks they hold. `alt` says what the facts are of.
    """
    lines = []
    for fact in facts:
        name, value, convention = map(escape_markdown, fact)
        if len(value) <= _UNBROKEN:
            value = value.replace(" ", "\u00a0")
        told = f"{_GAP}:gray[:small[{convention}]]" if convention else ""
        lines.append((name, f"**{value}**{told}"))
    frame = pd.DataFrame(lines, columns=["Quantity", "Value, by which convention"])
    st.table(frame, hide_index=True, border="horizontal", alt=alt)


def draw_lines(columns: Sequence[str], lines: Sequence[tuple[str, ...]], key: str, *, alt: str) -> None:
    """A table of texts; nothing where there is no line.

    Headings are `columns` with a capital; each line has one text per column, shown as it is.
    """
    if lines:
        frame = pd.DataFrame(lines, columns=[name[:1].upper() + name[1:] for name in columns])
        st.dataframe(frame, key=key, height="content", hide_index=True, alt=alt)


def draw_numbers(frame: pd.DataFrame, key: str, *, height: int | Literal["content"], alt: str) -> None:
    """A table of numbers with seven digits, which tell neighbouring codes apart.

    Whole numbers and texts are shown as they are, None and NaN as a dash; `height` in pixels, or that of all rows.
    """
    spell = partial(plain, digits=7)
    shown = frame.style.format({name: spell for name in frame if frame[name].dtype.kind == "f"}, na_rep=NOTHING)
    st.dataframe(shown, key=key, height=height, hide_index=True, placeholder=NOTHING, alt=alt)


def draw_findings(findings: Iterable[Finding], *, none: str) -> None:
    """Findings as a list, each with its name in front; `none` where there is no fault to tell of.

    Amber with faults, green without; notes of the test follow in blue. Names and texts from files are shown as text.
    """
    faults: list[str] = []
    notes: list[str] = []
    for finding in findings:
        line = f"- **{escape_markdown(finding.title)}**: {escape_markdown(finding.text)}"
        (notes if finding.is_note else faults).append(line)
    if faults:
        st.warning("\n".join(faults), icon=":material/troubleshoot:")
    else:
        st.success(escape_markdown(none), icon=":material/check_circle:")
    if notes:
        st.info("\n".join(notes), icon=":material/info:")


def draw_fault(message: str, way_out: str) -> None:
    """What is wrong with the input, in place, without markup from a file or a path above the root, and what to do
    (markdown).
    """
    st.error(f"{escape_markdown(hide_root(message, read_root()))}\n\n{way_out}", icon=":material/error:")
