"""How is something found told?

As a row of columns for programs, and as lines with label, value and convention for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qanalysis.converters.findings import Finding
from qanalysis.notation import NOTHING, decibels, signed, volts
from qanalysis.results.columns import columns_of

_SPELLINGS = {"V": lambda value: volts(value, digits=4), "LSB": lambda value: f"{signed(value, '+.3f')} LSB"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table of figures: the column that it shows, its label, the value as text,
    and by which convention it is.
    """

    column: str
    label: str
    text: str
    convention: str


@dataclass(frozen=True, slots=True)
class LineTable:
    """One more table beside the figures: heading, names of its columns, lines of cells;
    the first `text_columns` are no numbers.
    """

    heading: str
    columns: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]
    text_columns: int = 1


class Told(Protocol):
    """A row that people are told of in lines: all rows about converters."""

    @property
    def findings(self) -> tuple[Finding, ...]: ...
    @property
    def subject(self) -> str: ...
    @property
    def headline(self) -> str: ...
    @property
    def lines(self) -> tuple[Line, ...]: ...
    @property
    def tables(self) -> tuple[LineTable, ...]: ...


def tell(row: Any, name: str, convention: str, text: str | None = None) -> Line:
    """The line of a column; without `text` its value is written by its unit:
    volts and signed LSB, all else as decibels are.

    Raises StopIteration for a name that is no column.
    """
    shown = next(one for one in columns_of(type(row)) if one.name == name)
    return Line(name, shown.label, write_cell(getattr(row, name), shown.unit) if text is None else text, convention)


def write_cell(value: float | None, unit: str) -> str:
    """A figure in its unit as text, a dash for none.

    >>> write_cell(-72.251, "dBc"), write_cell(0.25, "LSB"), write_cell(None, "V")
    ('−72.25 dBc', '+0.250 LSB', '–')
    """
    if value is None:
        return NOTHING
    return _SPELLINGS[unit](value) if unit in _SPELLINGS else decibels(value, unit)


def spell_span(low: float | None, high: float | None) -> str | None:
    """A span as it is typed, LO:HI, with all digits that tell its ends from other numbers; None without one.

    >>> spell_span(-2.5, 3.3), spell_span(0.0, 1e-6), spell_span(None, None)
    ('-2.5:3.3', '0:1e-06', None)
    """
    return None if low is None or high is None else ":".join(repr(float(end)).removesuffix(".0") for end in (low, high))
