"""Which SQNR must a scheme give on independent Gaussian values? For every format whose groups are scaled by their own
extremes or means.

Grids come from the scheme itself, so scale types, zero points and block rules are part of the prediction; nothing is
drawn. A prediction needs range=minmax (or a format that fixes its range) and nearest or stochastic rounding; there is
none otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import numpy as np
from scipy.special import gammaincinv

from qanalysis.arrays import Doubles, Floats
from qanalysis.decibels import gain_db
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.scheme import MINMAX, Scheme
from qanalysis.quantizers.statistics import Extremes, MeanMagnitude, Range, SignedLargest, Statistic, Threshold
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.theory.distributions import GAUSSIAN
from qanalysis.theory.gaussian_groups import Cells, Follows, Grids, cut_cells, group_mse, mean_inside
from qanalysis.theory.lines import absmax_groups_sqnr_db, expected_max_square

#: sigma is taken at this many places per octave, and between them by interpolation (0.001 dB where scales are powers of
#: two).
PLACES = 32
#: From this length on, predictions are interpolated between half octaves.
LONG_GROUP = 256
# N(0, 1) has no mass beyond this in float64.
FARTHEST = 39.0
_FOLLOWS: dict[type[Statistic], Follows] = {SignedLargest: "signed-max", Extremes: "extremes"}
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
SIGN_POINTS = 1024
LARGEST_FLOAT = float(np.finfo(np.float32).max)

Lengths = tuple[tuple[int, int], ...]


def predict_sqnr_db(scheme: Scheme, length_counts: Mapping[int, int], *, sigma: float = 1.0) -> float | None:
    """SQNR of independent N(0, sigma^2) values in groups of the lengths {length: how many}; None where there is no
    prediction.

    `sigma` matters where scales have a range or coarse places of their own: powers of two, E4M3, float16 near its
    smallest. For `sym` integers with float scales this is the fine-step formula, 0.1 to 1.3 dB low for int2
    (`integrate_sqnr_db` is not). Two-level NVFP4 takes the tensor's largest magnitude as expected from its size;
    ternary groups are good to 2/length^2 dB. Remembered: a first call takes 2 to 12 ms. ValueError unless sigma is a
    positive number and at least one group has a value.

    >>> round(predict_sqnr_db(Scheme.parse("mxfp4"), {32: 1000}), 2)
    18.79
    >>> predict_sqnr_db(Scheme.parse("int4 range=mse"), {32: 1}) is None
    True
    """
    if has_formula(scheme):
        return absmax_groups_sqnr_db(scheme.format.bits, length_counts)
    return integrate_sqnr_db(scheme, length_counts, sigma=sigma)


def has_formula(scheme: Scheme) -> bool:
    """Whether `predict_sqnr_db` is the fine-step formula, which holds for any sigma: `sym` integers with float scales.

    >>> has_formula(Scheme.parse("int4 group=32")), has_formula(Scheme.parse("int4 asym"))
    (True, False)
    """
    is_symmetric = (
        scheme.format.is_integer and scheme.symmetry == SYMMETRIES["sym"] and not scheme.scale.is_power_of_two
    )
    return is_symmetric and scheme.range == MINMAX and scheme.rounding.is_nearest


def integrate_sqnr_db(scheme: Scheme, length_counts: Mapping[int, int], *, sigma: float = 1.0) -> float | None:
    """As `predict_sqnr_db`, always by integration over the groups' extremes.

    >>> round(integrate_sqnr_db(Scheme.parse("int2 group=32"), {32: 10}), 2)
    3.64
    """
    if not 0.0 < sigma < math.inf:
        raise ValueError(f"sigma={sigma!r} is no standard deviation: use a finite number above 0")
    predictor = Predictor.of(scheme, length_counts)
    return None if predictor is None else predictor.at(sigma)


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """`integrate_sqnr_db` of one scheme in groups of given lengths, for any sigma.

    `lengths` are pairs of a length and how many groups have it; `found` remembers what each place of sigma gives.
    """

    scheme: Scheme
    lengths: Lengths
    found: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, scheme: Scheme, length_counts: Mapping[int, int]) -> Self | None:
        """The predictor of a scheme; None where there is no prediction, ValueError where no group has a value."""
        is_coarse_ternary = scheme.format.statistic is Threshold and scheme.scale.is_power_of_two
        is_plain = scheme.range == MINMAX and (scheme.rounding.is_nearest or scheme.rounding.is_stochastic)
        if not is_plain or is_coarse_ternary:
            return None
        lengths = tuple(sorted(length_counts.items()))
        if not any(count for _, count in lengths) or any(length < 1 or count < 0 for length, count in lengths):
            raise ValueError(
                f"length_counts={length_counts!r} has no values: give lengths of 1 or more and how many groups have "
                "them, one of them above 0"
            )
        return cls(scheme, lengths)

    def at(self, sigma: float) -> float:
        """The SQNR in dB where values have this standard deviation, a finite number above 0."""
        # Split from its exponent first, so that an octave up or down changes no digit.
        mantissa, exponent = math.frexp(sigma)
        place = PLACES * math.log2(mantissa)
        below = math.floor(place)
        first, second = (self._look_up(PLACES * exponent + k) for k in (below, below + (place > below)))
        return first if first == second else first + (second - first) * (place - below)

    def _look_up(self, place: int) -> float:
        if place not in self.found:
            self.found[place] = _integrate(self.scheme, self.lengths, _fold(self.scheme, place))
        return self.found[place]


@lru_cache(maxsize=4096)
def _fold(scheme: Scheme, place: int) -> int:
    """The first place of sigma that gives the same prediction: 0 if only ratios count, one in the first octave if
    scales know no exponent.
    """
    sigma, octave = 2.0 ** (place / PLACES), 2.0 ** (place // PLACES)
    if not scheme.format.is_scaled:
        # Values far from both ends of the exponents meet the same levels in every octave.
        coder = scheme.format.element
        smallest = float(np.abs(coder.levels[coder.levels != 0]).min())
        return place % PLACES if 2.0**16 * smallest <= octave <= 2.0**-5 * coder.high else place
    probe = np.geomspace(0.5, 8.0, 9)
    here, first, plain = (_lay_scales(scheme, -probe, probe, s) for s in (sigma, sigma / octave, 1.0))
    if not np.array_equal(here, first):
        return place
    # Two roundings to bfloat16 differ by 2^-8 at most; what scales differ by must not show at the largest level.
    levels = scheme.coder.levels
    largest, gap = np.abs(levels[[0, -1]]).max(), levels[-1] - levels[-2]
    return 0 if np.allclose(here, plain, rtol=min(2.0**-8, 0.125 * gap / largest), atol=0.0) else place % PLACES


@lru_cache(maxsize=4096)
def _integrate(scheme: Scheme, lengths: Lengths, place: int) -> float:
    size = sum(length * count for length, count in lengths)
    largest = math.sqrt(expected_max_square(size)) if scheme.is_tensor_scaled else 0.0
    noise = sum(length * count * _interpolate_mse(scheme, length, place, largest) for length, count in lengths if count)
    return gain_db(size, noise)


def _interpolate_mse(scheme: Scheme, length: int, place: int, largest: float) -> float:
    """The error of groups of `length`: long ones between half octaves of it, where it bends by 0.002 dB, as layers have
    so many lengths.
    """
    half_octaves = 2.0 * math.log2(length)
    if length < LONG_GROUP or half_octaves.is_integer():
        return _find_mse(scheme, length, place, largest)
    below = math.floor(half_octaves)
    ends = [round(2.0 ** ((below + k) / 2.0)) for k in (0, 1)]
    first, second = (_find_mse(scheme, end, place, largest) for end in ends)
    if not (first > 0.0 and second > 0.0):
        return first
    share = math.log(length / ends[0]) / math.log(ends[1] / ends[0])
    between: float = first * (second / first) ** share
    return between


@lru_cache(maxsize=4096)
def _find_mse(scheme: Scheme, length: int, place: int, largest: float) -> float:
    sigma = 2.0 ** (place / PLACES)
    statistic = scheme.format.statistic
    if statistic is Threshold:
        return _find_ternary_mse(length)
    if statistic is MeanMagnitude:
        return _find_binary_mse(scheme, length, sigma)
    cells = _cut_cells(scheme)
    if not scheme.format.is_scaled:
        far = np.full(1, FARTHEST)
        return float(mean_inside(-far, far, cells=cells, grids=_lay(scheme, -far, far, sigma))[0])
    follows = _FOLLOWS.get(statistic, "absmax" if scheme.symmetry.by_largest else "extremes")
    return group_mse(length, cells, lambda low, high: _lay(scheme, low, high, sigma, largest=largest), follows=follows)


def _find_binary_mse(scheme: Scheme, length: int, sigma: float) -> float:
    """Levels +-L for the mean magnitude m: E[x^2 - 2 L m + L^2], with m gamma distributed by its true mean and
    variance.
    """
    mean, variance = GAUSSIAN.mean_abs, (1.0 - GAUSSIAN.mean_abs**2) / length
    rate = mean / variance
    means = gammaincinv(mean * rate, (np.arange(SIGN_POINTS) + 0.5) / SIGN_POINTS) / rate
    stored = _lay_scales(scheme, means, means, sigma)
    # E m^2 is known; only what storing L adds is left to the points.
    return 1.0 - mean**2 - variance + float(np.mean(np.square(stored - means)))


def _find_ternary_mse(length: int) -> float:
    """E x^2 - E[s^2 / n], s and n the means of |x| and of 1 above the threshold, to first order in 1/length.

    The threshold T moves with the sample: each value by itself lowers it for the others to t (1 - 0.3/length), and its
    variance bends s and n by their second derivatives at t.
    """
    factor, mean = 0.7, GAUSSIAN.mean_abs
    t, spread = factor * mean, factor**2 * (1.0 - mean**2) / length
    share, moment, density = (
        2.0 * float(GAUSSIAN.tail_mass(t)),
        2.0 * float(GAUSSIAN.tail_mean(t)),
        2.0 * float(GAUSSIAN.pdf(t)),
    )
    shift = -(1.0 - factor) * t / length
    s = moment - t * density * shift + 0.5 * density * (t**2 - 1.0) * spread
    n = share - density * shift + 0.5 * t * density * spread
    level = moment / share
    inner = (share + t * moment) / share - level**2
    pull = factor * (level - t) * density
    variance = share * inner * (1.0 + 2.0 * pull) + pull**2 * (1.0 - mean**2)
    return max(0.0, 1.0 - s**2 / n - variance / (share * length))


def _lay_scales(scheme: Scheme, low: Doubles, high: Doubles, sigma: float) -> Doubles:
    """The scales alone of what `_lay` gives."""
    return _lay_values(scheme, low, high, sigma).scale.astype(np.float64) / sigma


def _lay(scheme: Scheme, low: Doubles, high: Doubles, sigma: float, *, largest: float = 0.0) -> Grids:
    """The scheme's grids over statistics given in sigmas, in sigmas; `largest` is the tensor's largest magnitude."""
    grid = _lay_values(scheme, low, high, sigma, largest=largest)
    scale, inverse = grid.scale.astype(np.float64), grid.inverse.astype(np.float64)
    origin = centre = np.zeros_like(scale)
    if grid.centre is not None:
        origin, centre = (part.astype(np.float64) for part in grid.centre)
    elif grid.zero_points is not None:
        origin, centre = -grid.zero_points / inverse, -grid.zero_points * scale
    return Grids(scale / sigma, inverse * sigma, origin / sigma, centre / sigma)


def _lay_values(scheme: Scheme, low: Doubles, high: Doubles, sigma: float, *, largest: float = 0.0) -> Grid:
    with np.errstate(over="ignore"):  # near the largest float32 a sum of scales or the widest gap can pass it
        return scheme.lay_grid(
            _settle(scheme, _to_values(sigma * low), _to_values(sigma * high), largest=_to_values(sigma * largest))
        )


def _to_values(x: Doubles | float) -> Floats:
    """As float32 holds them: finite."""
    return np.clip(x, -LARGEST_FLOAT, LARGEST_FLOAT).astype(np.float32)


def _settle(scheme: Scheme, low: Floats, high: Floats, *, largest: Floats) -> Statistic:
    """The statistic that the scheme asks for, of groups that reach from low to high and are a fair sample of their
    tensor.
    """
    statistic = scheme.format.statistic
    if statistic is Threshold:
        return Threshold(low, high)
    if statistic is MeanMagnitude:
        return MeanMagnitude(high)
    if statistic is SignedLargest:
        return SignedLargest(high)
    found = Extremes(low, high) if statistic is Extremes else Range(low, high)
    if scheme.scale.is_double:
        # Scales are stored by blocks of 256 neighbours: an order that puts a fair sample into each.
        order = np.argsort(np.arange(high.size) * GOLDEN % 1.0)
        return scheme.settle(found.take(lambda part: part[order])).take(lambda part: part[np.argsort(order)])
    return scheme.settle(found, largest=max(largest, found.largest.max()))


@lru_cache(maxsize=128)
def _cut_cells(scheme: Scheme) -> Cells:
    return cut_cells(scheme.coder.levels, stochastic=scheme.rounding.is_stochastic)
