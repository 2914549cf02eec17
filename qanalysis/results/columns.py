"""What does a column of a result mean? It is declared once, on the field of a row type; the rest follows.

A row type is a frozen dataclass. `column(...)` says what the annotation can not: label, unit, direction, formula. From
both follow documents, schemas, cells of files, Arrow types, tables, labels and the order of leaving out.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

R = TypeVar("R")
Infinite = float | tuple[float, float] | Callable[[Any], Any] | None
Better = Literal["higher", "lower"]
KindName = Literal["text", "integer", "number", "flag", "list", "record"]
_PLAIN: dict[Any, KindName] = {str: "text", int: "integer", float: "number", bool: "flag"}
_FACTS, _APART = "column", "apart"


@dataclass(frozen=True, slots=True)
class CellType:
    """What a cell may hold, as its annotation says.

    Parameters
    ----------
    kind : text, integer, number, flag, list or record (a dataclass of its own).
    nullable : whether None is allowed.
    choices : the words of a Literal, else empty.
    item : type of a list's items; length : how many there must be, None for any number.
    keeps_integers : whether a number that was given as an integer stays one (int | float).
    record : the dataclass of a record.
    """

    kind: KindName
    nullable: bool = False
    choices: tuple[str, ...] = ()
    item: CellType | None = None
    length: int | None = None
    record: type[Any] | None = None
    keeps_integers: bool = False

    @classmethod
    def from_annotation(cls, hint: Any) -> Self:
        """Read str, int, float, int | float, bool, Literal of words, tuple[T, ...], tuple[T, T], a dataclass; each of
        them | None.

        Raises TypeError for what no file here can hold.

        >>> CellType.from_annotation(float | None).nullable, CellType.from_annotation(tuple[int, ...]).item.kind
        (True, 'integer')
        """
        if get_origin(hint) in (Union, types.UnionType):
            inner = [part for part in get_args(hint) if part is not type(None)]
            nullable = len(inner) < len(get_args(hint))
            if set(inner) == {int, float}:
                return cls("number", nullable, keeps_integers=True)
            if len(inner) == 1:
                return replace(cls.from_annotation(inner[0]), nullable=True)
        if hint in _PLAIN:
            return cls(_PLAIN[hint])
        parts = get_args(hint)
        if get_origin(hint) is Literal and all(isinstance(part, str) for part in parts):
            return cls("text", choices=parts)
        if get_origin(hint) is tuple and parts:
            return cls("list", item=cls.from_annotation(parts[0]), length=None if parts[-1] is Ellipsis else len(parts))
        if isinstance(hint, type) and is_dataclass(hint):
            return cls("record", record=hint)
        raise TypeError(
            f"a column of type {hint}: a cell holds text, integers, numbers, flags, tuples or dataclasses of these"
        )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result.

    Parameters
    ----------
    name, type : from the field.
    label, unit, better, formula : what people read; `unit` "" for none, `better` None where no direction is good.
    infinite : what null in JSON stands for, where `exact` holds: inf, -inf, or for a pair one of each; of a column that
        follows from others a function of the table's columns. None where the column is never infinite.
    exact : of the table's columns (attributes of arrays, null is NaN), the rows in which null means infinite; None: in
        all rows.
    least : the least that it can be, as of counts; None for any number.
    leave_out : rank in the order in which a small page goes without; None stays.
    additive : whether the figure adds over tensors.
    share : whether it is a part of one, which people read in percent.
    counts : whether it is no figure, but says how many values another one is taken over.
    late : whether older files lack it; then it is null in what is read from them, a text without null empty.
    short : what stands above it where room is scarce; "" for label and unit.
    part : which attribute of what was found it is read from; "" for the whole.
    of : how it is read from there; None for the attribute of the column's own name. Where many rows are worked out at
        once there are arrays to be read, undefined is NaN.
    known_of : words of a row's status, besides ok, under which the figure is known.
    """

    label: str
    unit: str = ""
    better: Better | None = None
    formula: str = ""
    infinite: Infinite = None
    exact: Callable[[Any], Any] | None = None
    least: int | None = None
    leave_out: int | None = None
    additive: bool = False
    share: bool = False
    counts: bool = False
    late: bool = False
    short: str = ""
    part: str = ""
    of: Callable[[Any], Any] | None = None
    known_of: tuple[str, ...] = ()
    name: str = ""
    type: CellType = CellType("text")

    @property
    def kind(self) -> KindName:
        """The kind of its cells."""
        return self.type.kind

    @property
    def nullable(self) -> bool:
        """Whether a row may go without."""
        return self.type.nullable

    @property
    def absent(self) -> str | None:
        """What rows of files hold that lack it."""
        return "" if self.kind == "text" and not self.nullable else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may hold; empty for any."""
        return self.type.choices

    @property
    def is_numeric(self) -> bool:
        """Whether it is an integer or a number."""
        return self.kind in ("integer", "number")

    @property
    def meaning(self) -> str:
        """Label and formula in one line."""
        return f"{self.label}: {self.formula}" if self.formula else self.label

    @property
    def heading(self) -> str:
        """What stands above it in a table: label and unit, or the short one.

        >>> Column("SQNR", "dB").heading, Column("Bits per weight", "bit", short="Bits/weight").heading
        ('SQNR (dB)', 'Bits/weight')
        """
        return self.short or (f"{self.label} ({self.unit})" if self.unit else self.label)

    def read(self, part: Any) -> Any:
        """Its value in the part that it is read from; AttributeError where neither `of` nor the part knows it."""
        return self.of(part) if self.of is not None else getattr(part, self.name)


def column(label: str, unit: str = "", *, default: Any = MISSING, **facts: Any) -> Any:
    """A dataclass field that is a column; `facts` are those of `Column`, TypeError for one that it does not have.

    >>> @dataclass(frozen=True)
    ... class Line:
    ...     gain_db: float | None = column("Gain", "dB", formula="10 log10 of both powers", default=None)
    >>> [(found.name, found.kind, found.nullable, found.meaning) for found in columns_of(Line)]
    [('gain_db', 'number', True, 'Gain: 10 log10 of both powers')]
    """
    # A word that came late is given by its name, so that it may stand where it belongs among those without a default.
    facts_of = {_FACTS: Column(label, unit, **facts)}
    if facts.get("late") and default == "":
        return field(default=default, metadata=facts_of, kw_only=True)
    return field(default=default, metadata=facts_of)


def declare(one: Column, *, default: Any = MISSING) -> Any:
    """A dataclass field that is a column already described, of row types that are made from others."""
    return field(default=default, metadata={_FACTS: one})


def figure(label: str, unit: str = "", **facts: Any) -> Any:
    """A column that is null in a row where nothing was measured; its annotation allows None."""
    return column(label, unit, default=None, **facts)


def apart() -> Any:
    """A dataclass field that is no column: what a row was taken from, for charts, in a class derived from the row's."""
    return field(metadata={_APART: True})


@dataclass(frozen=True, slots=True)
class Kind:
    """Which command makes rows of a type.

    Parameters
    ----------
    command : the word in a document's settings.
    schema : stem of the schema file.
    title : what the rows are, one line.
    totals : row type of the second table; None for the rows' own.
    again : how a file of such rows is made, for messages.
    reads : whether there is an input that the rows come from; sourceless : whether rows that Python makes of values in
        memory may lack it.
    least : how many rows there are at least.
    """

    command: str
    schema: str
    title: str
    again: str
    totals: type[RowType] | None = None
    reads: bool = True
    sourceless: bool = False
    least: int = 0


class RowType:
    """Base of all row types: the columns are the fields, in their order.

    `shown_first` are those that a long table shows before one asks for all; empty for all. `named_by` are those that
    tell one row from the others.
    """

    __slots__ = ()
    KIND: ClassVar[Kind]
    shown_first: ClassVar[tuple[str, ...]] = ()
    named_by: ClassVar[tuple[str, ...]] = ()

    def find_fault(self) -> str:
        """What does not go together in a row that was read, though each cell fits its column; empty where all does."""
        return ""

    @classmethod
    def is_excused(cls, _table: Any) -> Any:
        """In which rows, of columns as attributes of arrays, a figure has every right to be null: no condition is
        missed for them. None in any unless a type knows better.
        """
        return False

    def to_dict(self) -> dict[str, Any]:
        """Column name to value, in the order of the contract: plain numbers, text, None, lists and dictionaries."""
        return dict(zip(names_of(type(self)), map(to_plain, read_cells(self)), strict=True))


def columns_of(row_type: Any) -> tuple[Column, ...]:
    """The columns of a dataclass in the order of its fields; a field without `column(...)` is labelled by its name.

    Raises TypeError for a field whose type no file can hold.
    """
    return _find_columns(row_type)


def names_of(row_type: type[Any]) -> tuple[str, ...]:
    """The names of the columns, in the order of the contract."""
    kind: Any = row_type
    return _find_names(kind)


def totals_of(row_type: type[Any]) -> type[Any]:
    """The row type of the second table of such rows."""
    kind: Kind | None = getattr(row_type, "KIND", None)
    return kind.totals if kind is not None and kind.totals is not None else row_type


def read_cells(row: Any, row_type: Any = None) -> tuple[Any, ...]:
    """The cells of one row, in the order of its columns, or of those of the type that it is derived from."""
    kind: Any = row_type or type(row)
    return _getter(kind)(row)


def make_row(row_type: Any, cells: Mapping[str, Any]) -> Any:
    """A row from all its cells by column name. Raises KeyError where one is missing."""
    return row_type(**{name: cells[name] for name in names_of(row_type)})


def describe_row(row_type: type[R], found: Any, **cells: Any) -> R:
    """The row of what was found: each cell from the column's part by its `of`, or by the attribute of the same name.

    `cells` go before both. Raises AttributeError for a column that `found` does not have.
    """
    told = {
        one.name: cells[one.name] if one.name in cells else one.read(getattr(found, one.part) if one.part else found)
        for one in columns_of(row_type)
    }
    row: R = make_row(row_type, told)
    return row


def to_plain(value: Any) -> Any:
    """A cell as JSON's own kinds: tuples as lists, dataclasses as dictionaries."""
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return (
        dict(zip(names_of(type(value)), map(to_plain, read_cells(value)), strict=True))
        if is_dataclass(value)
        else value
    )


@cache
def _find_names(row_type: Any) -> tuple[str, ...]:
    return tuple(found.name for found in _find_columns(row_type))


@cache
def _find_columns(row_type: Any) -> tuple[Column, ...]:
    hints = get_type_hints(row_type)
    return tuple(
        replace(
            one.metadata.get(_FACTS) or Column(one.name), name=one.name, type=CellType.from_annotation(hints[one.name])
        )
        for one in fields(row_type)
        if _APART not in one.metadata
    )


@cache
def _getter(row_type: Any) -> Callable[[Any], tuple[Any, ...]]:
    names = names_of(row_type)
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)
