"""Page Converter: textbook answers, a simulated converter, and captured records, under one set of named conventions."""

from __future__ import annotations

import streamlit as st

from qanalysis.converters.choices import FULL_SCALES, INL_REFERENCES, TRANSFERS
from qanalysis.dashboard.converter.boxes import draw_number
from qanalysis.dashboard.converter.capture import draw_capture
from qanalysis.dashboard.converter.simulate import draw_simulate
from qanalysis.dashboard.converter.textbook import draw_textbook
from qanalysis.dashboard.converter.view import LSB_WORDS, TABS, ConverterView
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.session import change, draw_history, keep, open_tab

_DRAWERS = {"textbook": draw_textbook, "simulate": draw_simulate, "capture": draw_capture}
_TRANSFER_HELP = (
    "Where the codes change: half a step around each level (mid-tread), "
    "at the levels of a shifted grid (mid-rise), or always down (floor)."
)
_SCALE_HELP = "What 0 dBFS is: a sine over the whole range, or a DC level at its end, 3.01 dB more."
_HARMONICS_HELP = "The highest order counted as distortion: 6 takes HD2 to HD6."


def draw_converter(view: ConverterView) -> None:
    """The page: conventions in the sidebar, then the tab in view, which alone reruns when one of its controls moves.

    Tabs out of view are not drawn: their widgets keep their values in the view.
    """
    with st.sidebar:
        _draw_conventions()
        draw_history(ConverterView, keeps="the tab")
    if st.session_state.get("tabs") != TABS[view.tab]:
        st.session_state["tabs"] = TABS[view.tab]  # tabs can hold their headings only
    for tab, part in zip(TABS, st.tabs(list(TABS.values()), key="tabs", on_change=_take_tab), strict=True):
        if tab == view.tab:
            with part:
                _draw_tab(tab)


@st.fragment
def _draw_tab(tab: str) -> None:
    """One tab as a fragment: a move of its controls runs this function alone; the rest of the page stays as it is."""
    with open_tab(ConverterView) as view:
        _DRAWERS[tab](view)


def _take_tab() -> None:
    """The tab that was clicked becomes the view's; for the callback of the tabs, whose state is the heading."""
    change(ConverterView, tab=next(tab for tab, heading in TABS.items() if heading == st.session_state["tabs"]))


def _draw_conventions() -> None:
    """The five choices that name a figure's convention; a change reruns the page, since every tab depends on them."""
    st.markdown("**Conventions**, named beside each figure")
    st.segmented_control("LSB", list(LSB_WORDS), key=keep("fs_over"), format_func=LSB_WORDS.__getitem__, required=True)
    st.segmented_control("Transfer", TRANSFERS, key=keep("transfer"), required=True, help=_TRANSFER_HELP)
    st.segmented_control("Full scale (0 dBFS)", FULL_SCALES, key=keep("full_scale"), required=True, help=_SCALE_HELP)
    st.segmented_control("INL line", INL_REFERENCES, key=keep("inl_reference"), required=True)
    draw_number("Harmonics up to order", "harmonics", help=_HARMONICS_HELP)
    st.caption("ENOB is shown in both forms: referred to full scale (IEEE 1241), and at the level of the test.")


PAGE = Page("Converter", ":material/show_chart:", "converter", ConverterView, draw_converter)
