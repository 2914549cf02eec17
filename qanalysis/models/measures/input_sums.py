"""How are second moments held within a bound of memory? One pass's sums; what finds no room waits for the next pass.

Parts that are multiplied with the same rows, as queries, keys and values are, share one sum: its leader adds, the
others follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from qanalysis.arrays import Doubles
from qanalysis.models.activations.second_moments import SecondMoments
from qanalysis.models.measures.uses import Use

_VERSION = "_version"  # how often autograd saw a tensor change in place


@dataclass(frozen=True, slots=True)
class Limits:
    """Inputs wider than `widest` keep the diagonal alone, a pass holds `hold_bytes`, sums may be shared."""

    widest: int
    hold_bytes: int
    share: bool = True


@dataclass(slots=True, eq=False)
class LayerInputs:
    """What met one tensor: second moments by the part that they met, counts of lookups (rows,) by table, and the words
    of operations that used it otherwise. `lost` is the operation whose rows could not be followed, after which sums
    are not whole; empty for none.
    """

    moments: dict[Use, SecondMoments] = field(default_factory=dict)
    lookups: dict[Use, Doubles] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    lost: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Last:
    """The rows that came last, held so that their memory is not given to others, and who adds them."""

    origin: Tensor
    version: int
    leader: Use


class InputSums:
    """The sums of one pass for some tensors. `too_large` are tensors that need more than a pass holds alone; it grows.

    `is_sound` turns false where parts that shared a sum met different rows; the pass is then worth nothing.
    """

    def __init__(self, names: Sequence[str], limits: Limits, too_large: set[str]) -> None:
        self.found = {name: LayerInputs() for name in names}
        self.is_sound = True
        self._limits, self._too_large = limits, too_large
        self._bytes, self._rows, self._leaders = Counter[str](), Counter[Use](), dict[Use, Use]()
        self._last: _Last | None = None

    def begin_run(self) -> None:
        """Another run of the model begins."""
        self._last = None

    def note_other(self, name: str, operation: str) -> None:
        """An operation uses a tensor otherwise than as a factor."""
        if name in self.found and operation not in self.found[name].others:
            self.found[name].others.append(operation)

    def note_lost(self, name: str, operation: str) -> None:
        """The rows of an operation with a tensor could not be followed."""
        if name in self.found:
            self.found[name].lost = operation

    def receive(self, use: Use, rows: Tensor, origin: Tensor | None) -> None:
        """Rows (..., width), or numbers of rows for a lookup, met a part of a tensor."""
        if use.tensor not in self.found:
            self._last = None
        elif use.is_lookup:
            counts = np.bincount(rows.numpy().reshape(-1), minlength=use.outputs).astype(np.float64)
            lookups = self.found[use.tensor].lookups
            lookups[use] = lookups[use] + counts if use in lookups else counts
        else:
            self._add(use, rows, origin)

    def settle(self) -> dict[str, LayerInputs]:
        """What was found of the tensors that had room."""
        for use, leader in self._leaders.items():
            if use.tensor in self.found:
                self.is_sound &= self._rows[use] == self._rows[leader]
        return self.found

    def _add(self, use: Use, rows: Tensor, origin: Tensor | None) -> None:
        moments, leader = self.found[use.tensor].moments, self._find_leader(origin)
        if use not in moments:
            if leader is not None and leader.width == use.width and leader.tensor in self.found:
                self._leaders[use] = leader
                moments[use] = self.found[leader.tensor].moments[leader]
            elif not self._admit(use):
                self._last = None
                return
        self._rows[use] += rows.numel() // use.width
        if use in self._leaders:
            self.is_sound &= self._leaders[use] == leader
            return
        moments[use].add(rows)
        self._last = None if origin is None else _Last(origin, _read_version(origin), use)

    def _find_leader(self, origin: Tensor | None) -> Use | None:
        """Who adds these rows already, None where nobody does."""
        if origin is None or self._last is None or not self._limits.share:
            return None
        last = self._last.origin
        is_same = (
            last.data_ptr() == origin.data_ptr()
            and (last.shape, last.stride(), last.dtype) == (origin.shape, origin.stride(), origin.dtype)
            and self._last.version == _read_version(origin) >= 0
        )
        return self._last.leader if is_same else None

    def _admit(self, use: Use) -> bool:
        """Make room for the sum of a part that was not met before; false where its tensor waits for another pass."""
        name, size = use.tensor, 8 * use.width**2 if use.width <= self._limits.widest else 0
        if name not in self._too_large and self._bytes.total() + size > self._limits.hold_bytes:
            if self._bytes.total() > self._bytes[name]:
                self._defer(name)
                return False
            self._too_large.add(name)
            for moments in self.found[name].moments.values():
                moments.products = None
        is_full = name not in self._too_large
        self._bytes[name] += size if is_full else 0
        self.found[name].moments[use] = SecondMoments(use.width, self._limits.widest if is_full else 0)
        return True

    def _defer(self, name: str) -> None:
        """Forget a tensor in this pass, and those that follow it."""
        followers = {use.tensor for use, leader in self._leaders.items() if leader.tensor == name}
        for one in {name, *followers}:
            self.found.pop(one, None)
            del self._bytes[one]


def _read_version(values: Tensor) -> int:
    """How often it was changed in place, -1 where nobody counts."""
    return -1 if values.is_inference() else int(getattr(values, _VERSION))
