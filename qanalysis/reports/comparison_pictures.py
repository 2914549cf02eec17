"""Which charts does the page of a comparison have? Tensors by their error beside theory, or rows by their change."""

from __future__ import annotations

from qanalysis.comparisons.row import ComparisonRow
from qanalysis.comparisons.table_rows import TableComparisonRow
from qanalysis.reports.pictures import Chart, make_chart
from qanalysis.reports.table_comparison_sections import choose_change, rank_changes
from qanalysis.results.conditions import name_row
from qanalysis.results.table import Table

_RANKS = "The worst tensor first."
_MARKS = "The worst tensor first; a mark where Gaussian values in B's stored format would lie."
_CHANGES = "The greatest loss first, b − a."


def draw_comparison(table: Table[ComparisonRow]) -> list[Chart]:
    """The tensors that differ by their SQNR; no chart where none has a finite one."""
    from qanalysis.charts.comparison_charts import draw_ranks
    from qanalysis.charts.comparison_tables import name_pairs
    from qanalysis.charts.linked.scene import Panel

    rows = list(table)
    figure = draw_ranks(rows, name_pairs(rows))
    told = _MARKS if any(row.theory_sqnr_db for row in rows) else _RANKS
    return [] if figure is None else [make_chart("Tensors by their error", told, Panel("ranks", figure))]


def draw_tables(table: Table[TableComparisonRow]) -> list[Chart]:
    """The rows of two results by the change that is told; no chart where nothing changed."""
    from qanalysis.charts.comparison_changes import draw_changes
    from qanalysis.charts.linked.scene import Panel

    change = choose_change(table)
    places = rank_changes(table, change)
    own = {one.name: one for one in table.row_type.list_numbers()}[change.name.removeprefix("delta_")]
    names = [name_row(table, at) for at in places.tolist()]
    figure = draw_changes(names, table.column(change.name)[places].astype(float).tolist(), own)
    return [] if figure is None else [make_chart("Rows by their change", _CHANGES, Panel("changes", figure))]
