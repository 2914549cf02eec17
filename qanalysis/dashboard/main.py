"""The frame around the pages: settings, the list of pages, and the address that leads to each."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from qanalysis.dashboard.cache import warm_kernels
from qanalysis.dashboard.compare import page as compare
from qanalysis.dashboard.converter import page as converter
from qanalysis.dashboard.elements import read_theme
from qanalysis.dashboard.layers import page as layers
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.plan import page as plan
from qanalysis.dashboard.progress import tell_jobs
from qanalysis.dashboard.sensitivity import page as sensitivity
from qanalysis.dashboard.session import draw_notices, open_page
from qanalysis.dashboard.tracker import page as tracker
from qanalysis.dashboard.training import page as training

PAGES: tuple[Page[Any], ...] = (
    layers.PAGE,
    sensitivity.PAGE,
    plan.PAGE,
    compare.PAGE,
    converter.PAGE,
    training.PAGE,
    tracker.PAGE,
)
"""The pages in their order; the first is the one that opens."""

# Drawn here because a named icon of streamlit's would be fetched from the network.
_STAIRS = '<path d="M4 34h9v-9h9v-9h9v-9h7" fill="none" stroke="#2f83b5" stroke-width="3.5"/>'
_ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">{_STAIRS}</svg>'
_NAME = '<text x="50" y="28" font-family="sans-serif" font-weight="600" font-size="24" fill="{ink}">qanalysis</text>'
_LOGO = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 190 40" height="40">{_STAIRS}{_NAME}</svg>'


def run_dashboard() -> None:
    """Draw the page that the address names, its logo and the list of pages; runs once per interaction.

    An address without the path of a page shows the first one. The compiled loops are loaded on the server's first run.
    """
    warm_kernels()
    st.set_page_config(
        page_title="Quantization analysis", page_icon=_ICON, layout="wide", initial_sidebar_state="expanded"
    )
    st.logo(_LOGO.format(ink={"light": "#1f2430", "dark": "#eef1f5"}[read_theme()]), size="large")
    st.navigation([_register(page, opens=page is PAGES[0]) for page in PAGES]).run()


def _register(page: Page[Any], *, opens: bool) -> Any:
    """The page as streamlit lists it: drawn by `show_page`, under its path; `opens` is that of the bare address."""
    return st.Page(partial(show_page, page), title=page.title, icon=page.icon, url_path=page.path, default=opens)


def show_page(page: Page[Any]) -> None:
    """One page, what its link could not mean and the server's running jobs above it.

    The notices are drawn last, into a place above the page: drawing finds out what a source does not have.
    """
    notices = st.container()
    with tell_jobs(), open_page(page.view, page.path) as view:
        page.draw(view)
    with notices:
        draw_notices()
