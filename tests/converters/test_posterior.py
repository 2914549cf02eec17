"""The posterior check and mean relative errors:
values worked by hand, the definitions as plain loops, laws, edges and refusals.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from qanalysis.converters.converter import Converter
from qanalysis.converters.posterior import (
    GRADES,
    QUARTILE,
    GreyModel,
    fit_grey_model,
    judge_posterior,
    measure_relative_errors,
)

SERIES = [2.67, 3.13, 3.25, 3.36, 3.56, 3.72]
VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30)


def round_to(step: float) -> np.ndarray:
    return np.rint(np.array(SERIES) / step) * step


def test_both_readings_of_the_mean_relative_error() -> None:
    errors = measure_relative_errors([10, 20, 30], [9, 22, 30])
    # 1/10 + 2/20 + 0 over 3, and 1/9 + 2/22 + 0 over 3; two additions and divisions round by 4 eps at most.
    assert errors.of_measured == pytest.approx(0.2 / 3, rel=1e-15)
    assert errors.of_predicted == pytest.approx((1 / 9 + 1 / 11) / 3, rel=1e-15)
    assert (errors.count, errors.non_finite, errors.of_measured_count, errors.of_predicted_count) == (3, 0, 3, 3)


def test_zeros_leave_the_reading_whose_denominator_they_are() -> None:
    errors = measure_relative_errors([0.0, 2.0, 4.0], [1.0, 0.0, 5.0])
    assert (errors.of_measured, errors.of_measured_count) == ((1 + 0.25) / 2, 2)
    assert (errors.of_predicted, errors.of_predicted_count) == ((1 + 0.2) / 2, 2)


def test_a_mean_of_nothing_is_none_and_pairs_that_are_not_finite_are_counted() -> None:
    errors = measure_relative_errors([0.0, math.nan, 1.0], [2.0, 1.0, math.inf])
    assert (errors.count, errors.non_finite) == (1, 2)
    assert (errors.of_measured, errors.of_predicted) == (None, 1.0)
    assert measure_relative_errors([], []).of_measured is None


def test_an_error_over_a_subnormal_value_is_infinite_without_a_warning() -> None:
    assert measure_relative_errors([5e-324], [1.0]).of_measured == math.inf


def test_grey_model_and_its_posterior_check() -> None:
    model = fit_grey_model(SERIES)
    check = judge_posterior(SERIES, model.predict(6))
    # Printed to 8 decimals.
    assert (model.a, model.b) == (pytest.approx(-0.04396098, abs=5e-9), pytest.approx(2.92561660, abs=5e-9))
    assert (check.c_std, check.c_var) == (pytest.approx(0.05380143, abs=5e-9), pytest.approx(0.00289459, abs=5e-9))
    assert check.std_x == pytest.approx(0.33513264, abs=5e-9)
    assert (check.small_error_frequency, check.grade) == (1.0, GRADES[0])


@pytest.mark.parametrize(
    ("step", "c_std", "c_var", "p", "grades"),
    [(0.5, 0.38627685, 0.14920980, 5 / 6, (2, 2, 2)), (1.0, 0.92282521, 0.85160636, 1 / 6, (4, 4, 4))],
    ids=["multiples of a half", "whole numbers"],
)
def test_rounding_a_series_moves_its_grade(
    step: float, c_std: float, c_var: float, p: float, grades: tuple[int, int, int]
) -> None:
    check = judge_posterior(SERIES, round_to(step))
    # Printed to 8 decimals; P is a count over 6.
    assert (check.c_std, check.c_var) == (pytest.approx(c_std, abs=5e-9), pytest.approx(c_var, abs=5e-9))
    assert check.small_error_frequency == p
    assert tuple(grade.number for grade in (check.grade_of_c, check.grade_of_p, check.grade) if grade) == grades


def test_the_variance_ratio_held_against_the_limits_of_c_would_flatter() -> None:
    check = judge_posterior(SERIES, round_to(0.5))
    assert check.c_var < GRADES[0].c_below < check.c_std
    assert check.c_var > GRADES[0].c_below ** 2


@pytest.mark.parametrize(
    ("c", "number"), [(0.349, 1), (0.351, 2), (0.499, 2), (0.5, 3), (0.501, 3), (0.649, 3), (0.651, 4)]
)
def test_the_grade_of_c_changes_at_its_limits(c: float, number: int) -> None:
    # The error is c times a series of the same deviations.
    x = np.array([-1.0, 1.0, -1.0, 1.0])
    check = judge_posterior(x, x + c * np.array([-1.0, -1.0, 1.0, 1.0]))
    assert check.c_std == pytest.approx(c, rel=1e-12)
    assert check.grade_of_c is GRADES[number - 1]


@pytest.mark.parametrize(("large", "number"), [(0, 1), (5, 2), (6, 2), (20, 3), (31, 4)])
def test_the_grade_of_p_changes_at_its_limits(large: int, number: int) -> None:
    x = np.tile([-1.0, 1.0], 50)
    error = np.zeros(100)
    error[:large] = np.tile([-1.0, 1.0], 50)[:large]  # the mean stays within 0.01, far from the limit of 0.6745
    check = judge_posterior(x, x + error)
    assert check.small_error_frequency == (100 - large) / 100
    assert check.grade_of_p is GRADES[number - 1]
    assert check.grade is max(check.grade_of_c, check.grade_of_p, key=lambda grade: grade.number)


@pytest.mark.parametrize(("bits", "c"), [(2, 0.290), (4, 0.066), (8, 0.0035)])
def test_any_converter_of_a_full_sine_has_grade_1(bits: int, c: float) -> None:
    sine = np.sin(2 * np.pi * (np.arange(100_003) * 7 + 0.1) / 100_003)
    check = judge_posterior(sine, Converter(bits, -1, 1).round_trip(sine))
    # Printed to the last digit shown.
    assert check.c_std == pytest.approx(c, abs=0.5e-3 if bits < 8 else 0.5e-4)
    assert (check.small_error_frequency, check.grade) == (1.0, GRADES[0])


def test_a_bias_is_shown_because_the_ratio_ignores_it() -> None:
    check = judge_posterior([1.0, 2.0, 3.0], [6.0, 7.0, 8.0])
    assert (check.bias, check.c_std, check.c_var, check.sqnr_ac_db, check.small_error_frequency) == (
        5.0,
        0.0,
        0.0,
        math.inf,
        1.0,
    )


def test_magnitudes_in_place_of_signed_errors_are_an_option() -> None:
    x, y = [0.0, 4.0, 0.0, 4.0], [1.0, 3.0, 1.0, 3.0]
    assert (judge_posterior(x, y).c_std, judge_posterior(x, y, absolute=True).c_std) == (0.5, 0.0)
    assert judge_posterior(x, y, absolute=True).bias == 0


def test_a_constant_series_has_no_ratio_though_its_mean_is_rounded() -> None:
    check = judge_posterior([0.1] * 3, [0.1, 0.2, 0.3])
    assert check.std_x == 0
    assert (
        check.c_std,
        check.c_var,
        check.sqnr_ac_db,
        check.small_error_frequency,
        check.grade_of_c,
        check.grade_of_p,
        check.grade,
    ) == (None,) * 7


def test_an_empty_series_has_no_figures_and_pairs_that_are_not_finite_are_counted() -> None:
    empty = judge_posterior([math.nan], [1.0])
    assert (empty.count, empty.non_finite, empty.bias, empty.c_std, empty.grade) == (0, 1, None, None, None)
    x = np.array([[1.0, 2.0, math.nan], [4.0, math.inf, 3.0]])
    assert judge_posterior(x, np.floor(x) + 0.25).count == 4


@settings(max_examples=60)
@given(VALUES, st.integers(0, 2**32 - 1))
def test_the_check_is_its_definition_and_does_not_depend_on_scale(values: list[float], seed: int) -> None:
    model = (np.array(values) + np.random.default_rng(seed).normal(0, 100, len(values))).tolist()
    check = judge_posterior(values, model)
    errors = [b - a for a, b in zip(values, model, strict=True)]
    s1, s2 = statistics.pstdev(values), statistics.pstdev(errors)
    # The exact deviation against one from rounded means: n eps of values up to 1e3.
    assert check.std_x == pytest.approx(s1, rel=1e-12, abs=1e-10)
    if s1 < 1e-6:
        return
    assert check.c_std == pytest.approx(s2 / s1, rel=1e-4)
    if all(abs(abs(e - statistics.fmean(errors)) - QUARTILE * s1) > 1e-9 for e in errors):
        assert check.small_error_frequency == sum(
            abs(e - statistics.fmean(errors)) < QUARTILE * s1 for e in errors
        ) / len(errors)
    # A factor of two changes no rounding.
    doubled = judge_posterior(2 * np.array(values), 2 * np.array(model))
    assert (doubled.c_std, doubled.small_error_frequency) == (check.c_std, check.small_error_frequency)


def test_the_grey_model_is_the_series_of_its_textbook_recipe() -> None:
    model = fit_grey_model(SERIES)
    a, b = model.a, model.b
    total = [(SERIES[0] - b / a) * math.exp(-a * k) + b / a for k in range(9)]
    # Differences of sums near 30 lose a digit or two of 16.
    assert model.predict(9) == pytest.approx([SERIES[0], *np.diff(total)], rel=1e-12)
    sums = np.cumsum(SERIES)
    middle = (sums[1:] + sums[:-1]) / 2
    least = minimize(
        lambda p: float(np.sum((np.array(SERIES[1:]) + p[0] * middle - p[1]) ** 2)),
        [0.0, 1.0],
        method="BFGS",
        options={"gtol": 1e-12},
    )
    # The minimum is flat: an error of sqrt(eps) in the parameters can not be seen in the sum of squares.
    assert least.x == pytest.approx([a, b], abs=1e-6)


def test_a_constant_series_stays_constant_and_a_geometric_one_is_followed() -> None:
    constant = fit_grey_model([3.0] * 5)
    # Normal equations of five values: a few eps.
    assert constant.a == pytest.approx(0, abs=1e-14)
    assert constant.predict(8) == pytest.approx([3.0] * 8, rel=1e-13)
    assert GreyModel(0.0, 3.0, 1.0).predict(3).tolist() == [1.0, 3.0, 3.0]
    assert fit_grey_model([0.0] * 4).predict(4).tolist() == [0.0] * 4
    geometric = 2.0 * 1.1 ** np.arange(8)
    # z is the mean of the sums at both ends, so that a ratio r gives a = -2 (r - 1)/(r + 1), where ln r would be exact:
    # 3.6e-5 per step here.
    assert fit_grey_model(geometric).a == pytest.approx(-2 * 0.1 / 2.1, rel=1e-12)


def test_refusals_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        judge_posterior([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"shapes \(1,\) and \(\)"):
        measure_relative_errors([1], 1)
    with pytest.raises(ValueError, match=r"shape \(3,\): GM\(1,1\) is fitted to one row of at least 4"):
        fit_grey_model([1, 2, 3])
    with pytest.raises(ValueError, match=r"shape \(2, 4\)"):
        fit_grey_model(np.ones((2, 4)))
    with pytest.raises(ValueError, match="1 values that are not finite"):
        fit_grey_model([1, 2, math.nan, 4])
    with pytest.raises(ValueError, match="count 0"):
        fit_grey_model(SERIES).predict(0)
