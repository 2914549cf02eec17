"""Does a value that was read belong into its column? Checked by the column's own type, also inside lists and records.

Whatever is wrong raises ValueError saying which column, which value, and what it must be; the reader adds the place.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from qanalysis.notation import quote
from qanalysis.results.columns import CellType, Column, Infinite, KindName, columns_of, make_row

_LARGEST_INTEGER = 2**63 - 1
_RULES: dict[KindName, str] = {
    "text": "text",
    "integer": "a 64-bit integer",
    "number": "a number",
    "flag": "true or false",
    "list": "a list",
    "record": "an object",
}
_TYPES: dict[KindName, set[type]] = {"text": {str}, "integer": {int}, "number": {int, float}, "flag": {bool}}


def check_cells(column: Column, values: Sequence[Any], places: Sequence[str] | str) -> list[Any]:
    """All cells of a column as they are kept: lists as tuples, objects as their dataclass, null as None.

    `places` says where each stands, or the first part of it where rows are counted from 0. Raises ValueError for the
    first that does not fit.
    """
    if _are_plainly_right(column, values):
        return list(values)
    checked = []
    for number, value in enumerate(values):
        try:
            checked.append(_check(value, column.type, column.name, column.infinite))
            _check_least(checked[-1], column)
        except ValueError as error:
            place = f"{places}[{number}]" if isinstance(places, str) else places[number]
            raise ValueError(f"{place}: {error}") from None
    return checked


def find_difference(given: Collection[Any], columns: Iterable[Column]) -> tuple[list[str], list[str]]:
    """The columns that are missing, those that older files lack left aside, and the names that are none."""
    known = list(columns)
    missing = {column.name for column in known if not column.late} - set(given)
    return sorted(missing), sorted(map(str, set(given) - {column.name for column in known}))


def describe_difference(given: Collection[Any], missing: Collection[str], unknown: Collection[str]) -> str:
    """Such a difference in words, and which of the given names stand twice; empty where nothing is wrong.

    >>> describe_difference(["bits", "bits"], ["mse"], [])
    "missing columns: ['mse'], named twice: ['bits']"
    """
    twice = sorted(name for name, count in Counter(map(str, given)).items() if count > 1)
    told = {"missing columns": missing, "unknown": unknown, "named twice": twice}
    return ", ".join(f"{word}: {quote(names)}" for word, names in told.items() if names)


def check_record(record: Any, columns: Sequence[Column], *, what: str) -> Mapping[str, Any]:
    """An object with exactly these columns as keys. Raises ValueError naming the keys that are missing or unknown."""
    given = record if isinstance(record, Mapping) else ()
    wrong = describe_difference(given, *find_difference(given, columns))
    if wrong or not isinstance(record, Mapping):
        raise ValueError(f"not {what}; {wrong}")
    return record


def _are_plainly_right(column: Column, values: Sequence[Any]) -> bool:
    """The common case, seen column by column: types alone decide, and no value is beyond what a file can hold."""
    types = set(map(type, values)) - ({type(None)} if column.nullable else set())
    if not types <= _TYPES.get(column.kind, set()):
        return False
    given = set(values)
    if column.kind == "text":
        return all(map(str.isascii, given - {None})) and (not column.choices or given - {None} <= set(column.choices))
    if column.kind == "integer":
        least = -_LARGEST_INTEGER if column.least is None else column.least
        return all(least <= value <= _LARGEST_INTEGER for value in given if value is not None)
    return column.kind == "flag" or all(type(value) is float and not math.isnan(value) for value in given - {None})


def _check_least(value: Any, column: Column) -> None:
    """ValueError for a number below what its column says is the least; null has no least."""
    if column.least is not None and value is not None and value < column.least:
        raise ValueError(f"column {column.name} holds {quote(value)}, must be at least {column.least}")


def _check(value: Any, kind: CellType, name: str, infinite: Infinite = None) -> Any:
    """A value as it is kept, or ValueError.

    Null passes where the type allows it or where it stands for an infinite figure; of a pair each null end becomes the
    infinity that its column says. A number becomes a float unless its column keeps integers.
    """
    may_lack = kind.nullable or isinstance(infinite, float)
    if value is None and may_lack:
        return None
    if value is None or not _fits(value, kind):
        raise ValueError(
            f"column {name} holds {quote(value)}, must be {_describe_rule(kind, value, nullable=may_lack)}"
        )
    if kind.kind == "number":
        return value if kind.keeps_integers else float(value)
    if kind.kind == "list" and kind.item is not None:
        ends: Sequence[Any] = infinite if isinstance(infinite, tuple) else (None,) * len(value)
        item = kind.item
        return tuple(
            end if part is None and end is not None else _check(part, item, name)
            for part, end in zip(value, ends, strict=True)
        )
    if kind.kind == "record":
        return _check_record(value, kind.record, name)
    return value


def _check_record(value: Any, record: Any, name: str) -> Any:
    """An object inside a cell as its dataclass; the messages name the column and the key inside it."""
    columns = columns_of(record)
    try:
        cells = check_record(value, columns, what="as it must be")
    except ValueError as error:
        raise ValueError(f"column {name}: {error}") from None
    return make_row(
        record,
        {
            column.name: _check(cells.get(column.name), column.type, f"{name}.{column.name}", column.infinite)
            for column in columns
        },
    )


def _fits(value: Any, kind: CellType) -> bool:
    """Whether a value is of a kind, its null left aside.

    True is no integer, NaN no number; an integer may stand for a number where a float is beside it. Text must be
    Unicode that a file can hold, a list as long as its type says.
    """
    match kind.kind:
        case "text":
            return isinstance(value, str) and (not kind.choices or value in kind.choices) and _is_unicode(value)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_INTEGER
        case "number":
            return (isinstance(value, float) and not math.isnan(value)) or _is_small_integer(value)
        case "flag":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list | tuple) and kind.length in (None, len(value))
    return isinstance(value, Mapping)


def _is_small_integer(value: Any) -> bool:
    """Whether an integer has a float beside it."""
    return isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 1024


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _describe_rule(kind: CellType, value: Any, *, nullable: bool) -> str:
    """What the value must be, in the words of a message."""
    if kind.choices:
        return f"one of {', '.join(kind.choices)}"
    rule = _RULES[kind.kind] + (f" of {kind.length}" if kind.length else "")
    if value is None and kind.kind == "integer":
        rule = "a number"
    return f"{rule} or null" if nullable else f"{rule}, not null" if value is None else rule
