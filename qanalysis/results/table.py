"""How are rows held? Column by column: one array for each column, a row is a view made when someone asks for it.

A cell takes eight bytes: numbers are float64 with NaN for null, integers int64, texts point to strings that rows share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from qanalysis.results.columns import Column, columns_of, make_row, read_cells, to_plain, totals_of
from qanalysis.results.identity import SourceIdentity

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")
Cells = NDArray[Any] | Sequence[Any]
# No column holds it: integers in files are at most 2^63 - 1 in magnitude.
NO_INTEGER = np.iinfo(np.int64).min
_AT_ONCE = 4096  # rows made of a table at a time


class Frame(Sequence[R]):
    """Rows of one type, held column by column. Equal to any sequence of equal rows.

    `cells` are the arrays by column name, as stored; `column` gives them with null as NaN.
    """

    __slots__ = ("_length", "cells", "row_type")

    def __init__(self, row_type: type[R], cells: Mapping[str, Cells]) -> None:
        """Take one array (or list; None is null) for each column of `row_type`, all of one length.

        Raises ValueError for a missing or unknown column, and for lengths that differ.
        """
        columns = columns_of(row_type)
        wrong = {one.name for one in columns} ^ set(cells)
        if wrong:
            raise ValueError(f"columns of {row_type.__name__}: {sorted(wrong)} are missing or unknown")
        self.row_type = row_type
        self.cells = {one.name: _store(cells[one.name], one) for one in columns}
        lengths = {len(cell) for cell in self.cells.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of {row_type.__name__}: all must have one length, found {sorted(lengths)}")
        self._length = lengths.pop() if lengths else 0

    @classmethod
    def from_rows(cls, row_type: type[R], rows: Iterable[R]) -> Frame[R]:
        """Rows as a frame; what already is one stays as it is."""
        if isinstance(rows, Frame) and rows.row_type is row_type:
            return rows
        lines = [read_cells(row, row_type) for row in rows]
        names = [one.name for one in columns_of(row_type)]
        return Frame(
            row_type, dict(zip(names, zip(*lines, strict=True), strict=True)) if lines else dict.fromkeys(names, ())
        )

    @classmethod
    def concat(cls, row_type: type[R], frames: Iterable[Frame[R]]) -> Frame[R]:
        """All rows of several frames, one after the other."""
        parts = [frame for frame in frames if len(frame)]
        if not parts:
            return Frame.from_rows(row_type, ())
        return Frame(
            row_type,
            {one.name: np.concatenate([part.cells[one.name] for part in parts]) for one in columns_of(row_type)},
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in the order of the contract."""
        return columns_of(self.row_type)

    def column(self, name: str) -> NDArray[Any]:
        """All cells of a column: float64 (NaN for null) of numbers and of integers that may be null, int64 or bool of
        those that may not, else objects.

        Shape (rows,). Not to be written to. Raises KeyError for a name that is no column.
        """
        cells, one = self.cells[name], next((one for one in self.columns if one.name == name), Column(name))
        if one.kind == "number":
            return cells.astype(np.float64, copy=False)
        if one.kind == "integer" and one.nullable:
            return np.where(cells == NO_INTEGER, np.nan, cells)
        return cells

    def namespace(self) -> SimpleNamespace:
        """The columns as attributes."""
        return SimpleNamespace(**{one.name: self.column(one.name) for one in self.columns})

    def take(self, places: NDArray[Any] | slice) -> Frame[R]:
        """The rows at these places, or where a mask is true."""
        return Frame(self.row_type, {name: cells[places] for name, cells in self.cells.items()})

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Frame[R]: ...
    def __getitem__(self, index: int | slice) -> R | Frame[R]:
        if isinstance(index, slice):
            return self.take(index)
        place = range(self._length)[index]
        return next(iter(self.take(slice(place, place + 1))))

    def __iter__(self) -> Iterator[R]:
        names = list(self.cells)
        for part in self.parts():
            yield from (
                make_row(self.row_type, dict(zip(names, line, strict=True)))
                for line in zip(*part.list_cells(), strict=True)
            )

    def parts(self) -> Iterator[Frame[R]]:
        """The rows in pieces of a few thousand, for whoever turns them into Python's own values, which take ten times
        the memory.
        """
        yield from (self.take(slice(start, start + _AT_ONCE)) for start in range(0, self._length, _AT_ONCE))

    def __add__(self, other: Frame[R]) -> Frame[R]:
        return Frame.concat(self.row_type, (self, other))

    def list_cells(self) -> list[list[Any]]:
        """One list of Python values (None for null) per column."""
        return [_to_list(self.cells[one.name]) for one in self.columns]

    def list_plain(self) -> list[list[Any]]:
        """The same with lists and dictionaries in place of tuples and dataclasses."""
        cells = zip(self.columns, self.list_cells(), strict=True)
        return [list(map(to_plain, line)) if one.kind in ("list", "record") else line for one, line in cells]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, in column order."""
        names = [one.name for one in self.columns]
        return [dict(zip(names, line, strict=True)) for line in zip(*self.list_plain(), strict=True)]

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a table: nullable integers and flags, float64 (NaN for null, inf as itself), text, lists of
        dictionaries.
        """
        import pandas as pd  # slow to import, and not every caller wants a table

        kinds = {"integer": "Int64", "flag": "boolean", "number": "float64"}
        cells = zip(self.columns, self.list_plain(), strict=True)
        series = {
            one.name: pd.Series(line, dtype=kinds.get(one.kind, None if line else "object")) for one, line in cells
        }
        return pd.DataFrame(series, columns=list(series))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Frame) and other.row_type is self.row_type:
            return len(self) == len(other) and all(
                _are_equal(cells, other.cells[name]) for name, cells in self.cells.items()
            )
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    def __hash__(self) -> int:
        raise TypeError("a frame holds arrays, which have no hash; use its rows")

    def __repr__(self) -> str:
        return f"Frame of {len(self)} {self.row_type.__name__}"


@dataclass(frozen=True)
class Table(Sequence[R], Generic[R]):
    """A result: its rows, a second table beside them, and what they were made from.

    Parameters
    ----------
    rows : the rows; the table itself is a sequence of them.
    totals : what sums them up, or limits held against them; a row type of its own, often empty.
    source : the input; None where nothing was read.
    settings : what the user asked for; plain values.
    complete : false where the work was cancelled and the rows are those made until then.
    coverage : what was left out and why, plain dictionaries.
    more : further parts of the document that it was read from, such as diagnoses; they are written again.
    """

    rows: Frame[R]
    totals: Frame[Any]
    source: SourceIdentity | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    complete: bool = True
    coverage: Sequence[Mapping[str, Any]] = ()
    more: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    @classmethod
    def from_rows(cls, row_type: type[R], rows: Iterable[R], *, totals: Iterable[Any] = (), **rest: Any) -> Self:
        """A table of rows; `rest` are the other fields."""
        return cls(Frame.from_rows(row_type, rows), Frame.from_rows(totals_of(row_type), totals), **rest)

    @classmethod
    def from_columns(
        cls, row_type: type[R], columns: Mapping[str, Cells], *, totals: Iterable[Any] = (), **rest: Any
    ) -> Self:
        """A table of one array per column; `rest` are the other fields. Raises ValueError for a missing or unknown
        column.
        """
        return cls(Frame(row_type, columns), Frame.from_rows(totals_of(row_type), totals), **rest)

    def find_fault(self) -> str:
        """What does not go together in a document that was read, though each row does; empty where all does."""
        return ""

    @property
    def row_type(self) -> type[R]:
        """The dataclass of a row."""
        return self.rows.row_type

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the rows, in the order of the contract."""
        return self.rows.columns

    def column(self, name: str) -> NDArray[Any]:
        """All cells of a column, as `Frame.column` gives them."""
        return self.rows.column(name)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Frame[R]: ...
    def __getitem__(self, index: int | slice) -> R | Frame[R]:
        return self.rows[index]

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, in column order."""
        return self.rows.to_dicts()

    def totals_to_dicts(self) -> list[dict[str, Any]]:
        """The second table as plain dictionaries."""
        return self.totals.to_dicts()

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a data frame, as `Frame.to_pandas` makes it."""
        return self.rows.to_pandas()

    def totals_to_pandas(self) -> pd.DataFrame:
        """The second table as a data frame."""
        return self.totals.to_pandas()


def _store(cells: Cells, column: Column) -> NDArray[Any]:
    """Cells as they are held, a copy unless they already are: null as NaN, as `NO_INTEGER` or as None."""
    if isinstance(cells, np.ndarray) and cells.dtype == dtype_of(column):
        return cells
    values: list[Any] = cells.tolist() if isinstance(cells, np.ndarray) else list(cells)
    if column.kind == "number" and not column.type.keeps_integers:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    if column.kind == "integer":
        return np.array([NO_INTEGER if value is None or math.isnan(value) else value for value in values], np.int64)
    if column.kind == "flag" and not column.nullable:
        return np.array(values, bool)
    stored = np.empty(len(values), object)
    stored[:] = values
    return stored


def dtype_of(column: Column) -> np.dtype[Any]:
    """As what its cells are stored: float64, int64 and bool where that holds all that they may be, else objects."""
    if column.type.keeps_integers or (column.kind == "flag" and column.nullable):
        return np.dtype(object)
    return np.dtype({"number": np.float64, "integer": np.int64, "flag": bool}.get(column.kind, object))


def _to_list(cells: NDArray[Any]) -> list[Any]:
    """Cells as Python's own values, null as None."""
    null = np.isnan(cells) if cells.dtype == np.float64 else cells == NO_INTEGER if cells.dtype == np.int64 else None
    if null is None or not null.any():
        return list(cells.tolist())
    plain = cells.astype(object)
    plain[null] = None
    return list(plain.tolist())


def _are_equal(own: NDArray[Any], other: NDArray[Any]) -> bool:
    if own.dtype == object:
        return bool(own.tolist() == other.tolist())
    return np.array_equal(own, other, equal_nan=own.dtype == np.float64)
