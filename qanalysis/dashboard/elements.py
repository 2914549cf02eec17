"""How does every page draw a chart, a table and a fault? The same settings everywhere, and an alternative text for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from qanalysis.charts.palette import Theme
from qanalysis.dashboard.layers.selection import pick_row
from qanalysis.dashboard.sources import read_root
from qanalysis.dashboard.tables import format_columns, mark_row
from qanalysis.dashboard.wording import escape_markdown, hide_root

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

_CHART_CONFIG = {"displaylogo": False, "showSendToCloud": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"]}


def read_theme() -> Theme:
    """The theme that this browser shows."""
    return "dark" if st.context.theme.type == "dark" else "light"


def draw_chart(figure: Figure, key: str, *, on_select: Callable[[], None] | None = None) -> None:
    """A chart with its alternative text; `on_select` is called for a click on a point."""
    st.plotly_chart(
        figure,
        key=key,
        theme=None,
        config=_CHART_CONFIG,
        on_select=on_select or "ignore",
        selection_mode="points",
        alt=figure.layout.meta["alt"],
    )


def draw_table(frame: pd.DataFrame, key: str, *, height: int, alt: str) -> None:
    """A table of fixed height."""
    st.dataframe(frame, key=key, height=height, hide_index=True, column_config=format_columns(frame), placeholder="–", alt=alt)


def draw_marked_table(frame: pd.DataFrame, key: str, *, place: int, alt: str) -> None:
    """A table as high as its rows with one of them tinted."""
    st.dataframe(mark_row(frame, place), key=key, height="content", hide_index=True, column_config=format_columns(frame), placeholder="–", alt=alt)


def draw_choice_table(frame: pd.DataFrame, key: str, *, names: Sequence[str], chosen: str, height: int, alt: str, on_choose: Callable[[str], None]) -> None:
    """A table whose rows can be clicked: `on_choose` is given the row's entry in `names`; the row of `chosen` is tinted."""

    def take_row() -> None:
        name = pick_row(st.session_state[key], names)
        # A cell that stays selected could not be chosen again after a choice made elsewhere on the page.
        st.session_state[key] = {"selection": {"rows": [], "columns": [], "cells": []}}
        if name is not None:
            on_choose(name)

    st.dataframe(
        mark_row(frame, names.index(chosen) if chosen in names else None),
        key=key,
        height=height,
        hide_index=True,
        column_config=format_columns(frame),
        on_select=take_row,
        selection_mode="single-cell",
        placeholder="–",
        alt=alt,
    )


def ask_first(key: str, subject: tuple[str, ...], label: str) -> bool:
    """Whether a person has asked for what takes long on `subject`; until then its button is drawn."""
    asked = bool(st.session_state.get(f"{key}-asked") == subject)
    if not asked:
        st.button(label, key=key, icon=":material/play_arrow:", on_click=st.session_state.update, kwargs={f"{key}-asked": subject})
    return asked


def draw_failure(message: str) -> None:
    """What went wrong, without markup from the file or a path above the root, and the next step."""
    st.error(escape_markdown(hide_root(message, read_root())), icon=":material/error:")
    st.markdown("Choose another **Source** in the sidebar, change the **filter**, or take a step back with **Undo**. The samples always open.")


def draw_notices() -> None:
    """What was left out or refused since the page was opened, until it is dismissed."""
    notices: list[str] = st.session_state["notices"]
    if notices:
        with st.container(horizontal=True, vertical_alignment="center", key="notices"):
            st.warning("\n\n".join(escape_markdown(notice) for notice in notices), icon=":material/warning:", width="stretch")
            st.button("Dismiss", key="dismiss", on_click=notices.clear)
