"""The frame around the pages: settings, the page list."""

from __future__ import annotations

import streamlit as st

from qanalysis.dashboard.cache import warm_kernels
from qanalysis.dashboard.controls import open_session
from qanalysis.dashboard.converter.page import draw_converter
from qanalysis.dashboard.elements import draw_notices, read_theme
from qanalysis.dashboard.layers.page import draw_layers

# Drawn here because a named icon of streamlit's would be fetched from the network.
_STAIRS = '<path d="M4 34h9v-9h9v-9h9v-9h7" fill="none" stroke="#2f83b5" stroke-width="3.5"/>'
_ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">{_STAIRS}</svg>'
_NAME = '<text x="50" y="28" font-family="sans-serif" font-weight="600" font-size="24" fill="{ink}">qanalysis</text>'
_LOGO = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 190 40" height="40">{_STAIRS}{_NAME}</svg>'


def run_dashboard() -> None:
    """Draw the page that the address names; runs once per interaction."""
    warm_kernels()
    st.set_page_config(page_title="Quantization analysis", page_icon=_ICON, layout="wide", initial_sidebar_state="expanded")
    st.logo(_LOGO.format(ink={"light": "#1f2430", "dark": "#eef1f5"}[read_theme()]), size="large")
    open_session()
    page = st.navigation(
        [
            st.Page(draw_layers, title="Layers", icon=":material/layers:", default=True),
            st.Page(draw_converter, title="Converter", icon=":material/show_chart:", url_path="converter"),
        ]
    )
    draw_notices()
    page.run()
