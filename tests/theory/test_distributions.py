"""The closed forms of the three densities against numerical integrals of nothing but their pdf."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from qanalysis.theory.distributions import DISTRIBUTIONS, GAUSSIAN, LAPLACE, UNIFORM, Distribution

EVERY = pytest.mark.parametrize("density", DISTRIBUTIONS.values(), ids=str)
POINTS = (-1.5, -0.3, 0.0, 0.3, 1.5)

# quad is asked for 1e-12 and says it met it; the integrands are smooth on each piece.
QUAD = {"abs": 1e-11}


def integrate(function, low, high):
    """Integral of function(x), split at the kinks of the three densities; 40 standard deviations stand for infinity."""
    edges = [low, *(k for k in (-8.0, -math.sqrt(3), 0.0, math.sqrt(3), 8.0) if low < k < high), high]
    return sum(quad(function, a, b, epsabs=1e-12, epsrel=1e-12)[0] for a, b in pairwise(edges))


@EVERY
def test_word_parses_back_to_the_same_value(density):
    assert Distribution.parse(str(density)) is density
    assert Distribution.parse(density) is density


def test_unknown_word_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"distribution 'cauchy' is unknown: use one of gaussian, laplace, uniform"):
        Distribution.parse("cauchy")


@EVERY
def test_mean_is_zero_and_variance_is_one(density):
    assert integrate(density.pdf, -40, 40) == pytest.approx(1, **QUAD)
    assert integrate(lambda x: x * density.pdf(x), -40, 40) == pytest.approx(0, **QUAD)
    assert integrate(lambda x: x * x * density.pdf(x), -40, 40) == pytest.approx(1, **QUAD)


@EVERY
@pytest.mark.parametrize("t", POINTS)
def test_tail_mass_and_tail_mean_are_the_integrals_they_name(density, t):
    assert density.tail_mass(t) == pytest.approx(integrate(density.pdf, t, 40), **QUAD)
    assert density.tail_mean(t) == pytest.approx(integrate(lambda x: x * density.pdf(x), t, 40), **QUAD)


@EVERY
def test_both_tails_hold_all_mass_and_quantile_inverts_the_lower_one(density):
    points = np.array(POINTS)
    # Both sides are within a few eps of numbers near 1.
    np.testing.assert_allclose(density.tail_mass(-points) + density.tail_mass(points), 1.0, rtol=0, atol=1e-15)
    np.testing.assert_allclose(density.quantile(density.tail_mass(-points)), POINTS, rtol=0, atol=1e-14)


def test_far_tail_keeps_its_relative_precision():
    # Mills: P(X > 30) = pdf(30)/30 (1 - 1/900 + 3/810000 - ...), the next term is 15/900^3 = 2e-8.
    assert float(GAUSSIAN.tail_mass(30.0)) == pytest.approx(
        float(GAUSSIAN.pdf(30.0)) / 30 * (1 - 1 / 900 + 3 / 810000), rel=3e-8
    )
    assert float(LAPLACE.tail_mass(30.0)) == pytest.approx(0.5 * math.exp(-30 * math.sqrt(2)), rel=1e-14)


def test_beyond_its_support_the_uniform_has_no_mass():
    assert UNIFORM.support == math.sqrt(3)
    np.testing.assert_array_equal(
        [UNIFORM.pdf(2.0), UNIFORM.tail_mass(2.0), UNIFORM.tail_mean(2.0), UNIFORM.tail_mass(-2.0) - 1.0], 0.0
    )


@EVERY
def test_entropy_and_mean_magnitude_are_the_integrals_they_name(density):
    edge = min(density.support, 36.0)  # beyond 36 a pdf underflows; what is left there is below 1e-20
    assert density.entropy_nats == pytest.approx(
        -integrate(lambda x: density.pdf(x) * math.log(density.pdf(x)), -edge, edge), **QUAD
    )
    assert density.mean_abs == pytest.approx(integrate(lambda x: abs(x) * density.pdf(x), -40, 40), **QUAD)


@EVERY
def test_panter_dite_factor_is_the_integral_of_the_cube_root(density):
    # 36 deviations of a cube root leave exp(-36 sqrt 2 / 3) = 4e-8 of the Laplace's integral: subtract in closed form.
    cube_root = integrate(lambda x: float(density.pdf(x)) ** (1 / 3), -36, 36)
    if density is LAPLACE:
        cube_root /= 1 - math.exp(-36 * math.sqrt(2) / 3)
    assert density.panter_dite_factor == pytest.approx(cube_root**3 / 12, rel=1e-10)


@EVERY
def test_cube_root_of_the_pdf_is_the_pdf_stretched(density):
    x = np.linspace(-1.7, 1.7, 11)
    stretched = density.pdf(x / density.companding_stretch)
    np.testing.assert_allclose(np.cbrt(density.pdf(x) / density.pdf(0.0)), stretched / density.pdf(0.0), rtol=1e-14)


@pytest.mark.parametrize(
    ("density", "panter_dite", "shannon"),
    [(GAUSSIAN, 2.7207, 1.0), (LAPLACE, 4.5, 0.8653), (UNIFORM, 1.0, 0.7026)],
    ids=str,
)
def test_rate_constants_have_their_published_values(density, panter_dite, shannon):
    # Half a unit of the last printed digit.
    assert density.panter_dite_factor == pytest.approx(panter_dite, abs=0.5e-4)
    assert density.shannon_factor == pytest.approx(shannon, abs=0.5e-4)
