"""Why does the layer in view lose what it loses, and what helps?

A section of page Layers: causes in words, cures as a table.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qanalysis.dashboard.cache import Subject
from qanalysis.dashboard.elements import ask_first
from qanalysis.dashboard.layers.cache import read_diagnosis
from qanalysis.dashboard.layers.view import LayersView, expand_scheme
from qanalysis.dashboard.session import current_view, keep, replace_view
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.diagnosis.findings import Diagnosis
from qanalysis.notation import count, signed
from qanalysis.sweeps.row import Row

MOST_UNASKED = 2**20
"""Elements of a layer that is diagnosed without being asked, in a few tenths of a second."""
MOST_OFFERED = 3


def draw_diagnosis(subject: Subject, row: Row, view: LayersView) -> Diagnosis | None:
    """The section for the layer and scheme of `row`, whose status is ok; None where it is closed, or waits for its
    button.

    The expander's key is "diagnosis"; a layer of more than `MOST_UNASKED` values waits for the button "diagnose".
    """
    section = st.expander(
        "Diagnosis: what goes wrong in this layer, and what helps",
        key=keep("diagnosis"),
        on_change="rerun",
        icon=":material/stethoscope:",
    )
    if not section.open:
        return None
    with section:
        if row.numel > MOST_UNASKED and not ask_first(
            "diagnose", (subject.origin, subject.tensor), f"Diagnose {count(row.numel)} values"
        ):
            return None
        found = read_diagnosis(subject)
        _draw_words(found)
        if found.cures:
            _draw_cures(found, view)
    return found


def _draw_words(found: Diagnosis) -> None:
    """Summary, causes as a list, the advice in bold, notes in small print; a layer without causes has its summary
    alone.
    """
    st.markdown(
        f"**{escape_markdown(found.name)}** at {escape_markdown(found.scheme)}: {escape_markdown(found.summary)}"
    )
    if found.causes:
        st.markdown("\n".join(f"- **{cause.title}.** {escape_markdown(cause.text)}" for cause in found.causes))
    if found.advice:
        st.markdown(f"**{escape_markdown(found.advice)}**")
    for note in found.notes:
        st.caption(escape_markdown(note))


def _draw_cures(found: Diagnosis, view: LayersView) -> None:
    """The table of cures, and buttons "cure-0" on for at most `MOST_OFFERED` that pay and that the page can show."""
    st.table(
        build_cures(found),
        hide_index=True,
        border="horizontal",
        alt=f"{len(found.cures)} cures of {found.name}. {found.advice}",
    )
    st.caption(
        "Each cure was tried out on this layer. Net: the gain, at 6.02 dB a bit, less the price; "
        "what lies above the wider format beats spending bits."
    )
    texts = [
        cure.scheme
        for cure in found.cures
        if cure.scheme is not None and cure.net_bits > 0 and _can_show(cure.scheme, view)
    ]
    with st.container(horizontal=True):
        for place, text in enumerate(texts[:MOST_OFFERED]):
            st.button(
                f"View {escape_markdown(text)}",
                key=f"cure-{place}",
                icon=":material/visibility:",
                on_click=_view_scheme,
                args=(text,),
            )


def build_cures(found: Diagnosis) -> pd.DataFrame:
    """One line per cure as texts with signs, the best for its bits first.

    Gain, net and worth are signed; dB, bits and bits per weight as the headings say. No cure gives no line.
    """
    return pd.DataFrame(
        {
            "Cure": [cure.text for cure in found.cures],
            "Gain (dB)": [signed(cure.gain_db, "+.2f") for cure in found.cures],
            "As bits": [signed(cure.worth_bits, "+.2f") for cure in found.cures],
            "Price (bits/weight)": [f"{cure.extra_bits:.3f}" for cure in found.cures],
            "Net (bits)": [signed(cure.net_bits, "+.2f") for cure in found.cures],
            "SQNR (dB)": [signed(cure.sqnr_db, ".2f") for cure in found.cures],
            "Scheme": ["needs run-time support" if cure.scheme is None else cure.scheme for cure in found.cures],
        }
    )


def _can_show(text: str, view: LayersView) -> bool:
    """Whether the page's controls can hold a scheme: its scale and rounding are the usual ones."""
    try:
        expand_scheme(text, view)
    except ValueError:
        return False
    return True


def _view_scheme(text: str) -> None:
    """Sweep a scheme along with the rest and put it in view; for a button's callback."""
    replace_view(expand_scheme(text, current_view(LayersView)))
