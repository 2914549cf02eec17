"""What is the least error that any grid, or any code at all, could reach on a tensor's own values?

It is read from their histogram. Inside a bin values are taken as uniform. For a smooth density, n values and bins of
width w this makes the mean square too large by w^2/6 and the entropy by w^2/24 of the Fisher information, in nats;
(occupied bins - 1)/(2n) nats of entropy are missing. Structure finer than w is hidden: an error below w^2/12 can not be
told from zero. A few thousand bins serve 8 bits (0.01 dB on a Gaussian).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.decibels import DB_PER_BIT
from qanalysis.notation import quote
from qanalysis.sums import Histogram
from qanalysis.theory.optimal_grids import check_bits

MOST_ROUNDS = 1000
LAYER_BINS = 4096
VALUES_PER_BIN, LEAST_VALUES = 32, 1024


@dataclass(frozen=True, slots=True, eq=False)
class BestGrid:
    """The scalar grid of least mean squared error on a histogram: its `levels`, ascending, and the error."""

    levels: Doubles
    mse: float
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """What a layer's own values allow: SQNR of the best scalar grid at each of some bit widths, and the bound of any
    code.

    `entropy_db` is the Shannon lower bound at rate 0, to which each bit per weight adds 6.0206 dB; None for fewer
    values than an entropy can be told from (1024).
    """

    name: str
    bits: tuple[int, ...]
    best_scalar_db: tuple[float, ...]
    entropy_db: float | None

    def bound_db(self, bits_per_weight: float) -> float | None:
        """The SQNR that no code of this rate passes, if the values are independent; None where it is not known."""
        return None if self.entropy_db is None else self.entropy_db + DB_PER_BIT * bits_per_weight


def find_limits(x: ArrayLike, *, bits: Sequence[int] = range(2, 9), name: str = "") -> LayerLimits:
    """The limits of a tensor's finite values, of any shape, from histograms; a second or two for all widths to 8.

    Grids come from 4096 bins. The entropy has 32 values to a bin, and at most as many bins: what it misses is below
    1/64 nats, 0.14 dB.

    ValueError where the values have no spread, or none is finite.

    >>> limits = find_limits([-1.0, -0.5, 0.25, 0.5, 1.0], bits=[1, 2])
    >>> round(limits.best_scalar_db[0], 1), limits.bound_db(2)
    (7.9, None)
    """
    values = np.asarray(x, np.float64).reshape(-1)
    values = values[np.isfinite(values)]
    if not values.size or values.min() == values.max():
        raise ValueError(f"tensor {quote(name)}: the limits need finite values that differ; {values.size} are finite")
    low, high = float(values.min()), float(values.max())
    fine = Histogram.from_values(values, low=low, high=high, bins=LAYER_BINS)
    best = tuple(lloyd_max_histogram(fine, width).sqnr_db for width in bits)
    coarse = Histogram.from_values(
        values, low=low, high=high, bins=min(LAYER_BINS, max(values.size // VALUES_PER_BIN, 1))
    )
    return LayerLimits(name, tuple(bits), best, entropy_bound_db(coarse, 0.0) if values.size >= LEAST_VALUES else None)


def describe_limits(limits: LayerLimits, *, bits: int, bits_per_weight: float, sqnr_db: float) -> str:
    """One sentence that sets a measured SQNR beside the limits of its layer.

    >>> describe_limits(LayerLimits("w", (4,), (20.2,), 0.0), bits=3, bits_per_weight=3.5, sqnr_db=12.0)
    'At 12.00 dB: no code of 3.500 bits per weight passes 21.07 dB if the values are independent, 1.51 bits away.'
    """
    bound = limits.bound_db(bits_per_weight)
    best = dict(zip(limits.bits, limits.best_scalar_db, strict=True)).get(bits)
    grid = f"the best grid of {bits} bits for these values reaches {best:.2f} dB; " if best is not None else ""
    if bound is None:
        return f"At {sqnr_db:.2f} dB: {grid}there are too few values to tell their entropy, which takes {LEAST_VALUES}."
    away = (bound - sqnr_db) / DB_PER_BIT
    rate = (
        f"no code of {bits_per_weight:.3f} bits per weight passes {bound:.2f} dB if the values are independent, "
        f"{away:.2f} bits away"
    )
    return f"At {sqnr_db:.2f} dB: {grid}{rate}."


def lloyd_max_histogram(histogram: Histogram, bits: int) -> BestGrid:
    """At most 2^bits levels (`bits` 1 to 16), nearest one wins; the SQNR is over the mean square, as in the column
    sqnr_db.

    The best division of whole bins is found exactly (dynamic programming, so a second mode or an outlier can not trap
    it), then Lloyd's iteration frees the thresholds from the bins' edges. Where no more bins are occupied than there
    are levels, the levels are the bins' middles and the error is width^2/12. About 30 ms for 4 bits in 4096 bins, 0.5 s
    for 8. ValueError for an empty histogram and for one with values outside its bins.

    >>> values = Histogram.from_values([-1.0, -1.0, 1.0, 3.0], low=-1.5, high=3.5, bins=5)
    >>> grid = lloyd_max_histogram(values, 1)
    >>> grid.levels.tolist(), round(grid.mse - 1 / 12, 12)
    ([-1.0, 2.0], 0.5)
    """
    level_count = 2 ** check_bits(bits)
    mass, power = _masses(histogram), _mean_square(histogram)
    width = (histogram.high - histogram.low) / histogram.counts.size
    # In bins about the mean, squares neither cancel nor leave the range of float64.
    mean = float(mass @ np.arange(mass.size))
    middles = np.arange(mass.size, dtype=np.float64) - mean
    occupied = np.flatnonzero(mass)
    if occupied.size <= level_count:
        levels, error = middles[occupied], 1.0 / 12.0
    else:
        firsts = occupied[_divide(middles[occupied], mass[occupied], level_count)]
        levels, error = _relax(middles[firsts[1:]] - 0.5, middles[0] - 0.5, mass)
    mse = error * width**2
    return BestGrid(histogram.low + width * (levels + mean + 0.5), mse, 10.0 * math.log10(power / mse))


def entropy_bound_db(histogram: Histogram, bits_per_weight: float) -> float:
    """The SQNR that no code of `bits_per_weight` bits passes, however long its blocks, if values are independent
    (Shannon's lower bound).

    D >= 2^(2h) / (2 pi e) 2^(-2R) with the differential entropy h of the bins; over the mean square, as in the column
    sqnr_db. ValueError as for `lloyd_max_histogram`, and for a rate that is negative or not finite.

    >>> uniform = Histogram(-1.0, 1.0, np.full(8, 100))
    >>> round(entropy_bound_db(uniform, 4), 3)
    25.615
    """
    if not 0.0 <= bits_per_weight < math.inf:
        raise ValueError(f"bits_per_weight={quote(bits_per_weight)} is no rate: use a finite number of bits, 0 or more")
    least_power = 2.0 ** (2.0 * entropy_bits(histogram)) / (2.0 * math.pi * math.e)
    return DB_PER_BIT * bits_per_weight + 10.0 * math.log10(_mean_square(histogram) / least_power)


def entropy_bits(histogram: Histogram) -> float:
    """Differential entropy h of the values, in bits, in their unit; -inf is not reached, a single bin has log2 of its
    width.

    >>> entropy_bits(Histogram(0.0, 4.0, np.array([1, 1, 0, 0])))
    1.0
    """
    mass = _masses(histogram)
    mass = mass[mass > 0]
    return math.log2((histogram.high - histogram.low) / histogram.counts.size) - float(mass @ np.log2(mass))


def _masses(histogram: Histogram) -> Doubles:
    inside = int(histogram.counts.sum())
    if histogram.below or histogram.above or not inside:
        raise ValueError(
            f"histogram over [{histogram.low}, {histogram.high}] with {inside} values inside, {histogram.below} "
            f"below and {histogram.above} above: "
            "the limits need at least one value and all of them inside; widen low and high"
        )
    return histogram.counts / inside


def _mean_square(histogram: Histogram) -> float:
    edges = histogram.edges
    return float(_masses(histogram) @ (edges[1:] ** 2 + edges[1:] * edges[:-1] + edges[:-1] ** 2)) / 3.0


def _divide(points: Doubles, mass: Doubles, parts: int) -> NDArray[np.int64]:
    """Index of the first point of each of `parts` consecutive parts with the least sum of squares about their means.

    Least cost of the first j points in k parts = min over i of that of the first i in k - 1 plus one part i..j. The
    best i does not fall as j grows, so halving the range of j level by level costs n log n per part (Wu 1991, Hassin
    and Tamir 1991).
    """
    sums = np.stack([np.concatenate([[0.0], np.cumsum(mass * points**power)]) for power in range(3)])

    def cost(start: NDArray[np.int64], stop: NDArray[np.int64]) -> Doubles:
        weight, first, second = sums[:, stop] - sums[:, start]
        return np.asarray(second - np.square(first) / weight)

    count = points.size
    stops = np.arange(1, count + 1)
    least = np.concatenate([[math.inf], cost(np.zeros(count, np.int64), stops)])
    choices = []
    for part in range(1, parts):
        least, choice = _add_part(least, part, cost)
        choices.append(choice)
    borders = [count]
    for choice in reversed(choices):
        borders.append(int(choice[borders[-1]]))
    return np.array([0, *borders[:0:-1]])


Cost = Callable[[NDArray[np.int64], NDArray[np.int64]], Doubles]


def _add_part(least: Doubles, part: int, cost: Cost) -> tuple[Doubles, NDArray[np.int64]]:
    """The least costs with one part more, and where that part starts, both by j; j below `part` + 1 can not be divided
    so.
    """
    total, choice = np.full(least.size, math.inf), np.zeros(least.size, np.int64)
    first, last = part + 1, least.size - 1
    step = 1 << (last - first).bit_length()
    while step:
        j = np.arange(first + step - 1, last + 1, 2 * step)
        from_i = np.where(j - step >= first, choice[np.maximum(j - step, 0)], part)
        to_i = np.minimum(np.where(j + step <= last, choice[np.minimum(j + step, last)], last), j - 1)
        lengths = to_i - from_i + 1
        starts = np.cumsum(lengths) - lengths
        i = np.arange(lengths.sum()) - np.repeat(starts - from_i, lengths)
        costs = least[i] + cost(i, np.repeat(j, lengths))
        total[j] = np.minimum.reduceat(costs, starts)
        best = np.flatnonzero(costs == np.repeat(total[j], lengths))
        choice[np.repeat(j, lengths)[best]] = i[best]
        step //= 2
    return total, choice


def _relax(thresholds: Doubles, origin: float, mass: Doubles) -> tuple[Doubles, float]:
    """Lloyd's iteration on bins of width 1 from `origin`: levels and mean squared error once a round gains less than
    1e-9 of it.
    """
    edges = origin + np.arange(mass.size + 1, dtype=np.float64)
    powers = [np.concatenate([[0.0], np.cumsum(mass * np.diff(edges**n) / n)]) for n in (1, 2, 3)]

    def moments(x: Doubles) -> Doubles:
        cell = np.clip(np.int64(x - origin), 0, mass.size - 1)
        return np.stack(
            [power[cell] + mass[cell] * (x**n - edges[cell] ** n) / n for n, power in enumerate(powers, start=1)]
        )

    ends = moments(edges[[0, -1]])
    error = math.inf
    for _ in range(MOST_ROUNDS):
        weight, first, _second = np.diff(np.column_stack([ends[:, :1], moments(thresholds), ends[:, 1:]]))
        levels = first / weight
        before, error = error, float(ends[2, 1] - np.sum(first * levels))
        if before - error < 1e-9 * error:
            break
        thresholds = np.asarray(0.5 * (levels[1:] + levels[:-1]))
    return np.asarray(levels), error
