"""The sidebar of page Layers: which file, which of its figures to look at, and what to sweep of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

import sample_models
from qanalysis.charts.layer_names import LayerNames
from qanalysis.dashboard.cache import get_uploads, list_paths
from qanalysis.dashboard.jobs import ROLE_CHOICES, WEIGHTS
from qanalysis.dashboard.layers.view import (
    AXES,
    FORMAT_CHOICES,
    GROUPING_CHOICES,
    INTEGERS,
    ORDERS,
    RANGE_CHOICES,
    ROW_LIMITS,
    LayersView,
)
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.session import confine, draw_history, keep
from qanalysis.dashboard.sources import UPLOAD_SUFFIXES
from qanalysis.dashboard.views import list_ends
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import shorten
from qanalysis.quantizers.grouping import parse_grouping
from qanalysis.quantizers.ranges import parse_range
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.sweeps.row import METRICS

CHECKPOINTS = FileKind(
    field="source",
    label="Source",
    noun="model",
    help=(
        "A sample, or the path of a checkpoint below the root folder: "
        "safetensors (file, index or folder), .pt, .pth, .bin, .onnx, .gguf, .npz, .npy."
    ),
    samples=tuple(sample_models.SAMPLES),
    suffixes=UPLOAD_SUFFIXES,
    get_store=get_uploads,
    list_paths=list_paths,
    takes_addresses=True,
)
MOST_COMPARED = 6
LABEL_LENGTH = 27  # letters of a box in the sidebar
_SYMMETRY_HELP = (
    "sym: codes −q to q (torch, TensorRT); sym-full: one code more below, step from the full range (torchao); "
    "sym-noclip: one code more below, nothing clipped; sym-clip: step from max|x| over 2^(b−1) (GGUF); "
    "asym: its own zero point (ONNX Runtime, QNNPACK)."
)
_LIMITS_HELP = (
    "The best grid for this layer's own values at each bit width, and the SQNR that no code passes, "
    "from their entropy. For the metric SQNR."
)
_METRIC_LABELS = {name: metric.label for name, metric in METRICS.items()}


def draw_controls(view: LayersView) -> tuple[Any, Any]:
    """What is looked at, above what is swept; then the history.

    Returns the place under "Look at" for the layer, and that under "Sweep" for how far a sweep that has ended came.

    Keys are the fields of `LayersView`. Words that can not be read are told in red below their box and take no part.
    """
    draw_picker(CHECKPOINTS)
    with st.container(border=True, key="look"):
        st.markdown("**Look at**")
        layer = st.container()
        _draw_look(view)
    with st.container(border=True, key="sweep-box"):
        st.markdown("**Sweep**")
        _draw_filter()
        st.slider("Bits swept", *list_ends(LayersView, "swept"), view.swept, key=keep("swept"), format="%d bit")
        _draw_words("Groupings swept", "groupings", GROUPING_CHOICES, parse_grouping)
        st.pills("Symmetry", list(SYMMETRIES), selection_mode="multi", key=keep("symmetries"), help=_SYMMETRY_HELP)
        _draw_words("Range", "ranges", RANGE_CHOICES, parse_range)
        _draw_formats()
        ended = st.container()
    draw_history(LayersView, keeps="the source")
    return layer, ended


def draw_layer_choice(names: Sequence[str], opening: str, on_worst: Callable[[], None] | None) -> None:
    """Boxes "layer" and "compared", and the button "worst".

    Where nobody has chosen, `opening` is in view, and the view's field stays None. `on_worst` puts the worst layer of
    the scheme in view in view; None draws no button.
    """
    confine(LayersView, "layer", names, chosen=opening)
    labels = _label(names)
    st.selectbox(
        "Layer in view",
        names,
        key=keep("layer"),
        format_func=labels.__getitem__,
        help="A click on the heat map or a table row chooses the layer too.",
    )
    if on_worst is not None:
        st.button(
            "Worst layer",
            key="worst",
            icon=":material/target:",
            width="stretch",
            help="Put the layer that is worst under the scheme in view in view",
            on_click=on_worst,
        )
    st.multiselect(
        "Curves of further layers",
        names,
        key=keep("compared"),
        format_func=labels.__getitem__,
        max_selections=MOST_COMPARED,
        placeholder="Choose up to six",
    )


def _label(names: Sequence[str]) -> dict[str, str]:
    """What a narrow box calls each layer: its end, which tells layers apart, else its middle left out, else all."""
    shared = LayerNames.split(names)
    split = {name: name.removeprefix(shared.prefix).removesuffix(shared.suffix) for name in names}
    ends = {name: text if len(text) <= LABEL_LENGTH else f"…{text[1 - LABEL_LENGTH :]}" for name, text in split.items()}
    middles = {name: shorten(text, LABEL_LENGTH) for name, text in split.items()}
    return next((labels for labels in (ends, middles) if len(set(labels.values())) == len(names)), split)


def _draw_look(view: LayersView) -> None:
    """Which of the figures are in sight; nothing here is swept anew."""
    families = view.families
    if view.formats:
        st.selectbox("Format in view", (INTEGERS, *view.formats), key=keep("format"))
    st.selectbox("Grouping in view", families, key=keep("grouping"), disabled=len(families) == 1)
    st.selectbox("Metric", list(_METRIC_LABELS), key=keep("metric"), format_func=_METRIC_LABELS.__getitem__)
    st.text_input("Find layers", key=keep("find"), placeholder="text or regex", icon=":material/search:")
    left, right = st.columns([3, 2], gap="xsmall")
    left.selectbox("Order", list(ORDERS), key=keep("order"), format_func=ORDERS.__getitem__)
    right.selectbox("Show", ROW_LIMITS, key=keep("show"))
    st.segmented_control("Curves over", list(AXES), key=keep("axis"), format_func=AXES.__getitem__, required=True)
    st.toggle("Limits of the layer", key=keep("limits"), help=_LIMITS_HELP, disabled=view.metric != "sqnr_db")
    st.toggle("Logarithmic counts", key=keep("log"))


def _draw_filter() -> None:
    """Include, exclude, roles and axes: which tensors are swept, and how. Empty boxes leave every name in."""
    left, right = st.columns(2, gap="xsmall")
    left.text_input(
        "Include", key=keep("include"), placeholder="regex", help="Keep tensors whose name matches, e.g. ^layers[.]0"
    )
    right.text_input(
        "Exclude", key=keep("exclude"), placeholder="regex", help="Leave out tensors whose name matches, e.g. norm|bias"
    )
    st.selectbox(
        "Tensors",
        ROLE_CHOICES,
        key=keep("roles"),
        format_func=_name_role,
        help="Weights and embeddings of two or more dimensions; norms, biases and buffers stay float in practice.",
    )
    st.text_input(
        "Output axes",
        key=keep("axes"),
        placeholder="regex=axis",
        help="Where the output channels of some tensors lie, when the file does not tell: c_attn=1 or experts=0,2",
    )


def _name_role(choice: str) -> str:
    """What is measured, in words."""
    return {WEIGHTS: "Weights", "all": "Every tensor"}.get(choice, f"Role {choice}")


def _draw_formats() -> None:
    """Formats swept beside the integers."""
    st.multiselect(
        "Also sweep formats",
        FORMAT_CHOICES,
        key=keep("formats"),
        placeholder="mxfp4, nf4, fp8 …",
        filter_mode="contains",
        # It would be the first of the list, so that Enter takes every format whose name holds the typed one.
        select_all=False,
        help=(
            "Swept beside the integer widths, "
            "with the groupings and ranges above as far as the format leaves them open."
        ),
    )


def _draw_words(label: str, key: str, choices: Sequence[str], parse: Callable[[str], Any]) -> None:
    """A box that takes words of a kind, listed or typed; `parse` raises ValueError for one that means nothing."""
    words = st.multiselect(label, choices, key=keep(key), accept_new_options=True, placeholder="Choose or type")
    for word in words:
        try:
            parse(word)
        except ValueError as error:
            st.caption(f":red[{escape_markdown(str(error))}]")
