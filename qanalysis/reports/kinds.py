"""Which results are there, and how is each told? One line per kind: row type, class of its table, outline."""

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

# Files that name no command are of the first kind.
_ALL: tuple[tuple[type[Any], type[Table[Any]], Callable[..., Outline]], ...] = (
    (Row, Rows, outline_sweep),
    (RecordRow, Table, outline_converter),
    (LinearityRow, Table, outline_converter),
    (TextbookRow, Table, outline_converter),
    (TensorRow, Table, outline_tensors),
    (CheckRow, Table, outline_checks),
)
#: Row types of the files that can be read, and the class of a table of each.
KINDS: dict[Any, type[Table[Any]]] = {row_type: table for row_type, table, _ in _ALL}
_OUTLINES = {row_type: tell for row_type, _, tell in _ALL}


def outline(table: Table[Any], **options: Any) -> Outline:
    """A result as it is told; `options` are those of its kind, those given as None or empty left aside.

    A row type that is not listed here is told by its columns alone. Raises TypeError for an option of another kind.
    """
    tell: Callable[..., Outline] = _OUTLINES.get(table.row_type, outline_plain)
    return tell(table, **{name: value for name, value in options.items() if value})
