"""Page Layers: what does each layer lose under each scheme, and where in the layer does it happen?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from qanalysis.checkpoints.source import CheckpointError, TensorInfo
from qanalysis.dashboard.cache import (
    MOST_PROFILED,
    Contents,
    Part,
    draw_cells,
    draw_curves,
    draw_layer,
    draw_scrub,
    get_jobs,
    identify,
    read_contents,
    read_limits,
    read_profile,
)
from qanalysis.dashboard.controls import BOUND, current_view, draw_history, draw_source, draw_sweep_controls, note_ignored, remember_view
from qanalysis.dashboard.elements import draw_chart, draw_choice_table, draw_failure, draw_table, read_theme
from qanalysis.dashboard.export import draw_export
from qanalysis.dashboard.jobs import Job, SweepRequest
from qanalysis.dashboard.layers.bench_card import draw_bench_card
from qanalysis.dashboard.layers.conventions import draw_conventions
from qanalysis.dashboard.layers.diagnosis import draw_diagnosis
from qanalysis.dashboard.layers.format_card import draw_format_card
from qanalysis.dashboard.layers.selection import choose_rows, pick_cell
from qanalysis.dashboard.layers.validation import draw_validation
from qanalysis.dashboard.layers.view import INTEGERS, ORDERS, ROW_LIMITS, ViewState, put_in_view
from qanalysis.dashboard.progress import draw_strip, follow_sweep
from qanalysis.dashboard.tables import build_contents, build_layers, build_totals
from qanalysis.dashboard.wording import escape_markdown, format_count
from qanalysis.diagnosis.own_limits import LayerLimits, describe_limits
from qanalysis.diagnosis.profile import LayerProfile
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports import find_outlier, headline, select_worst
from qanalysis.reports.summary import format_bytes
from qanalysis.sweeps.row import Row, Rows
from qanalysis.sweeps.sweep import select_tensors

PANEL_HEIGHT, LEAST_HEIGHT = 560, 340
TABLE_HEIGHT, HEADING_HEIGHT, ROW_HEIGHT = 460, 39, 35
MOST_COMPARED = 6
MOST_BESIDE, TOTALS_HEIGHT = 30, 320
"""Schemes that a heat map shows beside the totals; with more it takes the page's width, and the totals stand below."""


@dataclass(frozen=True)
class Shown:
    """A result on the page: what was swept, its rows, the view, and the rows of the scheme in view."""

    request: SweepRequest
    rows: Rows
    view: ViewState
    scheme: str
    in_view: tuple[Row, ...]

    @property
    def result(self) -> str:
        """A name for these rows: the same request gives the same rows, as many as were finished."""
        return f"{self.request.digest}-{len(self.rows)}"


def draw_layers() -> None:
    """The page: controls, the sweep's progress, then the result from the model down to one layer."""
    with st.sidebar:
        draw_source()
        draw_sweep_controls()
        draw_history()
    view = current_view()
    try:
        identity = identify(view.source)
        contents = read_contents(view.source, identity)
        tensors = select_tensors(contents.tensors, include=view.include, exclude=view.exclude, weights_only=view.weights_only)
    except (CheckpointError, ValueError, OSError) as error:
        draw_failure(str(error))
        return
    request = SweepRequest(view.source, identity, view.schemes, view.include, view.exclude, view.weights_only)
    job = follow_sweep(request, tensors)
    headline_slot = st.container()
    draw_strip(request, tensors)
    shown = _choose_shown(job, request, view)
    if job is not None and job.snapshot.state == "failed":
        draw_failure(job.snapshot.message)
    elif shown is None:
        _draw_contents(headline_slot, contents)
    else:
        _draw_result(headline_slot, shown, tensors)


def _choose_shown(job: Job | None, request: SweepRequest, view: ViewState) -> Shown | None:
    # While a new sweep of the same source runs, the last result stays in sight.
    last = get_jobs().find(st.session_state.get("last", ""))
    for candidate in (job, last):
        rows = candidate.snapshot.rows if candidate else None
        if candidate and rows and len(rows) and (candidate.request.source, candidate.request.identity) == (request.source, request.identity):
            st.session_state["last"] = candidate.request.digest
            schemes = dict.fromkeys(row.scheme for row in rows)
            scheme = view.scheme if view.scheme in schemes else next(iter(schemes))
            return Shown(candidate.request, rows, view, scheme, tuple(row for row in rows if row.scheme == scheme))
    return None


def _draw_result(headline_slot: Any, shown: Shown, tensors: Sequence[TensorInfo]) -> None:
    overview_slot, choice_slot, curves_slot, detail_slot = (st.container() for _ in range(4))
    channels_slot, table_slot = st.columns(2, gap="medium")
    # The browser paints in the order of the calls: what follows the bits most closely comes first, wherever it stands.
    with choice_slot:
        tensor, compared = _draw_layer_choice([info.name for info in tensors])
    with detail_slot:
        profile = _draw_detail(shown, tensor)
    _draw_headline(headline_slot, shown)
    with channels_slot:
        _draw_channels(shown, profile)
    with overview_slot:
        listed = _draw_overview(shown, tensor)
    with curves_slot:
        _draw_curves(shown, (tensor, *compared))
    with table_slot:
        _draw_layer_table(shown, listed, tensor)
    diagnosis = None
    row = next((row for row in shown.in_view if row.tensor == tensor), None)
    if row and profile:
        diagnosis = draw_diagnosis(shown.request.source, shown.request.identity, row)
        draw_conventions(shown.request.source, shown.request.identity, row)
        draw_bench_card(shown.request.source, shown.request.identity, row)
    draw_format_card(shown.scheme, row, profile)
    view = current_view()
    diagnoses = [diagnosis] if diagnosis else []
    draw_export(shown.rows, view, scheme=shown.scheme, profiles=[profile] if profile else [], diagnoses=diagnoses, job=shown.request.digest)
    draw_validation()
    note_ignored()
    remember_view(view)


def _draw_headline(slot: Any, shown: Shown) -> None:
    worst = select_worst(shown.rows, shown.scheme, count=1)
    channel = None
    if worst and worst[0].numel <= MOST_PROFILED:
        channel = find_outlier(read_profile(shown.request.source, shown.request.identity, worst[0].tensor, shown.scheme))
    left, right = slot.columns([6, 1], vertical_alignment="center")
    left.markdown(f"#### {escape_markdown(headline(shown.rows, shown.scheme, worst_channel=channel))}")
    if worst:
        right.button(
            "Worst layer", key="worst", icon=":material/target:", width="stretch", help="Put it in view", on_click=_choose_layer, args=(worst[0].tensor,)
        )


def _draw_overview(shown: Shown, tensor: str) -> list[Row]:
    wide = len({row.scheme for row in shown.rows.totals}) > MOST_BESIDE
    left, right = (st.container(), st.container()) if wide else st.columns([3, 2], gap="medium")
    with left:
        listed = _draw_search(shown)
        names = tuple(row.tensor for row in listed)
        figure = draw_cells(shown.result, names, shown.view.metric, (tensor, shown.scheme), read_theme(), shown.rows)
        height = min(max(figure.layout.height + 16, LEAST_HEIGHT), PANEL_HEIGHT)
        if not listed:
            st.info("No layer's name matches the search; clear the box *Find layers*.", icon=":material/search_off:")
        with st.container(height=height, border=False, key="heat-frame"):
            draw_chart(figure, "heat", on_select=lambda: _click_cell("heat"))
    with right:
        st.markdown("**Totals per scheme**, all layers of the sweep pooled")
        draw_choice_table(
            build_totals(shown.rows.totals),
            "totals",
            names=[row.scheme for row in shown.rows.totals],
            chosen=shown.scheme,
            height=TOTALS_HEIGHT if wide else height + ROW_HEIGHT,
            alt="Totals per scheme",
            on_choose=_choose_scheme,
        )
    return listed


def _draw_search(shown: Shown) -> list[Row]:
    left, middle, right = st.columns([3, 2, 1], gap="xsmall")
    left.text_input("Find layers", key="q", placeholder="text or regex", bind=BOUND, icon=":material/search:")
    middle.selectbox("Order", ORDERS, key="o", bind=BOUND)
    right.selectbox("Show", ROW_LIMITS, key="n", bind=BOUND)
    view = current_view()
    return choose_rows(shown.in_view, find=view.find, order=view.order, limit=view.limit, metric=view.metric)


def _draw_layer_choice(names: list[str]) -> tuple[str, list[str]]:
    left, right = st.columns(2, gap="medium")
    tensor = left.selectbox("Layer in view", names, key="t", bind=BOUND, help="A click on the heat map, a curve or a table row chooses the layer too.")
    compared = right.multiselect("Curves of further layers", names, key="c", max_selections=MOST_COMPARED, bind=BOUND, placeholder="Choose up to six")
    return tensor, compared


def _draw_curves(shown: Shown, tensors: Sequence[str]) -> None:
    note = "The best grid for this layer's own values at each bit width, and the SQNR that no code passes, from their entropy. For the metric SQNR."
    st.toggle("Limits of the layer in view", key="lim", bind=BOUND, help=note, disabled=shown.view.metric != "sqnr_db")
    limits = _find_limits(shown, tensors[0]) if current_view().own_limits and shown.view.metric == "sqnr_db" else None
    figure = draw_curves(shown.result, tuple(dict.fromkeys(tensors)), shown.view.metric, shown.view.axis, read_theme(), limits, shown.rows)
    draw_chart(figure, "curves", on_select=lambda: _click_cell("curves"))
    row = next((row for row in shown.in_view if row.tensor == tensors[0]), None)
    if limits and row and row.sqnr_db is not None and row.bits_per_weight is not None:
        st.caption(escape_markdown(describe_limits(limits, bits=row.bits, bits_per_weight=row.bits_per_weight, sqnr_db=row.sqnr_db)))


def _find_limits(shown: Shown, tensor: str) -> LayerLimits | None:
    try:
        return read_limits(shown.request.source, shown.request.identity, tensor)
    except (ValueError, TypeError) as error:
        st.caption(escape_markdown(str(error)))
        return None


def _draw_detail(shown: Shown, tensor: str) -> LayerProfile | None:
    row = next((row for row in shown.in_view if row.tensor == tensor), None)
    if row is None or row.status != "ok":
        st.info(_explain_row(row, tensor), icon=":material/info:")
        return None
    with st.container(horizontal=True, gap="medium"):
        integers = shown.view.format == INTEGERS
        note = "Every bit width at once: the slider below the charts then moves without the server. For integers, whose widths differ."
        st.toggle("Scrub 2 to 16 bits", key="scrub", bind=BOUND, help=note, disabled=not integers)
        scrubs = integers and current_view().scrub
        st.toggle("Logarithmic counts", key="l", bind=BOUND, disabled=scrubs)
    source, identity = shown.request.source, shown.request.identity
    profile = read_profile(source, identity, tensor, shown.scheme)
    if profile.count + profile.non_finite < row.numel:
        st.caption(f"Histograms from the first {format_count(profile.count)} of {format_count(row.numel)} values; the tables count all of them.")
    if scrubs:
        draw_chart(draw_scrub(source, identity, tensor, shown.scheme, read_theme()), "scrub-chart")
        return profile
    weights: Part = "log weights" if current_view().log_counts else "weights"
    left, right = st.columns(2, gap="medium")
    with left:
        draw_chart(draw_layer(weights, source, identity, tensor, shown.scheme, read_theme()), "weights")
    with right:
        draw_chart(draw_layer("errors", source, identity, tensor, shown.scheme, read_theme()), "errors")
    return profile


def _explain_row(row: Row | None, tensor: str) -> str:
    name = escape_markdown(tensor)
    if row is None:
        return f"**{name}** is not in the rows shown; they change when the sweep above is complete."
    reasons = {
        "zero": "holds zeros only: every scheme keeps it exactly, and there is no error to show",
        "empty": "holds no element",
        "non-finite": "holds no finite element: only NaN or infinite values",
    }
    reason = reasons.get(row.status, f"is {row.status}: {escape_markdown(row.reason)}")
    return f"**{name}** ({escape_markdown(row.shape)}, {escape_markdown(row.dtype)}) {reason}. Choose another layer above, or click one in the heat map."


def _draw_channels(shown: Shown, profile: LayerProfile | None) -> None:
    if profile is None:
        st.info("The error per channel is shown for a layer that was measured.", icon=":material/info:")
    else:
        draw_chart(draw_layer("channels", shown.request.source, shown.request.identity, profile.name, shown.scheme, read_theme()), "channels")


def _draw_layer_table(shown: Shown, listed: Sequence[Row], tensor: str) -> None:
    st.markdown(f"**Layers at {escape_markdown(shown.scheme)}**: {len(listed)} of {len(shown.in_view)}")
    draw_choice_table(
        build_layers(listed, shown.view.metric),
        "layers",
        names=[row.tensor for row in listed],
        chosen=tensor,
        height=min(HEADING_HEIGHT + ROW_HEIGHT * max(len(listed), 2), TABLE_HEIGHT),
        alt="Layers at the scheme in view",
        on_choose=_choose_layer,
    )


def _draw_contents(slot: Any, contents: Contents) -> None:
    slot.markdown(f"#### {escape_markdown(contents.name)}: {len(contents.tensors)} tensors, {format_bytes(contents.size_bytes)}")
    st.caption(escape_markdown(contents.memory_note))
    draw_table(build_contents(contents.tensors), "contents", height=PANEL_HEIGHT, alt="Tensors of the file")


def _choose_layer(tensor: str) -> None:
    st.session_state["t"] = tensor


def _choose_scheme(text: str) -> None:
    st.session_state.update(put_in_view(Scheme.parse(text)))


def _click_cell(chart: str) -> None:
    cell = pick_cell(st.session_state[chart])
    if cell:
        _choose_layer(cell[0])
        _choose_scheme(cell[1])
