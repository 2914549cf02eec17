"""Limits of a tensor's own histogram: hand-worked grids, every division by brute force, and the closed forms of known densities."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.diagnosis.own_limits import (
    LAYER_BINS,
    describe_limits,
    entropy_bits,
    entropy_bound_db,
    find_limits,
    lloyd_max_histogram,
)
from qanalysis.sums import Histogram
from qanalysis.theory import lines, optimal_grids
from qanalysis.theory.distributions import DISTRIBUTIONS, GAUSSIAN, LAPLACE, UNIFORM, Distribution

EVERY = pytest.mark.parametrize("density", DISTRIBUTIONS.values(), ids=str)
REACH = {GAUSSIAN.name: 7.5, LAPLACE.name: 20.0, UNIFORM.name: math.sqrt(3)}


def count_density(density: Distribution, bins: int = 4096) -> Histogram:
    """10^15 values as the density has them, to half a value."""
    reach = REACH[density.name]
    edges = np.linspace(-reach, reach, bins + 1)
    upper, lower = density.tail_mass(edges), density.tail_mass(-edges)
    # From the nearer tail, which keeps the digits of small masses.
    masses = np.where(edges[1:] > 0, upper[:-1] - upper[1:], lower[1:] - lower[:-1])
    return Histogram(-reach, reach, np.rint(1e15 * masses).astype(np.int64))


def test_two_levels_for_three_places_are_their_groups_means() -> None:
    # Values at 0.5 (2), 1.5 (1) and 9.5 (1) in bins of 1: levels 2.5/3 and 9.5, squared error 2/9 + 1/9 + 4/9 + 0 = 2/3 of 4, plus 1/12 inside bins.
    grid = lloyd_max_histogram(Histogram(0.0, 10.0, np.array([2, 1, 0, 0, 0, 0, 0, 0, 0, 1])), 1)
    assert grid.levels == pytest.approx([2.5 / 3, 9.5], rel=1e-12)
    assert grid.mse == pytest.approx(2 / 3 / 4 + 1 / 12, rel=1e-12)
    power = (2 * 0.25 + 2.25 + 90.25) / 4 + 1 / 12
    assert grid.sqnr_db == pytest.approx(10 * math.log10(power / grid.mse), rel=1e-12)


def test_as_many_levels_as_places_leave_the_bins_own_error() -> None:
    for bits in (2, 8, 16):
        grid = lloyd_max_histogram(Histogram(-2.0, 2.0, np.array([1, 0, 5, 1, 0, 0, 0, 1])), bits)
        assert grid.levels.tolist() == [-1.75, -0.75, -0.25, 1.75]
        assert grid.mse == pytest.approx(0.25 / 12, rel=1e-14)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("bits", [1, 2])
def test_no_division_of_the_bins_does_better(bits: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 6, 11) * np.random.default_rng(seed + 50).integers(0, 2, 11)
    counts[[0, 4, 5, 8, 10]] += 1
    middles = np.arange(11) + 0.5
    costs = []
    for inner in combinations(range(1, 11), 2**bits - 1):
        error = 0.0
        for first, stop in zip((0, *inner), (*inner, 11), strict=True):
            part = np.repeat(middles[first:stop], counts[first:stop])
            error += np.square(part - part.mean()).sum() if part.size else 0.0
        costs.append(error / counts.sum() + 1 / 12)
    # Thresholds inside bins can only do better than the best division of whole ones, and by less than a bin's own error.
    found = lloyd_max_histogram(Histogram(0.0, 11.0, counts), bits).mse
    assert min(costs) - 1 / 12 < found <= min(costs) * (1 + 1e-12)


@EVERY
@pytest.mark.parametrize("bits", range(1, 7))
def test_known_densities_reach_their_lloyd_max_grid(density: Distribution, bits: int) -> None:
    width = 2 * REACH[density.name] / 4096
    best = optimal_grids.lloyd_max(bits, density)
    found = lloyd_max_histogram(count_density(density), bits)
    # The mean square gains w^2/6, and so does what is left of it in a cell; stopping at gains of 1e-9 leaves some 1e-6.
    assert found.sqnr_db == pytest.approx(best.sqnr_db, abs=10 * math.log10(1 + width**2 / 6 / best.mse) + 1e-4)
    assert found.levels == pytest.approx(best.levels, abs=width)


def test_eight_bits_of_a_gaussian_lose_a_hundredth_of_a_decibel_to_the_bins() -> None:
    assert lloyd_max_histogram(count_density(GAUSSIAN), 8).sqnr_db == pytest.approx(43.853, abs=0.015)


@pytest.mark.parametrize(
    ("density", "bits", "printed"),
    [(GAUSSIAN, 3, 14.616), (GAUSSIAN, 4, 20.222), (LAPLACE, 3, 12.638), (LAPLACE, 4, 18.133)],
    ids=str,
)
def test_samples_come_to_the_printed_tables(density: Distribution, bits: int, printed: float) -> None:
    values = density.quantile(np.random.default_rng(3).random(2**18))
    histogram = Histogram.from_values(values, low=float(values.min()), high=float(values.max()), bins=4096)
    # 2^18 values know their own power to sqrt(2 or 5 / 2^18), 0.012 or 0.019 dB, and the error no worse: three of both.
    assert lloyd_max_histogram(histogram, bits).sqnr_db == pytest.approx(printed, abs=0.08)


def test_a_far_mode_gets_its_levels() -> None:
    counts = np.zeros(1000, np.int64)
    counts[:20], counts[980:] = 10**5, 1
    # Four levels share out as 3 and 1: thirds of the heavy mode err by (20/3)^2/12, the light one by 20^2/12, with 10^-5 of the weight.
    grid = lloyd_max_histogram(Histogram(0.0, 1000.0, counts), 2)
    # Error is flat about the best levels: gains of 1e-9 end at distances of about its root.
    assert grid.levels == pytest.approx([20 / 6, 10, 20 * 5 / 6, 990], rel=1e-4)
    assert grid.mse == pytest.approx(((20 / 3) ** 2 + 1e-5 * 400) / 12, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_change_no_ratio(scale: float) -> None:
    counts = np.random.default_rng(1).integers(0, 99, 300)
    plain, scaled = (lloyd_max_histogram(Histogram(-2.0 * unit, 3.0 * unit, counts), 3) for unit in (1.0, scale))
    # The bins' width is rounded anew in each unit.
    assert scaled.sqnr_db == pytest.approx(plain.sqnr_db, rel=1e-13)
    assert scaled.levels / scale == pytest.approx(plain.levels, rel=1e-12)
    bounds = [entropy_bound_db(Histogram(-2.0 * unit, 3.0 * unit, counts), 4.5) for unit in (1.0, scale)]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-13)


@EVERY
def test_known_densities_reach_their_shannon_bound(density: Distribution) -> None:
    width = 2 * REACH[density.name] / 4096
    # w^2/6 on a mean square of 1; the entropy's share is w^2/24 times a Fisher information of 1 (Gaussian) or 2 (Laplace), with the other sign.
    tolerance = 10 * math.log10(1 + width**2 / 6) + 1e-6
    for rate in (0, 2.5, 8):
        assert entropy_bound_db(count_density(density), rate) == pytest.approx(
            lines.shannon_db(rate, density), abs=tolerance
        )


def test_entropy_of_equal_bins_is_the_log_of_their_reach() -> None:
    assert entropy_bits(Histogram(-3.0, 5.0, np.full(16, 7))) == pytest.approx(3, rel=1e-15)
    assert entropy_bits(Histogram(0.0, 8.0, np.array([0, 0, 4, 0]))) == pytest.approx(1, rel=1e-15)


def test_no_grid_passes_the_entropy_bound() -> None:
    counts = np.random.default_rng(5).integers(1, 1000, 512)
    histogram = Histogram(-1.0, 1.0, counts)
    for bits in range(1, 7):
        assert lloyd_max_histogram(histogram, bits).sqnr_db < entropy_bound_db(histogram, bits)


@pytest.mark.parametrize(
    ("counts", "below"), [(np.zeros(4, np.int64), 0), (np.ones(4, np.int64), 1)], ids=["empty", "outside"]
)
def test_histograms_that_do_not_hold_all_values_are_refused(counts: NDArray[np.int64], below: int) -> None:
    histogram = Histogram(0.0, 1.0, counts, below=below)
    for call in (
        lambda: lloyd_max_histogram(histogram, 4),
        lambda: entropy_bound_db(histogram, 4),
        lambda: entropy_bits(histogram),
    ):
        with pytest.raises(
            ValueError, match=r"the limits need at least one value and all of them inside; widen low and high"
        ):
            call()


@pytest.mark.parametrize("rate", [-0.5, math.inf, math.nan])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"bits_per_weight=.* is no rate: use a finite number of bits, 0 or more"):
        entropy_bound_db(Histogram(0.0, 1.0, np.ones(2, np.int64)), rate)


def test_levels_take_one_to_sixteen_bits() -> None:
    with pytest.raises(ValueError, match=r"bits=17 is out of range: use a whole number from 1 to 16"):
        lloyd_max_histogram(Histogram(0.0, 1.0, np.ones(2, np.int64)), 17)


def test_limits_of_gaussian_values_are_the_tables_and_no_scheme_passes_them() -> None:
    x = np.random.default_rng(5).normal(scale=0.02, size=1 << 18).astype(np.float32)
    limits = find_limits(x, bits=[2, 4], name="w")
    # Over 2^18 values the error power varies by about sqrt(2.5 / 2^18) = 0.3 %, 0.013 dB; four of those, and 0.01 dB for 4096 bins.
    assert limits.best_scalar_db == pytest.approx([9.300, 20.222], abs=0.063)
    # The entropy misses (occupied bins - 1)/(2n) nats, at most 4096 / 2^19 = 0.0078 nats, 0.07 dB; the bins' width adds less.
    assert limits.bound_db(4) == pytest.approx(24.082, abs=0.08)
    assert limits.best_scalar_db[1] < limits.bound_db(4)
    assert LAYER_BINS == 4096


def test_limits_need_values_that_differ() -> None:
    for values in ([], [2.0, 2.0], [math.nan, math.inf]):
        with pytest.raises(ValueError, match="tensor 'w': the limits need finite values that differ"):
            find_limits(values, name="w")


def test_a_layers_limits_ignore_what_is_not_finite() -> None:
    x = [-1.0, 0.25, 0.5, 1.0]
    assert find_limits([*x, math.nan, math.inf], bits=[1]) == find_limits(x, bits=[1])


def test_the_sentence_leaves_out_a_grid_that_was_not_asked_for() -> None:
    limits = find_limits([-1.0, 0.0, 0.5, 1.0], bits=[1])
    assert limits.bound_db(3) is None
    assert "grid" not in describe_limits(limits, bits=3, bits_per_weight=3.0, sqnr_db=10.0)


def test_small_layers_have_a_bound_from_1024_values_on() -> None:
    x = np.random.default_rng(6).normal(size=1024)
    # 32 bins miss (32 - 1)/2048 = 0.015 nats, 0.13 dB; the entropy of 1024 draws varies by sqrt(0.5/1024) = 0.022 nats, 0.19 dB: four of those.
    assert find_limits(x, bits=[2]).bound_db(4) == pytest.approx(24.082, abs=0.13 + 4 * 0.19)
    assert find_limits(x[:1023], bits=[2]).bound_db(4) is None
    assert "too few values" in describe_limits(
        find_limits(x[:1023], bits=[2]), bits=2, bits_per_weight=2.0, sqnr_db=9.0
    )
