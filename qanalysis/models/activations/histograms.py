"""How are values spread that can not be kept? Counts in bins whose span doubles, bins merging pairwise, where a value
lies outside.

The span is a power of two above the largest magnitude, so that in the end the counts are the same in whatever order
and in whatever batches values came. Of each bin the sum of its magnitudes is known too, hence the mean of what fell in
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Floats
from qanalysis.kernels.tallying import tally

#: Bins of each sign.
BINS = 2048
#: Spans begin here: 2^-149 is the smallest magnitude of float32.
_SMALLEST_EXPONENT = -149


@dataclass(slots=True, eq=False)
class StreamedHistogram:
    """Histograms of `groups` streams of values, `bins` (a power of two) of each sign over ±2^exponent.

    `counts` and `sums` (of magnitudes, float64) are (groups, 2, bins): of the values below 0, then of the others, bins
    from 0 outward. `low`, `high` are the exact extremes, infinite the wrong way round where nothing was seen;
    `squares` the sum of x². Values that are not finite are counted in `non_finite` and left out. They add.
    """

    groups: int
    bins: int = BINS
    counts: NDArray[np.int64] = field(init=False)
    sums: Doubles = field(init=False)
    exponents: NDArray[np.int64] = field(init=False)
    low: Doubles = field(init=False)
    high: Doubles = field(init=False)
    squares: Doubles = field(init=False)
    non_finite: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.groups, 2, self.bins), np.int64)
        self.sums = np.zeros((self.groups, 2, self.bins))
        self.exponents = np.full(self.groups, _SMALLEST_EXPONENT)
        self.low, self.high = np.full(self.groups, np.inf), np.full(self.groups, -np.inf)
        self.squares, self.non_finite = np.zeros(self.groups), np.zeros(self.groups, np.int64)

    def add(self, matrix: Floats) -> None:
        """More values, (values, groups) float32; ValueError for another number of groups."""
        if matrix.ndim != 2 or matrix.shape[1] != self.groups:
            raise ValueError(f"values of shape {matrix.shape} for {self.groups} histograms; give (values, groups)")
        if not len(matrix):
            return
        finite = np.isfinite(matrix)
        known = matrix if finite.all() else np.where(finite, matrix, np.float32(np.nan))
        self.non_finite += len(matrix) - finite.sum(axis=0)
        self.low = np.fmin(self.low, np.fmin.reduce(known, axis=0))
        self.high = np.fmax(self.high, np.fmax.reduce(known, axis=0))
        self.squares += np.nansum(np.square(known, dtype=np.float64), axis=0)
        self._reach(self.largest)
        tally(np.ascontiguousarray(matrix), self.bins_per_unit, self.counts, self.sums)

    def __add__(self, other: Self) -> Self:
        """The histograms of both streams; ValueError where groups or bins differ."""
        if (self.groups, self.bins) != (other.groups, other.bins):
            raise ValueError(
                f"{self.groups} histograms of {self.bins} bins and {other.groups} of {other.bins} do not add"
            )
        both = type(self)(self.groups, self.bins)
        both.low, both.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        both.squares, both.non_finite = self.squares + other.squares, self.non_finite + other.non_finite
        exponents = np.maximum(self.exponents, other.exponents)
        both.exponents = exponents
        for part in (self, other):
            counts, sums = part._merge(exponents)
            both.counts += counts
            both.sums += sums
        return both

    @property
    def count(self) -> NDArray[np.int64]:
        """Finite values of each group, (groups,)."""
        found: NDArray[np.int64] = self.counts.sum(axis=(1, 2))
        return found

    @property
    def largest(self) -> Doubles:
        """The largest magnitude of each group, 0 where nothing was seen; (groups,)."""
        found: Doubles = np.maximum(np.maximum(-self.low, self.high), 0)
        return found

    @property
    def mean_magnitude(self) -> Doubles:
        """Mean |x|, (groups,); 0 where nothing was seen."""
        found: Doubles = self.sums.sum(axis=(1, 2)) / np.maximum(self.count, 1)
        return found

    @property
    def magnitude_std(self) -> Doubles:
        """Standard deviation of |x|, the population form, (groups,); 0 where nothing was seen."""
        variance = self.squares / np.maximum(self.count, 1) - self.mean_magnitude**2
        found: Doubles = np.sqrt(np.maximum(variance, 0))
        return found

    @property
    def points(self) -> Doubles:
        """The mean of what fell in each bin, its middle where nothing did, in ascending order: (groups, 2 bins)."""
        middles = (np.arange(self.bins) + 0.5) / self.bins_per_unit[:, np.newaxis, np.newaxis]
        means = np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), middles)
        return np.concatenate([-means[:, 0, ::-1], means[:, 1]], axis=1)

    @property
    def weights(self) -> NDArray[np.int64]:
        """How many values fell in the bin of each point, (groups, 2 bins)."""
        return np.concatenate([self.counts[:, 0, ::-1], self.counts[:, 1]], axis=1)

    @property
    def bins_per_unit(self) -> Doubles:
        """Bins of each sign in one unit of the values, (groups,)."""
        return np.ldexp(float(self.bins), -self.exponents)

    def _reach(self, largest: Doubles) -> None:
        """Spans above these magnitudes."""
        # frexp: largest = m 2^e with m below 1, so that 2^e is the smallest power of two above it.
        needed = np.where(largest > 0, np.frexp(largest)[1], _SMALLEST_EXPONENT)
        if (needed > self.exponents).any():
            exponents = np.maximum(needed, self.exponents)
            self.counts, self.sums = self._merge(exponents)
            self.exponents = exponents

    def _merge(self, exponents: NDArray[np.int64]) -> tuple[NDArray[np.int64], Doubles]:
        """Counts and sums in the bins of wider spans."""
        counts, sums = self.counts.copy(), self.sums.copy()
        for group in np.flatnonzero(exponents > self.exponents):
            merged = min(1 << min(int(exponents[group] - self.exponents[group]), 62), self.bins)
            for values in (counts[group], sums[group]):
                wider = values.reshape(2, self.bins // merged, merged).sum(axis=2)
                values[:] = 0
                values[:, : self.bins // merged] = wider
        return counts, sums
