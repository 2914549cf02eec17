"""Optimal grids: the published tables digit by digit, the conditions of optimality, and slow direct computations."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from qanalysis.theory.distributions import DISTRIBUTIONS, GAUSSIAN, LAPLACE, UNIFORM
from qanalysis.theory.optimal_grids import grid_mse, lloyd_max, optimal_symmetric, optimal_uniform

EVERY = pytest.mark.parametrize("density", DISTRIBUTIONS.values(), ids=str)
EVERY_BITS = pytest.mark.parametrize("bits", range(1, 17))

# Max (1960) and later tables, recomputed: bits | Lloyd-Max D, dB, output entropy | 2^b steps: step, clip edge, D, dB | 2^b - 1 levels: amax, D, dB
GAUSSIAN_TABLE = """
1 0.3633802  4.396 1.000 1.59577  1.5958 0.3633802  4.396 - - -
2 0.1174818  9.300 1.911 0.995687 1.9914 0.1188461  9.250 1.2240 0.1901740 7.208
3 0.03454776 14.616 2.825 0.586019 2.3441 0.03743966 14.267 1.9523 0.04685997 13.292
4 0.009501008 20.222 3.765 0.335201 2.6816 0.01154288 19.377 2.4739 0.01288939 18.898
5 0.002504668 26.012 4.730 0.188139 3.0102 0.003495211 24.565 2.8987 0.003693220 24.326
6 6.442397e-4 31.910 5.710 0.104063 3.3300 1.040045e-3 29.829 3.2701 1.069289e-3 29.709
7 1.634782e-4 37.865 6.700 0.0568677 3.6395 3.043328e-4 35.167 3.6075 3.086218e-4 35.106
8 4.118508e-5 43.853 7.694 0.0307624 3.9376 8.768619e-5 40.571 3.9205 8.830803e-5 40.540
"""
LAPLACE_TABLE = """
1 0.5 3.010 - 1.414214 1.4142 0.5 3.010 - - -
2 0.1761949 7.540 - 1.087393 2.1748 0.1963023 7.071 1.4142 0.2642411 5.780
3 0.05447599 12.638 - 0.730933 2.9237 0.07174780 11.442 2.4653 0.08308652 10.805
4 0.01537253 18.133 - 0.460995 3.6880 0.02535097 15.960 3.4082 0.02739522 15.623
5 0.004102180 23.870 - 0.279989 4.4798 0.008713221 20.598 4.3120 0.009085129 20.417
6 1.060952e-3 29.743 - 0.165681 5.3018 2.913431e-3 25.356 5.2033 2.979515e-3 25.259
7 2.698738e-4 35.688 - 0.0960989 6.1503 9.485970e-4 30.229 6.0937 9.599429e-4 30.178
8 6.806174e-5 41.671 - 0.0548443 7.0201 3.014203e-4 35.208 6.9881 3.033017e-4 35.181
"""
ROWS = [
    pytest.param(density, *row.split(), id=f"{density}-{row[0]}bit")
    for density, table in ((GAUSSIAN, GAUSSIAN_TABLE), (LAPLACE, LAPLACE_TABLE))
    for row in table.strip().splitlines()
]


def assert_prints_as(value: float, printed: str) -> None:
    """`value` rounds to the printed digits; a dash is a cell that has no value. 1e-12 admits a value right on the rounding edge."""
    if printed != "-":
        half_unit = 0.5 * 10.0 ** float(Decimal(printed).as_tuple().exponent)
        assert abs(value - float(printed)) <= half_unit + 1e-12, f"{value} is not {printed}"


@pytest.mark.parametrize(
    ("density", "bits", "best", "best_db", "entropy", "step", "edge", "even", "even_db", "amax", "odd", "odd_db"), ROWS
)
def test_every_printed_digit_of_the_tables_is_met(
    density, bits, best, best_db, entropy, step, edge, even, even_db, amax, odd, odd_db
):
    lloyd, uniform = lloyd_max(int(bits), density), optimal_uniform(int(bits), density)
    for value, printed in (
        (lloyd.mse, best),
        (lloyd.sqnr_db, best_db),
        (lloyd.entropy_bits, entropy),
        (uniform.step, step),
        (uniform.clip_edge, edge),
        (uniform.mse, even),
        (uniform.sqnr_db, even_db),
    ):
        assert_prints_as(value, printed)
    if amax != "-":
        symmetric = optimal_symmetric(int(bits), density)
        for value, printed in ((symmetric.amax, amax), (symmetric.mse, odd), (symmetric.sqnr_db, odd_db)):
            assert_prints_as(value, printed)


def test_one_bit_and_two_bit_grids_equal_their_hand_worked_values():
    # One bit: the level is E|x|, so D = 1 - E|x|^2. Two bits Gaussian: Max's printed levels.
    assert lloyd_max(1, GAUSSIAN).levels == pytest.approx([-math.sqrt(2 / math.pi), math.sqrt(2 / math.pi)], rel=1e-15)
    assert lloyd_max(1, LAPLACE).mse == pytest.approx(0.5, rel=1e-15)
    assert lloyd_max(2, GAUSSIAN).levels == pytest.approx([-1.510, -0.4528, 0.4528, 1.510], abs=0.5e-3)
    # Ternary Laplace: slope 0 where step = step/2 + 1/sqrt 2, the centroid of the exponential tail.
    assert optimal_symmetric(2, LAPLACE).amax == pytest.approx(math.sqrt(2), rel=1e-12)


@EVERY_BITS
@EVERY
def test_levels_are_centroids_and_thresholds_are_midpoints(density, bits):
    grid = lloyd_max(bits, density)
    edges = np.concatenate([[-np.inf], grid.thresholds, [np.inf]])
    # Moments of each cell from the nearer tail, or the cell's mass drowns in 1 - mass.
    side = np.where(grid.levels > 0, 1.0, -1.0)
    near, far = np.where(side > 0, edges[:-1], -edges[1:]), np.where(side > 0, edges[1:], -edges[:-1])
    mean = np.zeros(2**bits)
    finite = np.isfinite(far)
    mean[finite] = density.tail_mean(far[finite])
    mass = density.tail_mass(near) - np.where(finite, density.tail_mass(np.where(finite, far, 0.0)), 0.0)
    centroids = side * (density.tail_mean(near) - mean) / mass
    np.testing.assert_allclose(grid.levels, centroids, rtol=0, atol=1e-10)  # the accuracy the docstring promises
    np.testing.assert_allclose(
        grid.thresholds, 0.5 * (grid.levels[1:] + grid.levels[:-1]), rtol=0, atol=1e-15 * 32
    )  # eps of the largest level, 24


@EVERY_BITS
@EVERY
def test_lloyd_max_is_symmetric_ascending_and_read_only(density, bits):
    grid = lloyd_max(bits, density)
    assert grid.levels.size == 2**bits
    assert grid.thresholds.size == 2**bits - 1
    assert (np.diff(grid.levels) > 0).all()
    assert np.abs(grid.levels).max() <= density.support
    np.testing.assert_array_equal(grid.levels, -grid.levels[::-1])
    np.testing.assert_array_equal(grid.thresholds, -grid.thresholds[::-1])
    with pytest.raises(ValueError, match="read-only"):
        grid.levels[0] = 0.0


@pytest.mark.parametrize("density", [GAUSSIAN, LAPLACE], ids=str)
def test_newton_reaches_the_grid_of_plain_lloyd_iterations(density):
    levels = np.array([0.2, 0.8, 1.4, 2.5])
    for _ in range(300):
        edges = [0.0, *(0.5 * (levels[1:] + levels[:-1])), 30.0]
        moments = [
            [quad(lambda x, k=k: x**k * float(density.pdf(x)), a, b)[0] for k in (0, 1)] for a, b in pairwise(edges)
        ]
        levels = np.array([mean / mass for mass, mean in moments])
    # quad is good to 1e-9 or better; the last round moves a level by less, and the rounds contract by 0.9 at most: 1e-8 in all.
    np.testing.assert_allclose(lloyd_max(3, density).levels[4:], levels, rtol=0, atol=1e-8)


@EVERY
@pytest.mark.parametrize("level_count", [2, 3, 4, 7, 16])
def test_closed_form_error_equals_the_integral_of_the_squared_error(density, level_count):
    step, total = 0.7, 0.0
    levels = step * (np.arange(level_count) - (level_count - 1) / 2)
    edges = np.unique([-30.0, -math.sqrt(3), 0.0, math.sqrt(3), 30.0, *(levels[:-1] + step / 2)])
    for a, b in pairwise(edges):
        level = levels[np.abs(levels - (a + b) / 2).argmin()]
        total += quad(lambda x, level=level: (x - level) ** 2 * float(density.pdf(x)), a, b, epsabs=1e-13)[0]
    # 1e-13 for each of at most 20 pieces; the tail beyond 30 is below 1e-15.
    assert grid_mse(level_count, step, density) == pytest.approx(total, abs=2e-12)


@EVERY
@pytest.mark.parametrize("fit", [optimal_uniform, optimal_symmetric], ids=["even", "odd"])
@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_optimal_step_beats_every_other_step(density, fit, bits):
    grid = fit(bits, density)
    found = minimize_scalar(
        lambda edge: grid_mse(grid.level_count, 2 * edge / grid.level_count, density),
        bounds=(1.0, 1.8 * grid.clip_edge),
        method="bounded",
    )
    assert grid.mse <= found.fun + 1e-15  # rounding of a sum near 1
    for factor in (0.99, 1.01):
        assert grid_mse(grid.level_count, factor * grid.step, density) > grid.mse


@EVERY_BITS
def test_uniform_density_wants_its_full_range_in_equal_steps(bits):
    width = 2 * math.sqrt(3)
    # D is a sum near 1, good to 1e-15; the step is where its slope, of size D, vanishes: 1e-15 / D = 4e-6 of it at 16 bits.
    assert optimal_uniform(bits, UNIFORM).step == pytest.approx(width / 2**bits, rel=max(1e-15, 1e-15 * 4.0**bits))
    assert optimal_uniform(bits, UNIFORM).mse == pytest.approx(4.0**-bits, abs=1e-15)
    assert lloyd_max(bits, UNIFORM).mse == pytest.approx(4.0**-bits, abs=1e-15)
    assert lloyd_max(bits, UNIFORM).entropy_bits == pytest.approx(bits, rel=1e-9)
    assert np.diff(lloyd_max(bits, UNIFORM).levels) == pytest.approx(width / 2**bits, rel=1e-6)


@EVERY
def test_more_bits_and_freer_grids_never_lose(density):
    rounding = 2e-15  # twice the absolute error of D that the module states; ties are real for the uniform density
    for bits in range(2, 17):
        lloyd, uniform, symmetric = (fit(bits, density) for fit in (lloyd_max, optimal_uniform, optimal_symmetric))
        assert lloyd.mse <= uniform.mse + rounding
        assert uniform.mse <= symmetric.mse + rounding
        assert (
            lloyd.mse < lloyd_max(bits - 1, density).mse / 2.8
        )  # 0.5 / 0.1762 = 2.84 from 1 to 2 bits (Laplace), then towards 4
        assert symmetric.mse < optimal_uniform(bits - 1, density).mse


@pytest.mark.parametrize("bits", [0, 17, 4.5, "4", float("nan")])
@pytest.mark.parametrize("fit", [lloyd_max, optimal_uniform])
def test_bits_out_of_range_are_refused(fit, bits):
    with pytest.raises(ValueError, match=r"bits=.* is out of range: use a whole number from 1 to 16"):
        fit(bits, GAUSSIAN)


def test_symmetric_codes_need_two_bits():
    with pytest.raises(ValueError, match=r"bits=1 is out of range: use a whole number from 2 to 16"):
        optimal_symmetric(1, GAUSSIAN)


@pytest.mark.parametrize("fit", [lloyd_max, optimal_uniform, optimal_symmetric])
def test_unknown_distribution_is_refused(fit):
    with pytest.raises(ValueError, match="distribution 'cauchy' is unknown"):
        fit(4, "cauchy")


@pytest.mark.parametrize(("level_count", "step"), [(1, 1.0), (4, 0.0), (4, -1.0), (4, math.inf), (4, math.nan)])
def test_what_is_no_grid_is_refused(level_count, step):
    with pytest.raises(ValueError, match=r"level_count=.*, step=.* is no grid"):
        grid_mse(level_count, step, GAUSSIAN)
