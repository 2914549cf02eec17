"""Rows as CSV and Parquet and back.

CSV holds the rows alone: UTF-8, every digit of a float, an empty cell for null, inf where there is no error. Parquet adds the
totals, the settings and the source in its schema metadata.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanalysis.results.columns import columns_of
from qanalysis.results.document import describe, read_document, read_record, write_document
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame
from qanalysis.sweeps.row import COLUMNS, Row, Rows

INTEGER_COLUMNS = tuple(one.name for one in columns_of(Row) if one.kind == "integer")
TEXT_COLUMNS = tuple(one.name for one in columns_of(Row) if one.kind == "text")

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_KEY = b"qanalysis"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


def to_csv(rows: Rows) -> str:
    """The rows as CSV, columns in the order of the contract.

    Text that a spreadsheet would run as a formula (first character = + - @, tab or return) gets an apostrophe in front.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_to_cell(name, value) for name, value in row.to_dict().items()] for row in rows)
    return buffer.getvalue()


def parse_csv(content: bytes, *, place: str) -> Rows:
    """Rows from the bytes of a CSV; it has no totals, and its source is the CSV itself. Raises ValueError naming line and column."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = tuple(read_record(_from_cells(cells, f"{place}, line {reader.line_num}"), place=f"{place}, line {reader.line_num}") for cells in reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{place}: not a CSV in UTF-8 ({error}); write it again with `qanalysis sweep SOURCE --out rows.csv`") from error
    if not rows and not content.startswith(COLUMNS[0].encode()):
        raise ValueError(
            f"{place}: no table of qanalysis: the first line must name the columns {COLUMNS[0]}, {COLUMNS[1]}, ...; write it with `qanalysis sweep`"
        )
    return Rows(
        Frame.from_rows(Row, rows),
        Frame.from_rows(Row, ()),
        SourceIdentity(Path(place).name, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}"),
        {},
    )


def write_parquet(rows: Rows, path: Path, *, created: datetime | None = None) -> None:
    """One column per column of the contract: 64-bit integers, float64, text; null and infinity as themselves."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    totals = write_document(replace(rows, rows=Frame.from_rows(Row, ())))["totals"]
    metadata = {METADATA_KEY: json.dumps({**describe(rows, created=created), "totals": totals}, allow_nan=False).encode()}
    records = rows.to_dicts()
    columns = {name: [record[name] for record in records] for name in COLUMNS}
    pq.write_table(pa.table(columns, schema=_schema(metadata)), path)


def read_parquet(path: Path) -> Rows:
    """Rows, totals, settings and source of a Parquet file written here. Raises ValueError for any other file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            head = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
            table = file.read() if head is not None else None
    except pa.ArrowException as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error}); write it again with `qanalysis sweep SOURCE --out rows.parquet`") from error
    if head is None or table is None:
        raise ValueError(f"{path}: a Parquet file, but not one of qanalysis (no {METADATA_KEY.decode()!r} in its metadata); write one with `qanalysis sweep`")
    described = read_document({**json.loads(head), "rows": []}, place=str(path))
    rows = tuple(read_record(record, place=f"{path}, row {i}") for i, record in enumerate(table.to_pylist()))
    return Rows(Frame.from_rows(Row, rows), described.totals, described.source, described.settings, described.complete)


def guard_formula(text: str) -> str:
    """Text with an apostrophe in front where a spreadsheet would run it.

    >>> guard_formula("=1+1"), guard_formula("int4")
    ("'=1+1", 'int4')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _to_cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in TEXT_COLUMNS:
        return guard_formula(value)
    return float.__repr__(value) if isinstance(value, float) else str(value)


def _from_cells(cells: dict[str | Any, str | Any], place: str) -> dict[str, Any]:
    if None in cells or None in cells.values():
        raise ValueError(f"{place}: {len(COLUMNS)} cells expected, found another number; write the file again with `qanalysis sweep`")
    return {name: _from_cell(name, text, place) for name, text in cells.items()}


def _from_cell(name: str, text: str, place: str) -> Any:
    if name in TEXT_COLUMNS:
        return text[1:] if _ESCAPED.match(text) else text
    if name not in COLUMNS or text == "":
        return None
    try:
        return int(text) if name in INTEGER_COLUMNS else float(text)
    except ValueError as error:
        kind = "an integer" if name in INTEGER_COLUMNS else "a number"
        raise ValueError(f"{place}: column {name} holds {text!r}, must be {kind} or empty; write the file again with `qanalysis sweep`") from error


def _schema(metadata: dict[bytes, bytes]) -> pa.Schema:
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = (
        {name: pa.float64() for name in COLUMNS} | dict.fromkeys(INTEGER_COLUMNS, pa.int64()) | dict.fromkeys(TEXT_COLUMNS, pa.string())
    )
    return pa.schema(list(kinds.items()), metadata=metadata)
