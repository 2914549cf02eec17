"""How do all rows fit into one small HTML file? Column by column, compressed, the least needed left out first."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from qanalysis.reports.pictures import pack_json
from qanalysis.results.columns import Column
from qanalysis.results.document import write_document
from qanalysis.results.table import Frame, Table

#: Rows of a page, at the least that a row takes of its six megabytes.
MOST_ROWS = 400_000
FEW_ROWS = 500
MOST_TAKEN_ALONG = 3_000_000  # characters: charts take as much, and both together open at once


def order_leaving_out(columns: tuple[Column, ...]) -> list[str]:
    """The columns that a small page goes without, in that order."""
    ranked = [(column.leave_out, column.name) for column in columns if column.leave_out is not None]
    return [name for _, name in sorted(ranked)]


def pack_columns(frame: Frame[Any], *, limit: int) -> tuple[dict[str, str], list[str]]:
    """Column name to packed list of its values, at most `limit` characters together, and the names of the columns left
    out.

    Infinite figures are packed as the texts "inf" and "-inf". Raises ValueError where even the columns that always stay
    are too large.
    """
    packed = {
        column.name: pack_json([_to_plain(value) for value in cells])
        for column, cells in zip(frame.columns, frame.list_cells(), strict=True)
        if is_plain(column)
    }
    left_out = [column.name for column in frame.columns if not is_plain(column)]
    for name in order_leaving_out(frame.columns):
        if name in left_out:
            continue
        if sum(map(len, packed.values())) <= limit:
            break
        del packed[name]
        left_out.append(name)
    size = sum(map(len, packed.values()))
    if size > limit:
        room = (
            f"one HTML file has room for {limit:,} beside its charts"
            if limit > 0
            else "charts and totals alone fill an HTML file"
        )
        raise ValueError(
            f"{len(frame):,} rows need {size:,} bytes, {room}; take fewer tensors (--include) or write .parquet"
        )
    return packed, left_out


def fits_as_columns(table: Table[Any]) -> bool:
    """Whether the rows are lines of plain cells, or so many that lists and objects in them are left out.

    Of a result with such cells and few rows (a record, a linearity test, textbook answers) one document is taken along
    instead.
    """
    return len(table) > FEW_ROWS or all(map(is_plain, table.columns))


def is_plain(column: Column) -> bool:
    """Whether its cells are text, numbers or flags."""
    return column.kind not in ("list", "record")


def choose_first(table: Table[Any]) -> list[str]:
    """The columns that the table of all rows shows before one asks for all: of those chosen for it the ones that say
    something.
    """
    chosen = [name for name in table.row_type.shown_first if _says_something(table, name)]
    return chosen or [column.name for column in table.columns]


def _says_something(table: Table[Any], name: str) -> bool:
    """Whether a column of words holds any; every other column does."""
    column = next(one for one in table.columns if one.name == name)
    return column.kind != "text" or bool((table.column(name) != "").any())


def pack_document(table: Table[Any], **options: Any) -> tuple[str, list[str]]:
    """The document in base64, and the columns left out of it.

    Beyond `MOST_TAKEN_ALONG` characters lists of numbers of any length, such as DNL by code, stay behind; pairs such as
    intervals never do. `options` are those of `write_document`.
    """
    document, left_out = write_document(table, **options), []
    packed = _to_base64(document)
    if len(packed) > MOST_TAKEN_ALONG:
        left_out = [
            column.name
            for column in table.columns
            if column.type.item and column.type.item.kind == "number" and column.type.length is None
        ]
        packed = _to_base64(
            {
                **document,
                "rows": [
                    {name: value for name, value in row.items() if name not in left_out} for row in document["rows"]
                ],
            }
        )
    return packed, left_out


def _to_base64(document: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(document, allow_nan=False, separators=(",", ":")).encode()).decode()


def _to_plain(value: Any) -> Any:
    """An infinite figure as text: JSON has none."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value
