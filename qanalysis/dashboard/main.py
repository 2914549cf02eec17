"""The frame around the pages: settings, the list of pages, and the address that leads to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.dashboard.cache import warm_kernels
from qanalysis.dashboard.converter.page import draw_converter
from qanalysis.dashboard.converter.view import ConverterView
from qanalysis.dashboard.elements import read_theme
from qanalysis.dashboard.layers.page import draw_layers
from qanalysis.dashboard.layers.view import LayersView
from qanalysis.dashboard.session import draw_notices, open_page
from qanalysis.dashboard.views import View


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its name, its icon, its path in the address, what it looks at, and what draws it for such a view."""

    title: str
    icon: str
    path: str
    view: type[View]
    draw: Callable[[Any], None]


PAGES = (
    Page("Layers", ":material/layers:", "layers", LayersView, draw_layers),
    Page("Converter", ":material/show_chart:", "converter", ConverterView, draw_converter),
)
"""The pages in their order; the first is the one that opens."""

# Drawn here because a named icon of streamlit's would be fetched from the network.
_STAIRS = '<path d="M4 34h9v-9h9v-9h9v-9h7" fill="none" stroke="#2f83b5" stroke-width="3.5"/>'
_ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">{_STAIRS}</svg>'
_NAME = '<text x="50" y="28" font-family="sans-serif" font-weight="600" font-size="24" fill="{ink}">qanalysis</text>'
_LOGO = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 190 40" height="40">{_STAIRS}{_NAME}</svg>'


def run_dashboard() -> None:
    """Draw the page that the address names; runs once per interaction."""
    warm_kernels()
    st.set_page_config(
        page_title="Quantization analysis", page_icon=_ICON, layout="wide", initial_sidebar_state="expanded"
    )
    st.logo(_LOGO.format(ink={"light": "#1f2430", "dark": "#eef1f5"}[read_theme()]), size="large")
    st.navigation([_register(page, opens=page is PAGES[0]) for page in PAGES]).run()


def _register(page: Page, *, opens: bool) -> Any:
    return st.Page(partial(show_page, page), title=page.title, icon=page.icon, url_path=page.path, default=opens)


def show_page(page: Page) -> None:
    """One page, what its link could not mean above it."""
    notices = st.container()
    with open_page(page.view, page.path) as view:
        page.draw(view)
    with notices:
        draw_notices()
