"""Why does the layer in view lose what it loses, and what helps? A section of page Layers: causes in words, cures as a table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qanalysis.dashboard.cache import read_diagnosis
from qanalysis.dashboard.controls import BOUND, current_view
from qanalysis.dashboard.elements import ask_first
from qanalysis.dashboard.layers.view import expand_scheme, write_view
from qanalysis.dashboard.wording import escape_markdown, format_count
from qanalysis.diagnosis import Diagnosis
from qanalysis.sweeps.row import Row

MOST_UNASKED = 2**20
"""Elements of a layer that is diagnosed without being asked, in a few tenths of a second."""
MOST_OFFERED = 3


def draw_diagnosis(source: str, identity: str, row: Row) -> Diagnosis | None:
    """The section for the layer and scheme of `row`, whose status is ok; None where it is closed, or waits for its button."""
    section = st.expander("Diagnosis: what goes wrong in this layer, and what helps", key="diag", bind=BOUND, expanded=True, icon=":material/stethoscope:")
    if not section.open:
        return None
    with section:
        if row.numel > MOST_UNASKED and not ask_first("diagnose", (identity, row.tensor), f"Diagnose {format_count(row.numel)} values"):
            return None
        found = read_diagnosis(source, identity, row.tensor, row.scheme)
        _draw_words(found)
        if found.cures:
            _draw_cures(found)
    return found


def _draw_words(found: Diagnosis) -> None:
    st.markdown(f"**{escape_markdown(found.name)}** at {escape_markdown(found.scheme)}: {escape_markdown(found.summary)}")
    if found.causes:
        st.markdown("\n".join(f"- **{cause.title}.** {escape_markdown(cause.text)}" for cause in found.causes))
    if found.advice:
        st.markdown(f"**{escape_markdown(found.advice)}**")
    for note in found.notes:
        st.caption(escape_markdown(note))


def _draw_cures(found: Diagnosis) -> None:
    st.table(build_cures(found), hide_index=True, border="horizontal", alt=f"{len(found.cures)} cures of {found.name}. {found.advice}")
    st.caption("Each cure was tried out on this layer. Net: the gain, at 6.02 dB a bit, less the price; what lies above the wider format beats spending bits.")
    texts = [cure.scheme for cure in found.cures if cure.scheme is not None and cure.net_bits > 0 and _can_show(cure.scheme)]
    with st.container(horizontal=True):
        for place, text in enumerate(texts[:MOST_OFFERED]):
            st.button(f"View {escape_markdown(text)}", key=f"cure-{place}", icon=":material/visibility:", on_click=_view_scheme, args=(text,))


def build_cures(found: Diagnosis) -> pd.DataFrame:
    """One line per cure as texts with signs, the best for its bits first."""
    return pd.DataFrame(
        {
            "Cure": [cure.text for cure in found.cures],
            "Gain (dB)": [_sign(cure.gain_db) for cure in found.cures],
            "As bits": [_sign(cure.worth_bits) for cure in found.cures],
            "Price (bits/weight)": [f"{cure.extra_bits:.3f}" for cure in found.cures],
            "Net (bits)": [_sign(cure.net_bits) for cure in found.cures],
            "SQNR (dB)": [_sign(cure.sqnr_db).removeprefix("+") for cure in found.cures],
            "Scheme": ["needs run-time support" if cure.scheme is None else cure.scheme for cure in found.cures],
        }
    )


def _sign(value: float) -> str:
    return f"{value:+.2f}".replace("inf", "∞").replace("-", "−")


def _can_show(text: str) -> bool:
    try:
        expand_scheme(text, current_view())
    except ValueError:
        return False
    return True


def _view_scheme(text: str) -> None:
    st.session_state.update(write_view(expand_scheme(text, current_view())))
