"""The four traps: their examples are worked out by the rules that train, and come to the numbers worked by hand."""

from __future__ import annotations

import pytest

from qanalysis.dashboard.training.honesty import (
    list_examples,
    work_out_exponents,
    work_out_fluctuation,
    work_out_means,
    work_out_ratios,
)


def test_only_the_element_measure_sees_a_weight_that_flips() -> None:
    assert work_out_fluctuation() == (0.0, pytest.approx(1.55884573, rel=1e-8))


def test_at_a_power_of_two_the_exponent_of_the_source_does_not_cover() -> None:
    assert work_out_exponents() == {"source": (-7, False), "library": (-6, True), "covering": (-6, True)}


def test_the_literal_mean_lowers_what_it_means_to_raise() -> None:
    assert work_out_means() == pytest.approx({"literal": 5.54, "guarded": 6.05}, rel=1e-12)


def test_the_ratio_of_variances_is_the_square_of_that_of_deviations() -> None:
    assert work_out_ratios() == pytest.approx((0.38627685, 0.14920980), rel=1e-7)


def test_each_example_says_its_numbers() -> None:
    told = [sentence for _heading, sentence in list_examples()]
    for sentence, words in zip(
        told,
        (("V_scalar = 0", "1.5588"), ("s = −7", "0.992"), ("5.54", "6.05"), ("0.3863", "0.1492", "0.1225")),
        strict=True,
    ):
        assert all(word in sentence for word in words)
