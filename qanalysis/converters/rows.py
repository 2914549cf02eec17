"""What comes out of a command about converters? Its rows, and the limits held against them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.textbook.row import TextbookRow
from qanalysis.results.columns import names_of
from qanalysis.results.identity import SourceIdentity

ConverterRow = TextbookRow | RecordRow | LinearityRow


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """A limit that the user gave and what was reached; `met` is false, too, where there is no figure to hold against it."""

    limit: str
    asked: float
    column: str
    reached: float | None
    met: bool

    def to_dict(self) -> dict[str, Any]:
        """An entry of the table `totals`."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


@dataclass(frozen=True)
class ConverterRows:
    """What one command found: its rows, the limits held against them, the input (None for `convert`) and the settings."""

    command: str
    rows: tuple[ConverterRow, ...]
    source: SourceIdentity | None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    limits: tuple[LimitCheck, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of these rows, in the order of the contract."""
        return names_of(type(self.rows[0]))

    @property
    def missed(self) -> tuple[LimitCheck, ...]:
        """The limits that were not met."""
        return tuple(limit for limit in self.limits if not limit.met)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, in column order."""
        return [row.to_dict() for row in self.rows]


def check_limits(row: ConverterRow, limits: Sequence[tuple[str, str, float | None]]) -> tuple[LimitCheck, ...]:
    """Each limit that was given, (option, column, value), held against a row: "--min-..." from below, "--max-..." from above.

    Columns come in three forms: a figure; `dnl` or `inl`, of which the larger magnitude counts; a list, whose length counts. Of a THD
    below the noise the upper end of its interval counts: what the noise leaves room for. Raises ValueError for a limit that is NaN.
    """
    return tuple(_check_limit(row, option, column, asked) for option, column, asked in limits if asked is not None)


def _check_limit(row: ConverterRow, option: str, column: str, asked: float) -> LimitCheck:
    if math.isnan(asked):
        raise ValueError(f"{option} {asked}: a limit is a number that a figure can be held against")
    if column in ("dnl", "inl"):
        reached: Any = max(abs(getattr(row, f"{column}_min_lsb")), abs(getattr(row, f"{column}_max_lsb")))
    elif column == "thd_dbc" and isinstance(row, RecordRow) and row.thd_below_noise and row.thd_ci95_db:
        reached = row.thd_ci95_db[1]
    else:
        reached = getattr(row, column)
        reached = len(reached) if isinstance(reached, tuple) else reached
    met = reached is not None and (reached >= asked if option.startswith("--min") else reached <= asked)
    return LimitCheck(option, asked, column, reached, met)
