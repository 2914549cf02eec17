"""Error of Gaussian groups by integration: hand-worked groups, independent sums, and the laws of rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr

from qanalysis.theory import gaussian_groups, lines
from qanalysis.theory.gaussian_groups import Grids, Lay, cut_cells, group_mse, mean_inside

E2M1 = np.array([-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6])


def integers(bits: int) -> NDArray[np.float64]:
    largest = 2 ** (bits - 1) - 1
    return np.arange(-largest, largest + 1, dtype=np.float64)


def lay_absmax(largest: float) -> Lay:
    def lay(low: NDArray[np.float64], high: NDArray[np.float64]) -> Grids:
        scale = np.maximum(-low, high) / largest
        return Grids(scale, 1 / scale, 0 * scale, 0 * scale)

    return lay


def lay_signed(lowest: float) -> Lay:
    def lay(signed: NDArray[np.float64], _same: NDArray[np.float64]) -> Grids:
        scale = signed / -lowest
        return Grids(scale, 1 / scale, 0 * scale, 0 * scale)

    return lay


def lay_power_of_two(exponent: int) -> Lay:
    def lay(_low: NDArray[np.float64], high: NDArray[np.float64]) -> Grids:
        scale = 2.0 ** (np.floor(np.log2(high)) - exponent)
        return Grids(scale, 1 / scale, 0 * scale, 0 * scale)

    return lay


def lay_range(codes: int) -> Lay:
    def lay(low: NDArray[np.float64], high: NDArray[np.float64]) -> Grids:
        scale = (high - low) / codes
        return Grids(scale, 1 / scale, low, low)

    return lay


def plain_error(x: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.square(x[:, np.newaxis] - levels).min(axis=1)


def test_two_values_on_three_levels_have_their_hand_worked_error() -> None:
    # Given M, the other value is x = M r and errs by x below r = 1/2, by M - x above. (M, x) in polar coordinates: x/M = tan a with a uniform
    # in 0..pi/4 and E rho^2 = 2, so 2 D = E[(rho cos a)^2 f(tan a)], f = r^2 or (1 - r)^2.
    def integrand(a: float) -> float:
        r = math.tan(a)
        return math.cos(a) ** 2 * min(r, 1 - r) ** 2

    whole = 2 * quad(integrand, 0, math.pi / 4, points=[math.atan(0.5)], epsabs=1e-12)[0] / (math.pi / 4)
    assert group_mse(2, cut_cells(integers(2)), lay_absmax(1)) == pytest.approx(whole / 2, rel=1e-5)


def test_a_group_of_one_value_is_its_own_largest() -> None:
    assert group_mse(1, cut_cells(integers(4)), lay_absmax(7)) == pytest.approx(0, abs=1e-28)
    # Where the signed largest is the lowest code, both signs are met.
    assert group_mse(1, cut_cells(np.arange(-8.0, 8.0)), lay_signed(8), follows="signed-max") == pytest.approx(
        0, abs=1e-28
    )
    # By its magnitude alone a positive one is clipped by a step, M/8, a negative one is met: E M^2 / 64 / 2.
    assert group_mse(1, cut_cells(np.arange(-8.0, 8.0)), lay_absmax(8)) == pytest.approx(
        1 / 128, rel=1e-4
    )  # the rule's last panel holds 1/256 of M


def test_two_values_are_both_ends_of_their_range() -> None:
    assert group_mse(2, cut_cells(np.arange(4.0)), lay_range(3), follows="extremes") == pytest.approx(0, abs=1e-28)


@pytest.mark.parametrize(
    ("levels", "exponent"), [(E2M1, 2), (np.arange(-128.0, 128.0) / 64, 0)], ids=["e2m1", "mxint8"]
)
def test_power_of_two_scales_meet_the_sum_over_octaves(levels: NDArray[np.float64], exponent: int) -> None:
    # Within an octave of M the grid stands still, so E[sum e^2; M <= m] = g G(m) F(m)^(g-1), G the error mass and F the mass of -m..m.
    length, total = 32, 0.0
    for octave in range(-12, 4):
        x = np.linspace(-(2.0 ** (octave + 1)), 2.0 ** (octave + 1), 2_000_001)
        error = np.square(
            x
            - levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, x / 2.0 ** (octave - exponent))]
            * 2.0 ** (octave - exponent)
        )
        mass = error * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) * (x[1] - x[0])
        for m, sign in ((2.0 ** (octave + 1), 1), (2.0**octave, -1)):
            total += sign * mass[np.abs(x) <= m].sum() * (2 * ndtr(m) - 1) ** (length - 1)
    # 0.002 dB is 5e-4; two million points leave 1e-5 on the sums.
    assert group_mse(length, cut_cells(levels), lay_power_of_two(exponent)) == pytest.approx(total, rel=5e-4)


def test_fine_integers_meet_the_closed_form() -> None:
    for bits, length in ((8, 32), (8, 4096), (6, 64)):
        # step^2/12 misses terms of order step^2 relative: (1/31)^2 / 10 at 6 bits.
        expected = 10 ** (-lines.absmax_group_sqnr_db(bits, length) / 10)
        assert group_mse(length, cut_cells(integers(bits)), lay_absmax(2 ** (bits - 1) - 1)) == pytest.approx(
            expected, rel=1e-4
        )


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("follows", ["absmax", "extremes"])
def test_merging_fine_cells_changes_nothing_that_shows(
    stochastic: bool, follows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, lay = (integers(6), lay_absmax(31)) if follows == "absmax" else (np.arange(64.0), lay_range(63))
    cells = cut_cells(levels, stochastic=stochastic)
    merged = group_mse(32, cells, lay, follows=follows)
    monkeypatch.setattr(gaussian_groups, "MOST_EXACT_CELLS", 10**6)
    # 0.001 dB is 2.3e-4.
    assert merged == pytest.approx(group_mse(32, cells, lay, follows=follows), rel=2.3e-4)


def test_stochastic_rounding_doubles_the_error_of_a_fine_grid() -> None:
    lay, levels = lay_absmax(127), integers(8)
    # E p (1 - p) = 1/6 of a step squared, twice 1/12.
    ratio = group_mse(64, cut_cells(levels, stochastic=True), lay) / group_mse(64, cut_cells(levels), lay)
    assert ratio == pytest.approx(2, rel=1e-4)


def test_stochastic_cells_hold_the_variance_of_the_draw() -> None:
    cells = cut_cells(np.array([0.0, 1.0, 3.0]), stochastic=True)
    one = np.ones(1)
    for x, variance in ((0.25, 0.25 * 0.75), (2.0, 1.0), (4.0, 1.0), (-0.5, 0.25)):
        # A window of 1e-6 about x; its error is that at x within 1e-6 times a slope below 2.
        found = mean_inside(
            np.array([x - 5e-7]), np.array([x + 5e-7]), cells=cells, grids=Grids(one, one, 0 * one, 0 * one)
        )
        assert found[0] == pytest.approx(variance, abs=1e-4)  # moments of a window of 1e-6 keep 1e-10 of 1e-6


def test_error_inside_a_window_equals_its_integral() -> None:
    scale, low, high = 0.3, -1.7, 1.1

    def integrand(x: float) -> float:
        return float(plain_error(np.array([x]), E2M1 * scale)[0]) * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)

    edges = [edge * scale for edge in (E2M1[1:] + E2M1[:-1]) / 2]
    whole = quad(integrand, low, high, points=[edge for edge in edges if low < edge < high], epsabs=1e-13, limit=200)[
        0
    ] / (ndtr(high) - ndtr(low))
    grids = Grids(np.array([scale]), np.array([1 / scale]), np.zeros(1), np.zeros(1))
    assert mean_inside(np.array([low]), np.array([high]), cells=cut_cells(E2M1), grids=grids)[0] == pytest.approx(
        whole, rel=1e-10
    )


def test_a_step_beyond_all_values_leaves_their_own_power() -> None:
    huge = np.full(1, 1e6)
    grids = Grids(huge, 1 / huge, 0 * huge, 0 * huge)
    for bits in (2, 8):
        cells = gaussian_groups._merge_fine(cut_cells(integers(bits)))
        assert mean_inside(np.full(1, -9.0), np.full(1, 9.0), cells=cells, grids=grids)[0] == pytest.approx(
            1, rel=1e-12
        )


@pytest.mark.parametrize("length", [2, 3, 17, 4096])
def test_extremes_have_the_moments_of_order_statistics(length: int) -> None:
    low, high = gaussian_groups._draw_extremes(length, gaussian_groups.LATTICE_POINTS)
    assert np.all(low <= high)
    # By symmetry; and E max^2 over both signs bounds E of either. A lattice of n points errs by about log(n)^2/n, 0.01.
    assert low.mean() == pytest.approx(-high.mean(), abs=0.01)
    assert np.mean(np.square(low)) == pytest.approx(np.mean(np.square(high)), rel=0.01)
    largest = np.mean(np.square(np.maximum(-low, high)))
    assert largest == pytest.approx(lines.expected_max_square(length), rel=0.01)
