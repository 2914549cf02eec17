"""Page Layers: what does each layer lose under each scheme, and where in the layer does it happen?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.linked.recipes import write_profile
from qanalysis.charts.sweep_tables import tabulate_layers, tabulate_totals
from qanalysis.checkpoints.source import CheckpointError, describe_stored
from qanalysis.dashboard.cache import Contents, get_jobs, identify, read_contents
from qanalysis.dashboard.elements import draw_chart, draw_choice_table, draw_fault, draw_table
from qanalysis.dashboard.export import Extras, draw_export
from qanalysis.dashboard.jobs import SweepJob, SweepRequest
from qanalysis.dashboard.layers.bench_card import draw_bench_card
from qanalysis.dashboard.layers.cache import draw_groups, read_limits, read_profile
from qanalysis.dashboard.layers.controls import draw_controls, draw_layer_choice
from qanalysis.dashboard.layers.conventions import draw_conventions
from qanalysis.dashboard.layers.diagnosis import draw_diagnosis
from qanalysis.dashboard.layers.format_card import draw_format_card
from qanalysis.dashboard.layers.frames import offer_scene, profile_widths
from qanalysis.dashboard.layers.selection import choose_rows, tell_layer, tell_left_out
from qanalysis.dashboard.layers.shown import Shown, choose_shown
from qanalysis.dashboard.layers.validation import draw_validation
from qanalysis.dashboard.layers.view import LayersView, put_in_view
from qanalysis.dashboard.leads import lead_to_sensitivity
from qanalysis.dashboard.linked import draw_linked
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.progress import draw_strip, follow_sweep
from qanalysis.dashboard.session import change, confine, current_view, keep, open_tab
from qanalysis.dashboard.sources import PARTIAL_PREFIX, name_source
from qanalysis.dashboard.tables import build_contents
from qanalysis.dashboard.wording import escape_markdown, name_controls
from qanalysis.diagnosis.own_limits import describe_limits
from qanalysis.diagnosis.profile import LayerProfile
from qanalysis.notation import count, shorten, size
from qanalysis.reports.summary import select_worst
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.selection import select_tensors

CONTENTS_HEIGHT = 560
TABLE_HEIGHT = 380
_TURN_BACK = "Change or empty the box **Output axes** in the sidebar, or take a step back with **Undo**."
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
        layer_slot, ended_slot = draw_controls(view)
    try:
        origin = identify(view.source)
        contents = read_contents(origin)
        request = SweepRequest(
            view.source, origin.identity, view.schemes, view.include, view.exclude, view.roles, view.axes
        )
        tensors = select_tensors(contents.tensors, request.filter, notes=contents.notes).tensors
    except (CheckpointError, ValueError, OSError) as error:
        _draw_refusal(view, str(error))
        return
    names = [info.name for info in tensors]
    confine(LayersView, "layer", names)
    view = confine(LayersView, "compared", names)
    job = follow_sweep(request, tensors, named=view.job)
    if job is not None:
        change(LayersView, job=request.digest)
    working = job is not None and job.snapshot.is_active
    shown = _find_shown(job, request, view)
    above = st.container()
    with ended_slot if job is not None and not working else above:
        draw_strip(request, tensors)
    if job is not None and working and not job.snapshot.is_active:
        st.rerun()  # it ended after its rows were looked for, and before the strip, which then polls no more
    if job is not None and job.snapshot.state == "failed":
        draw_fault(job.snapshot.message, _WAY_OUT)
    elif shown is None:
        _draw_contents(contents)
    else:
        with layer_slot:
            _draw_layer_slot(shown, names)
        _draw_result(shown, tuple(names))
        draw_validation()  # polls by itself, so it stays out of the result, which does too


def _draw_refusal(view: LayersView, message: str) -> None:
    """Why the source is not opened or nothing of it measured, and what to do; of a set that lacks a part a button that
    opens what is there.
    """
    draw_fault(name_controls(message), _TURN_BACK if message.startswith(("axis ", "axes ")) else _WAY_OUT)
    if "--partial" in message and not view.source.startswith(PARTIAL_PREFIX):
        source = f"{PARTIAL_PREFIX}{view.source}"
        text = "Open what is here"
        st.button(text, key="partial", on_click=change, args=(LayersView,), kwargs={"source": source})


def _find_shown(job: SweepJob | None, request: SweepRequest, view: LayersView) -> Shown | None:
    """The result in sight, remembered as the last one; None before the first rows of this source."""
    # While a new sweep of the same source runs, the last result stays in sight.
    shown = choose_shown((job, get_jobs().find(st.session_state.get("last", ""))), request, view)
    if shown is not None:
        st.session_state["last"] = shown.request.digest
    return shown


def _draw_layer_slot(shown: Shown, names: Sequence[str]) -> None:
    """The choice of a layer; layers without figures stand last."""
    measured = {name for name, row in shown.firsts.items() if row.status == "ok"}
    ordered = sorted(names, key=lambda name: name not in measured)
    draw_layer_choice(ordered, shown.choose_layer(names), partial(_choose_worst, shown) if measured else None)


@st.fragment
def _draw_result(drawn: Shown, names: tuple[str, ...]) -> None:
    """Everything that needs rows: the linked charts, the tables, the sections. A move of the bits runs this alone.

    `drawn` is the result as the whole page was drawn; where more than the bits has changed since, the page is drawn
    anew. `names` are the tensors that pass the filter, whether they were swept or not.
    """
    with open_tab(LayersView) as view:
        if replace(view, bits=drawn.view.bits, job="") != replace(drawn.view, job=""):
            st.rerun()
        shown = drawn.look(view)
        tensor = view.layer or shown.choose_layer(names)
        try:
            listed = _list_rows(shown)
        except ValueError as error:
            draw_fault(str(error), "Change the box *Find layers*: a part of a name is enough.")
            return
        _draw_charts(shown, names, [row for row in listed if row.tensor not in shown.left_out], tensor)
        profile = _read_profile(shown, tensor)
        _draw_remarks(shown, listed, tensor, profile)
        _draw_totals(shown)
        _draw_layer_table(shown, listed, tensor)
        _draw_sections(shown, tensor, profile)


def _list_rows(shown: Shown) -> list[Row]:
    """The rows of the layers that search, order and limit leave, under the scheme in view; of a width that was not
    swept, under the nearest one that was.
    """
    view = shown.view
    return choose_rows(shown.nearest, find=view.find, order=view.order, limit=view.show, metric=view.metric)


def _draw_charts(shown: Shown, names: tuple[str, ...], listed: Sequence[Row], tensor: str) -> None:
    """The linked charts "charts", with the slider of the bits; what a person does there comes back at rest."""
    scene = offer_scene(shown, names, tuple(row.tensor for row in listed))
    at = {"layer": tensor, "scheme": shown.scheme}
    schemes = frozenset(text for family in shown.families for text in family.schemes)
    draw_linked(scene, "charts", at=at, on_ask=partial(take_view, at, frozenset(names), schemes))


def take_view(at: dict[str, str], names: frozenset[str], schemes: frozenset[str], asked: dict[str, Any]) -> None:
    """Put in view what the charts ask for; for their callback, whose words may be anything.

    A layer that is not among the names and a text that is none of the schemes change nothing.
    """
    layer, scheme = asked.get("layer"), asked.get("scheme")
    if isinstance(layer, str) and layer in names and layer != at["layer"]:
        _choose_layer(layer)
    if isinstance(scheme, str) and scheme in schemes and scheme != at["scheme"]:
        _choose_scheme(scheme)


def _read_profile(shown: Shown, tensor: str) -> LayerProfile | None:
    """The layer in view from inside, under the scheme in view; None for a layer without figures."""
    has_figures = any(row.tensor == tensor and row.status == "ok" for row in shown.nearest)
    return read_profile(shown.subject(tensor)) if has_figures else None


def _draw_remarks(shown: Shown, listed: Sequence[Row], tensor: str, profile: LayerProfile | None) -> None:
    """What is to be said below the charts: a search that finds nothing, a width that was not swept, the layer's
    limits.
    """
    view, row = shown.view, shown.row_of(tensor)
    if not listed:
        st.info("No layer's name matches the search; clear the box *Find layers*.", icon=":material/search_off:")
    told = tell_layer(shown.subject(tensor).info, shown.describe(tensor)) if profile else ""
    if told:
        st.caption(escape_markdown(name_controls(told)))
    left_out = tell_left_out(shown.left_out[row.tensor] for row in listed if row.tensor in shown.left_out)
    if left_out:
        st.caption(escape_markdown(name_controls(left_out)))
    if not shown.in_view:
        low, high = view.swept
        with st.container(horizontal=True, vertical_alignment="center", key="unswept"):
            words = f"**{escape_markdown(shown.scheme)}** is not in the sweep: charts of the layer in view alone."
            st.info(f"{words} Tables and exports hold the swept widths.", icon=":material/info:")
            wider = (min(low, view.bits), max(high, view.bits))
            text = f"Sweep {wider[0]} to {wider[1]} bit"
            st.button(text, key="widen", on_click=change, args=(LayersView,), kwargs={"swept": wider})
    if view.limits and view.metric == "sqnr_db" and row and profile:
        try:
            limits = read_limits(shown.subject(tensor).origin, tensor)
        except (ValueError, TypeError) as error:
            st.caption(escape_markdown(str(error)))
            return
        if row.sqnr_db is not None and row.bits_per_weight is not None:
            told = describe_limits(limits, bits=row.bits, bits_per_weight=row.bits_per_weight, sqnr_db=row.sqnr_db)
            st.caption(escape_markdown(told))


def _draw_totals(shown: Shown) -> None:
    """Table "totals" of all swept schemes, the one in view marked; a choice puts a scheme in view."""
    st.markdown("**Totals per scheme**, all layers of the sweep pooled")
    panel = tabulate_totals(shown.rows.totals, height=TABLE_HEIGHT)
    draw_choice_table(panel, "totals", chosen=shown.scheme, on_choose=_choose_scheme)


def _draw_sections(shown: Shown, tensor: str, profile: LayerProfile | None) -> None:
    """The expanders below the result: diagnosis, conventions, bench card, number format, downloads.

    The first three need a layer with figures. What is open and drawn goes into the report too.
    """
    row, subject, diagnosis = shown.row_of(tensor), shown.subject(tensor), None
    if row and profile:
        diagnosis = draw_diagnosis(subject, row, shown.view)
        _draw_groups(shown, profile)
        draw_conventions(subject, row)
        draw_bench_card(subject, row)
    draw_format_card(shown.scheme, row, profile)
    first = shown.firsts.get(tensor)
    profiles = partial(profile_widths, shown, tensor) if first is not None and first.status == "ok" else tuple
    scheme = shown.scheme if shown.in_view else None
    lead = lead_to_sensitivity(shown.request.source, tensor, shown.scheme)
    if lead:
        told = f"What quantizing {escape_markdown(shorten(tensor))} does to the output of the model"
        st.link_button(told, lead, icon=":material/stacked_bar_chart:")
    _draw_export(shown, Extras(scheme, profiles, (diagnosis,) if diagnosis else ()))


def _draw_groups(shown: Shown, profile: LayerProfile) -> None:
    """The section "groups": where in the layer the error lies, as a map of channels by groups; closed, it costs
    nothing.
    """
    if profile.group_mse.shape[1] < 2:
        return
    section = st.expander(
        "Map: the error by channel and group",
        key=keep("map"),
        on_change="rerun",
        icon=":material/grid_on:",
    )
    if section.open:
        with section:
            source, numel = name_source(shown.request.source), shown.firsts[profile.name].numel
            lines = write_profile(source, profile, "figures = profile.group_mse", numel=numel)
            draw_chart(draw_groups(shown.subject(profile.name)), "groups", python=lines)


def _draw_export(shown: Shown, extras: Extras) -> None:
    """What the files hold, in one line, and the downloads with keys "save-csv" and so on."""
    tensors, rows = len(shown.firsts), len(shown.rows)
    state = "" if shown.rows.complete else " The sweep was cancelled: these are the rows so far."
    held = f"{count(rows)} rows: {count(tensors)} tensors × {rows // max(tensors, 1)} schemes"
    st.caption(f"{held}, with every column, the totals, the settings and the input's digest.{state}")
    draw_export(shown.rows, LayersView, "save", extras)


def _draw_layer_table(shown: Shown, listed: Sequence[Row], tensor: str) -> None:
    """Table "layers" of the rows listed at the scheme in view, the layer in view marked; a choice puts one in view."""
    scheme = listed[0].scheme if listed else shown.scheme
    st.markdown(f"**Layers at {escape_markdown(scheme)}**: {len(listed):,} of {len(shown.firsts):,}")
    panel = tabulate_layers(listed, shown.view.metric, height=TABLE_HEIGHT)
    draw_choice_table(panel, "layers", chosen=tensor, on_choose=_choose_layer)


def _draw_contents(contents: Contents) -> None:
    """What the file holds before the first sweep: its size, what reading costs, and the table "contents"."""
    st.markdown(
        f"#### {escape_markdown(contents.name)}: {len(contents.tensors):,} tensors, {size(contents.size_bytes)}"
    )
    stored = describe_stored(contents.tensors)
    told = [f"already quantized ({stored}) as stored"] if stored else []
    st.caption(escape_markdown(name_controls(" · ".join([*told, *contents.notes, contents.memory_note]))))
    draw_table(build_contents(contents.tensors), "contents", height=CONTENTS_HEIGHT, alt="Tensors of the file")


def _choose_layer(tensor: str) -> None:
    """Put a layer in view; for callbacks."""
    change(LayersView, layer=tensor)


def _choose_worst(drawn: Shown) -> None:
    """Put the worst layer under the scheme in view in view, whatever that was when the button was drawn."""
    shown = drawn.look(current_view(LayersView))
    worst = select_worst(shown.rows, shown.nearest[0].scheme, count=1)
    if worst:
        _choose_layer(worst[0].tensor)


def _choose_scheme(text: str) -> None:
    """Put a scheme of the sweep in view, by its canonical text; for callbacks."""
    change(LayersView, **put_in_view(text))


PAGE = Page("Layers", ":material/layers:", "layers", LayersView, draw_layers)
