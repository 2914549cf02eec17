"""Page Converter: textbook answers, a simulated converter, and captured records, under one set of named conventions."""

from __future__ import annotations

import streamlit as st

from qanalysis.converters.choices import TRANSFERS
from qanalysis.dashboard.controls import BOUND, note_left_out
from qanalysis.dashboard.converter.capture import draw_capture
from qanalysis.dashboard.converter.elements import current_converter
from qanalysis.dashboard.converter.simulate import draw_simulate
from qanalysis.dashboard.converter.textbook import draw_textbook
from qanalysis.dashboard.converter.view import DEFAULT, FULL_SCALES, INL_REFERENCES, LSB_WORDS, TABS, ConverterView, name_ignored_converter, write_converter

_DRAWERS = {"Textbook": draw_textbook, "Simulate": draw_simulate, "Capture": draw_capture}
_TRANSFER_HELP = "Where the codes change: half a step around each level (mid-tread), at the levels of a shifted grid (mid-rise), or always down (floor)."
_SCALE_HELP = "What 0 dBFS is: a sine over the whole range, or a DC level at its end, 3.01 dB more."
_HARMONICS_HELP = "The highest order counted as distortion: 6 takes HD2 to HD6."


def draw_converter() -> None:
    """The page: conventions in the sidebar, then the tab in view, which alone reruns when one of its controls moves."""
    with st.sidebar:
        _draw_conventions()
        st.button(
            "Reset", icon=":material/restart_alt:", on_click=_reset, width="stretch", key="k-reset", help="Every control of this page back to its default"
        )
    for name, tab in zip(TABS, st.tabs(TABS, key="kt", bind=BOUND), strict=True):
        if tab.open:
            with tab:
                _DRAWERS[name]()
    session = {str(key): value for key, value in st.session_state.items()}
    note_left_out(name_ignored_converter(session["asked"], session))


def _draw_conventions() -> None:
    st.markdown("**Conventions**, named beside each figure")
    st.segmented_control("LSB", list(LSB_WORDS), default=DEFAULT.lsb, required=True, key="kl", bind=BOUND)
    st.segmented_control("Transfer", TRANSFERS, default=DEFAULT.transfer, required=True, key="kx", bind=BOUND, help=_TRANSFER_HELP)
    st.segmented_control("Full scale (0 dBFS)", FULL_SCALES, default=DEFAULT.full_scale, required=True, key="kf", bind=BOUND, help=_SCALE_HELP)
    st.segmented_control("INL line", INL_REFERENCES, default=DEFAULT.inl_reference, required=True, key="ki", bind=BOUND)
    st.number_input("Harmonics up to order", 2, 20, DEFAULT.harmonics, key="kh", bind=BOUND, help=_HARMONICS_HELP)
    st.caption("ENOB is shown in both forms: referred to full scale (IEEE 1241), and at the level of the test.")


def _reset() -> None:
    kept = current_converter().tab
    st.session_state.update(write_converter(ConverterView(tab=kept)))
