"""Page Layers: what does each layer lose under each scheme, and where in the layer does it happen?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.cache import MOST_PROFILED, Contents, get_jobs, identify, read_contents
from qanalysis.dashboard.elements import draw_chart, draw_choice_table, draw_fault, draw_table, read_theme
from qanalysis.dashboard.export import Extras, draw_export
from qanalysis.dashboard.jobs import Job, SweepRequest
from qanalysis.dashboard.layers.bench_card import draw_bench_card
from qanalysis.dashboard.layers.cache import (
    Part,
    draw_cells,
    draw_curves,
    draw_layer,
    draw_scrub,
    read_limits,
    read_profile,
)
from qanalysis.dashboard.layers.controls import draw_controls
from qanalysis.dashboard.layers.conventions import draw_conventions
from qanalysis.dashboard.layers.diagnosis import draw_diagnosis
from qanalysis.dashboard.layers.format_card import draw_format_card
from qanalysis.dashboard.layers.selection import choose_rows, pick_cell
from qanalysis.dashboard.layers.shown import Shown, choose_shown
from qanalysis.dashboard.layers.validation import draw_validation
from qanalysis.dashboard.layers.view import INTEGERS, ORDERS, ROW_LIMITS, LayersView, put_in_view
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.progress import draw_strip, follow_sweep
from qanalysis.dashboard.session import change, confine, keep
from qanalysis.dashboard.tables import build_contents, build_layers, build_totals
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.diagnosis.own_limits import LayerLimits, describe_limits
from qanalysis.diagnosis.profile import LayerProfile
from qanalysis.notation import count, size
from qanalysis.reports.summary import find_outlier, headline, select_worst
from qanalysis.sweeps.row import STATUS_WORDS, Row
from qanalysis.sweeps.sweep import select_tensors

PANEL_HEIGHT, LEAST_HEIGHT = 560, 340
TABLE_HEIGHT, HEADING_HEIGHT, ROW_HEIGHT = 460, 39, 35
MOST_COMPARED = 6
MOST_BESIDE, TOTALS_HEIGHT = 30, 320
"""Schemes that a heat map shows beside the totals; with more it takes the page's width, and the totals stand below."""
_WAY_OUT = (
    "Choose another **Source** in the sidebar, change the **filter**, or take a step back with **Undo**. "
    "The samples always open."
)


def draw_layers(view: LayersView) -> None:
    """The page: controls, the sweep's progress, then the result from the model down to one layer.

    A source that can not be opened and a filter that leaves nothing become a fault in place of the result; the sidebar
    stays. Until the first rows are there, the file's contents are shown. Without a sweep of its own the page shows the
    last one of the same source.
    """
    with st.sidebar:
        draw_controls(view)
    try:
        origin = identify(view.source)
        contents = read_contents(origin)
        tensors = select_tensors(
            contents.tensors, include=view.include, exclude=view.exclude, weights_only=view.weights_only
        )
    except (CheckpointError, ValueError, OSError) as error:
        draw_fault(str(error), _WAY_OUT)
        return
    names = [info.name for info in tensors]
    confine(LayersView, "layer", names)
    view = confine(LayersView, "compared", names)
    request = SweepRequest(view.source, origin.identity, view.schemes, view.include, view.exclude, view.weights_only)
    job = follow_sweep(request, tensors, named=view.job)
    if job is not None:
        change(LayersView, job=request.digest)
    headline_slot = st.container()
    draw_strip(request, tensors)
    shown = _find_shown(job, request, view)
    if job is not None and job.snapshot.state == "failed":
        draw_fault(job.snapshot.message, _WAY_OUT)
    elif shown is None:
        _draw_contents(headline_slot, contents)
    else:
        _draw_result(headline_slot, shown, names)


def _find_shown(job: Job | None, request: SweepRequest, view: LayersView) -> Shown | None:
    """The result in sight, remembered as the last one; None before the first rows of this source."""
    # While a new sweep of the same source runs, the last result stays in sight.
    shown = choose_shown((job, get_jobs().find(st.session_state.get("last", ""))), request, view)
    if shown is not None:
        st.session_state["last"] = shown.request.digest
    return shown


def _draw_result(headline_slot: Any, shown: Shown, names: Sequence[str]) -> None:
    """Everything that needs rows, each part in its place from the headline down to the sections.

    `names` are the tensors that pass the filter, whether they were swept or not.
    """
    overview_slot, choice_slot, curves_slot, detail_slot = (st.container() for _ in range(4))
    channels_slot, table_slot = st.columns(2, gap="medium")
    # The browser paints in the order of the calls: what follows the bits most closely comes first, wherever it stands.
    with choice_slot:
        tensor, compared = _draw_layer_choice(shown, names)
    with detail_slot:
        profile = _draw_detail(shown, tensor)
    _draw_headline(headline_slot, shown)
    with channels_slot:
        _draw_channels(shown, profile)
    with overview_slot:
        listed = _draw_overview(shown)
    with curves_slot:
        _draw_curves(shown, (tensor, *compared))
    with table_slot:
        _draw_layer_table(shown, listed, tensor)
    _draw_sections(shown, tensor, profile)


def _draw_sections(shown: Shown, tensor: str, profile: LayerProfile | None) -> None:
    """The expanders below the result: diagnosis, conventions, bench card, number format, downloads, cross-checks.

    The first three need a layer with figures. What is open and drawn goes into the report too.
    """
    row, subject, diagnosis = shown.row_of(tensor), shown.subject(tensor), None
    if row and profile:
        diagnosis = draw_diagnosis(subject, row, shown.view)
        draw_conventions(subject, row)
        draw_bench_card(subject, row)
    draw_format_card(shown.scheme, row, profile)
    _draw_export(shown, Extras(shown.scheme, (profile,) if profile else (), (diagnosis,) if diagnosis else ()))
    draw_validation()


def _draw_export(shown: Shown, extras: Extras) -> None:
    """What the files hold, in one line, and the downloads with keys "save-csv" and so on."""
    tensors, rows = len(shown.in_view), len(shown.rows)
    state = "" if shown.rows.complete else " The sweep was cancelled: these are the rows so far."
    held = f"{count(rows)} rows: {count(tensors)} tensors × {rows // max(tensors, 1)} schemes"
    st.caption(f"{held}, with every column, the totals, the settings and the input's digest.{state}")
    draw_export(shown.rows, LayersView, "save", extras)


def _draw_headline(slot: Any, shown: Shown) -> None:
    """The model in one sentence at the scheme in view, and the button "worst" that puts the worst layer in view.

    The outlier channel is told of layers that are profiled whole; no button where no layer has figures.
    """
    worst = select_worst(shown.rows, shown.scheme, count=1)
    channel = None
    if worst and worst[0].numel <= MOST_PROFILED:
        channel = find_outlier(read_profile(shown.subject(worst[0].tensor)))
    left, right = slot.columns([6, 1], vertical_alignment="center")
    left.markdown(f"#### {escape_markdown(headline(shown.rows, shown.scheme, worst_channel=channel))}")
    if worst:
        right.button(
            "Worst layer",
            key="worst",
            icon=":material/target:",
            width="stretch",
            help="Put it in view",
            on_click=_choose_layer,
            args=(worst[0].tensor,),
        )


def _draw_overview(shown: Shown) -> list[Row]:
    """Search, heat map "heat" and totals "totals" side by side, or one below the other with many schemes; returns the
    rows listed.

    A click on a cell puts its layer and scheme in view, one on a total its scheme. A search that finds nothing leaves
    an empty map and says so.
    """
    wide = len({row.scheme for row in shown.rows.totals}) > MOST_BESIDE
    left, right = (st.container(), st.container()) if wide else st.columns([3, 2], gap="medium")
    with left:
        listed = _draw_search(shown)
        names = tuple(row.tensor for row in listed)
        figure = draw_cells(shown, names, shown.view.metric, read_theme())
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
    """Boxes "find", "order" and "show"; returns the rows of the scheme in view that they leave, in their order."""
    left, middle, right = st.columns([3, 2, 1], gap="xsmall")
    left.text_input("Find layers", key=keep("find"), placeholder="text or regex", icon=":material/search:")
    middle.selectbox("Order", list(ORDERS), key=keep("order"), format_func=ORDERS.__getitem__)
    right.selectbox("Show", ROW_LIMITS, key=keep("show"))
    view = shown.view
    return choose_rows(shown.in_view, find=view.find, order=view.order, limit=view.show, metric=view.metric)


def _draw_layer_choice(shown: Shown, names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Boxes "layer" and "compared"; returns the layer in view and up to `MOST_COMPARED` others.

    Layers without figures stand last. Where nobody has chosen, the first one is in view, and the view's field stays
    None.
    """
    unmeasured = {row.tensor for row in shown.in_view if row.status != "ok"}
    names = sorted(names, key=unmeasured.__contains__)
    view = confine(LayersView, "layer", names, chosen=names[0])
    left, right = st.columns(2, gap="medium")
    left.selectbox(
        "Layer in view",
        names,
        key=keep("layer"),
        help="A click on the heat map, a curve or a table row chooses the layer too.",
    )
    right.multiselect(
        "Curves of further layers",
        names,
        key=keep("compared"),
        max_selections=MOST_COMPARED,
        placeholder="Choose up to six",
    )
    return view.layer or names[0], view.compared


def _draw_curves(shown: Shown, tensors: Sequence[str]) -> None:
    """Chart "curves" of error against bits, the layer in view first; a click puts layer and scheme in view.

    The toggle "limits" adds what this layer's values allow, for the metric SQNR only, with a sentence below.
    """
    view, row = shown.view, shown.row_of(tensors[0])
    note = (
        "The best grid for this layer's own values at each bit width, and the SQNR that no code passes, "
        "from their entropy. For the metric SQNR."
    )
    st.toggle("Limits of the layer in view", key=keep("limits"), help=note, disabled=view.metric != "sqnr_db")
    limits = _find_limits(shown, tensors[0]) if view.limits and view.metric == "sqnr_db" else None
    figure = draw_curves(shown, tuple(dict.fromkeys(tensors)), view.metric, view.axis, limits, read_theme())
    draw_chart(figure, "curves", on_select=lambda: _click_cell("curves"))
    if limits and row and row.sqnr_db is not None and row.bits_per_weight is not None:
        st.caption(
            escape_markdown(
                describe_limits(limits, bits=row.bits, bits_per_weight=row.bits_per_weight, sqnr_db=row.sqnr_db)
            )
        )


def _find_limits(shown: Shown, tensor: str) -> LayerLimits | None:
    """The layer's own limits; None, and the reason in small print, for values without spread."""
    try:
        return read_limits(shown.subject(tensor).origin, tensor)
    except (ValueError, TypeError) as error:
        st.caption(escape_markdown(str(error)))
        return None


def _draw_detail(shown: Shown, tensor: str) -> LayerProfile | None:
    """Inside the layer in view: charts "weights" and "errors", or the chart "scrub-chart" of every width; returns the
    profile.

    None, and a sentence on why, for a layer without figures. Of a very large layer the histograms are those of its
    first values, which a caption says.
    """
    row, subject, theme = shown.row_of(tensor), shown.subject(tensor), read_theme()
    if row is None or row.status != "ok":
        st.info(_explain_row(row, tensor), icon=":material/info:")
        return None
    scrubs = _draw_detail_switches(shown.view)
    profile = read_profile(subject)
    if profile.count + profile.non_finite < row.numel:
        part = f"{count(profile.count)} of {count(row.numel)} values"
        st.caption(f"Histograms from the first {part}; the tables count all of them.")
    if scrubs:
        draw_chart(draw_scrub(subject, theme), "scrub-chart")
        return profile
    weights: Part = "log weights" if shown.view.log else "weights"
    left, right = st.columns(2, gap="medium")
    with left:
        draw_chart(draw_layer(weights, subject, theme), "weights")
    with right:
        draw_chart(draw_layer("errors", subject, theme), "errors")
    return profile


def _draw_detail_switches(view: LayersView) -> bool:
    """Whether every bit width is to be shown at once.

    Toggles "scrub", for integers alone, and "log"; without the server the scrub has no logarithmic counts.
    """
    integers = view.format == INTEGERS
    note = (
        "Every bit width at once: the slider below the charts then moves without the server. "
        "For integers, whose widths differ."
    )
    with st.container(horizontal=True, gap="medium"):
        st.toggle("Scrub 2 to 16 bits", key=keep("scrub"), help=note, disabled=not integers)
        st.toggle("Logarithmic counts", key=keep("log"), disabled=integers and view.scrub)
    return integers and view.scrub


def _explain_row(row: Row | None, tensor: str) -> str:
    """Why a layer shows no figures: not swept yet, or its status with the row's own reason; markdown, names escaped."""
    name = escape_markdown(tensor)
    if row is None:
        return f"**{name}** is not in the rows shown; they change when the sweep above is complete."
    kind, reason = escape_markdown(f"{row.shape}, {row.dtype}"), escape_markdown(row.reason or STATUS_WORDS[row.status])
    way_out = "Choose another layer above, or click one in the heat map."
    return f"**{name}** ({kind}) has no figures, its status is {row.status}: {reason}. {way_out}"


def _draw_channels(shown: Shown, profile: LayerProfile | None) -> None:
    """Chart "channels", the error of each output channel; a sentence in its place for a layer without figures."""
    if profile is None:
        st.info("The error per channel is shown for a layer that was measured.", icon=":material/info:")
    else:
        draw_chart(draw_layer("channels", shown.subject(profile.name), read_theme()), "channels")


def _draw_layer_table(shown: Shown, listed: Sequence[Row], tensor: str) -> None:
    """Table "layers" of the rows listed at the scheme in view, the layer in view tinted; a click puts one in view.

    As high as its rows, from two on, up to `TABLE_HEIGHT` pixels.
    """
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
    """What the file holds before the first sweep: its size, what reading costs, and the table "contents"."""
    slot.markdown(
        f"#### {escape_markdown(contents.name)}: {len(contents.tensors)} tensors, {size(contents.size_bytes)}"
    )
    st.caption(escape_markdown(contents.memory_note))
    draw_table(build_contents(contents.tensors), "contents", height=PANEL_HEIGHT, alt="Tensors of the file")


def _choose_layer(tensor: str) -> None:
    """Put a layer in view; for callbacks."""
    change(LayersView, layer=tensor)


def _choose_scheme(text: str) -> None:
    """Put a scheme of the sweep in view, by its canonical text; for callbacks."""
    change(LayersView, **put_in_view(text))


def _click_cell(chart: str) -> None:
    """Put the clicked layer and scheme in view; for the callback of a chart, whose event may hold no point."""
    cell = pick_cell(st.session_state[chart])
    if cell:
        _choose_layer(cell[0])
        _choose_scheme(cell[1])


PAGE = Page("Layers", ":material/layers:", "layers", LayersView, draw_layers)
