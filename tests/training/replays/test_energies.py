"""Expected energies under the gamma law: against numeric integration, sampled data, and the limits that are exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from qanalysis.quantizers.float_coders import FloatCoder
from qanalysis.training.replays.energies import (
    Law,
    find_clipped_energy,
    find_clipped_share,
    find_level_energy,
    find_mean_quantized,
    find_rounding_energy,
)

UNKNOWN = np.array([np.nan])


def law_of(mean: float, std: float, absmax: float = np.inf) -> Law:
    return Law(np.array([mean]), np.array([std]), np.array([absmax]))


def one(value: float) -> np.ndarray:
    return np.array([value], np.float64)


def integrate_cells(function, mean: float, std: float, edges: np.ndarray) -> float:
    """The integral of function(x) times the density, piece by piece between the kinks of the error."""
    law = stats.gamma((mean / std) ** 2, scale=std**2 / mean)
    # In the first piece the density may be infinite at 0: substitute its distribution function.
    first = integrate.quad(lambda u: function(law.ppf(u)), 0, law.cdf(edges[1]), limit=200, epsabs=1e-13)[0]
    pieces = [
        integrate.quad(lambda x: function(x) * law.pdf(x), a, b, epsabs=1e-14, epsrel=1e-11)[0]
        for a, b in itertools.pairwise(edges[1:])
    ]
    return first + sum(pieces)


@pytest.mark.parametrize("mean", [0.3, 1.0, 1.324, 4.0], ids=lambda mean: f"mean/std {mean}")
@pytest.mark.parametrize("step", [0.05, 0.4, 1.0, 1.9, 2.1, 6.0], ids=lambda step: f"step {step} std")
@pytest.mark.parametrize("codes", [1, 7, 15], ids=lambda codes: f"{codes} codes")
def test_rounding_and_means_equal_numeric_integration(mean: float, step: float, codes: int) -> None:
    end = codes * step
    edges = np.append((np.arange(codes + 1) - 0.5).clip(0) * step, end)
    law = law_of(mean, 1.0)

    def error(x: float) -> float:
        return (x - min(round(x / step), codes) * step) ** 2

    expected = integrate_cells(error, mean, 1.0, edges)
    # Eight harmonics leave 1/8^3 of step^2/pi^2; beyond the ends step^2/12 stands for the error of what is clipped.
    assert find_rounding_energy(law, one(step), one(end))[0] == pytest.approx(expected, rel=0.01, abs=2e-4 * step**2)
    beyond = law.share(one(end))[0] * end
    level = integrate_cells(lambda x: min(round(x / step), codes) * step, mean, 1.0, edges) + beyond
    # Of the mean, eight harmonics leave 1/8^2 of step/pi.
    assert find_mean_quantized(law, one(step), one(end))[0] == pytest.approx(level, rel=0.005, abs=3e-3 * step)


@pytest.mark.parametrize("end", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("absmax", [7.0, np.inf], ids=["ends", "goes on"])
def test_clipping_equals_numeric_integration(end: float, absmax: float) -> None:
    for mean in (0.4, 1.0, 3.0):
        density = stats.gamma(mean**2, scale=1 / mean)
        top = min(absmax, 80.0)
        energy = integrate.quad(lambda x, d=density: (x - end) ** 2 * d.pdf(x), end, top, epsabs=1e-14, limit=200)[0]
        law = law_of(mean, 1.0, top)
        # Three tails of order E x^2 are added: the difference keeps that times some eps.
        assert find_clipped_energy(law, one(end), UNKNOWN)[0] == pytest.approx(energy, rel=1e-7, abs=1e-13)
        share = density.sf(end) - density.sf(top)
        assert find_clipped_share(law, one(end), UNKNOWN)[0] == pytest.approx(share, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(("bits", "clip"), [(8, 1.0), (4, 1.0), (4, 0.4), (3, 0.5), (2, 0.3)])
def test_a_laplace_sample_is_told_by_its_moments(bits: int, clip: float) -> None:
    x = np.abs(np.random.default_rng(1).laplace(size=400_000))
    codes = 2 ** (bits - 1) - 1
    end = clip * x.max()
    step = end / codes
    cut = np.minimum(x, end)
    law, count = law_of(x.mean(), x.std(), x.max()), one(x.size)
    # A sample's mean square strays by sqrt(kurtosis/n): five such deviations at a fourth-moment ratio of up to 100 are 8 %
    # for clipping, where few elements are, and below 2 % for rounding.
    rounding = np.mean((cut - np.rint(cut / step) * step) ** 2)
    assert find_rounding_energy(law, one(step), one(end))[0] == pytest.approx(rounding, rel=0.02)
    beyond = np.sum(x > end)
    clipped = find_clipped_energy(law, one(end), count)[0]
    if clip == 1:
        assert clipped == 0
    else:
        assert clipped == pytest.approx(np.mean((x - cut) ** 2), rel=5 * np.sqrt(24 / max(beyond, 24)))
    assert find_mean_quantized(law, one(step), one(end))[0] == pytest.approx(
        (np.rint(cut / step) * step).mean(), rel=0.02
    )


@pytest.mark.parametrize(
    ("end", "share", "energy"), [(0.5, 1.01, 1.02), (1.0, 0.91, 1.14), (2.0, 1.05, 2.14), (3.0, 2.54, 7.88)]
)
def test_how_far_off_clipping_of_half_normal_data_is(end: float, share: float, energy: float) -> None:
    """|x| of normal data follows no gamma law, and its tail is lighter: found over true, at `end` deviations."""
    law = law_of(np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi), 6.0)
    true_share = 2 * stats.norm.sf(end)
    true_energy = 2 * ((1 + end**2) * stats.norm.sf(end) - end * stats.norm.pdf(end))
    assert find_clipped_share(law, one(end), UNKNOWN)[0] / true_share == pytest.approx(share, abs=0.01)
    assert find_clipped_energy(law, one(end), UNKNOWN)[0] / true_energy == pytest.approx(energy, abs=0.01)


@pytest.mark.parametrize("step", [0.02, 0.2, 0.5])
def test_rounding_of_half_normal_data_is_right_to_six_percent(step: float) -> None:
    # Of the true law it is step^2/12 up to e^(-2 pi^2/step^2); the gamma density has another value and slope at 0.
    energy = find_rounding_energy(law_of(np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)), one(step), one(300 * step))[0]
    assert energy == pytest.approx(step**2 / 12, rel=0.06)


def test_limits_are_exact() -> None:
    law = law_of(1.0, 0.7, 3.0)
    assert find_rounding_energy(law, one(1e9), one(1e9))[0] == pytest.approx(1.49, rel=1e-9)  # all becomes 0: E x^2
    assert find_mean_quantized(law, one(1e9), one(1e9))[0] == pytest.approx(0, abs=1e-9)
    assert find_rounding_energy(law, one(1e-4), one(3.0))[0] == pytest.approx(1e-8 / 12, rel=1e-4)
    assert find_mean_quantized(law, one(1e-4), one(3.0))[0] == pytest.approx(1.0, rel=1e-9)
    assert find_clipped_energy(law, one(3.0), one(10))[0] == 0
    # One of ten elements lies at 3: at least (3 - 2.9)^2/10, and a share of a tenth.
    narrow = law_of(0.1, 0.05, 3.0)
    assert find_clipped_energy(narrow, one(2.9), one(10))[0] == pytest.approx(0.001, rel=1e-9)
    assert find_clipped_share(narrow, one(2.9), one(10))[0] == pytest.approx(0.1)


def test_one_magnitude_is_exact() -> None:
    law = law_of(0.7, 0.0, 0.7)
    assert find_rounding_energy(law, one(0.5), one(2.0))[0] == pytest.approx(0.04)
    assert find_mean_quantized(law, one(0.5), one(2.0))[0] == 0.5
    assert find_clipped_energy(law, one(0.5), UNKNOWN)[0] == pytest.approx(0.04)
    assert find_level_energy(law, np.array([0.0, 0.5, 1.0]), one(1.0))[0] == pytest.approx(0.04)
    levels = FloatCoder(4, 3, 448.0).levels
    nearest = levels[np.abs(levels - 0.7).argmin()]
    assert find_level_energy(law, levels[levels >= 0], one(1.0))[0] == pytest.approx((0.7 - nearest) ** 2)


def test_moments_that_can_not_be_are_marked() -> None:
    laws = Law(np.array([1.0, np.nan, 1.0, -1.0, 0.5]), np.array([0.5, 1, 9, 1, 0]), np.array([2.0, 2, 2, 2, 0.5]))
    assert laws.is_known.tolist() == [True, False, False, False, True]
    assert laws.is_constant.tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    "coder",
    [FloatCoder(2, 1, 6.0), FloatCoder(3, 2, 28.0), FloatCoder(4, 3, 448.0), FloatCoder(5, 2, 57344.0)],
    ids=["e2m1", "e3m2", "e4m3", "e5m2"],
)
@pytest.mark.parametrize("reach", [0.5, 1.0, 1e3, 1e6], ids=lambda reach: f"end at {reach:g} absmax")
def test_levels_that_are_not_equal(coder: FloatCoder, reach: float) -> None:
    x = np.abs(np.random.default_rng(2).laplace(size=200_000))
    scale = reach * x.max() / coder.high
    levels = coder.levels[coder.levels >= 0]
    cut = np.minimum(x, coder.high * scale)
    edges = (levels[1:] + levels[:-1]) / 2 * scale
    expected = np.mean((cut - levels[np.searchsorted(edges, cut)] * scale) ** 2)
    found = find_level_energy(law_of(x.mean(), x.std(), x.max()), levels, one(scale))[0]
    # Within an octave of four steps the density falls: gap^2/12 is then off by up to (step/8)^2 of its slope, some percent.
    assert found == pytest.approx(expected, rel=0.05)
