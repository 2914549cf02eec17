"""Tab Capture."""

from __future__ import annotations

import streamlit as st


@st.fragment
def draw_capture() -> None:
    """The tab."""
