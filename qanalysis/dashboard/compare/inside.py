"""What does one pair look like inside? Values of both on common axes, their difference, and where it lies."""

from __future__ import annotations

import math

import streamlit as st

from qanalysis.charts.comparison_charts import draw_difference, draw_places, draw_values
from qanalysis.charts.linked.scene import Panel
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.comparisons.row import STATUS_WORDS, ComparisonRow
from qanalysis.dashboard.comparisons import CompareRequest, read_portrait
from qanalysis.dashboard.elements import ask_first
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import count, shorten

MOST_UNASKED = 1 << 25
"""Values of a pair that are counted without a click; about two seconds on two cores."""


def draw_log_toggle() -> None:
    """Whether counts are on a logarithmic axis."""
    st.toggle("Log counts", key=keep("log"), help="Counts of both histograms on a logarithmic axis.")


def draw_inside(request: CompareRequest, row: ComparisonRow, *, log: bool) -> list[Panel]:
    """The three charts of a pair; none, and a line that says why, where it can not be looked at."""
    name = escape_markdown(shorten(row.tensor_a or row.tensor_b))
    if row.status != "ok":
        why = row.reason or STATUS_WORDS[row.status]
        st.info(f"**{name}**: {escape_markdown(why)}. There is no pair to look into.", icon=":material/info:")
        return []
    numel = math.prod(map(int, row.shape_a.split("x"))) if row.shape_a else 1
    subject = (request, row.tensor_a, row.tensor_b)
    if numel > MOST_UNASKED and not ask_first("inside", subject, f"Look into the {count(numel)} values of {name}"):
        return []
    try:
        portrait = read_portrait(*subject)
    except (CheckpointError, ValueError, OSError) as error:
        st.info(f"**{name}**: {escape_markdown(str(error))}", icon=":material/info:")
        return []
    return [
        Panel("c-places", draw_places(portrait)),
        Panel("c-values", draw_values(portrait, log_counts=log)),
        Panel("c-difference", draw_difference(portrait, log_counts=log)),
    ]
