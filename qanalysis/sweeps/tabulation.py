"""How do the sums of many tensors become the columns of a table?

All figures of a block of tensors are worked out at once, under all schemes: what a column reads from arrays of sums. A
row holds those that are known under its status.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.columns import columns_of
from qanalysis.results.table import NO_INTEGER, Frame, dtype_of
from qanalysis.sums import ErrorStats
from qanalysis.sweeps.measurement import Measured, make_empty
from qanalysis.sweeps.row import TOTAL_NAME, Row

#: So many tensors become columns at a time.
BLOCK = 64

Cells = dict[str, NDArray[Any]]

_LOST = "a step below 2^-127 can not be inverted, all values come back as 0"
_BEYOND_FLOAT32 = "non-finite values may be float64 ones beyond float32's largest, 3.4e38"
_NO_FLOAT32 = "no element is finite in float32: the float64 values are NaN, infinite or beyond its largest, 3.4e38"
_ALL_BELOW_FLOAT32 = "in float32 every element rounds to 0: the float64 values are 0 or below its smallest, 1.4e-45"


@dataclass(slots=True)
class Tabulation:
    """The table of a sweep while it grows.

    Filled block by block, in the order of the tensors, and the sums of all of them.

    The columns are as long as the finished table from the start; nothing else grows with the number of tensors.
    """

    schemes: Sequence[Scheme]
    tensors: int
    _words: Cells = field(init=False)
    _cells: Cells = field(init=False, default_factory=dict)
    _waiting: list[Measured] = field(init=False, default_factory=list)
    _filled: int = field(init=False, default=0)
    _pooled: ErrorStats = field(init=False)

    def __post_init__(self) -> None:
        self._words, self._pooled = _read_part("scheme", self.schemes), make_empty(len(self.schemes))

    def add(self, measured: Measured) -> Sequence[Row]:
        """Take the next tensor; its rows, made when someone looks at them."""
        self._waiting.append(measured)
        if len(self._waiting) == BLOCK:
            self._fill()
        return LateRows(measured, self._words)

    def finish(self) -> Frame[Row]:
        """The rows of all tensors so far."""
        self._fill()
        if not self._filled:
            return Frame.from_rows(Row, ())
        return Frame(Row, {name: cells[: self._filled] for name, cells in self._cells.items()})

    def total(self) -> Frame[Row]:
        """One row per scheme over all tensors that have finite values, once the rows are finished."""
        pooled = self._pooled
        reasons = np.where(pooled.numel == 0, "no tensor was measured", "").astype(object)
        everything = Measured(TensorInfo(TOTAL_NAME, (), "", 0), pooled, np.full(len(self.schemes), np.nan), reasons)
        cells = _describe((everything,), self._words) | {"numel": pooled.numel.astype(np.int64)}
        return Frame(Row, cells | {"role": np.full(len(self.schemes), "", object)})

    def _fill(self) -> None:
        if not self._waiting:
            return
        sums, start = ErrorStats.stack([measured.sums for measured in self._waiting]), self._filled
        self._filled += len(self._waiting) * len(self.schemes)
        for name, cells in _describe(self._waiting, self._words, sums=sums).items():
            whole = self._cells.setdefault(name, np.empty(self.tensors * len(self.schemes), cells.dtype))
            whole[start : self._filled] = cells
        # What has no finite value adds nothing to a total, its storage neither.
        has_values = sums.count.any(axis=1)
        if has_values.any():
            self._pooled += sums.take(has_values).pool()
        self._waiting.clear()


class LateRows(Sequence[Row]):
    """The rows of one tensor, worked out when someone looks at them."""

    def __init__(self, measured: Measured, words: Cells) -> None:
        self._measured, self._words = measured, words

    @cached_property
    def _rows(self) -> Frame[Row]:
        return Frame(Row, _describe((self._measured,), self._words))

    def __len__(self) -> int:
        return len(self._measured.reasons)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


def _read_part(part: str, found: Sequence[Any]) -> Cells:
    """The cells, (found,), of the columns that are read from this part."""
    return {
        one.name: np.array([one.read(thing) for thing in found], dtype_of(one))
        for one in columns_of(Row)
        if one.part == part
    }


def _describe(parts: Sequence[Measured], words: Cells, *, sums: ErrorStats | None = None) -> Cells:
    """The cells of some tensors under all schemes, (tensors * schemes,), tensors outermost.

    `sums` are theirs where already stacked, fields (tensors, schemes).
    """
    headers = _read_part("info", [part.info for part in parts])
    cells = {name: np.repeat(own, len(words["scheme"])) for name, own in headers.items()}
    cells |= {name: np.tile(own, len(parts)) for name, own in words.items()}
    sums = sums or ErrorStats.stack([part.sums for part in parts])
    status, reason = _judge(parts, sums)
    cells["status"], cells["reason"] = status.reshape(-1), reason.reshape(-1)
    cells["theory_sqnr_db"] = _store(np.array([part.predictions for part in parts]), status == "ok")
    figures = [one for one in columns_of(Row) if one.name not in cells]
    known = {more: _is_one_of(status, ("ok", *more)) for more in {one.known_of for one in figures}}
    for one in figures:
        # Sums of nothing stand beside the others; their figures are not kept.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = one.read(sums)
        cells[one.name] = _store(found, known[one.known_of], is_whole=one.kind == "integer")
    return cells


def _judge(parts: Sequence[Measured], sums: ErrorStats) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Status and reason of every cell, (tensors, schemes)."""
    # `np.full` would make a text of its own for every cell.
    status, reason = (
        np.repeat(np.array(["ok"], object), sums.count.size).reshape(sums.count.shape),
        np.array([part.reasons for part in parts], object),
    )
    _tell_lost(parts, sums, reason)
    if (sums.relative_count > 0).all():
        return status, reason
    for row, part in enumerate(parts):
        status[row, sums.numel[row] == 0] = part.status
    without_finite, all_zero = (sums.count == 0) & (sums.numel > 0), (sums.relative_count == 0) & (sums.count > 0)
    status[without_finite], reason[without_finite] = "non-finite", "no element is finite"
    status[all_zero], reason[all_zero] = "zero", "every element is 0"
    reason[all_zero & (sums.non_finite > 0)] = "every finite element is 0"
    rounded = np.array([[part.info.dtype == "float64"] for part in parts])
    reason[without_finite & rounded] = _NO_FLOAT32
    reason[all_zero & rounded] = _ALL_BELOW_FLOAT32
    return status, reason


def _tell_lost(parts: Sequence[Measured], sums: ErrorStats, reason: NDArray[np.object_]) -> None:
    """Add what was lost to float32 where figures hide it: groups too small for a step, float64 values too large."""
    for row, column in zip(*np.nonzero(sums.lost_groups), strict=True):
        number = int(sums.lost_groups[row, column])
        lost = f"too small for float32 are {number:,} group{'s'[: number > 1]}: {_LOST}"
        reason[row, column] = _join(reason[row, column], lost)
    for row, part in enumerate(parts):
        if part.info.dtype == "float64" and (sums.non_finite[row] > 0).any():
            reason[row] = [_join(text, _BEYOND_FLOAT32) for text in reason[row]]


def _join(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _is_one_of(status: NDArray[np.object_], words: Sequence[str]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.logical_or.reduce([status == word for word in words])
    return found


def _store(figures: NDArray[Any], known: NDArray[np.bool_], *, is_whole: bool = False) -> NDArray[Any]:
    """Figures as a table holds them, in one line; null where they are not known."""
    return (
        np.where(known, figures, NO_INTEGER).astype(np.int64) if is_whole else np.where(known, figures, np.nan)
    ).reshape(-1)
