"""Rows about converters back from the files that hold everything, JSON and Parquet, so that a report can be made later.

Infinite figures are null in JSON and come back as None. Charts need the record itself: a page made from rows has none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.rows import ConverterRow, ConverterRows, LimitCheck
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.textbook.row import TextbookRow
from qanalysis.results.columns import CellType, columns_of, make_row
from qanalysis.results.delimited import METADATA_KEY
from qanalysis.results.document import SCHEMA_VERSION
from qanalysis.results.identity import SourceIdentity

_KINDS: dict[str, type[ConverterRow]] = {"convert": TextbookRow, "record": RecordRow, "linearity": LinearityRow}


def read_converter_rows(path: Path) -> ConverterRows | None:
    """The rows of a .json or .parquet file written by `convert`, `record` or `linearity`; None for any other file.

    Raises ValueError for a file of theirs with another version, or with columns that are not those of the contract.
    """
    document = _read_document(path)
    settings = document.get("settings") if isinstance(document, dict) else None
    command = settings.get("command") if isinstance(settings, dict) else None
    if not isinstance(document, dict) or not isinstance(settings, dict) or command not in _KINDS:
        return None
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"{path}: schema_version is {document.get('schema_version')!r}, this program reads {SCHEMA_VERSION}; run `qanalysis {command}` again")
    try:
        source = document["source"]
        return ConverterRows(
            command,
            tuple(_restore(_KINDS[command], row) for row in document["rows"]),
            source and SourceIdentity(source["path"], source["size"], source["digest"]),
            {name: value for name, value in settings.items() if name not in ("command", "created")},
            tuple(LimitCheck(**limit) for limit in document["totals"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not as `qanalysis {command}` writes it ({error}); run the command again") from error


def _read_document(path: Path) -> Any:
    """The document of a file, None where it can not be one."""
    if path.suffix.lower() == ".json" and path.is_file():
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            return None
    return _read_parquet(path) if path.suffix.lower() == ".parquet" and path.is_file() else None


def _read_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            head = json.loads((file.schema_arrow.metadata or {}).get(METADATA_KEY, b"{}"))
            is_ours = head.get("settings", {}).get("command") in _KINDS
            return {**head, "rows": file.read().to_pylist()} if is_ours else None
    except pa.ArrowException:
        return None


def _restore(kind: type[ConverterRow], record: dict[str, Any]) -> ConverterRow:
    types = {one.name: one.type for one in columns_of(kind)}
    if set(record) != set(types):
        raise TypeError(f"columns {sorted(set(record) ^ set(types))}")
    row: ConverterRow = make_row(kind, {name: _restore_value(value, types[name]) for name, value in record.items()})
    return row


def _restore_value(value: Any, cell: CellType) -> Any:
    if isinstance(value, list) and cell.item is not None:
        return tuple(_restore_value(item, cell.item) for item in value)
    return cell.record(**value) if cell.record is not None and value is not None else value
