"""What does each pair look like before any value is read? Names, shapes, types, bytes, and what can not be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.comparisons.pair import Change, Pair, Part, find_sizes
from qanalysis.comparisons.row import ComparisonRow, Status
from qanalysis.notation import quote

_CHANGES: Mapping[Change, str] = {
    "plus one": "{} + 1 is compared, as converters write norms of such models to GGUF",
    "minus exp": "−exp({}) is compared, as converters write it to GGUF",
}


@dataclass(slots=True)
class Structure:
    """Rows of pairs in their order; a tensor that stands in several rows counts its bytes once."""

    _counted: set[tuple[str, str]] = field(default_factory=set)

    def describe(self, pair: Pair, *reasons: str) -> ComparisonRow:
        """The row of a pair without figures; `reasons` are what else is known of it."""
        told = [reason for reason in reasons if reason]
        told = [*(_CHANGES[part.change].format(side) for side, part in _list_sides(pair) if part.change), *told]
        told += [f"{part.rows.told} in {side}" for side, part in _list_sides(pair) if part.rows and part.rows.told]
        status, fault = judge(pair)
        sizes = {side: self._count_bytes(side, part) for side, part in _list_sides(pair)}
        if fault:
            told.append(fault)
        told += [f"bytes of {side} are counted in a row before" for side, size in sizes.items() if size is None]
        told += [f"{side}: {part.info.note}" for side, part in _list_sides(pair) if part.info.note]
        known = pair.a or pair.b
        return ComparisonRow(
            role=known.info.role if known else "",
            matched_by=pair.matched_by,
            status=status,
            reason="; ".join(told),
            size_bytes_a=sizes.get("A"),
            size_bytes_b=sizes.get("B"),
            **_name_sides(pair),
        )

    def _count_bytes(self, side: str, part: Part) -> int | None:
        """Bytes of the rows that are taken; None for a whole tensor that was counted before."""
        if part.rows is None:
            key = (side, part.info.name)
            if key in self._counted:
                return None
            self._counted.add(key)
            return part.info.size_bytes
        total = find_sizes(part.info)[0]
        return round(part.info.size_bytes * part.rows.count / total) if total else 0


def _name_sides(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side, part in _list_sides(pair):
        end, info = side.lower(), part.info
        found |= {f"tensor_{end}": info.name, f"shape_{end}": info.shape_text, f"dtype_{end}": info.dtype}
        found[f"stored_{end}"] = info.stored
    return found


def _list_sides(pair: Pair) -> Iterator[tuple[str, Part]]:
    if pair.a is not None:
        yield "A", pair.a
    if pair.b is not None:
        yield "B", pair.b


def judge(pair: Pair) -> tuple[Status, str]:
    """Whether a pair can be compared, and if not, why in words."""
    if pair.a is None or pair.b is None:
        return ("only-b" if pair.a is None else "only-a"), ""
    if not pair.fits:
        return "shape", _tell_sizes(pair.a.sizes, pair.b.sizes)
    unread = [(side, part.info) for side, part in _list_sides(pair) if not part.info.decodes]
    if unread:
        return "dtype", "; ".join(f"{side} {_tell_unread(info)}" for side, info in unread)
    return "ok", ""


def _tell_sizes(a: tuple[int, int], b: tuple[int, int]) -> str:
    """How two matrices differ in size.

    >>> _tell_sizes((32000, 64), (32064, 64)), _tell_sizes((8, 4), (4, 4))
    ('B has 64 rows more', 'B has 4 rows fewer')
    """
    if a[1] == b[1]:
        return f"B has {abs(b[0] - a[0]):,} rows {'more' if b[0] > a[0] else 'fewer'}"
    return f"{a[0]}x{a[1]} as a matrix in A, {b[0]}x{b[1]} in B"


def _tell_unread(info: TensorInfo) -> str:
    return f"is {info.reason}" if info.reason else f"holds {info.dtype}, which are no real numbers"


def list_tied(pairs: Sequence[Pair]) -> list[ComparisonRow]:
    """A row for each further name of a tensor that is compared under its first, in the order of the pairs.

    A name that is a tensor of its own in the other source has a pair, and no row here.
    """
    names_a = {pair.a.info.name for pair in pairs if pair.a is not None}
    names_b = {pair.b.info.name for pair in pairs if pair.b is not None}
    rows: dict[tuple[str, str], ComparisonRow] = {}
    for pair in pairs:
        if pair.a is None or pair.b is None or pair.a.rows is not None or pair.b.rows is not None:
            continue
        a, b = pair.a.info, pair.b.info
        for name in (name for name in a.aliases if name not in names_b):
            both = name in b.aliases
            told = f"another name of {quote(a.name)} {'in both' if both else 'in A'}"
            rows.setdefault(("A", name), _tied(pair, name, name if both else b.name, told))
        for name in (name for name in b.aliases if name not in names_a and name not in a.aliases):
            rows.setdefault(("B", name), _tied(pair, a.name, name, f"another name of {quote(b.name)} in B"))
    return list(rows.values())


def _tied(pair: Pair, name_a: str, name_b: str, reason: str) -> ComparisonRow:
    sides = {**_name_sides(pair), "tensor_a": name_a, "tensor_b": name_b}
    role = pair.a.info.role if pair.a else ""
    return ComparisonRow(role=role, matched_by="alias", status="tied", reason=reason, **sides)


def show_names(tensors: Sequence[TensorInfo], most: int = 2) -> str:
    """The first names of a source, for messages."""
    return ", ".join(quote(info.name, 60) for info in tensors[:most])
