"""The sidebar of page Sensitivity: which model, what is measured of it, and which of the figures to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.sensitivity_panels import name_other
from qanalysis.charts.sensitivity_sheet import MEASURES, MODE_WORDS, TARGET_WORDS, Look, Sheet
from qanalysis.charts.wording import label_layers
from qanalysis.dashboard.cache import list_records
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.runnable_models import (
    DATA_SUFFIXES,
    MODEL_SAMPLES,
    MODEL_SUFFIXES,
    OWN_DATA,
    RESULT_SUFFIXES,
    get_data_uploads,
    get_model_uploads,
    is_result,
    list_models,
)
from qanalysis.dashboard.sensitivity.view import SCHEME_CHOICES, SensitivityView
from qanalysis.dashboard.session import confine, draw_history, keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.models.sensitivity.row import MODES, TARGETS
from qanalysis.quantizers.scheme import Scheme

MODELS = FileKind(
    field="model",
    label="Model",
    noun="model or result",
    help=(
        "A sample, or a path below the root folder: the folder of a Hugging Face model, an .onnx file, or rows that "
        "`qanalysis sensitivity` has written (.json, .parquet, .csv)."
    ),
    samples=MODEL_SAMPLES,
    suffixes=(*MODEL_SUFFIXES, *RESULT_SUFFIXES),
    get_store=get_model_uploads,
    list_paths=list_models,
)


def _list_data(root: str) -> list[str]:
    return [OWN_DATA, *list_records(root, DATA_SUFFIXES)]


DATA = FileKind(
    field="data",
    label="Calibration data",
    noun="data file",
    help=(
        "`sample`: the held-out samples of a sample model. Else a path below the root folder: .npz with x and labels "
        "y, .npy, a text file that the model's tokenizer reads, or a folder of images."
    ),
    samples=(),
    suffixes=DATA_SUFFIXES,
    get_store=get_data_uploads,
    list_paths=_list_data,
)
_MODE_LABELS = {"enable-one": "One layer", "disable-one": "All but one", "cumulative": "Cumulative"}
_TARGET_LABELS = {"weights": "Weights", "activations": "Inputs", "both": "Both"}


def draw_controls(view: SensitivityView) -> Any:
    """The model, and what is measured of it; the place for what is looked at stands between."""
    draw_picker(MODELS)
    look = st.container()
    if not is_result(view.model):
        with st.container(border=True, key="measure-box"):
            st.markdown("**Measure**")
            _draw_measure(view.tab)
    draw_history(SensitivityView, keeps="the model and its data")
    return look


def _draw_measure(tab: str) -> None:
    """Data, schemes, targets and modes, as far as they belong to what is measured; the rest folded away."""
    draw_picker(DATA)
    if tab != "forms":
        _draw_schemes()
    if tab == "sensitivity":
        targets, modes = _TARGET_LABELS.__getitem__, _MODE_LABELS.__getitem__
        st.pills("Quantized", TARGETS, selection_mode="multi", key=keep("targets"), format_func=targets)
        st.pills(
            "Layers at once", MODES, selection_mode="multi", key=keep("modes"), format_func=modes,
            help="One layer alone; all but one; or one after another in the order of a run, which the curve shows.",
        )  # fmt: skip
    with st.expander("More", icon=":material/tune:"):
        if tab != "forms":
            st.text_input("Only layers", key=keep("include"), placeholder="all; text or regex")
        st.number_input("Samples", 1, key=keep("samples"), value=None, placeholder="all")
        st.number_input("Tokens of a sample", 1, key=keep("length"), value=None, placeholder="512 at most")
        st.text_input("Weights from", key=keep("weights"), placeholder="the model's own; a path below the root")


def _draw_schemes() -> None:
    words = st.multiselect(
        "Schemes measured", SCHEME_CHOICES, key=keep("schemes"), accept_new_options=True, placeholder="Choose or type"
    )
    for word in words:
        try:
            Scheme.parse(word)
        except ValueError as error:
            st.caption(f":red[{escape_markdown(str(error))}]")


def draw_look(sheet: Sheet) -> Look:
    """The boxes that choose what is in view; what the rows do not have is left out of the view, with a notice where a
    link asked for it.
    """
    st.markdown("**Look at**")
    opening = sheet.open()
    target = _choose("target", "Quantized, in view", [one.target for one in sheet.looks], opening.target, TARGET_WORDS)
    modes = [one.mode for one in sheet.looks if one.target == target]
    mode = _choose("mode", "Layers at once, in view", modes, opening.mode, MODE_WORDS)
    schemes = [one.scheme for one in sheet.looks if (one.target, one.mode) == (target, mode)]
    scheme = _choose("scheme", "Scheme in view", schemes, opening.scheme, {})
    known = sheet.list_measures() or [opening.metric]
    labels = {name: column.label for name, column in MEASURES.items()}
    usual = opening.metric if opening.metric in known else known[0]
    metric = confine(SensitivityView, "metric", known, chosen=usual).metric or usual
    st.selectbox("Measure", known, key=keep("metric"), format_func=labels.__getitem__)
    look = Look(target, mode, scheme, metric)
    ranked = [row.tensor for row in sheet.rank(look)] or [row.tensor for row in sheet.choose(look)]
    names = label_layers(ranked, 27) if ranked else {}
    view = confine(SensitivityView, "layer", ranked, chosen=ranked[0] if ranked else None)
    look = replace(look, layer=view.layer or next(iter(ranked), None))
    if ranked:
        st.selectbox(
            "Layer in view", ranked, key=keep("layer"), format_func=names.__getitem__, help="The worst stands first."
        )
    others = [name for name in known if name != metric]
    confine(SensitivityView, "against", others, chosen=name_other(sheet, look))
    if others:
        st.selectbox("Held against", others, key=keep("against"), format_func=labels.__getitem__)
    return look


def _choose(field: str, label: str, choices: Sequence[str], opening: str, words: dict[str, str]) -> str:
    """A box of what the rows have, left away where there is one choice alone; what is in view."""
    known = list(dict.fromkeys(choices))
    usual = opening if opening in known else known[0]
    view = confine(SensitivityView, field, known, chosen=usual)
    if len(known) > 1:
        st.selectbox(label, known, key=keep(field), format_func=partial(_tell, words))
    return getattr(view, field) or usual


def _tell(words: dict[str, str], word: str) -> str:
    return words.get(word, word)
