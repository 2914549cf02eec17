"""The sidebar of page Plan: where the rows come from, and what a plan must keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

import sample_models
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.plan.view import MEASURES, PlanView, parse_pin
from qanalysis.dashboard.plans import get_row_uploads, holds_plan, is_rows, list_plan_sources
from qanalysis.dashboard.runnable_models import MODEL_SAMPLES, RESULT_SUFFIXES
from qanalysis.dashboard.session import confine, draw_history, keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.plans.objectives import DEFAULTS
from qanalysis.quantizers.crossing import default_schemes

SOURCES = FileKind(
    field="source",
    label="Source",
    noun="file of rows or plan",
    help=(
        "A sample; a checkpoint below the root folder, which is swept; rows that `qanalysis sweep` or `qanalysis "
        "sensitivity` has written, or a plan.json."
    ),
    samples=tuple(sample_models.SAMPLES),
    suffixes=RESULT_SUFFIXES,
    get_store=get_row_uploads,
    list_paths=list_plan_sources,
    takes_addresses=True,
)
TIES = ("vllm", "llama.cpp")
_SCHEMES = tuple(map(str, default_schemes()))
_MORE_SCHEMES = ("mxfp4", "nvfp4", "nf4", "q4_k", "q6_k", "fp8_e4m3 channel")


def draw_controls(view: PlanView) -> tuple[Any, Any]:
    """The source and its candidates, what the plan must keep, the history; the places of the strip and of the
    objective.
    """
    draw_picker(SOURCES)
    with st.container(border=True, key="candidates-box"):
        st.markdown("**Choose from**")
        if not is_rows(view.source):
            if view.source.removeprefix(SAMPLE_PREFIX) in MODEL_SAMPLES and view.source.startswith(SAMPLE_PREFIX):
                st.segmented_control(
                    "Measured", list(MEASURES), key=keep("measure"), format_func=MEASURES.__getitem__, required=True,
                    help="The error of each layer's weights, or what quantizing the layer does to the model's outputs.",
                )  # fmt: skip
            st.multiselect(
                "Schemes", (*_SCHEMES, *_MORE_SCHEMES), key=keep("schemes"), accept_new_options=True,
                placeholder=f"the usual {len(_SCHEMES)}",
            )  # fmt: skip
            st.text_input(
                "Only tensors",
                key=keep("include"),
                placeholder="regex; all weights",
                help="Others are kept as they are.",
            )
        else:
            st.caption("The candidates are those of the file, and what it keeps together stays so.")
        strip = st.container()
    if holds_plan(view.source):
        objective = st.container()
    else:
        with st.container(border=True, key="keep-box"):
            st.markdown("**Keep**")
            objective = st.container()
            _draw_constraints()
    draw_history(PlanView, keeps="the source")
    return strip, objective


def _draw_constraints() -> None:
    st.multiselect(
        "Tied", TIES, key=keep("tie"), accept_new_options=True, placeholder="nothing",
        help="Layers that one kernel runs have one scheme: `vllm` (q/k/v, gate/up, all experts of a layer), "
        "`llama.cpp`, or a regex with a group that names what belongs together.",
    )  # fmt: skip
    st.number_input(
        "Different formats, at most", 1, key=keep("most"), value=None, placeholder="any number",
    )  # fmt: skip
    st.text_input("Leave out", key=keep("exclude"), placeholder="regex; kept float")
    _draw_words("Pins", "pins", parse_pin, placeholder="regex=scheme")


def _draw_words(label: str, key: str, parse: Callable[[str], Any], *, placeholder: str) -> None:
    """A box of typed words; what can not be read is told in red below it."""
    words = st.multiselect(label, [], key=keep(key), accept_new_options=True, placeholder=placeholder)
    for word in words:
        try:
            parse(word)
        except ValueError as error:
            st.caption(f":red[{escape_markdown(str(error))}]")


def draw_objective(place: Any, names: Sequence[str]) -> str | None:
    """The box of what is made small, in its place of the sidebar; the column, None for the default one.

    A link's word that the rows do not have is left out with a notice.
    """
    if not names:
        return None
    usual = next((name for name in DEFAULTS if name in names), names[0])
    view = confine(PlanView, "objective", names, chosen=usual)
    with place:
        st.selectbox(
            "Made small",
            names,
            key=keep("objective"),
            help="A column whose figures add over layers: their sum is the error.",
        )
    return view.objective if view.objective != usual else None
