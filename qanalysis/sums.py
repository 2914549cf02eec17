"""How large is the error? Plain sums that add, and the figures derived from them.

Notation: x is the original, y its reconstruction, e = y - x, N the number of finite elements; x is finite, sums are
float64. A figure that the sums do not define (no signal, no error, nothing measured) is None; a zero error has an
infinite ratio. Sums may be arrays, of many schemes or tensors at once: the same formulas then give arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.decibels import DB_PER_BIT, SINE_DB, ratios_db

#: A number, or an array of them: one for each scheme, or tensor and scheme.
Amount = Any


class Figure:
    """A formula over sums. Of a value it is a number, None where the sums do not define it.

    Of the class it is the formula itself.

    The formula takes sums that are numbers or arrays of one shape, and holds NaN where they do not define it.
    """

    def __init__(self, formula: Callable[[Any], Amount]) -> None:
        self.formula = formula
        self.__doc__ = formula.__doc__

    @overload
    def __get__(self, sums: None, owner: type) -> Callable[[Any], Amount]: ...
    @overload
    def __get__(self, sums: object, owner: type) -> Amount: ...
    def __get__(self, sums: object, owner: type) -> Amount:
        if sums is None:
            return self.formula
        value = self.formula(sums)
        if np.ndim(value):
            return value
        return None if np.isnan(value) else float(value)


@dataclass(frozen=True, slots=True)
class ErrorStats:
    """Sums over some elements of a tensor and of its reconstruction; `a + b` are the sums over both.

    Steps are counted per group (`groups`, `step_*`), storage in bits; `lost_groups` have values other than 0 and a step
    too small for float32 to invert, so that they come back as 0. All zeros is the empty value and the neutral
    element. Every field may be a number or an array, all of one shape: then so are the figures, NaN in place of None.
    """

    count: Amount = 0
    non_finite: Amount = 0
    relative_count: Amount = 0
    sum_x: Amount = 0.0
    sum_x2: Amount = 0.0
    sum_e: Amount = 0.0
    sum_e2: Amount = 0.0
    sum_xe: Amount = 0.0
    sum_abs_e: Amount = 0.0
    sum_relative: Amount = 0.0
    sum_e2_in_steps: Amount = 0.0
    clipped_e2: Amount = 0.0
    clipped: Amount = 0
    zeroed: Amount = 0
    max_abs_e: Amount = field(default=0.0, metadata={"merge": np.maximum})
    groups: Amount = 0
    step_sum: Amount = 0.0
    step_low: Amount = field(default=math.inf, metadata={"merge": np.minimum})
    step_high: Amount = field(default=0.0, metadata={"merge": np.maximum})
    storage_bits: Amount = 0
    lost_groups: Amount = 0

    def __add__(self, other: Self) -> Self:
        merged = (merge(getattr(self, name), getattr(other, name)) for name, merge in _MERGES.items())
        return type(self)(*(value if np.ndim(value) else value.item() for value in merged))

    def take(self, places: Any) -> Self:
        """Some of many: the fields at these places of the first axis."""
        return type(self)(*(getattr(self, name)[places] for name in _MERGES))

    def pool(self) -> Self:
        """The sums over the first axis, which has at least one place, in its order."""
        return type(self)(*(merge.reduce(getattr(self, name), axis=0) for name, merge in _MERGES.items()))

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Sums with one more axis, the first, along the parts.

        >>> ErrorStats.stack([measure([2.0], [1.0]), measure([4.0], [1.0])]).mse
        array([1., 9.])
        """
        return cls(*(_stack([getattr(part, name) for part in parts]) for name in _MERGES))

    @property
    def numel(self) -> Amount:
        """Elements seen, finite or not."""
        return self.count + self.non_finite

    @property
    def size_bytes(self) -> Amount:
        """Storage rounded up to whole bytes."""
        return -(-self.storage_bits // 8)

    @Figure
    def bits_per_weight(self) -> Amount:
        """Codes, scales and zero points, in bits, over all elements."""
        return _ratio(self.storage_bits, self.numel)

    @Figure
    def step_min(self) -> Amount:
        """Smallest step of any group, in the unit of x."""
        return _where(self.groups, self.step_low)

    @Figure
    def step_mean(self) -> Amount:
        """Mean of the groups' steps."""
        return _ratio(self.step_sum, self.groups)

    @Figure
    def step_max(self) -> Amount:
        """Largest step of any group."""
        return _where(self.groups, self.step_high)

    @Figure
    def half_step_bound(self) -> Amount:
        """Half the largest step: no unclipped element is further off (LSB/2)."""
        return _where(self.groups, self.step_high) / 2

    @Figure
    def max_abs_error(self) -> Amount:
        """Largest |e|."""
        return _where(self.count, self.max_abs_e)

    @Figure
    def mean_abs_error(self) -> Amount:
        """Mean |e|."""
        return _ratio(self.sum_abs_e, self.count)

    @Figure
    def bias(self) -> Amount:
        """Mean e."""
        return _ratio(self.sum_e, self.count)

    @Figure
    def mse(self) -> Amount:
        """Mean e^2."""
        return _ratio(self.sum_e2, self.count)

    @Figure
    def rmse_in_steps(self) -> Amount:
        """Root mean square of e over the step of its group; 1/sqrt(12) where the grid is fine and nothing clips."""
        return _where(self.groups, np.sqrt(_ratio(self.sum_e2_in_steps, self.count)))

    @Figure
    def sqnr_db(self) -> Amount:
        """10 log10(sum x^2 / sum e^2), uncentred."""
        return ratios_db(self.sum_x2, self.sum_e2)

    @Figure
    def sqnr_ac_db(self) -> Amount:
        """The same with the signal's mean removed: var x in place of mean x^2."""
        return ratios_db(self._centred(self.sum_x, self.sum_x, self.sum_x2), self.sum_e2)

    @Figure
    def enob(self) -> Amount:
        """Bits of the ideal sine quantizer with this SQNR: (sqnr_db - 1.7609) / 6.0206."""
        return (ErrorStats.sqnr_db(self) - SINE_DB) / DB_PER_BIT

    @Figure
    def relative_l2(self) -> Amount:
        """Norm of e over norm of x."""
        return np.sqrt(_ratio(self.sum_e2, self.sum_x2))

    @Figure
    def relative_error_energy(self) -> Amount:
        """Power of e over power of x, relative_l2 squared: of tensors of one power these add."""
        return _ratio(self.sum_e2, self.sum_x2)

    @Figure
    def mean_relative_error(self) -> Amount:
        """Mean |e|/|x| over the `relative_count` elements with x != 0."""
        return _ratio(self.sum_relative, self.relative_count)

    @Figure
    def cosine(self) -> Amount:
        """Angle of x and y, x.y / (norm x norm y), from sum y^2 = sum x^2 + 2 sum xe + sum e^2.

        None where x or y is all zeros.
        """
        norm_y2 = np.maximum(self.sum_x2 + 2 * self.sum_xe + self.sum_e2, 0.0)
        is_known = np.not_equal(self.zeroed, self.relative_count) & (norm_y2 > 0)
        return _where(is_known, _cut(_ratio(self.sum_x2 + self.sum_xe, np.sqrt(self.sum_x2) * np.sqrt(norm_y2))))

    @Figure
    def error_signal_correlation(self) -> Amount:
        """Pearson correlation of e and x; -1 where everything rounds to zero, near 0 where the noise model holds."""
        var_x = np.maximum(self._centred(self.sum_x, self.sum_x, self.sum_x2), 0.0)
        var_e = np.maximum(self._centred(self.sum_e, self.sum_e, self.sum_e2), 0.0)
        covariance = self._centred(self.sum_x, self.sum_e, self.sum_xe)
        return _where(np.logical_and(var_x, var_e), _cut(_ratio(covariance, np.sqrt(var_x) * np.sqrt(var_e))))

    @Figure
    def clipped_fraction(self) -> Amount:
        """Share of elements whose rounded code, before clipping, lies outside the codes."""
        return _where(self.groups, _ratio(self.clipped, self.count))

    @Figure
    def zeroed_fraction(self) -> Amount:
        """Share of all elements that are not zero but come back as zero."""
        return _ratio(self.zeroed, self.count)

    @Figure
    def clipping_share(self) -> Amount:
        """Share of sum e^2 from x beyond the end levels; with `rounding_share` it makes 1.

        None without an error to share.
        """
        # The two sums are rounded apart, so the share of a wholly clipped tensor can come out above 1.
        return _where(np.logical_and(self.groups, self.sum_e2), np.fmin(_ratio(self.clipped_e2, self.sum_e2), 1.0))

    @Figure
    def rounding_share(self) -> Amount:
        """Share of sum e^2 from x between the end levels."""
        return 1 - ErrorStats.clipping_share(self)

    @Figure
    def shannon_gap_db(self) -> Amount:
        """6.0206 bits_per_weight - sqnr_ac_db.

        Distance to the rate-distortion limit of a Gaussian of the same power.
        """
        return DB_PER_BIT * ErrorStats.bits_per_weight(self) - ErrorStats.sqnr_ac_db(self)

    @Figure
    def wasted_bits(self) -> Amount:
        """The gap in bits per weight.

        So many fewer would an ideal code of a Gaussian of the same power need for the same error.
        """
        return ErrorStats.shannon_gap_db(self) / DB_PER_BIT

    def _centred(self, sum_a: Amount, sum_b: Amount, sum_ab: Amount) -> Amount:
        # Errors beside the largest float32 can have an infinite sum.
        with np.errstate(invalid="ignore"):
            return sum_ab - sum_a * sum_b / np.maximum(self.count, 1)


_MERGES: dict[str, np.ufunc] = {entry.name: entry.metadata.get("merge", np.add) for entry in fields(ErrorStats)}


def _stack(values: Sequence[Amount]) -> NDArray[Any]:
    """Numbers, or arrays of one shape, along a new first axis."""
    shape = np.shape(values[0])
    # A list of many short arrays is taken apart value by value; joined end to end they are copied whole.
    return np.concatenate(values).reshape(len(values), *shape) if shape else np.array(values)


def _where(known: Amount, value: Amount) -> Amount:
    return np.where(known, value, np.nan)


def _cut(cosine: Amount) -> Amount:
    """To -1..1, as rounding can lead beyond."""
    return np.fmin(np.fmax(cosine, -1.0), 1.0)


def _ratio(part: Amount, whole: Amount) -> Amount:
    """NaN where there is no whole."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _where(whole, np.true_divide(part, whole))


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
    """Counts in equal bins over [low, high); values outside are counted in `below` and `above`.

    Adds where the edges agree.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    below: int = 0
    above: int = 0

    @classmethod
    def from_values(cls, values: ArrayLike, *, low: float, high: float, bins: int = 256) -> Self:
        """Count finite values; a value equal to `high` falls in the last bin. Raises ValueError unless low < high, bins
        >= 1.

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
                f"histograms over different bins do not add: {self.low, self.high, self.counts.size} and "
                f"{other.low, other.high, other.counts.size}"
            )
        return type(self)(
            self.low, self.high, self.counts + other.counts, self.below + other.below, self.above + other.above
        )

    @property
    def edges(self) -> NDArray[np.float64]:
        """The bins' borders, one more than there are bins."""
        return np.linspace(self.low, self.high, self.counts.size + 1)

    @property
    def total(self) -> int:
        """Values counted, inside and outside the bins."""
        return int(self.counts.sum()) + self.below + self.above
