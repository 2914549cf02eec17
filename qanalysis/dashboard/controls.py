"""The sidebar: what to sweep and which figure to look at. Every widget is bound to the address under its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import streamlit as st

import sample_models
from qanalysis.dashboard.cache import get_uploads, list_paths
from qanalysis.dashboard.converter.view import CONVERTER_KEYS
from qanalysis.dashboard.layers.view import (
    AXES,
    FEWEST_BITS,
    FORMAT_CHOICES,
    GROUPING_CHOICES,
    INTEGERS,
    METRIC_LABELS,
    MOST_BITS,
    RANGE_CHOICES,
    ViewState,
    name_ignored,
    read_view,
    tidy_query,
    write_view,
)
from qanalysis.dashboard.sources import SAMPLE_PREFIX, UPLOAD_SUFFIXES, read_root
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.quantizers.grouping import parse_grouping
from qanalysis.quantizers.ranges import parse_range
from qanalysis.quantizers.symmetries import SYMMETRIES

BOUND: Literal["query-params"] = "query-params"
UPLOAD_LIMIT_MB = 50
HISTORY_LENGTH = 20
_DEFAULT = ViewState()


def open_session() -> None:
    """On a session's first run: remember what the address asks for, tidied where it is not in the widgets' own words."""
    if "asked" in st.session_state:
        if "scheme" in st.query_params:  # the browser went back to before the first run's tidying
            del st.query_params["scheme"]
        return
    asked = {key: st.query_params.get_all(key) for key in st.query_params}
    others = {key: values for key, values in asked.items() if key in CONVERTER_KEYS}
    query, left_out, refusals = tidy_query({key: values for key, values in asked.items() if key not in others})
    query |= others
    st.session_state.update(asked=query, left_out=left_out, notices=refusals, history=[])
    if query != asked:
        # Widgets read their parameters from the address that a run begins with.
        st.query_params.from_dict(query)
        st.rerun()


def note_ignored() -> None:
    """Once per session, when every widget of page Layers was drawn: one notice of what it could not take from the address."""
    session = {str(key): value for key, value in st.session_state.items()}
    note_left_out(name_ignored(session["asked"], session))


def note_left_out(ignored: list[str]) -> None:
    """Once per session: one notice of `ignored` and of what no page knows."""
    asked, left_out = st.session_state["asked"], st.session_state["left_out"]
    if asked or left_out:
        st.session_state.update(asked={}, left_out=[])
        ignored = left_out + ignored
        if ignored:
            st.session_state["notices"].append(f"Left out of the link, because the page or this model does not know it: {'; '.join(ignored)}")
            st.rerun()


def current_view() -> ViewState:
    """The view that this session's widgets hold."""
    return read_view({str(key): value for key, value in st.session_state.items()})


def draw_source() -> None:
    """Source: a sample, a path below the root, or an upload."""
    samples = [f"{SAMPLE_PREFIX}{name}" for name in sample_models.SAMPLES]
    paths = list_paths(str(read_root()))
    options = list(dict.fromkeys([*samples, *paths]))
    st.selectbox(
        "Source",
        options,
        index=options.index(_DEFAULT.source),
        key="m",
        accept_new_options=True,
        bind=BOUND,
        help="A sample, or the path of a checkpoint below the root folder: safetensors (file, index or folder), .pt, .pth, .bin, .onnx, .gguf, .npz, .npy.",
    )
    with st.popover("Open your own model", icon=":material/folder_open:", width="stretch"):
        st.markdown(
            f"Type or choose a path below the folder **{escape_markdown(read_root().resolve().name)}** in the box *Source*. "
            "Start the app with `qanalysis app --root DIR` for another folder. A small file can be uploaded here; it is removed after an hour."
        )
        _draw_upload()


def _draw_upload() -> None:
    # A new key empties the uploader, so that the bytes are not held a second time.
    key = f"upload-{st.session_state.get('uploads', 0)}"
    kinds = [suffix.removeprefix(".") for suffix in UPLOAD_SUFFIXES]
    st.file_uploader("Upload a checkpoint", type=kinds, key=key, max_upload_size=UPLOAD_LIMIT_MB, on_change=_keep_upload, args=(key,))


def _keep_upload(key: str) -> None:
    file = st.session_state.get(key)
    if file is None:
        return
    try:
        st.session_state["m"] = get_uploads().save(file.name, file.getvalue())
    except ValueError as error:
        st.session_state["notices"].append(str(error))
    st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1


def draw_sweep_controls() -> None:
    """Filter, formats, grouping, symmetry, range, metric, in this order; what is in view is drawn last, above what is swept."""
    _draw_filter()
    bits_in_view = st.container()
    st.slider("Bits swept", FEWEST_BITS, MOST_BITS, _DEFAULT.bits_swept, key="b", format="%d bit", bind=BOUND)
    format_in_view = st.container()
    st.multiselect(
        "Number formats swept",
        FORMAT_CHOICES,
        key="fmt",
        bind=BOUND,
        placeholder="Beside the integers",
        filter_mode="contains",
        select_all=False,  # it would be the first of the list, so that Enter takes every format whose name holds the typed one
        help="Swept beside the integer widths, with the groupings and ranges below as far as the format leaves them open.",
    )
    family_in_view = st.container()
    _draw_words("Groupings swept", "g", GROUPING_CHOICES, _DEFAULT.groupings, parse_grouping)
    st.pills("Symmetry", list(SYMMETRIES), default=list(_DEFAULT.symmetries), selection_mode="multi", key="s", bind=BOUND)
    _draw_words("Range", "r", RANGE_CHOICES, _DEFAULT.ranges, parse_range)
    labels = list(METRIC_LABELS)
    st.selectbox("Metric", labels, index=labels.index(_DEFAULT.metric_label), key="x", bind=BOUND)
    st.segmented_control("Horizontal axis", list(AXES), default=_DEFAULT.axis_label, required=True, key="h", bind=BOUND)
    _draw_in_view(bits_in_view, format_in_view, family_in_view)


def _draw_filter() -> None:
    left, right = st.columns(2, gap="xsmall")
    left.text_input("Include", key="inc", placeholder="regex", bind=BOUND, help="Keep tensors whose name matches, e.g. ^layers[.]0")
    right.text_input("Exclude", key="exc", placeholder="regex", bind=BOUND, help="Leave out tensors whose name matches, e.g. norm|bias")
    st.toggle("Weights only", _DEFAULT.weights_only, key="w", bind=BOUND, help="Tensors of two or more dimensions; norms and biases stay float in practice.")


def _draw_words(label: str, key: str, choices: Sequence[str], default: Sequence[str], parse: Callable[[str], Any]) -> None:
    words = st.multiselect(label, choices, default=list(default), key=key, accept_new_options=True, bind=BOUND, placeholder="Choose or type")
    for word in words:
        try:
            parse(word)
        except ValueError as error:
            st.caption(f":red[{escape_markdown(str(error))}]")


def _draw_in_view(bits_slot: Any, format_slot: Any, family_slot: Any) -> None:
    view = current_view()
    if view.formats:
        _correct("fv", view.format)
        format_slot.selectbox("Format in view", (INTEGERS, *view.formats), key="fv", bind=BOUND)
        view = current_view()  # on a session's first run the widget has just taken its value from the address
    low, high = view.bits_swept
    _correct("v", view.bits)
    if low < high:
        # Drawn, but still, while another format is in view: a widget that is not drawn forgets its value.
        still = view.format != INTEGERS
        bits_slot.slider("Bits in view", low, high, min(max(_DEFAULT.bits, low), high), key="v", format="%d bit", bind=BOUND, disabled=still)
    else:
        bits_slot.slider("Bits in view", low - 1, high, high, key="v-fixed", format="%d bit", disabled=True)
    families = view.families
    default = families.index(_DEFAULT.family) if _DEFAULT.family in families else 0
    _correct("f", view.family)
    family_slot.selectbox("Grouping in view", families, index=default, key="f", bind=BOUND, disabled=len(families) == 1)


def _correct(key: str, value: Any) -> None:
    if key in st.session_state and st.session_state[key] != value:
        st.session_state[key] = value


def draw_history() -> None:
    """Undo and reset, side by side."""
    left, right = st.columns(2, gap="xsmall")
    left.button("Undo", icon=":material/undo:", on_click=_undo, disabled=len(st.session_state["history"]) < 2, width="stretch", key="undo")
    right.button("Reset", icon=":material/restart_alt:", on_click=_reset, width="stretch", key="reset", help="Every control but the source back to its default")


def remember_view(view: ViewState) -> None:
    """Add a view to the history where it differs from the last one."""
    history: list[ViewState] = st.session_state["history"]
    if not history or history[-1] != view:
        history.append(view)
        del history[: -HISTORY_LENGTH - 1]


def _undo() -> None:
    history: list[ViewState] = st.session_state["history"]
    if len(history) > 1:
        history.pop()
        st.session_state.update(write_view(history[-1]))


def _reset() -> None:
    source = current_view().source
    st.session_state.update(write_view(ViewState(source=source)))
