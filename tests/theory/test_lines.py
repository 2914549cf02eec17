"""Theory lines and predictions: published values, laws, and a Monte-Carlo run of a plain absmax quantizer."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from qanalysis import decibels
from qanalysis.theory import lines, optimal_grids
from qanalysis.theory.distributions import DISTRIBUTIONS, GAUSSIAN, LAPLACE, UNIFORM

EVERY = pytest.mark.parametrize("density", DISTRIBUTIONS.values(), ids=str)

# bits: Panter-Dite and Shannon, Gaussian then Laplace; printed to 0.001.
ASYMPTOTES = {
    1: (1.674, 6.021, -0.512, 6.649),
    2: (7.694, 12.041, 5.509, 12.670),
    3: (13.715, 18.062, 11.530, 18.690),
    4: (19.736, 24.082, 17.550, 24.711),
    5: (25.756, 30.103, 23.571, 30.732),
    6: (31.777, 36.124, 29.591, 36.752),
    7: (37.797, 42.144, 35.612, 42.773),
    8: (43.818, 48.165, 41.633, 48.793),
}
# bits: SQNR of a Gaussian clipped at 2, 3, 4, 5 sigma, then the best clip in sigma, its SQNR and its step; printed to 0.01, 0.001, 0.01 and as written.
LOADED = {
    2: (9.25, 7.22, 4.73, 2.61, 1.991, 9.25, "0.9957"),
    4: (16.68, 19.04, 16.81, 14.87, 2.682, 19.38, "0.3352"),
    6: (18.88, 29.15, 28.83, 26.92, 3.330, 29.83, "0.1041"),
    8: (19.27, 33.27, 40.55, 38.96, 3.938, 40.57, "0.0308"),
    10: (19.35, 33.83, 49.44, 50.98, 4.498, 51.55, "0.0088"),
    12: (19.37, 33.89, 51.85, 62.71, 5.014, 62.71, "0.00245"),
    14: (19.38, 33.90, 52.07, 71.56, 5.492, 74.01, "0.00067"),
    16: (19.38, 33.90, 52.09, 73.91, 5.938, 85.40, "0.00018"),
}


def absmax_error(values: np.ndarray, bits: int) -> np.ndarray:
    """Error of each row quantized to codes -q..q by its own largest magnitude."""
    largest_code = 2 ** (bits - 1) - 1
    step = np.abs(values).max(axis=1, keepdims=True) / largest_code
    return np.rint(values / step) * step - values


def test_constants_are_exact():
    assert lines.uniform_sqnr_db(1) == decibels.DB_PER_BIT == 20 * math.log10(2)
    assert lines.sine_sqnr_db(0) == decibels.SINE_DB == 10 * math.log10(1.5)
    assert lines.uniform_sqnr_db(0) == 0
    # Printed to 4 and 3 digits; the gap in bits is half its log2.
    assert lines.ENTROPY_CODED_GAP == pytest.approx(1.4233, abs=0.5e-4)
    assert 10 * math.log10(lines.ENTROPY_CODED_GAP) == pytest.approx(1.533, abs=0.5e-3)
    assert 0.5 * math.log2(lines.ENTROPY_CODED_GAP) == pytest.approx(0.2546, abs=0.5e-4)


@pytest.mark.parametrize(
    ("bits", "printed"), [(2, 13.80), (4, 25.84), (8, 49.93), (10, 61.97), (12, 74.01), (16, 98.09), (24, 146.26)]
)
def test_sine_line_meets_the_converter_table(bits, printed):
    assert lines.sine_sqnr_db(bits) == pytest.approx(printed, abs=0.5e-2)


def test_effective_bits_invert_the_sine_line():
    assert decibels.enob(lines.sine_sqnr_db(11.3)) == pytest.approx(11.3, rel=1e-15)
    assert decibels.enob(math.inf) == math.inf


@pytest.mark.parametrize("bits", ASYMPTOTES)
def test_asymptotes_meet_the_table(bits):
    found = [
        line(bits, density) for density in (GAUSSIAN, LAPLACE) for line in (lines.panter_dite_db, lines.shannon_db)
    ]
    assert found == pytest.approx(list(ASYMPTOTES[bits]), abs=0.5e-3)


def test_asymptotes_of_the_uniform_density_have_their_closed_form():
    assert lines.panter_dite_db(5, UNIFORM) == lines.uniform_sqnr_db(5)
    # Shannon's bound is the space-filling gain pi e / 6 above the uniform grid, at equal rate.
    assert lines.shannon_db(5, UNIFORM) - lines.uniform_sqnr_db(5) == pytest.approx(
        10 * math.log10(lines.ENTROPY_CODED_GAP), rel=1e-13
    )


@EVERY
def test_no_grid_passes_shannon_and_lloyd_max_falls_to_panter_dite(density):
    above = [
        optimal_grids.lloyd_max(bits, density).sqnr_db - lines.panter_dite_db(bits, density) for bits in range(1, 17)
    ]
    assert all(
        optimal_grids.lloyd_max(bits, density).sqnr_db < lines.shannon_db(bits, density) for bits in range(1, 17)
    )
    # The uniform's difference is 0 up to rounding, 1e-15 in D = 2^-32: 2e-5 dB.
    assert all(later <= earlier + 2e-5 for earlier, later in pairwise(above))
    # The difference halves with each bit, from 0.035 and 0.038 at 8 bits.
    assert above[-1] < 2e-4


def test_entropy_coding_the_lloyd_max_grid_keeps_it_below_shannon_at_its_entropy():
    for bits in range(1, 9):
        grid = optimal_grids.lloyd_max(bits, GAUSSIAN)
        assert grid.sqnr_db < lines.shannon_db(grid.entropy_bits, GAUSSIAN)


@EVERY
def test_best_scalar_says_where_its_number_comes_from(density):
    assert lines.best_scalar_sqnr_db(16, density) == lines.BestScalar(
        optimal_grids.lloyd_max(16, density).sqnr_db, "lloyd-max"
    )
    assert lines.best_scalar_sqnr_db(17, density) == lines.BestScalar(lines.panter_dite_db(17, density), "panter-dite")


@EVERY
def test_binary_codes_are_the_one_bit_grid(density):
    assert lines.binary_sqnr_db(density) == pytest.approx(optimal_grids.lloyd_max(1, density).sqnr_db, rel=1e-14)


def test_binary_and_best_ternary_gaussian_have_their_published_values():
    assert lines.binary_sqnr_db(GAUSSIAN) == pytest.approx(-10 * math.log10(1 - 2 / math.pi), rel=1e-14)
    assert optimal_grids.optimal_symmetric(2, GAUSSIAN).sqnr_db == pytest.approx(7.21, abs=0.5e-2)


@pytest.mark.parametrize("bits", LOADED)
def test_loaded_gaussian_meets_the_converter_table(bits):
    *clipped, best_sigma, best_db, best_step = LOADED[bits]
    # Half a unit of the last printed digit throughout.
    assert [lines.loaded_gaussian_sqnr_db(bits, sigma) for sigma in (2, 3, 4, 5)] == pytest.approx(clipped, abs=0.5e-2)
    best = optimal_grids.optimal_uniform(bits, GAUSSIAN)
    assert best.clip_edge == pytest.approx(best_sigma, abs=0.5e-3)
    assert best.sqnr_db == pytest.approx(best_db, abs=0.5e-2)
    assert best.step == pytest.approx(float(best_step), abs=0.5 * 10.0 ** -len(best_step.split(".")[1]))
    assert lines.loaded_gaussian_sqnr_db(bits, best.clip_edge) == pytest.approx(
        best.sqnr_db, abs=1e-5
    )  # rounding of D, 3e-9 at 16 bits


def test_loaded_gaussian_tends_to_the_overload_limit():
    assert [lines.loaded_gaussian_sqnr_db(16, sigma) for sigma in (2, 3, 4)] == pytest.approx(
        [19.38, 33.90, 52.09], abs=0.5e-2
    )


@pytest.mark.parametrize(
    ("length", "printed"),
    [(16, 4.549), (32, 5.710), (64, 6.914), (128, 8.148), (256, 9.404), (512, 10.675), (4096, 14.552)],
)
def test_expected_largest_square_meets_the_list(length, printed):
    assert lines.expected_max_square(length) == pytest.approx(printed, abs=0.5e-3)


def test_expected_largest_square_of_one_and_two_values_has_a_closed_form():
    # max(x^2, y^2) = (x^2 + y^2)/2 + |x - y| |x + y| / 2 with x - y and x + y independent: 1 + (2/2) (2/pi).
    assert lines.expected_max_square(1) == pytest.approx(1, rel=1e-14)
    assert lines.expected_max_square(2) == pytest.approx(1 + 2 / math.pi, rel=1e-14)


@pytest.mark.parametrize("length", [3, 128, 10**6, 10**9])
def test_expected_largest_square_equals_the_mean_over_its_density(length):
    def integrand(x):
        return (
            x
            * x
            * length
            * 2
            * float(GAUSSIAN.pdf(x))
            * math.exp((length - 1) * math.log1p(-math.erfc(x / math.sqrt(2))))
        )

    pieces = zip((1e-9, 1, 2, 3, 4, 5, 6, 7, 8, 10), (1, 2, 3, 4, 5, 6, 7, 8, 10, 14), strict=True)
    # quad is asked for 1e-12 in each of ten pieces.
    assert lines.expected_max_square(length) == pytest.approx(
        sum(quad(integrand, a, b, epsabs=1e-12, epsrel=1e-12)[0] for a, b in pieces), rel=1e-11
    )


def test_expected_largest_square_grows_with_the_group():
    values = [lines.expected_max_square(2**k) for k in range(31)]
    assert all(np.diff(values) > 0)
    assert all(
        value < 2 * math.log(2 * 2**k) + 1 for k, value in enumerate(values)
    )  # below the usual bound 2 ln(2 g), plus 1 at g = 1


@pytest.mark.parametrize(
    ("bits", "length", "printed"), [(4, 32, 20.27), (4, 64, 19.36), (4, 128, 18.62), (8, 32, 45.44)]
)
def test_absmax_prediction_meets_the_published_values(bits, length, printed):
    assert lines.absmax_group_sqnr_db(bits, length) == pytest.approx(printed, abs=0.5e-2)


@pytest.mark.parametrize(
    ("bits", "lengths"), [(4, {64: 1}), (8, {32: 1}), (8, {128: 2, 40: 1}), (6, {16: 3, 1: 2})], ids=str
)
def test_absmax_prediction_meets_a_plain_quantizer_on_gaussian_rows(bits, lengths):
    rows, rng = 4000, np.random.default_rng(20240229)
    noise = np.zeros(rows)
    for length, count in lengths.items():
        for _ in range(count):
            noise += np.square(absmax_error(rng.standard_normal((rows, length)), bits)).sum(axis=1)
    predicted = sum(length * count for length, count in lengths.items()) * 10 ** (
        -lines.absmax_groups_sqnr_db(bits, lengths) / 10
    )
    # Rows are independent: sigma of their mean noise is their sample deviation over the root of their number, about 1 percent.
    assert abs(noise.mean() - predicted) < 3 * noise.std(ddof=1) / math.sqrt(rows)


def test_equal_groups_pool_to_one_group():
    single = lines.absmax_group_sqnr_db(5, 48)
    assert lines.absmax_groups_sqnr_db(5, {48: 7}) == pytest.approx(single, rel=1e-14)
    assert lines.absmax_groups_sqnr_db(5, iter([(48, 3), (48, 4), (9, 0)])) == pytest.approx(single, rel=1e-14)


def test_pooled_groups_weigh_error_power_by_values():
    noise = [10 ** (-lines.absmax_group_sqnr_db(4, length) / 10) for length in (128, 16)]
    assert lines.absmax_groups_sqnr_db(4, {128: 3, 16: 1}) == pytest.approx(
        -10 * math.log10((384 * noise[0] + 16 * noise[1]) / 400), rel=1e-14
    )


def test_a_group_of_one_value_is_exact():
    assert lines.absmax_group_sqnr_db(4, 1) == math.inf
    assert lines.absmax_groups_sqnr_db(4, {1: 9}) == math.inf


def test_absmax_prediction_gains_with_bits_and_loses_with_length():
    assert all(
        np.diff([lines.absmax_group_sqnr_db(bits, 64) for bits in range(2, 17)]) > decibels.DB_PER_BIT
    )  # q more than doubles
    assert all(np.diff([lines.absmax_group_sqnr_db(4, length) for length in range(2, 200)]) < 0)


def test_absmax_prediction_is_that_of_a_known_crest_but_for_the_value_that_is_met_exactly():
    # 20 log10 q + 10 log10 12 - 20 log10 K for a crest K = max|x| / RMS; K^2 = E[max^2], and (g-1)/g of the values have an error.
    crest_db = 10 * math.log10(lines.expected_max_square(100))
    assert 10 * math.log10(12) == pytest.approx(10.79, abs=0.5e-2)
    expected = 20 * math.log10(127) + 10 * math.log10(12) - crest_db - 10 * math.log10(0.99)
    assert lines.absmax_group_sqnr_db(8, 100) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("bits", [-1, math.inf, math.nan])
@pytest.mark.parametrize(
    "line",
    [
        lines.uniform_sqnr_db,
        lines.sine_sqnr_db,
        lambda bits: lines.panter_dite_db(bits, GAUSSIAN),
        lambda bits: lines.shannon_db(bits, GAUSSIAN),
    ],
)
def test_what_is_no_rate_is_refused(line, bits):
    with pytest.raises(ValueError, match=r"bits=.* is no rate: use a finite number of bits per value, 0 or more"):
        line(bits)


@pytest.mark.parametrize(
    "call",
    [
        lambda: lines.absmax_group_sqnr_db(1, 32),
        lambda: lines.absmax_group_sqnr_db(17, 32),
        lambda: lines.absmax_groups_sqnr_db(40, {32: 1}),
    ],
)
def test_absmax_codes_need_two_to_sixteen_bits(call):
    with pytest.raises(ValueError, match=r"bits=\d+ is out of range: use a whole number from 2 to 16"):
        call()


def test_best_scalar_and_loading_need_at_least_one_bit():
    for call in (lambda: lines.best_scalar_sqnr_db(0, GAUSSIAN), lambda: lines.loaded_gaussian_sqnr_db(0, 4.0)):
        with pytest.raises(ValueError, match=r"bits=0 is out of range: use a whole number from 1 to 16"):
            call()


@pytest.mark.parametrize("line", [lines.panter_dite_db, lines.shannon_db, lines.best_scalar_sqnr_db])
def test_unknown_distribution_is_refused(line):
    with pytest.raises(ValueError, match="distribution 'cauchy' is unknown"):
        line(4, "cauchy")


@pytest.mark.parametrize("length", [0, -3, math.nan, math.inf])
def test_what_is_no_group_is_refused(length):
    for call in (lines.expected_max_square, lambda length: lines.absmax_group_sqnr_db(4, length)):
        with pytest.raises(ValueError, match=r"group_length=.* is no group: use a whole number of values, 1 or more"):
            call(length)


@pytest.mark.parametrize("lengths", [{}, [(32, 0)], [(32, 2), (16, -1)]], ids=["empty", "no-values", "negative"])
def test_groups_without_values_are_refused(lengths):
    with pytest.raises(ValueError, match=r"lengths=.* has no values: give \(length, count\) pairs"):
        lines.absmax_groups_sqnr_db(4, lengths)


@pytest.mark.parametrize("clip_sigma", [0, -1, math.inf, math.nan])
def test_what_is_no_clip_range_is_refused(clip_sigma):
    with pytest.raises(ValueError, match=r"clip_sigma=.* is no range"):
        lines.loaded_gaussian_sqnr_db(8, clip_sigma)


def test_predictions_load_no_optimiser():
    heavy = "('scipy.optimize', 'scipy.linalg')"
    script = f"import sys; from qanalysis.theory import lines; lines.absmax_group_sqnr_db(4, 32); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
