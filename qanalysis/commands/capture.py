"""How does a command read a record? The file by its options, how it was read, and the row it became."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qanalysis.converters.records.records import Record
    from qanalysis.converters.rows import ConverterRow, ConverterRows, LimitCheck


def read_capture(file: Path, *, column: str | None, **options: Any) -> Record:
    """The record of a file; a column given as digits counts from 1. Raises ValueError for what is no record."""
    from qanalysis.converters.records.records import read_record

    name = int(column) if column is not None and column.isdecimal() else column
    return read_record(file, column=name, **options)


def describe_reading(record: Record, column: str | None, channel: int | None, dtype: str | None) -> dict[str, Any]:
    """How the file was read, guesses included."""
    return {"column": column, "channel": channel, "dtype": dtype, "justification": record.justification, "signed": record.signed}


def collect(command: str, row: ConverterRow, record: Record, settings: dict[str, Any], limits: tuple[LimitCheck, ...]) -> ConverterRows:
    """The result of one record."""
    from qanalysis.converters.rows import ConverterRows
    from qanalysis.results.identity import SourceIdentity

    return ConverterRows(command, (row,), SourceIdentity(record.name, record.size, record.digest), settings, limits)
