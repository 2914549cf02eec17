"""How do two results of one kind differ, row by row? Rows with the same keys, b − a of each number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.comparisons.matching import match_tensors
from qanalysis.comparisons.table_rows import COMPARISONS, TableComparisonRow, subtract
from qanalysis.notation import quote, shorten
from qanalysis.plans.tensors import list_tensors
from qanalysis.results.document import kind_of
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import NO_INTEGER, Table

_Key = tuple[Any, ...]
_NOWHERE = -1
_NAMED = 3


def compare_tables(
    a: Table[Any], b: Table[Any], *, names: tuple[str, str] = ("A", "B"), maps: Mapping[str, str] | None = None
) -> Table[TableComparisonRow]:
    """Rows of A in their order beside those of B with the same keys, then the rows that B alone has.

    Keys are those of the kind, such as tensor and scheme; rows that have the same keys are taken in their order.
    Tensors whose names are not in both are matched as those of two models are, `maps` as there. `names` are what the
    two are called. Tables of different sources are compared, and a note says so. Raises ValueError for tables of
    different kinds, for kinds that can not be compared, and where no row has the keys of another.
    """
    row_type = _find_type(a, b, names)
    renamed = _match_names(a, b, maps) if "tensor" in row_type.KEYS else {}
    keys_a, keys_b = _number(_list_keys(a, row_type, renamed)), _number(_list_keys(b, row_type, {}))
    at_a, at_b = _align(keys_a, keys_b)
    if not len(at_a) or not ((at_a != _NOWHERE) & (at_b != _NOWHERE)).any():
        raise ValueError(_tell_nothing(row_type, keys_a, keys_b, names))
    columns = _join(row_type, a, b, at_a, at_b)
    columns["reason"] = _give_reasons(row_type, a, b, at_a, at_b, renamed, Counter(key[:-1] for key in keys_a))
    note = _tell_sources(a.source, b.source)
    settings = {"a": names[0], "b": names[1], **({"map": [f"{k}={v}" for k, v in maps.items()]} if maps else {})}
    return Table.from_columns(
        row_type,
        columns,
        source=a.source,
        settings={**settings, **({"source_b": b.source.path} if b.source else {})},
        complete=a.complete and b.complete,
        coverage=[{"part": "note", "reason": note}] if note else [],
    )


def _find_type(a: Table[Any], b: Table[Any], names: tuple[str, str]) -> type[TableComparisonRow]:
    if a.row_type is not b.row_type:
        raise ValueError(
            f"{names[0]} is a result of `qanalysis {kind_of(a).command}`, {names[1]} one of "
            f"`qanalysis {kind_of(b).command}`: two results of one kind can be compared"
        )
    if a.row_type not in COMPARISONS:
        kinds = ", ".join(one.KIND.command for one in COMPARISONS)
        raise ValueError(
            f"results of `qanalysis {kind_of(a).command}` have no comparison; those that have one are of {kinds}"
        )
    return COMPARISONS[a.row_type]


def _match_names(a: Table[Any], b: Table[Any], maps: Mapping[str, str] | None) -> dict[str, str]:
    """The name in B of each tensor of A that is called otherwise there, as far as whole tensors belong together."""
    known_a, known_b = list_tensors([a]), list_tensors([b])
    own, other = set(a.column("tensor").tolist()), set(b.column("tensor").tolist())
    if not maps and (own <= other or other <= own):
        return {}
    pairs = match_tensors(
        [one.describe() for one in known_a.values() if one.name in own],
        [one.describe() for one in known_b.values() if one.name in other],
        maps=maps,
    )
    return {
        pair.a.info.name: pair.b.info.name
        for pair in pairs
        if pair.a and pair.b and pair.a.rows is None and pair.b.rows is None and pair.a.info.name != pair.b.info.name
    }


def _list_keys(table: Table[Any], row_type: type[TableComparisonRow], renamed: Mapping[str, str]) -> list[_Key]:
    cells = [table.column(name).tolist() for name in row_type.KEYS]
    if renamed:
        place = row_type.KEYS.index("tensor")
        cells[place] = [renamed.get(name, name) for name in cells[place]]
    return list(zip(*cells, strict=True)) if cells else [()] * len(table)


def _number(keys: Sequence[_Key]) -> list[_Key]:
    """Each key with how many rows before it have the same."""
    seen = Counter[_Key]()
    numbered = []
    for key in keys:
        numbered.append((*key, seen[key]))
        seen[key] += 1
    return numbered


def _align(keys_a: Sequence[_Key], keys_b: Sequence[_Key]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each row of the comparison its place in A and in B, -1 where there is none."""
    in_b = {key: place for place, key in enumerate(keys_b)}
    known = set(keys_a)
    alone = [place for key, place in in_b.items() if key not in known]
    at_a = [*range(len(keys_a)), *[_NOWHERE] * len(alone)]
    return np.array(at_a, np.intp), np.array([*(in_b.get(key, _NOWHERE) for key in keys_a), *alone], np.intp)


def _join(
    row_type: type[TableComparisonRow], a: Table[Any], b: Table[Any], at_a: NDArray[np.intp], at_b: NDArray[np.intp]
) -> dict[str, Any]:
    """Every column but the reason."""
    wanted = {one.name: one for one in Table.from_rows(row_type, ()).columns}
    numbers = {one.name for one in row_type.list_numbers()}
    columns: dict[str, Any] = {
        name: np.where(at_a != _NOWHERE, _take(a, name, at_a, ""), _take(b, name, at_b, ""))
        for name in wanted
        if name in {one.name for one in a.columns} and name not in ("status", "reason")
    }
    for word in row_type.WORDS:
        columns |= {f"{word}_a": _take(a, word, at_a, ""), f"{word}_b": _take(b, word, at_b, "")}
    for name in numbers:
        is_whole = wanted[f"{name}_a"].kind == "integer"
        cells = [_take(side, name, at, np.nan) for side, at in ((a, at_a), (b, at_b))]
        delta = subtract(*cells)
        for key, values in zip((f"{name}_a", f"{name}_b", f"delta_{name}"), (*cells, delta), strict=True):
            columns[key] = _as_whole(values) if is_whole else values
    columns["status"] = np.where(at_b == _NOWHERE, "only-a", np.where(at_a == _NOWHERE, "only-b", "ok")).astype(object)
    return columns


def _take(table: Table[Any], name: str, at: NDArray[np.intp], nothing: Any) -> NDArray[Any]:
    """Cells of a column at some places; `nothing` where there is no place, or in all rows of a table without any."""
    cells = table.column(name)
    kind = object if isinstance(nothing, str) else np.float64
    if not len(cells):
        return np.full(len(at), nothing, kind)
    taken: NDArray[Any] = np.where(at == _NOWHERE, np.asarray(nothing, kind), cells[at].astype(kind))
    return taken


def _as_whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers as they are stored, NaN as null."""
    null = np.isnan(values)
    return np.where(null, NO_INTEGER, np.where(null, 0, values).astype(np.int64))


def _give_reasons(
    row_type: type[TableComparisonRow],
    a: Table[Any],
    b: Table[Any],
    at_a: NDArray[np.intp],
    at_b: NDArray[np.intp],
    renamed: Mapping[str, str],
    counts: Counter[_Key],
) -> list[str]:
    """What there is to know of each row: why a side has no figures, its other name, that its keys occur twice."""
    told_a, told_b = _tell_rows(a, "A"), _tell_rows(b, "B")
    names = a.column("tensor").tolist() if renamed else []
    keys = _list_keys(a, row_type, renamed) if any(count > 1 for count in counts.values()) else []
    reasons = []
    for one, other in zip(at_a.tolist(), at_b.tolist(), strict=True):
        parts = [told_a[one] if one != _NOWHERE else "", told_b[other] if other != _NOWHERE else ""]
        if _NOWHERE not in (one, other) and names and names[one] in renamed:
            parts.append(f"in B {shorten(renamed[names[one]], 160)}")
        if one != _NOWHERE and keys and counts[keys[one]] > 1:
            parts.append(f"{counts[keys[one]]} rows of A have these keys; they are taken in their order")
        reasons.append("; ".join(part for part in parts if part))
    return reasons


def _tell_rows(table: Table[Any], side: str) -> list[str]:
    """Why rows have no figures, in words; empty for those that are ok and for kinds that can not say."""
    names = {one.name for one in table.columns}
    if not {"status", "reason"} <= names:
        return [""] * len(table)
    words = zip(table.column("status").tolist(), table.column("reason").tolist(), strict=True)
    return [
        "" if status == "ok" else f"{side}: {status}{f', {shorten(reason, 200)}' if reason else ''}"
        for status, reason in words
    ]


def _tell_nothing(
    row_type: type[TableComparisonRow], keys_a: Sequence[_Key], keys_b: Sequence[_Key], names: tuple[str, str]
) -> str:
    """That no row has the keys of another, with the first keys of both."""
    told = [
        f"{name} has {', '.join(quote(' '.join(map(str, key[:-1]))) for key in keys[:_NAMED]) or 'no rows'}"
        for name, keys in zip(names, (keys_a, keys_b), strict=True)
    ]
    by = " and ".join(row_type.KEYS) or "place"
    return f"the tables have no row in common by {by}: {'; '.join(told)}; compare results of one model and one scheme"


def _tell_sources(a: SourceIdentity | None, b: SourceIdentity | None) -> str:
    """Which two sources the tables are of, where these are not one and the same."""
    if a is None or b is None:
        return ""
    same = a.digest == b.digest if a.digest and b.digest else (a.path, a.size) == (b.path, b.size)
    return "" if same else f"A is of {_name(a)}, B of {_name(b)}: differences are those of the two"


def _name(source: SourceIdentity) -> str:
    return f"{quote(source.path)}, {source.size:,} bytes{f' ({source.stored})' if source.stored else ''}"
