"""Rows about converters as JSON, CSV, Parquet and one HTML file. The documents have the form of every other one.

Lists by code and findings are lists in JSON and Parquet, JSON text in the cells of a CSV. The limits that were given stand in `totals`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanalysis.converters.rows import ConverterRows
from qanalysis.reports.files import check_targets, write_whole
from qanalysis.results.columns import CellType, columns_of
from qanalysis.results.delimited import METADATA_KEY, guard_formula
from qanalysis.results.document import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

    from qanalysis.reports.page import Chart


def describe_rows(rows: ConverterRows, *, created: datetime | None = None) -> dict[str, Any]:
    """The document: schema_version, tool_version, source (null for `convert`), settings, rows, totals; infinite figures are null."""
    source = rows.source and {"path": rows.source.path, "size": rows.source.size, "digest": rows.source.digest}
    settings = {"command": rows.command, **rows.settings}
    if created is not None:
        settings["created"] = created.isoformat(timespec="seconds")
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool_version": version("qanalysis"),
        "source": source,
        "settings": settings,
        "rows": rows.to_dicts(),
        "totals": [limit.to_dict() for limit in rows.limits],
    }
    plain: dict[str, Any] = _without_infinity(document)
    return plain


def write_converter_report(rows: ConverterRows, path: str | os.PathLike[str], *, charts: Sequence[Chart] = (), created: datetime | None = None) -> Path:
    """Write rows as .csv, .json, .parquet or .html, by the suffix; returns the path. A file appears whole or not at all.

    `charts` are for the HTML. Raises ValueError for an unknown suffix and a target that can not be written.
    """
    target = check_targets([path])[0]
    moment = created or datetime.now(UTC)
    with write_whole(target) as partial:
        match target.suffix.lower():
            case ".csv":
                partial.write_text(to_csv(rows), encoding="utf-8", newline="")
            case ".json":
                partial.write_text(to_converter_json(rows, created=moment) + "\n", encoding="utf-8")
            case ".parquet":
                _write_parquet(rows, partial, created=moment)
            case _:
                from qanalysis.reports.converter_page import render_converter_page

                partial.write_text(render_converter_page(rows, charts=charts, created=moment), encoding="utf-8")
    return target


def to_converter_json(rows: ConverterRows, *, created: datetime | None = None) -> str:
    """The document as strict JSON text in ASCII, one row per line; floats keep every digit."""
    parts = []
    for key, value in describe_rows(rows, created=created).items():
        lines = ",\n".join(json.dumps(record, allow_nan=False) for record in value) if key in ("rows", "totals") else ""
        parts.append(f"{json.dumps(key)}: " + (f"[\n{lines}\n]" if lines else json.dumps(value, allow_nan=False)))
    return "{\n" + ",\n".join(parts) + "\n}"


def to_csv(rows: ConverterRows) -> str:
    """The rows as CSV, columns in the order of the contract: an empty cell for null, inf as itself, lists as JSON."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows([_to_cell(value) for value in row.values()] for row in rows.to_dicts())
    return buffer.getvalue()


def _write_parquet(rows: ConverterRows, path: Path, *, created: datetime) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    head = {name: part for name, part in describe_rows(rows, created=created).items() if name != "rows"}
    schema = pa.schema(_list_kinds(rows), metadata={METADATA_KEY: json.dumps(head, allow_nan=False).encode()})
    pq.write_table(pa.Table.from_pylist(rows.to_dicts(), schema=schema), path)


def _list_kinds(rows: ConverterRows) -> list[tuple[str, pa.DataType]]:
    """Column types from the row type's own columns."""
    return [(one.name, _to_arrow(one.type)) for one in columns_of(type(rows.rows[0]))]


def _to_arrow(cell: CellType) -> pa.DataType:
    import pyarrow as pa

    if cell.item is not None:
        return pa.list_(_to_arrow(cell.item))
    if cell.record is not None:
        return pa.struct([(part.name, _to_arrow(part.type)) for part in columns_of(cell.record)])
    return {"integer": pa.int64(), "number": pa.float64(), "flag": pa.bool_()}.get(cell.kind, pa.string())


def _to_cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return guard_formula(value)
        case list() | dict() | bool():
            return json.dumps(_without_infinity(value), allow_nan=False)
        case float():
            return float.__repr__(value)
    return str(value)


def _without_infinity(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_infinity(item) for name, item in value.items()}
        case list() | tuple():
            return [_without_infinity(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
    return value
