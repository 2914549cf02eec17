"""The sidebar of page Compare: A and B, how their names belong together, and what a row must keep."""

from __future__ import annotations

from typing import Any

import streamlit as st

import sample_models
from qanalysis.dashboard.compare.view import CompareView, parse_map
from qanalysis.dashboard.comparisons import get_compared_uploads, list_compared
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.runnable_models import RESULT_SUFFIXES
from qanalysis.dashboard.session import change, current_view, draw_history, keep
from qanalysis.dashboard.sources import UPLOAD_SUFFIXES
from qanalysis.dashboard.wording import escape_markdown

_OPENS = (
    "a sample, a checkpoint or a folder below the root folder, or rows that a command has written (.json, .csv, "
    ".parquet)"
)


def _describe(field: str, label: str, help: str) -> FileKind:
    return FileKind(
        field=field,
        label=label,
        noun=f"file as {label[0]}",
        help=help,
        samples=tuple(sample_models.SAMPLES),
        suffixes=tuple(dict.fromkeys((*UPLOAD_SUFFIXES, *RESULT_SUFFIXES))),
        get_store=get_compared_uploads,
        list_paths=list_compared,
        takes_addresses=True,
    )


A = _describe("a", "A, the reference", f"What B is held against: {_OPENS}. Errors are those of B: e = b − a.")
B = _describe(
    "b",
    "B, what is judged",
    f"What is held against A: {_OPENS}. `quantized:SCHEME`, such as quantized:int4 group=32, is A under that scheme.",
)


def draw_controls() -> Any:
    """Both sources with the button that swaps them, names, gate and history; the place of a strip that has ended."""
    draw_picker(A)
    st.button("Swap A and B", key="swap", icon=":material/swap_vert:", on_click=_swap, width="stretch")
    draw_picker(B)
    ended = st.container()
    with st.container(border=True, key="match-box"):
        maps = st.multiselect(
            "Names of A in B", [], key=keep("map"), accept_new_options=True, placeholder="found by themselves",
            help="Names find each other: equal ones, HF and GGUF, prefixes, fused and stacked parts. For the rest "
            "write REGEX=REPLACEMENT, such as `^backbone\\.=model.`",
        )  # fmt: skip
        for text in maps:
            try:
                parse_map(text)
            except ValueError as error:
                st.caption(f":red[{escape_markdown(str(error))}]")
        st.text_input(
            "Gate", key=keep("gate"), placeholder="sqnr_db<30",
            help="A row fails that fulfils the condition, as with `--fail-if`: a column, one of < <= > >= == !=, and a "
            "bound. Several with ; between.",
        )  # fmt: skip
    draw_history(CompareView, keeps="A and B")
    return ended


def _swap() -> None:
    """A becomes B and B becomes A; the maps, which lead from A to B, are let go."""
    view = current_view(CompareView)
    change(CompareView, a=view.b, b=view.a, map=(), layer=None)
