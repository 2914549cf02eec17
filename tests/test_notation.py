"""Engineering notation: the exponents at their borders, what can not be a number, digits that carry over."""

from __future__ import annotations

import math

import pytest

from qanalysis.notation import si, volts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01953125, "19.53125 mV"),
        (10 / 2**12, "2.441406 mV"),
        (10 / 2**18, "38.14697 µV"),
        (10 / 2**32, "2.328306 nV"),
        (-0.0234375, "−23.4375 mV"),
        (0.99999999, "1 V"),
        (999.99999e-6, "1 mV"),
        (0.0, "0 V"),
        (12000.0, "12 kV"),
    ],
)
def test_voltages_have_seven_digits_and_a_prefix(value: float, text: str) -> None:
    assert volts(value) == text


def test_more_digits_tell_fine_levels_apart() -> None:
    assert volts(5 + 10 / 2**24, digits=11) == "5.000000596 V"


def test_what_is_no_number_says_so() -> None:
    assert (si(math.nan, "V"), si(math.inf, "V"), si(-math.inf, "V")) == ("n/a V", "∞ V", "−∞ V")
