"""Which layer hurts? The sensitivity in sight: headline, charts, ranks, the way to page Layers, downloads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.linked.recipes import write_sensitivity
from qanalysis.charts.linked.scene import Panel, build_part
from qanalysis.charts.sensitivity_panels import ORDER, draw_all, name_other, tabulate_ranks
from qanalysis.charts.sensitivity_sheet import MEASURES, Look, Sheet
from qanalysis.dashboard.elements import draw_choice_table
from qanalysis.dashboard.export import Extras, draw_export
from qanalysis.dashboard.leads import lead_to_layers
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.runnable_models import is_result
from qanalysis.dashboard.sensitivity.controls import draw_look
from qanalysis.dashboard.sensitivity.view import SensitivityView
from qanalysis.dashboard.session import change, current_view
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import count, shorten
from qanalysis.reports.sensitivity_sections import list_warnings, tell_answer, tell_conditions
from qanalysis.reports.summary import list_notes
from qanalysis.results.table import Table

TABLE_HEIGHT = 380


def draw_layers_that_hurt(table: Table[SensitivityRow], place: Any) -> None:
    """The result; what is looked at is chosen in `place` of the sidebar."""
    sheet = Sheet(table)
    with place.container(border=True, key="look"):
        look = draw_look(sheet)
    st.markdown(f"#### {escape_markdown(tell_answer(sheet, look))}")
    st.caption(escape_markdown(" · ".join(tell_conditions(sheet, look))))
    notes = list_notes(table.coverage)
    if notes:
        with st.expander(f"What to know of these figures ({len(notes)})", icon=":material/info:"):
            st.markdown("\n".join(f"- {escape_markdown(note)}" for note in notes))
    for warning in list_warnings(sheet):
        st.warning(escape_markdown(warning), icon=":material/warning:")
    _draw_charts(sheet, look)
    _draw_ranks(sheet, look)
    _draw_leads(table, look)
    _draw_export(table)


def _draw_charts(sheet: Sheet, look: Look) -> None:
    """The linked charts "charts"; a click puts a layer and a scheme in view."""
    other = current_view(SensitivityView).against or name_other(sheet, look)
    drawn = draw_all(sheet, look, other)
    wide = [name for name in ("s-map", "s-curve") if name in drawn and len(drawn) % 2]
    source = sheet.table.source.path if sheet.table.source else "model"
    python = write_sensitivity(source, sheet.table.settings)
    part = build_part(
        [[Panel(name, figure, python) for name, figure in drawn.items()]],
        layout="converter",
        order=ORDER,
        wide=wide[:1],
    )
    at = {"layer": look.layer or "", "scheme": look.scheme}
    names, schemes = frozenset(sheet.tensors), frozenset(one.scheme for one in sheet.looks)
    draw_linked(PARTS.put(part), "charts", at=at, on_ask=partial(take_choice, at, names, schemes))


def take_choice(
    at: Mapping[str, str], names: frozenset[str], schemes: frozenset[str], asked: Mapping[str, Any]
) -> None:
    """Put in view what the charts ask for; for their callback, whose words may be anything."""
    wanted: dict[str, Any] = {}
    layer, scheme = asked.get("layer"), asked.get("scheme")
    if isinstance(layer, str) and layer in names and layer != at["layer"]:
        wanted["layer"] = layer
    if isinstance(scheme, str) and scheme in schemes and scheme != at["scheme"]:
        wanted["scheme"] = scheme
    if wanted:
        change(SensitivityView, **wanted)


def _draw_ranks(sheet: Sheet, look: Look) -> None:
    """Table "ranks" of the measurement in view; a choice puts a layer in view."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Layers**, {escape_markdown(look.convention)}", width="stretch")
        if not sheet.is_ranked(look):
            _offer_ranks(sheet, look)
    panel = tabulate_ranks(sheet, look, height=TABLE_HEIGHT)
    draw_choice_table(panel, "ranks", chosen=look.layer or "", on_choose=_choose_layer)


def _offer_ranks(sheet: Sheet, look: Look) -> None:
    """What ranks and ties go by where it is not the measure in view, and the button that has them go by that."""
    own, wanted = MEASURES[sheet.ranked_by].label, MEASURES[look.metric].label
    st.caption(f"Ranks and ties go by {own}.")
    if not is_result(current_view(SensitivityView).model):
        values = {"ranking": look.metric}
        st.button(f"Rank by {wanted}", key="rank", on_click=change, args=(SensitivityView,), kwargs=values)


def _choose_layer(layer: str) -> None:
    change(SensitivityView, layer=layer)


def _draw_leads(table: Table[SensitivityRow], look: Look) -> None:
    """The way to the same layer and scheme on page Layers, where the model has a file to open there."""
    source = table.source.path if table.source else ""
    link = lead_to_layers(source, look.layer or "", look.scheme)
    if link and look.layer:
        told = (
            f"Weight error of {escape_markdown(shorten(look.layer))} at {escape_markdown(look.scheme)} on page Layers"
        )
        st.link_button(told, link, icon=":material/layers:")


def _draw_export(table: Table[SensitivityRow]) -> None:
    """What the files hold, in one line, and the downloads "save-csv" and so on."""
    state = "" if table.complete else " The measurement was cancelled: these are the rows so far."
    st.caption(f"{count(len(table), 'rows')} with every column, intervals and settings.{state}")
    draw_export(table, SensitivityView, "save", Extras())
