"""Any result as one JSON document and back; its form follows from the columns of its rows.

JSON has no infinity: an infinite figure is written as null, and comes back where its column says so (a sweep: where the
error is exactly zero).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any, NoReturn, Protocol

import numpy as np

from qanalysis.notation import quote
from qanalysis.results.cells import check_cells, check_record
from qanalysis.results.columns import Column, Kind, RowType, columns_of, names_of, totals_of
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame, Table

SCHEMA_VERSION = 3
_READ_VERSIONS = (1, SCHEMA_VERSION)
_OLD_COMMAND = "sweep"  # documents that name no command are older than the others
_COMMON = {"schema_version", "tool_version", "source", "settings", "coverage", "rows", "totals"}

# What an entry of coverage holds, and as what.
_COVERED: dict[str, Any] = {
    **dict.fromkeys(("part", "role", "reason"), str),
    "tensors": int | None,
    "values": int | None,
}

#: Which row types are known when reading, and the class of a table of each.
Kinds = Mapping[Any, type[Table[Any]]]


class Described(Protocol):
    """What can be added to a document beside its rows."""

    def to_dict(self) -> dict[str, Any]: ...


def to_json(table: Table[Any], *, created: datetime | None = None, diagnoses: Sequence[Described] = ()) -> str:
    """The document as strict JSON text, one row per line, null for null and for infinite figures; floats keep every
    digit.

    Diagnoses of layers, where there are any, follow the rows; those of a document that was read are written again.
    `created` is noted in the settings, unless the rows already carry the time they were made at.
    """
    parts = {name: json.dumps(value, allow_nan=False) for name, value in describe(table, created=created).items()}
    parts |= {"rows": _write_lines(table.rows), "totals": _write_lines(table.totals)}
    made = {"diagnoses": [diagnosis.to_dict() for diagnosis in diagnoses]} if diagnoses else {}
    parts |= {name: json.dumps(part, allow_nan=False) for name, part in {**table.more, **made}.items()}
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {text}" for name, text in parts.items()) + "\n}"


def write_document(table: Table[Any], *, created: datetime | None = None) -> dict[str, Any]:
    """The document as plain dictionaries: schema_version, tool_version, source, settings, coverage, rows, totals."""
    head = describe(table, created=created)
    return {**head, "rows": without_infinity(table.to_dicts()), "totals": without_infinity(table.totals_to_dicts())}


def describe(table: Table[Any], *, created: datetime | None = None) -> dict[str, Any]:
    """The head of a document: what made it, from which input (null where nothing was read), with which settings, and
    what was left out.
    """
    settings = {"command": kind_of(table).command, **table.settings, "complete": table.complete}
    made = settings.pop("created", None if created is None else created.isoformat(timespec="seconds"))
    settings |= {} if made is None else {"created": made}
    source = table.source and {
        "path": table.source.path,
        "size": table.source.size,
        "digest": table.source.digest,
        "stored": table.source.stored,
    }
    head = {"schema_version": SCHEMA_VERSION, "tool_version": version("qanalysis"), "source": source}
    return {**head, "settings": without_infinity(settings), "coverage": without_infinity(list(table.coverage))}


def kind_of(table: Table[Any]) -> Kind:
    """What a table's rows are."""
    kind: Kind = table.row_type.KIND
    return kind


def without_infinity(value: Any) -> Any:
    """Plain values with null for what is not finite.

    >>> without_infinity({"ends": (-math.inf, 2.5)})
    {'ends': [None, 2.5]}
    """
    match value:
        case dict():
            return {name: without_infinity(item) for name, item in value.items()}
        case list() | tuple():
            return [without_infinity(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
    return value


def parse_document(text: str, kinds: Kinds, *, place: str) -> Table[Any]:
    """The table of a document's text; `place` names the file in messages. Raises ValueError where it is not such a
    document.
    """
    if not text.strip():
        raise ValueError(f"{place}: not valid JSON (the file is empty); write it again with `{describe_ways(kinds)}`")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{place}: not valid JSON ({shorten_text(error)}); write it again with `{describe_ways(kinds)}`"
        ) from error
    return read_document(document, kinds, place=place)


def read_document(document: Any, kinds: Kinds, *, place: str) -> Table[Any]:
    """The table of a document; missing keys, unknown versions, wrong columns and wrong types raise ValueError."""
    row_type, rest = read_head(document, kinds, place=place)
    totals = read_records(document, "totals", totals_of(row_type), row_type.KIND, place=place)
    rows = read_records(document, "rows", row_type, row_type.KIND, place=place)
    return check_table(kinds[row_type](rows, totals, **rest, more=take_parts(document)), place)


def take_parts(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a document holds beside what every document has."""
    return {name: part for name, part in document.items() if name not in _COMMON}


def read_head(document: Any, kinds: Kinds, *, place: str) -> tuple[Any, dict[str, Any]]:
    """The row type that a document says it has, and source, settings, completeness and coverage of its table.

    A document without a command is one of the oldest kind. Raises ValueError, which names the place and the way out,
    for another version, an unknown command, and for settings, coverage or a source that are not of their kinds.
    """
    if not isinstance(document, dict) or "schema_version" not in document:
        raise ValueError(
            f"{place}: not a rows file of qanalysis (no schema_version); write one with `{describe_ways(kinds)}`"
        )
    settings, found = document.get("settings"), document["schema_version"]
    by_command = {row_type.KIND.command: row_type for row_type in kinds}
    command = settings.get("command", _OLD_COMMAND) if isinstance(settings, dict) else None
    row_type = by_command.get(command) if isinstance(command, str) else None
    if found not in _READ_VERSIONS or isinstance(found, bool):
        again = f"run `qanalysis {command}` again" if row_type else "run its command again"
        raise ValueError(
            f"{place}: schema_version is {quote(found)}, this program reads 1 to {SCHEMA_VERSION}; {again}, "
            "or use the program that wrote it"
        )
    if type(settings) is not dict:
        raise ValueError(f"{place}: 'settings' must be an object; write the file again with `{describe_ways(kinds)}`")
    if row_type is None:
        raise ValueError(
            f"{place}: settings name the command {quote(command)}, must be one of {', '.join(by_command)}; "
            "use the program that wrote it"
        )
    if "command" not in settings:
        _check_is_of(row_type, kinds, document.get("rows"), place)
    again = f"write the file again with `{row_type.KIND.again}`"
    _check_facts({**document, **settings}, place, again)
    own = {key: value for key, value in settings.items() if key not in ("command", "complete")}
    source = _read_source(document.get("source"), row_type.KIND, place)
    return row_type, {
        "source": source,
        "settings": own,
        "complete": settings.get("complete") is not False,
        "coverage": tuple(document.get("coverage", ())),
    }


def read_records(document: Mapping[str, Any], name: str, row_type: Any, kind: Kind, *, place: str) -> Frame[Any]:
    """One of the two tables of a document, `name` is "rows" or "totals".

    Raises ValueError for fewer rows than the kind has at least, for missing or unknown columns (those that older files
    lack are null), and for the first cell that does not fit; the message names the row.
    """
    records = document.get(name)
    again = f"write the file again with `{kind.again}`"
    if type(records) is not list:
        raise ValueError(f"{place}: {quote(name)} must be a list of rows, found {type(records).__name__}; {again}")
    if name == "rows" and len(records) < kind.least:
        raise ValueError(f"{place}: 'rows' is empty, `qanalysis {kind.command}` makes at least {kind.least}; {again}")
    columns = columns_of(row_type)
    names = {column.name for column in columns}
    for number, record in enumerate(records):
        if not isinstance(record, dict) or record.keys() != names:
            with told(f"{place}, {name}[{number}]: ", f"; {again}"):
                check_record(record, columns, what="a row of qanalysis")
    with told(f"{place}, ", f"; {again}"):
        cells = {
            column.name: check_cells(column, [record.get(column.name, column.absent) for record in records], name)
            for column in columns
        }
        return restore_infinity(check_rows(Frame(row_type, cells), name))


def check_rows(frame: Frame[Any], name: str = "rows") -> Frame[Any]:
    """The frame itself; ValueError for the first row whose cells do not go together, where its type can tell."""
    if frame.row_type.find_fault is not RowType.find_fault:
        for number, row in enumerate(frame):
            fault = row.find_fault()
            if fault:
                raise ValueError(f"{name}[{number}]: {fault}")
    return frame


def check_table(table: Table[Any], place: str) -> Table[Any]:
    """The table itself; ValueError where the parts of its document do not go together."""
    fault = table.find_fault()
    if fault:
        raise ValueError(f"{place}: {fault}; write the file again with `{kind_of(table).again}`")
    return table


def restore_infinity(frame: Frame[Any]) -> Frame[Any]:
    """Undo the null of infinite figures, where their columns say that null means infinite."""
    names, changed = frame.namespace(), {}
    for column in frame.columns:
        if column.infinite is None or isinstance(column.infinite, tuple):
            continue
        cells = frame.column(column.name)
        lost = np.isnan(cells) if column.exact is None else np.isnan(cells) & column.exact(names)
        if lost.any():
            found = column.infinite(names) if callable(column.infinite) else column.infinite
            changed[column.name] = np.where(lost, found, cells)
            setattr(names, column.name, changed[column.name])  # columns further on may follow from it
    return Frame(frame.row_type, {**frame.cells, **changed}) if changed else frame


@contextmanager
def told(before: str, after: str) -> Iterator[None]:
    """Puts a place in front of a ValueError raised in the block, and the way out behind it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{before}{error}{after}") from error


def describe_ways(kinds: Kinds) -> str:
    """The command whose files come first among those that can be read."""
    again: str = next(iter(kinds)).KIND.again
    return again


def shorten_text(error: BaseException) -> str:
    r"""An error of a library in one line of at most 200 characters.

    >>> shorten_text(ValueError("two\nlines"))
    'two lines'
    """
    text = " ".join(str(error).partition("; use sys.")[0].split())  # which is no way out for a user
    return text if len(text) <= 200 else f"{text[:199]}…"


def _check_is_of(row_type: Any, kinds: Kinds, rows: Any, place: str) -> None:
    """Whether rows for which no command is named are of this type: other commands once did not name themselves either.

    Raises ValueError that names the command whose columns they have.
    """
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    nearest = max(kinds, key=lambda one: len(first.keys() & set(names_of(one))) / len(names_of(one)))
    if first and nearest is not row_type:
        was = f"a result of `qanalysis {nearest.KIND.command}` from an older version"
        raise ValueError(f"{place}: {was}; run `{nearest.KIND.again}` again")


def _check_facts(facts: Mapping[str, Any], place: str, again: str) -> None:
    """ValueError for a fact about the whole document that is not of its kind; those that are absent pass."""
    for word, kind, rule in (
        ("complete", bool, "true or false"),
        ("created", str, "text"),
        ("tool_version", str, "text"),
    ):
        fits = isinstance(facts.get(word, kind()), kind)
        if not fits:
            raise ValueError(f"{place}: {word} is {quote(facts[word])}, must be {rule}; {again}")
    coverage = facts.get("coverage", [])
    if type(coverage) is not list or any(type(entry) is not dict for entry in coverage):
        raise ValueError(f"{place}: 'coverage' must be a list of objects; {again}")
    for number, entry in enumerate(coverage):
        wrong = next((word for word, kind in _COVERED.items() if not _fits(entry, word, kind)), "")
        if wrong:
            found = quote(entry.get(wrong))
            raise ValueError(f"{place}: coverage[{number}] has {wrong} {found}, must be text or a count; {again}")


def _fits(entry: Mapping[str, Any], word: str, kind: Any) -> bool:
    """Whether an entry has a word as it must be; notes and what is told otherwise may lack words."""
    return isinstance(entry[word], kind) if word in entry else entry.get("part") in (None, "note")


def _write_lines(frame: Frame[Any]) -> str:
    """One row per line; the rows pass through Python's own values a few thousand at a time."""
    encode, names = json.JSONEncoder(allow_nan=False).encode, [column.name for column in frame.columns]
    lines = []
    for part in frame.parts():
        cells = [
            _without_infinite_cells(part, column, line)
            for column, line in zip(part.columns, part.list_plain(), strict=True)
        ]
        lines += [encode(dict(zip(names, line, strict=True))) for line in zip(*cells, strict=True)]
    return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"


def _without_infinite_cells(part: Frame[Any], column: Column, line: list[Any]) -> list[Any]:
    """Looks at cells one by one only where an array says that there is something to find."""
    if column.kind in ("list", "record") or (column.kind == "number" and np.isinf(part.column(column.name)).any()):
        return [without_infinity(value) for value in line]
    return line


def _read_source(source: Any, kind: Kind, place: str) -> SourceIdentity | None:
    """Label, size and digest of the input; None for kinds that read nothing. ValueError for anything else."""
    again = f"write the file again with `{kind.again}`"
    if source is None and (kind.sourceless or not kind.reads):
        return None
    if type(source) is not dict:
        raise ValueError(f"{place}: 'source' must be an object, found {quote(source)}; {again}")
    path, size, digest = (source.get(key) for key in ("path", "size", "digest"))
    stored = source.get("stored", "")
    has_words = isinstance(digest, str | None) and isinstance(stored, str)
    if isinstance(path, str) and type(size) is int and size >= 0 and has_words:
        return SourceIdentity(path, size, digest, stored=stored)
    raise ValueError(
        f"{place}: source holds {quote(source)}, "
        f"must be path (text), size (bytes), digest (text or null) and stored (text); {again}"
    )


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
