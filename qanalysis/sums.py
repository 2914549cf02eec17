"""How large is the error? Plain sums that add, and the figures derived from them.

Notation: x is the original, y its reconstruction, e = y - x, N the number of finite elements; x is finite, sums are float64.
A figure that the sums do not define (no signal, no error, nothing measured) is None; a zero error has an infinite ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.decibels import DB_PER_BIT, enob, ratio_db


@dataclass(frozen=True, slots=True)
class ErrorStats:
    """Sums over some elements of a tensor and of its reconstruction; `a + b` are the sums over both.

    Steps are counted per group (`groups`, `step_*`), storage in bits. All zeros is the empty value and the neutral element.
    """

    count: int = 0
    non_finite: int = 0
    relative_count: int = 0
    sum_x: float = 0.0
    sum_x2: float = 0.0
    sum_e: float = 0.0
    sum_e2: float = 0.0
    sum_xe: float = 0.0
    sum_abs_e: float = 0.0
    sum_relative: float = 0.0
    sum_e2_in_steps: float = 0.0
    clipped_e2: float = 0.0
    clipped: int = 0
    zeroed: int = 0
    max_abs_e: float = 0.0
    groups: int = 0
    step_sum: float = 0.0
    step_low: float = math.inf
    step_high: float = 0.0
    storage_bits: int = 0

    def __add__(self, other: Self) -> Self:
        # Spelled out because a sweep adds millions of these; a test holds the list complete.
        return type(self)(
            self.count + other.count,
            self.non_finite + other.non_finite,
            self.relative_count + other.relative_count,
            self.sum_x + other.sum_x,
            self.sum_x2 + other.sum_x2,
            self.sum_e + other.sum_e,
            self.sum_e2 + other.sum_e2,
            self.sum_xe + other.sum_xe,
            self.sum_abs_e + other.sum_abs_e,
            self.sum_relative + other.sum_relative,
            self.sum_e2_in_steps + other.sum_e2_in_steps,
            self.clipped_e2 + other.clipped_e2,
            self.clipped + other.clipped,
            self.zeroed + other.zeroed,
            max(self.max_abs_e, other.max_abs_e),
            self.groups + other.groups,
            self.step_sum + other.step_sum,
            min(self.step_low, other.step_low),
            max(self.step_high, other.step_high),
            self.storage_bits + other.storage_bits,
        )

    @property
    def numel(self) -> int:
        """Elements seen, finite or not."""
        return self.count + self.non_finite

    @property
    def bits_per_weight(self) -> float | None:
        """Codes, scales and zero points, in bits, over all elements."""
        return _ratio(self.storage_bits, self.numel)

    @property
    def size_bytes(self) -> int:
        """Storage rounded up to whole bytes."""
        return -(-self.storage_bits // 8)

    @property
    def step_min(self) -> float | None:
        """Smallest step of any group, in the unit of x."""
        return self.step_low if self.groups else None

    @property
    def step_mean(self) -> float | None:
        """Mean of the groups' steps."""
        return _ratio(self.step_sum, self.groups)

    @property
    def step_max(self) -> float | None:
        """Largest step of any group."""
        return self.step_high if self.groups else None

    @property
    def half_step_bound(self) -> float | None:
        """Half the largest step: no unclipped element is further off (LSB/2)."""
        return self.step_high / 2 if self.groups else None

    @property
    def max_abs_error(self) -> float | None:
        """Largest |e|."""
        return self.max_abs_e if self.count else None

    @property
    def mean_abs_error(self) -> float | None:
        """Mean |e|."""
        return _ratio(self.sum_abs_e, self.count)

    @property
    def bias(self) -> float | None:
        """Mean e."""
        return _ratio(self.sum_e, self.count)

    @property
    def mse(self) -> float | None:
        """Mean e^2."""
        return _ratio(self.sum_e2, self.count)

    @property
    def rmse_in_steps(self) -> float | None:
        """Root mean square of e over the step of its group; 1/sqrt(12) where the grid is fine and nothing clips."""
        mean = _ratio(self.sum_e2_in_steps, self.count)
        return None if mean is None or not self.groups else math.sqrt(mean)

    @property
    def sqnr_db(self) -> float | None:
        """10 log10(sum x^2 / sum e^2), uncentred."""
        return ratio_db(self.sum_x2, self.sum_e2)

    @property
    def sqnr_ac_db(self) -> float | None:
        """The same with the signal's mean removed: var x in place of mean x^2."""
        return ratio_db(self._centred(self.sum_x, self.sum_x, self.sum_x2), self.sum_e2)

    @property
    def enob(self) -> float | None:
        """Bits of the ideal sine quantizer with this SQNR: (sqnr_db - 1.7609) / 6.0206."""
        return None if self.sqnr_db is None else enob(self.sqnr_db)

    @property
    def relative_l2(self) -> float | None:
        """Norm of e over norm of x."""
        return None if self.sum_x2 == 0 else math.sqrt(self.sum_e2 / self.sum_x2)

    @property
    def mean_relative_error(self) -> float | None:
        """Mean |e|/|x| over the `relative_count` elements with x != 0."""
        return _ratio(self.sum_relative, self.relative_count)

    @property
    def cosine(self) -> float | None:
        """Angle of x and y, x.y / (norm x norm y), from sum y^2 = sum x^2 + 2 sum xe + sum e^2; None where x or y is all zeros."""
        norm_y2 = self.sum_x2 + 2 * self.sum_xe + self.sum_e2
        if self.zeroed == self.relative_count or norm_y2 <= 0:
            return None
        return min(1.0, max(-1.0, (self.sum_x2 + self.sum_xe) / (math.sqrt(self.sum_x2) * math.sqrt(norm_y2))))

    @property
    def error_signal_correlation(self) -> float | None:
        """Pearson correlation of e and x; -1 where everything rounds to zero, near 0 where the noise model holds."""
        var_x = self._centred(self.sum_x, self.sum_x, self.sum_x2)
        var_e = self._centred(self.sum_e, self.sum_e, self.sum_e2)
        if var_x <= 0 or var_e <= 0:
            return None
        return min(1.0, max(-1.0, self._centred(self.sum_x, self.sum_e, self.sum_xe) / (math.sqrt(var_x) * math.sqrt(var_e))))

    @property
    def clipped_fraction(self) -> float | None:
        """Share of elements whose rounded code, before clipping, lies outside the codes."""
        return _ratio(self.clipped, self.count) if self.groups else None

    @property
    def zeroed_fraction(self) -> float | None:
        """Share of all elements that are not zero but come back as zero."""
        return _ratio(self.zeroed, self.count)

    @property
    def clipping_share(self) -> float | None:
        """Share of sum e^2 from x beyond the end levels; with `rounding_share` it makes 1. None without an error to share."""
        # The two sums are rounded apart, so the share of a wholly clipped tensor can come out above 1.
        return min(1.0, self.clipped_e2 / self.sum_e2) if self.groups and self.sum_e2 else None

    @property
    def rounding_share(self) -> float | None:
        """Share of sum e^2 from x between the end levels."""
        return None if self.clipping_share is None else 1 - self.clipping_share

    @property
    def shannon_gap_db(self) -> float | None:
        """6.0206 bits_per_weight - sqnr_ac_db: distance to the rate-distortion limit of a Gaussian of the same power."""
        if self.bits_per_weight is None or self.sqnr_ac_db is None:
            return None
        return DB_PER_BIT * self.bits_per_weight - self.sqnr_ac_db

    @property
    def wasted_bits(self) -> float | None:
        """The gap in bits per weight: how many fewer an ideal code of a Gaussian of the same power would need for the same error."""
        return None if self.shannon_gap_db is None else self.shannon_gap_db / DB_PER_BIT

    def _centred(self, sum_a: float, sum_b: float, sum_ab: float) -> float:
        return sum_ab - sum_a * sum_b / self.count if self.count else 0.0


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def measure(x: ArrayLike, y: ArrayLike) -> ErrorStats:
    """Error sums of a reconstruction `y` of `x`, any equal shapes; elements with non-finite x are left out and counted.

    Steps, clipping and storage belong to a quantizer and stay empty here. Raises ValueError where the shapes differ.

    >>> stats = measure([1.0, -2.0, 0.0], [1.0, -1.5, 0.0])
    >>> round(stats.sqnr_db, 4), stats.max_abs_error, stats.relative_count
    (13.0103, 0.5, 2)
    """
    original, restored = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if original.shape != restored.shape:
        raise ValueError(f"shapes differ: x has {original.shape}, y has {restored.shape}; both must be the same tensor")
    finite = np.isfinite(original)
    original, restored = original[finite], restored[finite]
    e = restored - original
    magnitude = np.abs(e)
    nonzero = original != 0
    return ErrorStats(
        count=original.size,
        non_finite=int(finite.size - original.size),
        relative_count=int(nonzero.sum()),
        sum_x=float(original.sum()),
        sum_x2=float(np.square(original).sum()),
        sum_e=float(e.sum()),
        sum_e2=float(np.square(e).sum()),
        sum_xe=float((original * e).sum()),
        sum_abs_e=float(magnitude.sum()),
        sum_relative=float((magnitude[nonzero] / np.abs(original[nonzero])).sum()),
        zeroed=int(((restored == 0) & nonzero).sum()),
        max_abs_e=float(magnitude.max(initial=0.0)),
    )


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts in equal bins over [low, high); values outside are counted in `below` and `above`. Adds where the edges agree."""

    low: float
    high: float
    counts: NDArray[np.int64]
    below: int = 0
    above: int = 0

    @classmethod
    def from_values(cls, values: ArrayLike, *, low: float, high: float, bins: int = 256) -> Self:
        """Count finite values; a value equal to `high` falls in the last bin. Raises ValueError unless low < high, bins >= 1.

        >>> Histogram.from_values([0.1, 0.9, 1.0, 5.0], low=0, high=1, bins=2)
        Histogram(low=0, high=1, counts=array([1, 2]), below=0, above=1)
        """
        if not (low < high and bins >= 1):
            raise ValueError(f"histogram of {bins} bins over [{low}, {high}]: needs low < high and at least one bin")
        flat = np.asarray(values).reshape(-1)
        flat = flat[np.isfinite(flat)]
        counts, _ = np.histogram(flat, bins=bins, range=(low, high))
        return cls(low, high, counts, int((flat < low).sum()), int((flat > high).sum()))

    def __add__(self, other: Self) -> Self:
        if (self.low, self.high, self.counts.size) != (other.low, other.high, other.counts.size):
            raise ValueError(
                f"histograms over different bins do not add: {self.low, self.high, self.counts.size} and {other.low, other.high, other.counts.size}"
            )
        return type(self)(self.low, self.high, self.counts + other.counts, self.below + other.below, self.above + other.above)

    @property
    def edges(self) -> NDArray[np.float64]:
        """The bins' borders, one more than there are bins."""
        return np.linspace(self.low, self.high, self.counts.size + 1)

    @property
    def total(self) -> int:
        """Values counted, inside and outside the bins."""
        return int(self.counts.sum()) + self.below + self.above
