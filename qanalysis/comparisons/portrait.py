"""What does one pair look like inside? Values of both on the same bins, their difference, and where the error lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.comparisons.errors import settle_order
from qanalysis.comparisons.pair import Pair
from qanalysis.comparisons.reading import Side

#: Elements of each side that are in memory at once.
_AT_ONCE = 1 << 20
BINS, CELLS = 120, 64


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A pair that fits, over the elements that are finite in both.

    `edges` (bins + 1,) are common to `counts_a` and `counts_b` (bins,), and hold every value of both; `error_edges` and
    `error_counts` are those of e = b − a, symmetric about 0. `rms` (down, along) is √mean e² of each block of the
    matrix, NaN where a block has no finite element; `row_step` and `column_step` are how many rows and columns a block
    has, the last ones fewer. `row_energy` (rows,) is Σe² of each output channel, `column_energy` (columns,) of each
    column.
    """

    edges: Doubles
    counts_a: Codes
    counts_b: Codes
    error_edges: Doubles
    error_counts: Codes
    rms: Doubles
    row_step: int
    column_step: int
    row_energy: Doubles
    column_energy: Doubles
    lost: int

    @property
    def worst_row(self) -> tuple[int, float]:
        """The output channel with the most error energy, and its share of all; (0, 0.0) where there is none."""
        return _find_worst(self.row_energy)

    @property
    def worst_column(self) -> tuple[int, float]:
        """The column with the most error energy, and its share of all; (0, 0.0) where there is none."""
        return _find_worst(self.column_energy)


def _find_worst(energy: Doubles) -> tuple[int, float]:
    total = float(energy.sum())
    place = int(np.argmax(energy)) if energy.size else 0
    return place, float(energy[place]) / total if total else 0.0


def draw_portrait(pair: Pair, a: Side, b: Side, *, bins: int = BINS, cells: int = CELLS) -> Portrait:
    """Two passes over the values, some of them at a time: the first finds the ends of the bins, the second counts.

    `cells` is the largest number of blocks down and along. Raises ValueError for a pair of one side or of two sizes,
    CheckpointError where values can not be had.
    """
    settled, _told = settle_order(pair, a, b)
    if settled.a is None or settled.b is None or not settled.fits:
        raise ValueError("a pair of one side, or of two sizes, has no common bins; take pairs that fit")
    low, high, reach = _find_ends(settled, a, b)
    edges, error_edges = np.linspace(low, high, bins + 1), np.linspace(-reach, reach, bins + 1)
    ours = a.open(settled.a)
    row_step, column_step = -(-ours.rows // cells) or 1, -(-ours.columns // cells) or 1
    shape = (-(-ours.rows // row_step), -(-ours.columns // column_step))
    energy, number = np.zeros(shape), np.zeros(shape)
    counts = [np.zeros(bins, np.int64) for _ in range(3)]
    row_energy, column_energy, lost = np.zeros(ours.rows), np.zeros(ours.columns), 0
    for first, x, y in _walk(settled, a, b):
        fine = np.isfinite(x) & np.isfinite(y)
        lost += int(fine.size - np.count_nonzero(fine))
        with np.errstate(invalid="ignore"):
            e = np.where(fine, y.astype(np.float64) - x, 0.0)
        for one, values, ends in ((0, x, edges), (1, y, edges), (2, e, error_edges)):
            counts[one] += np.histogram(values[fine], ends)[0]
        row_energy[first : first + len(x)] = (e**2).sum(axis=1)
        column_energy += (e**2).sum(axis=0)
        down = (first + np.arange(len(x))) // row_step
        starts = np.arange(0, ours.columns, column_step)
        np.add.at(energy, down, np.add.reduceat(e**2, starts, axis=1))
        np.add.at(number, down, np.add.reduceat(fine.astype(np.float64), starts, axis=1))
    rms = np.sqrt(np.divide(energy, number, out=np.full(shape, np.nan), where=number > 0))
    return Portrait(
        edges, counts[0], counts[1], error_edges, counts[2], rms, row_step, column_step, row_energy, column_energy, lost
    )  # fmt: skip


def _find_ends(pair: Pair, a: Side, b: Side) -> tuple[float, float, float]:
    """The least and the largest value of both, and the largest error; apart where all values are one."""
    low, high, reach = np.inf, -np.inf, 0.0
    for _first, x, y in _walk(pair, a, b):
        fine = np.isfinite(x) & np.isfinite(y)
        if fine.any():
            ours, theirs = x[fine].astype(np.float64), y[fine].astype(np.float64)
            low, high = min(low, ours.min(), theirs.min()), max(high, ours.max(), theirs.max())
            reach = max(reach, float(np.abs(theirs - ours).max()))
    if not np.isfinite(low):
        return -1.0, 1.0, 1.0
    spread = high - low or abs(high) or 1.0
    return (low, high, reach or spread * 1e-3) if high > low else (low - spread / 2, high + spread / 2, reach or spread)


def _walk(pair: Pair, a: Side, b: Side) -> Iterator[tuple[int, Floats, Floats]]:
    """Rows of both with the number of the first, some of them at a time."""
    if pair.a is None or pair.b is None:
        return
    ours, theirs = a.open(pair.a), b.open(pair.b)
    step = max(1, _AT_ONCE // max(ours.columns, 1))
    for first in range(0, ours.rows, step):
        last = min(first + step, ours.rows)
        yield first, ours.read(first, last), theirs.read(first, last)
