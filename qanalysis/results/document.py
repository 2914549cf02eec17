"""Rows as one JSON document and back; the form is fixed by `qanalysis/schema/rows.schema.json`.

JSON has no infinity: an infinite figure is written as null, and comes back where the row shows an error of exactly zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from qanalysis.results.columns import columns_of
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame
from qanalysis.sweeps.row import COLUMNS, Row, Rows, Status

INTEGER_COLUMNS = tuple(one.name for one in columns_of(Row) if one.kind == "integer")
TEXT_COLUMNS = tuple(one.name for one in columns_of(Row) if one.kind == "text")

if TYPE_CHECKING:
    from qanalysis.diagnosis import Diagnosis

SCHEMA_VERSION = 1
INFINITE_WITHOUT_ERROR: dict[str, Any] = dict.fromkeys(("sqnr_db", "sqnr_ac_db", "enob"), math.inf) | dict.fromkeys(
    ("shannon_gap_db", "wasted_bits"), -math.inf
)
_REQUIRED = (*TEXT_COLUMNS, "numel", "bits")
_LARGEST_INTEGER = 2**63 - 1
_TABLES = ("rows", "totals")


def to_json(rows: Rows, *, created: datetime | None = None, diagnoses: Sequence[Diagnosis] = ()) -> str:
    """The document as strict JSON text, one row per line, null for null and for infinite figures; floats keep every digit.

    Diagnoses of layers, where there are any, follow the rows; reading the rows back leaves them aside. `created` is noted in the
    settings, unless the rows already carry the time they were made at.
    """
    document = write_document(rows, created=created)
    if diagnoses:
        document["diagnoses"] = [diagnosis.to_dict() for diagnosis in diagnoses]
    parts = [f"{json.dumps(key)}: {_write_lines(value) if key in _TABLES else json.dumps(value, allow_nan=False)}" for key, value in document.items()]
    return "{\n" + ",\n".join(parts) + "\n}"


def write_document(rows: Rows, *, created: datetime | None = None) -> dict[str, Any]:
    """The document as plain dictionaries: schema_version, tool_version, source, settings, rows, totals."""
    return {
        **describe(rows, created=created),
        "rows": [_without_infinity(record) for record in rows.to_dicts()],
        "totals": [_without_infinity(record) for record in rows.totals_to_dicts()],
    }


def describe(rows: Rows, *, created: datetime | None = None) -> dict[str, Any]:
    """The head of a document: what made it, from which input, with which settings."""
    settings = {**rows.settings, "complete": rows.complete}
    if created is not None:
        settings.setdefault("created", created.isoformat(timespec="seconds"))
    source = {"path": rows.source.path, "size": rows.source.size, "digest": rows.source.digest}
    return {"schema_version": SCHEMA_VERSION, "tool_version": version("qanalysis"), "source": source, "settings": settings}


def parse_document(text: str, *, place: str) -> Rows:
    """Rows from a document's text; `place` names the file in messages. Raises ValueError where it is not such a document."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not valid JSON ({error}); write it again with `qanalysis sweep SOURCE --out rows.json`") from error
    return read_document(document, place=place)


def read_document(document: Any, *, place: str) -> Rows:
    """Rows from a document; missing keys, unknown versions, wrong columns and wrong types raise ValueError."""
    source, settings = _read_head(document, place)
    tables = []
    for name in _TABLES:
        records = document.get(name)
        if type(records) is not list:
            raise ValueError(f"{place}: {name!r} must be a list of rows, found {type(records).__name__}; write the file again with `qanalysis sweep`")
        tables.append(tuple(_restore_infinity(read_record(record, place=f"{place}, {name}[{i}]")) for i, record in enumerate(records)))
    rest = {key: value for key, value in settings.items() if key != "complete"}
    return Rows(Frame.from_rows(Row, tables[0]), Frame.from_rows(Row, tables[1]), source, rest, complete=settings.get("complete") is not False)


def read_record(record: Any, *, place: str) -> Row:
    """One row from a dictionary of exactly the columns; every value is checked against its column's type."""
    if not isinstance(record, Mapping) or set(record) != set(COLUMNS):
        given = set(record) if isinstance(record, Mapping) else set()
        missing, unknown = sorted(set(COLUMNS) - given), sorted(map(str, given - set(COLUMNS)))
        raise ValueError(
            f"{place}: not a row of qanalysis; missing columns: {missing or 'none'}, unknown: {unknown or 'none'}; write it with `qanalysis sweep`"
        )
    for name, value in record.items():
        _check_value(name, value, place)
    values: dict[str, Any] = {name: float(value) if name in _FLOAT and value is not None else value for name, value in record.items()}
    return Row(**values)


_FLOAT = frozenset(COLUMNS) - {*TEXT_COLUMNS, *INTEGER_COLUMNS}


def _write_lines(records: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(record, allow_nan=False) for record in records) + "\n]"


def _check_value(name: str, value: Any, place: str) -> None:
    if name == "status":
        fits, rule = value in get_args(Status), f"one of {', '.join(get_args(Status))}"
    elif name in TEXT_COLUMNS:
        fits, rule = isinstance(value, str), "text"
    elif value is None:
        fits, rule = name not in _REQUIRED, "a number, not null"
    elif name in INTEGER_COLUMNS:
        fits, rule = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_INTEGER, "a 64-bit integer"
    else:
        fits, rule = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value), "a number or null"
    if not fits:
        raise ValueError(f"{place}: column {name} holds {value!r}, must be {rule}; write the file again with `qanalysis sweep`")


def _read_head(document: Any, place: str) -> tuple[SourceIdentity, dict[str, Any]]:
    if not isinstance(document, dict) or "schema_version" not in document:
        raise ValueError(f"{place}: not a rows file of qanalysis (no schema_version); write one with `qanalysis sweep SOURCE --out rows.json`")
    found = document["schema_version"]
    if found != SCHEMA_VERSION:
        raise ValueError(f"{place}: schema_version is {found!r}, this program reads {SCHEMA_VERSION}; sweep again, or use the program that wrote the file")
    source, settings = document.get("source"), document.get("settings")
    if type(source) is not dict or type(settings) is not dict:
        raise ValueError(f"{place}: 'source' and 'settings' must be objects; write the file again with `qanalysis sweep`")
    identity: Any = [source.get(key) for key in ("path", "size", "digest")]
    if [type(fact) for fact in identity[:2]] != [str, int] or type(identity[2]) not in (str, type(None)):
        rule = "must be path (text), size (bytes) and digest (text or null); write the file again with `qanalysis sweep`"
        raise ValueError(f"{place}: source holds {source!r}, {rule}")
    return SourceIdentity(*identity), settings


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _without_infinity(record: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in record.items()}


def _restore_infinity(row: Row) -> Row:
    """Undo the null of infinite ratios: mse is 0 and the row was measured. One element has no variance, hence no AC figures."""
    if row.status != "ok" or row.mse != 0 or row.sqnr_db is not None:
        return row
    names = ("sqnr_db", "enob") if row.numel == 1 else tuple(INFINITE_WITHOUT_ERROR)
    return replace(row, **{name: INFINITE_WITHOUT_ERROR[name] for name in names})
