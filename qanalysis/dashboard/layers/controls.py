"""The sidebar of page Layers: which file, what to sweep of it, and which figure to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

import sample_models
from qanalysis.dashboard.cache import get_uploads, list_paths
from qanalysis.dashboard.layers.view import (
    AXES,
    FORMAT_CHOICES,
    GROUPING_CHOICES,
    INTEGERS,
    RANGE_CHOICES,
    LayersView,
)
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.session import draw_history, keep
from qanalysis.dashboard.sources import UPLOAD_SUFFIXES
from qanalysis.dashboard.views import list_ends
from qanalysis.dashboard.wording import escape_markdown
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
)
_METRIC_LABELS = {name: metric.label for name, metric in METRICS.items()}


def draw_controls(view: LayersView) -> None:
    """Source, filter, what is in view above what is swept, metric, history.

    Keys are the fields of `LayersView`. Words that can not be read are told in red below their box and take no part.
    """
    draw_picker(CHECKPOINTS)
    _draw_filter()
    _draw_bits(view)
    st.slider("Bits swept", *list_ends(LayersView, "swept"), view.swept, key=keep("swept"), format="%d bit")
    _draw_formats(view)
    families = view.families
    st.selectbox("Grouping in view", families, key=keep("grouping"), disabled=len(families) == 1)
    _draw_words("Groupings swept", "groupings", GROUPING_CHOICES, parse_grouping)
    st.pills("Symmetry", list(SYMMETRIES), selection_mode="multi", key=keep("symmetries"))
    _draw_words("Range", "ranges", RANGE_CHOICES, parse_range)
    st.selectbox("Metric", list(_METRIC_LABELS), key=keep("metric"), format_func=_METRIC_LABELS.__getitem__)
    st.segmented_control("Horizontal axis", list(AXES), key=keep("axis"), format_func=AXES.__getitem__, required=True)
    draw_history(LayersView, keeps="the source")


def _draw_filter() -> None:
    """Include, exclude and "weights only": which tensors are swept. Empty boxes leave every name in."""
    left, right = st.columns(2, gap="xsmall")
    left.text_input(
        "Include", key=keep("include"), placeholder="regex", help="Keep tensors whose name matches, e.g. ^layers[.]0"
    )
    right.text_input(
        "Exclude", key=keep("exclude"), placeholder="regex", help="Leave out tensors whose name matches, e.g. norm|bias"
    )
    st.toggle(
        "Weights only",
        key=keep("weights_only"),
        help="Tensors of two or more dimensions; norms and biases stay float in practice.",
    )


def _draw_bits(view: LayersView) -> None:
    """The slider of the bits in view within those swept; fixed where one width is swept, or a format without widths is
    in view.
    """
    low, high = view.swept
    if low < high:
        st.slider("Bits in view", low, high, key=keep("bits"), format="%d bit", disabled=view.format != INTEGERS)
    else:
        st.slider("Bits in view", low - 1, high, high, key="bits-fixed", format="%d bit", disabled=True)


def _draw_formats(view: LayersView) -> None:
    """Formats swept beside the integers, and above them which is in view; the latter only where there is a choice."""
    if view.formats:
        st.selectbox("Format in view", (INTEGERS, *view.formats), key=keep("format"))
    st.multiselect(
        "Number formats swept",
        FORMAT_CHOICES,
        key=keep("formats"),
        placeholder="Beside the integers",
        filter_mode="contains",
        # It would be the first of the list, so that Enter takes every format whose name holds the typed one.
        select_all=False,
        help=(
            "Swept beside the integer widths, "
            "with the groupings and ranges below as far as the format leaves them open."
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
