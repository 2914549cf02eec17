"""Is a limit kept that the user gave? A gate names a column and a bound; held against a row it is met or missed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from qanalysis.results import columns
from qanalysis.results.columns import RowType


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit that a user may give.

    Parameters
    ----------
    option : as it is typed.
    column : the column held against it.
    side : whether the figure must be at least or at most what was asked.
    asked : the bound, in the column's unit; None where none was given.
    read : what to read from a row, None where the row has no such figure. Without it the column itself counts, of a
        list its length.
    """

    option: str
    column: str
    side: Literal["at least", "at most"]
    asked: int | float | None
    read: Callable[[Any], int | float | None] | None = None

    def hold(self, row: Any) -> LimitCheck:
        """What a row makes of the limit; a row without the figure misses it. Raises ValueError for a bound that is no
        finite number.
        """
        if self.asked is None or not math.isfinite(self.asked):
            raise ValueError(
                f"{self.option} {self.asked}: a limit is a finite number that a figure can be held against"
            )
        found = (self.read or attrgetter(self.column))(row)
        reached = len(found) if isinstance(found, tuple) else found
        met = reached is not None and (reached >= self.asked if self.side == "at least" else reached <= self.asked)
        return LimitCheck(self.option, self.asked, self.column, reached, met)


@dataclass(frozen=True, slots=True)
class LimitCheck(RowType):
    """A limit that the user gave and what was reached; `met` is false, too, where there is no figure to hold against
    it.
    """

    limit: str = columns.column("Limit", formula="the option")
    asked: int | float = columns.column("Asked", formula="what the user asked for")
    column: str = columns.column(
        "Column", formula="the column held against it; dnl and inl stand for the larger magnitude"
    )
    reached: int | float | None = columns.column("Reached", formula="null where there is no figure")
    met: bool = columns.column("Met", formula="whether it is met")


def hold_gates(row: Any, gates: Iterable[Gate]) -> tuple[LimitCheck, ...]:
    """Each gate with a bound, held against a row."""
    return tuple(gate.hold(row) for gate in gates if gate.asked is not None)
