"""Tab Simulate."""

from __future__ import annotations

import streamlit as st


@st.fragment
def draw_simulate() -> None:
    """The tab."""
