"""How much is there to do, how far is it, and about how long and how large will it be?

Work is values times schemes, each scheme weighed against integers under minmax. `weigh_work` looks at schemes alone,
at worst; the others know the groups too. A `Ledger` counts what is done of a
sweep while its threads work, an `Account` what is done of one tensor; an `Estimate` tells of a sweep that has not
begun.
"""

from __future__ import annotations

import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.chunks import CHUNK_VALUES

UNEQUAL, UNEQUAL_SEARCHED = 3, 20
"""How many times the work of an integer format another one is, and where its range is searched."""
WORK_PER_S = 500_000_000
"""Of one core, measured with integers, searches and tables, within a factor of three."""
WORK_PER_CALL = 20_000
"""Of laying one grid on one tensor, however small: 20 µs on two cores."""
_ROW_BYTES, _COPIES = 400, 4
"""Of one row in memory, and how often values are held at once: as read, as a matrix, as searched, and beside them
magnitudes."""


def weigh(scheme: Scheme, layout: Layout) -> float:
    """How many times the work of integers under minmax one scheme is in this layout, per value: its range's cost times
    that of its format.
    """
    length = layout.rows * layout.columns / layout.groups
    return scheme.range.cost_in(length, scheme.format.largest_code) * _compare_format(scheme)


def weigh_tensor(schemes: Sequence[Scheme], shape: tuple[int, ...], axis: Axes) -> float:
    """The work of a tensor of this shape and channel axis; what can not be measured takes none."""
    if not shape or not math.prod(shape):
        return 0.0
    total = 0.0
    for scheme in schemes:
        with suppress(ValueError):
            total += weigh(scheme, scheme.lay_out(shape, axis=axis))
    return total * math.prod(shape)


def _compare_format(scheme: Scheme) -> int:
    unequal = UNEQUAL_SEARCHED if scheme.range.tries_grids else UNEQUAL
    return 1 if scheme.format.is_integer else unequal


def weigh_work(tensors: Sequence[TensorInfo], schemes: Sequence[str]) -> int:
    """Values times schemes, each scheme weighed by its format and range rule against integers under minmax.

    The filter has been applied to `tensors`. ValueError for a text that is no scheme.

    >>> weigh_work([TensorInfo("w", (10, 10), "F32", 400)], ["int4", "int4 range=mse:20", "int4 range=kl"])
    101100
    """
    plan = list(map(Scheme.parse, schemes))
    return sum(info.numel for info in tensors) * sum(scheme.range.cost * _compare_format(scheme) for scheme in plan)


def count_cores() -> int:
    """The cores that this process may use."""
    # Only Linux tells them apart from those of the machine.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """About how long a sweep takes on the cores of this process, and how much memory it adds."""

    seconds: float
    memory_bytes: int

    @classmethod
    def of(cls, tensors: Sequence[TensorInfo], schemes: Sequence[str]) -> Self:
        """The estimate for some tensors and canonical scheme texts; ValueError for a text that is no scheme."""
        plan, largest = list(map(Scheme.parse, schemes)), max((info.numel for info in tensors), default=0)
        shapes = Counter((info.shape, info.view) for info in tensors if info.decodes)
        calls = len(tensors) * sum(1 + scheme.range.candidates for scheme in plan)
        work = WORK_PER_CALL * calls + sum(weigh_tensor(plan, *shape) * times for shape, times in shapes.items())
        # A searched range may need all values of its tensor at once.
        searches = any(not scheme.takes_extremes for scheme in plan)
        held = largest if searches else min(largest, 2 * CHUNK_VALUES)
        memory = 4 * _COPIES * held + _ROW_BYTES * len(tensors) * len(schemes)
        return cls(work / (WORK_PER_S * count_cores()), memory)


@dataclass(slots=True)
class Ledger:
    """What is done of `total` work, added to from any thread."""

    total: float
    done: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def share(self) -> float:
        """Done over total, 0 to 1; 0 where there is nothing to do."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def open(self, work: float) -> Account:
        """An account of a tensor that takes so much work."""
        return Account(self, work)

    def take(self, account: Account, work: float) -> None:
        """Note work as done, no more than is left of the account."""
        with self._lock:
            spent = min(work, account.left)
            account.left -= spent
            self.done += spent


@dataclass(slots=True)
class Account:
    """What is left to do of one tensor."""

    ledger: Ledger
    left: float

    def spend(self, work: float) -> None:
        """Note work as done; never more than is left."""
        self.ledger.take(self, work)

    def close(self) -> None:
        """Note all that is left, whatever it was: the tensor is finished."""
        self.ledger.take(self, self.left)

    def spread(self, work: float, calls: int, check: Callable[[], None]) -> Callable[[], None]:
        """A check for a search of so much work that calls it about so many times: every call notes its part.

        Calls beyond that many note nothing more.
        """
        calls = max(calls, 1)
        counted = iter(range(calls))

        def check_and_note() -> None:
            check()
            if next(counted, None) is not None:
                self.spend(work / calls)

        return check_and_note
