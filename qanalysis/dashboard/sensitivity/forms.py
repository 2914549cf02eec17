"""What do weights, activations and both cost at each width? The forms of the whole model in sight."""

from __future__ import annotations

from typing import Any

import streamlit as st

from qanalysis.charts.forms_charts import forms_front, forms_map
from qanalysis.charts.linked.scene import Panel, build_part, build_still
from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.sweep_tables import write_figure
from qanalysis.dashboard.export import Extras, draw_export
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.sensitivity.view import SensitivityView
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.models.forms.row import FormRow
from qanalysis.notation import count
from qanalysis.reports.kinds import outline
from qanalysis.results.columns import Column
from qanalysis.results.table import Table

_WORDS = ("repair", "target", "status", "reason")
_FIGURES = ("size_bytes", "size_ratio", "output_sqnr_db", "accuracy", "loss_delta", "layer_error", "output_kl")


def draw_forms(table: Table[FormRow]) -> None:
    """Headline, the view of targets by widths, size against accuracy, every form with its figures, downloads."""
    told = outline(table)
    st.markdown(f"#### {escape_markdown(told.headline)}")
    for warning in told.warnings:
        st.warning(escape_markdown(warning), icon=":material/warning:")
    rows = list(table)
    panels = [Panel("forms", forms_map(rows)), Panel("front", forms_front(rows))]
    part = build_part([panels], layout="converter", order=["forms", "front"])
    draw_linked(PARTS.put(part), "forms-charts", at={}, on_ask=_ignore)
    st.markdown("**Forms**, the whole model in each")
    draw_linked(PARTS.put(build_still(_tabulate(table).describe())), "forms-table", at={}, on_ask=_ignore)
    state = "" if table.complete else " The work was cancelled: these are the rows so far."
    st.caption(f"{count(len(table), 'rows')} with every column, intervals and settings.{state}")
    draw_export(table, SensitivityView, "save", Extras())


def _ignore(_asked: dict[str, Any]) -> None:
    """Nothing is chosen in these charts."""


def _tabulate(table: Table[FormRow]) -> TablePanel:
    """One line per form, as measured."""
    columns = {column.name: column for column in table.columns}
    rows = list(table)
    names = [row.form for row in rows]
    shown = [ShownColumn("form", "Form", names, note=columns["form"].meaning)]
    figures = [_list_figures(rows, columns[name]) for name in _FIGURES if name in columns]
    words = [_list_words(rows, columns[name]) for name in _WORDS if any(getattr(row, name) for row in rows)]
    return TablePanel("forms", "Forms of the model", [*shown, *figures, *words], names, pick=False)


def _list_figures(rows: list[FormRow], column: Column) -> ShownColumn:
    values: list[Any] = [getattr(row, column.name) for row in rows]
    heading = column.label if column.unit == "B" else column.heading
    texts = [write_figure(column, value) for value in values]
    return ShownColumn(column.name, heading, texts, values, column.meaning)


def _list_words(rows: list[FormRow], column: Column) -> ShownColumn:
    return ShownColumn(column.name, column.label, [str(getattr(row, column.name)) for row in rows], note=column.meaning)
