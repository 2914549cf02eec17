"""Any result as Parquet and back: typed columns, and in the schema's metadata the document without its rows.

Null and infinity stand for themselves. A file says how many rows it has before any is read: too many are refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from qanalysis.notation import quote
from qanalysis.results.cells import check_cells, describe_difference, find_difference
from qanalysis.results.columns import CellType, Column, columns_of, to_plain, totals_of
from qanalysis.results.document import (
    Kinds,
    check_rows,
    check_table,
    describe,
    describe_ways,
    read_head,
    read_records,
    shorten_text,
    take_parts,
    told,
    without_infinity,
)
from qanalysis.results.table import NO_INTEGER, Frame, Table

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_KEY = b"qanalysis"
#: Rows that are read from one file: 0.4 KB each in memory, 100,000 tensors under 28 schemes.
MOST_ROWS = 2_800_000


def write_parquet(table: Table[Any], file: IO[bytes], *, created: datetime | None = None) -> None:
    """One column per column of the contract: 64-bit integers, float64, text, flags, lists, structs.

    `created` is noted in the metadata unless the settings already hold a time. Diagnoses are not kept, other parts of
    the document are.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    head = {**describe(table, created=created), "totals": without_infinity(table.totals_to_dicts()), **table.more}
    metadata = {METADATA_KEY: json.dumps(head, allow_nan=False).encode()}
    schema = pa.schema([(column.name, _arrow_type(column.type)) for column in table.columns], metadata=metadata)
    cells = [_to_arrow(table.rows, column, schema.field(column.name).type) for column in table.columns]
    pq.write_table(pa.Table.from_arrays(cells, schema=schema), file)


def read_parquet(path: Path, kinds: Kinds) -> Table[Any]:
    """Rows, totals, settings and source of a Parquet file written here. Raises ValueError for any other file, and for
    more than `MOST_ROWS`.
    """
    import pyarrow.parquet as pq

    with _named(path, kinds), pq.ParquetFile(path) as file:
        kept = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
        if kept is None:
            rule = f"a Parquet file, but not one of qanalysis (no {quote(METADATA_KEY.decode())} in its metadata)"
            raise ValueError(f"{path}: {rule}; write one with `{describe_ways(kinds)}`")
        head = _parse_head(kept, path, kinds)
        row_type, rest = read_head(head, kinds, place=str(path))
        count, again = file.metadata.num_rows, f"write the file again with `{row_type.KIND.again}`"
        if count > MOST_ROWS:
            way = "take fewer tensors or schemes"
            raise ValueError(f"{path}: says that it has {count:,} rows, at most {MOST_ROWS:,} are read; {way}")
        if count < row_type.KIND.least:
            raise ValueError(f"{path}: has {count} rows, at least {row_type.KIND.least} is expected; {again}")
        columns = columns_of(row_type)
        given = list(file.schema_arrow.names)
        wrong = describe_difference(given, *find_difference(given, columns))
        if wrong:
            raise ValueError(f"{path}: {wrong}; {again}")
        # Kept as a dictionary: a text that is written once stays one, however many rows point to it.
        texts = [column.name for column in columns if column.kind == "text" and column.name in given]
        with told(f"{path}, ", f"; {again}"), pq.ParquetFile(path, read_dictionary=texts) as shared:
            cells = {
                column.name: _read_column(shared, column) if column.name in given else [column.absent] * count
                for column in columns
            }
            rows = check_rows(Frame(row_type, cells))
        totals = read_records(head, "totals", totals_of(row_type), row_type.KIND, place=str(path))
        return check_table(kinds[row_type](rows, totals, **rest, more=take_parts(head)), str(path))


def _parse_head(kept: bytes, path: Path, kinds: Kinds) -> Any:
    """The document without its rows; ValueError where the metadata is no JSON."""
    try:
        return json.loads(kept)
    except (ValueError, RecursionError) as error:
        rule = f"its metadata {quote(METADATA_KEY.decode())} is no JSON ({shorten_text(error)})"
        raise ValueError(f"{path}: {rule}; write the file again with `{describe_ways(kinds)}`") from error


@contextmanager
def _named(path: Path, kinds: Kinds) -> Iterator[None]:
    """One message for whatever the library finds wrong with a file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            raise
        raise ValueError(
            f"{path}: not a readable Parquet file ({shorten_text(error)}); write it again with `{describe_ways(kinds)}`"
        ) from error


def _read_column(file: Any, column: Column) -> Any:
    """The cells of one column; what is plainly of its type never passes through Python's own numbers."""
    import pyarrow as pa

    cells = file.read(columns=[column.name])[column.name]
    cells.validate(full=True)  # a damaged file can point beyond its own texts
    if cells.type == pa.float64() and column.type == CellType("number", nullable=True):
        found = cells.to_numpy()
        if np.isnan(found).sum() == cells.null_count:
            return found
    if pa.types.is_dictionary(cells.type):
        codes = cells.combine_chunks()
        known = [
            None if text is None else sys.intern(text) if isinstance(text, str) else text
            for text in codes.dictionary.to_pylist()
        ]
        with suppress(ValueError):  # else the row that is wrong is looked for below
            shared = np.array([*check_cells(column, known, "rows"), None], object)
            if column.nullable or not codes.null_count:
                return shared[codes.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)]
    return check_cells(column, cells.to_pylist(), "rows")


def _to_arrow(frame: Frame[Any], column: Column, kind: pa.DataType) -> pa.Array:
    """A column as Arrow holds it: NaN and the integer that stands for none as null, infinities as themselves."""
    import pyarrow as pa

    cells = frame.cells[column.name]
    if column.kind in ("list", "record"):
        return pa.array(list(map(to_plain, cells.tolist())), kind)
    null = np.isnan(cells) if cells.dtype == np.float64 else cells == NO_INTEGER if cells.dtype == np.int64 else None
    return pa.array(cells, kind, mask=null)


def _arrow_type(kind: CellType) -> pa.DataType:
    """int64, float64, text, flag, list or struct, as the column's type says."""
    import pyarrow as pa

    plain = {"text": pa.string, "integer": pa.int64, "number": pa.float64, "flag": pa.bool_}
    if kind.kind == "list" and kind.item is not None:
        return pa.list_(_arrow_type(kind.item))
    if kind.kind == "record":
        return pa.struct([(column.name, _arrow_type(column.type)) for column in columns_of(kind.record)])
    return plain[kind.kind]()
