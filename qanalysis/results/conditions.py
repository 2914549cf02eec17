"""Does a table keep what a user asked of it? A condition such as delta_sqnr_db<-1 fails where a row fulfils it.

A row without the figure fails it too: what is missing can not pass for good. Only rows of which nothing can be had on
either side, as their type tells, are left aside.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from qanalysis.notation import parse_quantity, plain, quote, shorten
from qanalysis.results import columns
from qanalysis.results.columns import Column, RowType
from qanalysis.results.table import Table

Operator = Literal["<=", ">=", "==", "!=", "<", ">"]
_OPERATORS: dict[Operator, Callable[[Any, Any], Any]] = {"<=": le, ">=": ge, "==": eq, "!=": ne, "<": lt, ">": gt}
_FORM = re.compile(rf"\s*(\w+)\s*({'|'.join(get_args(Operator))})\s*([^<>=!\s](?:[^<>=!]*[^<>=!\s])?)\s*")
_FLAGS = {"true": True, "false": False}
#: How many rows are named of those that fail one condition.
MOST_NAMED = 10
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class ConditionCheck(RowType):
    """A condition held against every row; `met` is false, too, where a row lacks the figure or no row has one."""

    condition: str = columns.column("Condition", formula="a row fails where it holds")
    column: str = columns.column("Column", formula="the column held against it")
    held: int = columns.column("Held", counts=True, least=0, formula="rows with the figure")
    failed: int = columns.column("Failed", counts=True, least=0, formula="rows for which the condition holds")
    lacking: int = columns.column(
        "Lacking", counts=True, least=0, formula="rows that should have the figure and do not"
    )
    named: tuple[str, ...] = columns.column("Worst", formula="the worst rows and their figures, then rows without one")
    met: bool = columns.column("Met", formula="whether no row fails, and none lacks the figure")


@dataclass(frozen=True, slots=True)
class Condition:
    """A column, an operator and a bound in the column's unit; a word for columns of words, a flag for flags."""

    column: Column
    operator: Operator
    asked: float | str | bool

    @classmethod
    def parse(cls, text: str, known: Sequence[Column]) -> Self:
        """A condition over some columns, such as "delta_sqnr_db < -1 dB" or "status == only-a".

        Raises ValueError for what is no condition, for an unknown column, a bound that does not fit the column, and an
        order asked of words.
        """
        match = _FORM.fullmatch(text.replace("\N{MINUS SIGN}", "-"))
        if match is None:
            raise ValueError(
                f"condition {quote(text)}: a column, one of < <= > >= == != and a bound are expected, such as "
                "delta_sqnr_db<-1"
            )
        usable = {one.name: one for one in known if one.kind in ("number", "integer", "text", "flag")}
        name, bound = match[1], match[3]
        operator: Any = match[2]
        if name not in usable:
            raise ValueError(
                f"condition {quote(text)}: there is no column {quote(name)}; those that can be held are "
                f"{', '.join(_nearest_first(name, usable))}"
            )
        return cls(usable[name], operator, _read_bound(bound, usable[name], operator, text))

    def __str__(self) -> str:
        return f"{self.column.name} {self.operator} {self._bound}"

    @property
    def _bound(self) -> str:
        if isinstance(self.asked, bool):
            return str(self.asked).lower()
        return self.asked if isinstance(self.asked, str) else f"{self.asked:g}"

    def find(self, table: Table[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows fail it, and which lack the figure though they should have it, (rows,) each."""
        cells = table.column(self.column.name)
        known = self._find_known(cells)
        fails: NDArray[np.bool_] = known & np.asarray(_OPERATORS[self.operator](cells, self.asked), bool)
        excused = np.broadcast_to(table.row_type.is_excused(table.rows.namespace()), known.shape)
        return fails, ~known & ~excused

    def _find_known(self, cells: NDArray[Any]) -> NDArray[np.bool_]:
        return ~np.isnan(cells.astype(float)) if self.column.is_numeric else np.ones(len(cells), bool)

    def hold(self, table: Table[Any]) -> ConditionCheck:
        """What the rows make of it; those that fail worst are named first."""
        cells = table.column(self.column.name)
        known = self._find_known(cells)
        fails, lacking = self.find(table)
        at = [*_order(np.flatnonzero(fails), cells, self.operator), *np.flatnonzero(lacking).tolist()][:MOST_NAMED]
        return ConditionCheck(
            str(self),
            self.column.name,
            int(known.sum()),
            int(fails.sum()),
            int(lacking.sum()),
            tuple(f"{shorten(name_row(table, place), _LONGEST)}: {self._tell(cells[place])}" for place in at),
            bool(known.any() and not fails.any() and not lacking.any()),
        )

    def _tell(self, value: Any) -> str:
        if not self.column.is_numeric:
            return str(value)
        if math.isnan(value):
            return "no figure"
        return f"{plain(float(value), digits=4)} {self.column.unit}".rstrip()


def hold_all(table: Table[Any], texts: Iterable[str]) -> tuple[ConditionCheck, ...]:
    """Every condition, all of them parsed before the first is held."""
    return tuple(condition.hold(table) for condition in [Condition.parse(text, table.columns) for text in texts])


def name_row(table: Table[Any], place: int) -> str:
    """What tells a row from the others, in words; its number where its type knows nothing of the kind."""
    words = [str(table.column(name)[place]) for name in table.row_type.named_by]
    return ", ".join(dict.fromkeys(word for word in words if word)) or f"row {place + 1}"


def tell_missed(check: ConditionCheck) -> str:
    """A condition that is not kept, in one sentence: how many rows fail, and which first."""
    told = [f"{check.failed:,} of {check.held:,} rows fail"] if check.failed else []
    told += [f"{check.lacking:,} have no figure of {check.column}"] if check.lacking else []
    told = told or [f"no row has a figure of {check.column}"]
    more = check.failed + check.lacking - len(check.named)
    named = f": {'; '.join(check.named)}{f' and {more:,} more' if more else ''}" if check.named else ""
    return f"--fail-if {check.condition!r}: {', '.join(told)}{named}"


def _read_bound(text: str, column: Column, operator: Operator, condition: str) -> float | str | bool:
    if column.is_numeric:
        return _read_number(text, column, condition)
    if operator not in ("==", "!="):
        raise ValueError(f"condition {quote(condition)}: {column.name} holds words, which have no order; use == or !=")
    word = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
    if column.kind == "flag":
        if word.lower() not in _FLAGS:
            raise ValueError(f"condition {quote(condition)}: {column.name} is true or false")
        return _FLAGS[word.lower()]
    if column.choices and word not in column.choices:
        raise ValueError(
            f"condition {quote(condition)}: {column.name} is one of {', '.join(column.choices)}, not {quote(word)}"
        )
    return word


def _read_number(text: str, column: Column, condition: str) -> float:
    is_percent = column.share and text.endswith("%")
    try:
        found = parse_quantity(text[:-1] if is_percent else text, column.unit)
    except ValueError as error:
        raise ValueError(f"condition {quote(condition)}: {error}") from None
    if not math.isfinite(found):
        raise ValueError(f"condition {quote(condition)}: a bound is a finite number that figures can be held against")
    return found / 100 if is_percent else found


def _nearest_first(name: str, known: Iterable[str], most: int = 60) -> list[str]:
    """Known names, those with the same words first: `delta_snr_db` is near to `delta_sqnr_db`."""
    from difflib import SequenceMatcher

    names = sorted(known, key=lambda one: -SequenceMatcher(None, name, one).ratio())
    return [*names[:most], *(["..."] if len(names) > most else [])]


def _order(places: NDArray[np.intp], cells: NDArray[Any], operator: Operator) -> list[int]:
    """Places of failing rows, the one furthest beyond the bound first; as they come where there is no order."""
    if operator in ("==", "!="):
        return list(places.tolist())
    ordered = np.argsort(cells[places].astype(float), kind="stable")
    return list(places[ordered if operator in ("<", "<=") else ordered[::-1]].tolist())
