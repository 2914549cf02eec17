"""Page Sensitivity: which layer's quantization hurts the model's output, how sure is that, and when is it noise? Beside
it the forms of the whole model, and what quantizing activations loses.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.elements import draw_fault
from qanalysis.dashboard.export import draw_link
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.runnable_models import is_result
from qanalysis.dashboard.sensitivities import find_kind, get_sensitivities, open_result
from qanalysis.dashboard.sensitivity.activations import draw_activations
from qanalysis.dashboard.sensitivity.controls import draw_controls
from qanalysis.dashboard.sensitivity.forms import draw_forms
from qanalysis.dashboard.sensitivity.hurting import draw_layers_that_hurt
from qanalysis.dashboard.sensitivity.running import draw_strip, find_shown, follow, make_request, tell_ahead
from qanalysis.dashboard.sensitivity.view import TABS, SensitivityView
from qanalysis.dashboard.session import keep
from qanalysis.results.table import Table

POLL_S = 0.5
_FAULTS = (CheckpointError, ValueError, TypeError, OSError)
_WAY_OUT = "Choose another **Model** or other **Calibration data** in the sidebar, or take a step back with **Undo**."
_WAY_OUT_OF_ROWS = "Choose another **Model** in the sidebar, or take a step back with **Undo**."


def draw_sensitivity(view: SensitivityView) -> None:
    """The page: what is measured in the sidebar, the button that measures it, and the result in sight.

    A model or data that can not be opened become a fault in place of the result. Rows that were measured before are
    shown as they are.
    """
    with st.sidebar:
        place = draw_controls(view)
    try:
        if is_result(view.model):
            _draw_result(open_result(view.model), place)
        else:
            _draw_measurement(view, place)
    except _FAULTS as error:
        draw_fault(str(error), _WAY_OUT_OF_ROWS if is_result(view.model) else _WAY_OUT)
        draw_link(SensitivityView)


def _draw_measurement(view: SensitivityView, place: Any) -> None:
    """The choice of what is measured, the strip, and what came of it; raises where nothing can be measured."""
    st.segmented_control(
        "Measure", list(TABS), key=keep("tab"), format_func=TABS.__getitem__, required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    request = make_request(view)
    job = follow(request)
    st.session_state["has_strip"] = True
    working = job is not None and job.snapshot.is_active
    st.fragment(draw_strip, run_every=POLL_S if working else None)(request, working=working)
    if job is not None and job.snapshot.state == "failed":
        draw_fault(job.snapshot.message, _WAY_OUT)
    shown = find_shown(request, job)
    if shown is not None and shown.snapshot.rows:
        if shown is not job:
            told = "Below is the measurement before; **Run** measures the choices of the sidebar."
            st.info(told, icon=":material/history:")
        _draw_result(shown.snapshot.rows, place)
        return
    if not working:
        tell_ahead(request, get_sensitivities().find(request.digest))
    draw_link(SensitivityView)


def _draw_result(table: Table[Any], place: Any) -> None:
    """A table by its kind; ValueError for one without rows."""
    if not len(table):
        raise ValueError("the result holds no rows: its measurement stopped before the first layer")
    match find_kind(table):
        case "forms":
            draw_forms(table)
        case "activations":
            draw_activations(table)
        case _:
            draw_layers_that_hurt(table, place)


PAGE = Page("Sensitivity", ":material/stacked_bar_chart:", "sensitivity", SensitivityView, draw_sensitivity)
