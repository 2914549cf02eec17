"""Two results beside each other: their totals, the rows that changed most, and one row with its difference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from qanalysis.charts.comparison_changes import (
    draw_changes,
    tabulate_changes,
    tabulate_row,
    tabulate_totals_of_two,
)
from qanalysis.charts.linked.scene import Panel, build_part
from qanalysis.comparisons.table_rows import TableComparisonRow
from qanalysis.dashboard.compare.gate import Gate, draw_gate, find_gate, gated
from qanalysis.dashboard.compare.models import take_choice
from qanalysis.dashboard.compare.view import CompareView
from qanalysis.dashboard.compared_results import ComparedResults, compare_results, find_result
from qanalysis.dashboard.comparisons import get_compared_uploads
from qanalysis.dashboard.elements import draw_choice_table, draw_fault
from qanalysis.dashboard.export import Extras, draw_export
from qanalysis.dashboard.finding import find_tensors
from qanalysis.dashboard.linked import PARTS, draw_linked
from qanalysis.dashboard.session import change, confine, keep
from qanalysis.dashboard.sources import name_source
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import shorten
from qanalysis.reports.summary import list_notes
from qanalysis.reports.table_comparison_sections import choose_change, rank_changes, tell_changes
from qanalysis.results.columns import Column
from qanalysis.results.conditions import name_row
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row

TABLE_HEIGHT = 420
TOTALS_HEIGHT = 330
_MOST_FIGURES = 4  # beside the one in view, three columns each


def draw_results(view: CompareView, place: Any) -> None:
    """The answer, totals, the change in view as bars, the table of rows, one row as three, and what leaves the page.

    `place` of the sidebar holds the box of the figure in view. Raises ValueError for files that are no results or that
    can not be compared.
    """
    uploads = get_compared_uploads()
    compared = compare_results(find_result(view.a, uploads), find_result(view.b, uploads), view.map)
    table = compared.rows
    gate = find_gate(table, view.gate)
    column = _choose_metric(table, place)
    _draw_answer(compared, view, column, gate)
    places = _order(table, column)
    names = _name_rows(table, places)
    chosen = confine(CompareView, "layer", names, chosen=names[0]).layer or names[0]
    _draw_bars(table, column, places, names, chosen)
    _draw_totals(compared)
    _draw_rows(table, column, places, names, chosen, gate=gate, find=view.find)
    _draw_difference(table, places[names.index(chosen)], chosen)
    state = "" if table.complete else " One of the two was cancelled, and lacks rows for that reason."
    st.caption(f"{len(table):,} rows with every column in A, in B and as b − a.{state}")
    draw_export(gated(table, gate), CompareView, "save", Extras())


def _choose_metric(table: Table[TableComparisonRow], place: Any) -> Column:
    """The box "metric" of the figures that changed or could have; the change in view."""
    changes = {
        one.name.removeprefix("delta_"): one
        for one in table.columns
        if one.name.startswith("delta_") and not np.isnan(table.column(one.name).astype(float)).all()
    }
    usual = choose_change(table).name.removeprefix("delta_")
    if not changes:
        return choose_change(table)
    usual = usual if usual in changes else next(iter(changes))
    view = confine(CompareView, "metric", list(changes), chosen=usual)
    own = {one.name: one for one in table.row_type.list_numbers()}
    with place:
        st.selectbox("Figure in view", list(changes), key=keep("metric"), format_func=lambda name: own[name].label)
    return changes[view.metric or usual]


def _draw_answer(compared: ComparedResults, view: CompareView, column: Column, gate: Gate) -> None:
    own = {one.name: one for one in compared.rows.row_type.list_numbers()}[column.name.removeprefix("delta_")]
    answer = tell_changes(compared.rows, column).replace(column.name, own.label)
    st.markdown(f"#### {escape_markdown(answer)}")
    told = [f"A {shorten(name_source(view.a), 60)}", f"B {shorten(name_source(view.b), 60)}", "Δ = B − A"]
    st.caption(escape_markdown(" · ".join([*told, *list_notes(compared.rows.coverage)])))
    draw_gate(gate)


def _order(table: Table[TableComparisonRow], column: Column) -> list[int]:
    """The places of all rows: the greatest loss first, those without that change behind."""
    ranked = rank_changes(table, column).tolist()
    return [*ranked, *sorted(set(range(len(table))) - set(ranked))]


def _name_rows(table: Table[TableComparisonRow], places: Sequence[int]) -> list[str]:
    """What tells each row from the others; rows with the same keys are numbered."""
    seen = Counter[str]()
    names = []
    for at in places:
        name = name_row(table, at)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _draw_bars(
    table: Table[TableComparisonRow], column: Column, places: list[int], names: list[str], chosen: str
) -> None:
    """The linked charts "charts" of the change in view; a click on a bar chooses its row."""
    own = {one.name: one for one in table.row_type.list_numbers()}[column.name.removeprefix("delta_")]
    figure = draw_changes(names, table.column(column.name)[places].astype(float).tolist(), own, chosen=chosen)
    if figure is None:
        return
    at = {"layer": chosen}
    part = build_part([[Panel("c-changes", figure)]])
    draw_linked(PARTS.put(part), "charts", at=at, on_ask=partial(take_choice, frozenset(names), at))


def _draw_totals(compared: ComparedResults) -> None:
    """Table "totals" of two sweeps; nothing for results of other kinds, whose rows are all there is."""
    frames = (compared.a.totals, compared.b.totals)
    if any(frame.row_type is not Row for frame in frames):
        return
    panel = tabulate_totals_of_two(*frames, height=TOTALS_HEIGHT)
    if panel is not None:
        st.markdown("**Totals per scheme**, all layers pooled")
        draw_choice_table(panel, "totals", chosen="", on_choose=lambda _row: None)


def _draw_rows(
    table: Table[TableComparisonRow],
    column: Column,
    places: list[int],
    names: list[str],
    chosen: str,
    *,
    gate: Gate,
    find: str,
) -> None:
    """Table "rows", those whose names the search leaves."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    right.text_input("Find rows", key=keep("find"), placeholder="text or regex")
    try:
        found = set(find_tensors(names, find))
    except ValueError as error:
        draw_fault(str(error), "Change the box *Find rows*: a part of a name is enough.")
        return
    kept = [(at, name) for at, name in zip(places, names, strict=True) if name in found]
    left.markdown(f"**Rows**, the greatest loss first: {len(kept):,} of {len(table):,}")
    panel = tabulate_changes(
        table,
        [at for at, _name in kept],
        [name for _at, name in kept],
        _list_figures(table, column),
        missed=[gate.missed[at] for at, _name in kept] if gate.is_open else (),
        height=TABLE_HEIGHT,
    )
    draw_choice_table(panel, "rows", chosen=chosen, on_choose=_choose)


def _list_figures(table: Table[TableComparisonRow], column: Column) -> list[Column]:
    """The change in view, then those that the kind shows first, as far as they have figures."""
    by_name = {one.name: one for one in table.columns}
    first = [by_name[name] for name in table.row_type.shown_first if name.startswith("delta_")]
    known = [one for one in first if any(map(math.isfinite, table.column(one.name).astype(float).tolist()))]
    return list(dict.fromkeys([column, *known]))[: 1 + _MOST_FIGURES]


def _choose(name: str) -> None:
    """Put a row in view; for the table's callback."""
    change(CompareView, layer=name)


def _draw_difference(table: Table[TableComparisonRow], place: int, name: str) -> None:
    """Table "difference": the row in view as three."""
    st.markdown(f"**{escape_markdown(shorten(name, 100))}**: every figure in A, in B, and B − A")
    draw_choice_table(tabulate_row(table, place), "difference", chosen="B − A", on_choose=lambda _row: None)
