"""How does each tab of page Converter draw its figures, its findings and its faults? The same way everywhere, with the convention beside each number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from qanalysis.converters.findings import Finding
from qanalysis.converters.rows import ConverterRow
from qanalysis.dashboard.converter.view import ConverterView, read_converter, write_converter_query
from qanalysis.dashboard.layers.view import join_link
from qanalysis.dashboard.sources import read_root
from qanalysis.dashboard.wording import escape_markdown, hide_root

Fact = tuple[str, str, str]


def current_converter() -> ConverterView:
    """The view that this session's widgets hold."""
    return read_converter({str(key): value for key, value in st.session_state.items()})


def draw_facts(facts: Sequence[Fact], *, alt: str) -> None:
    """A table of quantity, value and the convention that the value follows; plain texts."""
    frame = pd.DataFrame([tuple(map(escape_markdown, fact)) for fact in facts], columns=["Quantity", "Value", "Convention"])
    frame["Value"] = [f"**{value}**" for value in frame["Value"]]
    st.table(frame, hide_index=True, border="horizontal", alt=alt)


def draw_figures(row: ConverterRow, *, alt: str, more: Sequence[Fact] = ()) -> None:
    """The figures of a row as the reports write them, and `more` below."""
    draw_facts([*((figure.label, figure.text, figure.convention) for figure in row.lines), *more], alt=alt)


def draw_lines(columns: Sequence[str], lines: Sequence[tuple[str, ...]], key: str, *, alt: str) -> None:
    """A table of texts; nothing where there is no line."""
    if lines:
        frame = pd.DataFrame(lines, columns=[name[:1].upper() + name[1:] for name in columns])
        st.dataframe(frame, key=key, height="content", hide_index=True, alt=alt)


def draw_numbers(frame: pd.DataFrame, key: str, *, height: int | Literal["content"], alt: str) -> None:
    """A table of numbers with seven digits."""
    floats = {name: st.column_config.NumberColumn(format="%.7g") for name in frame.columns if frame[name].dtype.kind == "f"}
    st.dataframe(frame, key=key, height=height, hide_index=True, column_config=floats, placeholder="–", alt=alt)


def draw_findings(findings: Iterable[Finding], *, none: str) -> None:
    """Findings as a list, each with its name in front; `none` where there is nothing to say."""
    lines = [f"- **{escape_markdown(finding.title)}**: {escape_markdown(finding.text)}" for finding in findings]
    if lines:
        st.warning("\n".join(lines), icon=":material/troubleshoot:")
    else:
        st.success(escape_markdown(none), icon=":material/check_circle:")


def draw_notes(findings: Iterable[Finding]) -> None:
    """How something was read, in small print."""
    text = " ".join(escape_markdown(finding.text) for finding in findings)
    if text:
        st.caption(f"**How the file was read.** {text}")


def draw_fault(message: str, next_step: str) -> None:
    """What is wrong with the input, in place, and what to do."""
    st.error(f"{escape_markdown(hide_root(message, read_root()))}\n\n{next_step}", icon=":material/error:")


def draw_link(view: ConverterView) -> None:
    """A popover with the address of this view."""
    with st.popover("Copy link", icon=":material/link:"):
        st.caption("This address shows the same numbers in another browser on this machine.")
        st.code(join_link(st.context.url or "", write_converter_query(view)), language=None, wrap_lines=True)


def sign(value: float, digits: int = 2) -> str:
    """A number with a true minus.

    >>> sign(-74.031), sign(float("inf"))
    ('−74.03', '∞')
    """
    return f"{value:z.{digits}f}".replace("inf", "∞").replace("-", "−")
