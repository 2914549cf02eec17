"""How far is B from A? Sums of the error over one pair, block by block, and where in the matrix the error lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.comparisons.pair import Pair
from qanalysis.comparisons.reading import RowReader, Side
from qanalysis.sums import ErrorStats

#: Elements that are read at once, 4 MB of each side, and those that are compared at once, which stay in cache.
_AT_ONCE, _IN_CACHE = 1 << 20, 1 << 16
#: Rows that are looked at to find the order in which they lie.
_ROWS_TRIED, _ELEMENTS_TRIED = 64, 1 << 20
#: Another way must leave at most this share of the error energy of the likeliest one to be taken instead.
_CLEARLY_LESS = 0.5
#: Rows in a wrong order have twice the energy of A as their error: below this share of it no other order is tried.
_SURELY = 0.25


@dataclass(slots=True)
class Tally:
    """Sums over the elements that are finite in both, and how many are not, those apart (`non_finite_apart`) that are
    not the same infinity or no number in both; energies of the error, and largest magnitudes of A, by row and by
    column of the matrix.
    """

    rows: int
    columns: int
    stats: ErrorStats = field(default_factory=ErrorStats)
    non_finite_a: int = 0
    non_finite_b: int = 0
    non_finite_apart: int = 0
    row_energy: Doubles = field(init=False)
    row_largest: Doubles = field(init=False)
    column_energy: Doubles = field(init=False)
    column_largest: Doubles = field(init=False)
    _work: Doubles = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.row_energy, self.row_largest = np.zeros(self.rows), np.zeros(self.rows)
        self.column_energy, self.column_largest = np.zeros(self.columns), np.zeros(self.columns)
        step = min(self.rows, max(1, _IN_CACHE // max(self.columns, 1)))
        self._work = np.empty((3, step, self.columns))

    def add(self, first: int, x: Floats, y: Floats) -> None:
        """Count in rows of A and of B, (rows, columns), that begin with the row `first`."""
        step = self._work.shape[1]
        for begin in range(0, len(x), step):
            self._add(first + begin, x[begin : begin + step], y[begin : begin + step])

    def _add(self, first: int, x: Floats, y: Floats) -> None:
        original, e, work = self._work[:, : len(x)]
        np.copyto(original, x)
        with np.errstate(invalid="ignore"):  # infinity less infinity
            np.subtract(y, original, out=e)
            total = e.sum()
        lost = 0 if np.isfinite(total) else self._leave_out(x, y, original, e)
        place = slice(first, first + len(x))
        np.multiply(e, e, out=work)
        self.row_energy[place] = work.sum(axis=1)
        self.column_energy += work.sum(axis=0)
        np.abs(original, out=work)
        self.row_largest[place] = work.max(axis=1, initial=0.0)
        np.maximum(self.column_largest, work.max(axis=0, initial=0.0), out=self.column_largest)
        np.multiply(work, work, out=work)
        sum_x2 = float(work.sum())
        np.multiply(original, e, out=work)  # no product of BLAS: its threads wait for each other on a busy machine
        signal = original != 0.0
        self.stats += ErrorStats(
            count=x.size - lost,
            non_finite=lost,
            relative_count=int(np.count_nonzero(signal)),
            zeroed=int(np.count_nonzero(signal & (y == 0.0))),
            sum_x=float(original.sum()),
            sum_x2=sum_x2,
            sum_e=float(e.sum()),
            sum_e2=float(self.row_energy[place].sum()),
            sum_xe=float(work.sum()),
            max_abs_e=float(max(e.max(initial=0.0), -e.min(initial=0.0))),
        )

    def _leave_out(self, x: Floats, y: Floats, original: Doubles, e: Doubles) -> int:
        """Elements that are not finite become zeros without an error; how many they are."""
        fine_a, fine_b = np.isfinite(x), np.isfinite(y)
        self.non_finite_a += int(x.size - fine_a.sum())
        self.non_finite_b += int(y.size - fine_b.sum())
        lost = ~(fine_a & fine_b)
        self.non_finite_apart += int(lost.sum() - np.sum(lost & ((x == y) | (np.isnan(x) & np.isnan(y)))))
        original[lost] = 0.0
        e[lost] = 0.0
        return int(lost.sum())


def measure_pair(pair: Pair, a: Side, b: Side) -> Tally:
    """The sums over a pair that fits; CheckpointError where values can not be had.

    No more than `_AT_ONCE` elements, or one row, of a tensor that can be read in slices are in memory at once.
    """
    if pair.a is None or pair.b is None or not pair.fits:
        raise ValueError("a pair of one side, or of two sizes, has no error; take pairs that fit")
    ours, theirs = a.open(pair.a), b.open(pair.b)
    tally = Tally(ours.rows, ours.columns)
    for first, last in _cut(ours):
        tally.add(first, ours.read(first, last), theirs.read(first, last))
    return tally


def _cut(reader: RowReader) -> Iterator[tuple[int, int]]:
    step = max(1, _AT_ONCE // max(reader.columns, 1))
    for first in range(0, reader.rows, step):
        yield first, min(first + step, reader.rows)


def settle_order(pair: Pair, a: Side, b: Side) -> tuple[Pair, str]:
    """The pair with rows in the order that values decide for, and what was found by trial; empty where headers told.

    Rows are looked at all over the matrix; an order that headers do not speak for is taken where it leaves less than
    half of the error energy. CheckpointError where values can not be had.
    """
    tried = [one for one in (pair, *pair.others) if one.fits]
    if len(tried) < 2:
        return replace(pair if not tried else tried[0], others=()), ""
    energy, signal = _try(tried[0], a, b)
    if energy < _SURELY * signal and not any(one.is_changed for one in tried):
        return replace(tried[0], others=()), ""
    energies = [energy, *(_try(one, a, b)[0] for one in tried[1:])]
    best = int(np.argmin(energies))
    if energies[best] >= _CLEARLY_LESS * energies[0]:
        return replace(tried[0], others=()), ""
    found = replace(tried[best], others=())
    return found, ", as ".join(filter(None, (_describe(found), "found by trial")))


def _try(pair: Pair, a: Side, b: Side) -> tuple[float, float]:
    """Energies of the error and of A over some rows."""
    if pair.a is None or pair.b is None:
        return math.inf, 0.0
    ours, theirs = a.open(pair.a), b.open(pair.b)
    most = max(1, min(_ROWS_TRIED, _ELEMENTS_TRIED // max(ours.columns, 1)))
    places = np.arange(ours.rows)
    if places.size > most:
        places = np.sort(np.random.default_rng(0).choice(ours.rows, most, replace=False))
    x, e = ours.read_some(places).astype(np.float64), theirs.read_some(places).astype(np.float64)
    with np.errstate(invalid="ignore"):
        e -= x
    fine = np.isfinite(e)
    return float(np.square(e[fine]).sum()), float(np.square(x[fine]).sum())


def _describe(pair: Pair) -> str:
    told = [part.rows.told for part in (pair.a, pair.b) if part is not None and part.rows is not None]
    words: Sequence[str] = [word for word in told if word]
    if pair.is_changed:
        return ""  # the row says what is compared
    if pair.heads:
        return f"rows turned in {pair.heads} heads"
    if "transposed" in pair.matched_by:
        return "rows and columns exchanged"
    return "their order" if words else "rows in the same order"
