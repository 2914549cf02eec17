"""What is told of a comparison? What both have, what only one has, then the tensors that differ most."""

from __future__ import annotations

from qanalysis.comparisons.row import ComparisonRow
from qanalysis.reports.list_sections import outline_plain
from qanalysis.reports.outline import Outline
from qanalysis.results.table import Table


def outline_comparison(table: Table[ComparisonRow], *, title: str | None = None) -> Outline:
    """Structure first, then error by tensor."""
    return outline_plain(table, title=title)
