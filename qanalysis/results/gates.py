"""Is a limit kept that the user gave? A gate names a column and a bound; held against a row it is met or missed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from qanalysis.results import columns
from qanalysis.results.columns import RowType


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit: its option, the column held against it, the bound (None where none was given), and what to read from a
    row.

    "--min-..." bounds from below, "--max-..." from above. Without `read` the column itself counts, of a list its
    length.
    """

    option: str
    column: str
    asked: float | None
    read: Callable[[Any], float | None] | None = None

    def hold(self, row: Any) -> LimitCheck:
        """What a row makes of the limit; a row without the figure misses it. Raises ValueError for a bound that is no
        finite number.
        """
        if self.asked is None or not math.isfinite(self.asked):
            raise ValueError(
                f"{self.option} {self.asked}: a limit is a finite number that a figure can be held against"
            )
        found = (self.read or attrgetter(self.column))(row)
        reached = float(len(found)) if isinstance(found, tuple) else found
        met = reached is not None and (
            reached >= self.asked if self.option.startswith("--min") else reached <= self.asked
        )
        return LimitCheck(self.option, self.asked, self.column, reached, met)


@dataclass(frozen=True, slots=True)
class LimitCheck(RowType):
    """A limit that the user gave and what was reached; `met` is false, too, where there is no figure to hold against
    it.
    """

    limit: str = columns.column("Limit", formula="the option")
    asked: float = columns.column("Asked", formula="what the user asked for")
    column: str = columns.column(
        "Column", formula="the column held against it; dnl and inl stand for the larger magnitude"
    )
    reached: float | None = columns.column("Reached", formula="null where there is no figure")
    met: bool = columns.column("Met", formula="whether it is met")


def hold_gates(row: Any, gates: Iterable[Gate]) -> tuple[LimitCheck, ...]:
    """Each gate with a bound, held against a row."""
    return tuple(gate.hold(row) for gate in gates if gate.asked is not None)
