"""Page Compare: how does B differ from A, tensor by tensor, and what does a pair look like inside?"""

from __future__ import annotations

import streamlit as st

from qanalysis.checkpoints.source import SAMPLE_PREFIX, CheckpointError
from qanalysis.dashboard.compare.controls import draw_controls
from qanalysis.dashboard.compare.models import draw_models
from qanalysis.dashboard.compare.results import draw_results
from qanalysis.dashboard.compare.view import CompareView
from qanalysis.dashboard.compared_results import is_result
from qanalysis.dashboard.elements import draw_fault
from qanalysis.dashboard.export import draw_link
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.session import change
from qanalysis.dashboard.sources import PARTIAL_PREFIX, QUANTIZED_PREFIX, name_source
from qanalysis.dashboard.wording import name_controls
from qanalysis.notation import quote

_FAULTS = (CheckpointError, ValueError, TypeError, OSError)
_WAY_OUT = "Choose another **A** or **B** in the sidebar, or take a step back with **Undo**. The samples always open."
_BOXES = {"with --map REGEX=REPLACEMENT": "in the box Names of A in B", "--map": "the box Names of A in B"}


def draw_compare(view: CompareView) -> None:
    """The page: both sides in the sidebar, then two models or two results, by what the sides are.

    Sides that can not be opened or have nothing in common become a fault in place of the result.
    """
    with st.sidebar:
        ended = draw_controls()
    try:
        if is_result(view.a) != is_result(view.b):
            rows, model = (view.a, view.b) if is_result(view.a) else (view.b, view.a)
            raise ValueError(
                f"{quote(name_source(rows))} is a result and {quote(name_source(model))} a model; give two models, or "
                "two results"
            )
        if is_result(view.a):
            draw_results(view, ended)
        else:
            draw_models(view, ended)
    except _FAULTS as error:
        _draw_refusal(view, str(error))


def _draw_refusal(view: CompareView, message: str) -> None:
    """Why nothing is compared, and what to do; of a set that lacks a part a button that opens what is there."""
    told = message
    for option, box in _BOXES.items():
        told = told.replace(option, box)
    draw_fault(name_controls(told), _WAY_OUT)
    if "--partial" in message:
        with st.container(horizontal=True):
            for side in ("a", "b"):
                text = getattr(view, side)
                if not text.startswith((PARTIAL_PREFIX, SAMPLE_PREFIX, QUANTIZED_PREFIX)):
                    st.button(
                        f"Open what is there of {side.upper()}", key=f"partial-{side}", on_click=change,
                        args=(CompareView,), kwargs={side: f"{PARTIAL_PREFIX}{text}"},
                    )  # fmt: skip
    draw_link(CompareView)


PAGE = Page("Compare", ":material/compare_arrows:", "compare", CompareView, draw_compare)
