"""Which results are there, and how is each told? One line per kind: the row type, the class of its table, its outline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qanalysis.checkpoints.inventory import TensorRow
from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.textbook.row import TextbookRow
from qanalysis.reports.converter_sections import outline_converter
from qanalysis.reports.list_sections import outline_checks, outline_plain, outline_tensors
from qanalysis.reports.outline import Outline
from qanalysis.reports.sweep_sections import outline_sweep
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row, Rows
from qanalysis.validation.table import CheckRow

#: Row types of the files that can be read, and the class of a table of each; files that name no command are of the first.
KINDS: dict[Any, type[Table[Any]]] = {
    Row: Rows,
    RecordRow: Table,
    LinearityRow: Table,
    TextbookRow: Table,
    TensorRow: Table,
    CheckRow: Table,
}

_OUTLINES: dict[Any, Callable[..., Outline]] = {
    Row: outline_sweep,
    RecordRow: outline_converter,
    LinearityRow: outline_converter,
    TextbookRow: outline_converter,
    TensorRow: outline_tensors,
    CheckRow: outline_checks,
}


def outline(table: Table[Any], **options: Any) -> Outline:
    """A result as it is told; `options` are those of its kind, those given as None or empty left aside."""
    tell: Callable[..., Outline] = _OUTLINES.get(table.row_type, outline_plain)
    return tell(table, **{name: value for name, value in options.items() if value})
