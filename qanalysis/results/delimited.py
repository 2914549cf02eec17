"""Any result as CSV and back: the rows alone, in UTF-8, every digit of a float.

An empty cell is null, inf is itself, lists and objects are JSON inside their cell. Columns tell which kind of result it
is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

from qanalysis.results.cells import check_cells, describe_difference, find_difference
from qanalysis.results.columns import Column, columns_of, names_of, totals_of
from qanalysis.results.document import Kinds, check_rows, describe_ways, shorten_text, told, without_infinity
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame, Table

# What a spreadsheet runs, or an older one may: = + - @ plain or full-width, also behind blanks; tab, return and escape.
_RUN = r"[\s\ufeff\u200b]*[=+\-@＝＋－＠]|[\t\r\n\x1b]"
_FORMULA = re.compile(rf"'*(?:{_RUN})")
_ESCAPED = re.compile(rf"'+(?:{_RUN})")


def to_csv(table: Table[Any]) -> str:
    """The rows as CSV, columns in the order of the contract.

    Text that a spreadsheet would run as a formula gets an apostrophe in front, and reads back without it.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for part in table.rows.parts():
        writer.writerows(zip(*[list(map(_to_cell, cells)) for cells in part.list_plain()], strict=True))
    return buffer.getvalue()


def parse_csv(content: bytes, kinds: Kinds, *, place: str) -> Table[Any]:
    """The table of a CSV's bytes; it has no totals, and its source is the CSV itself. Raises ValueError naming line and
    column.
    """
    again = f"write the file again with `{describe_ways(kinds)}`"
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        head = next(reader, [])
        lines = [(f"{place}, line {reader.line_num}", line) for line in reader if line]
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not a CSV in UTF-8 ({shorten_text(error)}); {again}") from error
    except csv.Error as error:
        raise ValueError(
            f"{place}: quotes or separators are not those of a CSV ({shorten_text(error)}); {again}"
        ) from error
    row_type = _find_kind(head, kinds, place)
    for where, line in lines:
        if len(line) != len(head):
            raise ValueError(f"{where}: {len(head)} cells expected, found {len(line)}; {again}")
    cells = (
        dict(zip(head, zip(*[line for _, line in lines], strict=True), strict=True))
        if lines
        else dict.fromkeys(head, ())
    )
    places = [where for where, _ in lines]
    with told("", f"; {again}"):
        read = {
            column.name: check_cells(
                column, _from_cells(column, cells.get(column.name, [""] * len(lines)), places), places
            )
            for column in columns_of(row_type)
        }
        rows = check_rows(Frame(row_type, read), f"{place}, rows")
    identity = SourceIdentity(Path(place).name, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
    return kinds[row_type](rows, Frame.from_rows(totals_of(row_type), ()), identity)


def guard_formula(text: str) -> str:
    """Text with an apostrophe in front where a spreadsheet would run it.

    >>> guard_formula("=1+1"), guard_formula(" =1+1"), guard_formula("int4")
    ("'=1+1", "' =1+1", 'int4')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _find_kind(head: list[str], kinds: Kinds, place: str) -> Any:
    """The row type with exactly these columns; else ValueError that names what is wrong with the nearest one."""
    for row_type in kinds:
        if find_difference(head, columns_of(row_type)) == ([], []) and len(set(head)) == len(head):
            return row_type
    nearest = max(kinds, key=lambda row_type: len(set(head) & set(names_of(row_type))))
    names = names_of(nearest)
    if not set(names) & set(head):
        raise ValueError(
            f"{place}: no table of qanalysis: the first line must name the columns {names[0]}, {names[1]}, ...; "
            f"write it with `{nearest.KIND.again}`"
        )
    wrong = describe_difference(head, *find_difference(head, columns_of(nearest)))
    raise ValueError(
        f"{place}, line 1: not a row of qanalysis; {wrong}; write the file again with `{nearest.KIND.again}`"
    )


def _to_cell(value: Any) -> str:
    """The text of a plain value: empty for null, every digit of a float, JSON for flags, lists and objects."""
    match value:
        case None:
            return ""
        case str():
            return guard_formula(value)
        case list() | dict() | bool():
            return json.dumps(without_infinity(value), allow_nan=False)
        case float():
            return float.__repr__(value)
    return str(value)


def _from_cells(column: Column, texts: Any, places: list[str]) -> list[Any]:
    return [_from_cell(column, text, place) for text, place in zip(texts, places, strict=True)]


def _from_cell(column: Column, text: str, place: str) -> Any:
    """The plain value of a cell's text; ValueError names the place, the column and at most 60 characters of the text.

    An empty cell is null, of a text column that has no null the empty text. Whether the value fits is checked later.
    """
    if column.kind == "text":
        return None if text == "" and column.nullable else text[1:] if _ESCAPED.match(text) else text
    if text == "":
        return None
    try:
        if column.type.keeps_integers and text.removeprefix("-").isdecimal():
            return int(text)
        return {"integer": int, "number": float}.get(column.kind, json.loads)(text)
    except (ValueError, RecursionError):
        rule = {"integer": "an integer or empty", "number": "a number or empty"}.get(column.kind, "JSON or empty")
        shown = repr(text if len(text) <= 60 else f"{text[:60]}…")
        raise ValueError(f"{place}: column {column.name} holds {shown}, must be {rule}") from None
