"""Engineering notation: the exponents at their borders, what can not be a number, digits that carry over."""

from __future__ import annotations

import math

import pytest

from qanalysis.notation import byte_unit, count, duration, parse_quantity, shorten, si, volts


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("1MHz", "Hz", 1e6),
        ("48k", "Hz", 48e3),
        ("48 kHz", "Hz", 48e3),
        ("1 MS/s", "Hz", 1e6),
        ("2.5MSPS", "Hz", 2.5e6),
        ("500 kSa/s", "Hz", 5e5),
        ("1m", "Hz", 1e-3),
        ("1650mV", "V", 1.65),
        ("-0.5", "V", -0.5),
        ("2.5e3uV", "V", 2.5e-3),
        (".5", "V", 0.5),
        ("3\u00b5s", "s", 3e-6),
        ("3\u03bcs", "s", 3e-6),
        ("2pF", "F", 2e-12),
        ("inf", "V", math.inf),
    ],
)
def test_a_quantity_is_read_with_its_prefix_and_its_unit(text: str, unit: str, number: float) -> None:
    # The prefix is a power of ten in the text of the number: each is the double nearest to what was typed.
    assert parse_quantity(text, unit) == number


@pytest.mark.parametrize("text", ["", "k", "1,5", "1 kV", "1kk", "0x10", "1e", "--1", "1 2", "\u0661"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it as 1\.5, 1\.5e3, 1\.5 kHz or 1\.5k"):
        parse_quantity(text, "Hz")


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


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 values"), (999, "999 values"), (1_500, "1,500 values"), (2.34e6, "2.34 M values"), (1e9, "1 G values")],
)
def test_a_prefix_belongs_to_a_unit_and_not_to_a_noun(value: float, text: str) -> None:
    assert count(value, "values") == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "< 0.1 s"), (1.24, "1.2 s"), (61, "1 min 1 s"), (3600, "60 min 0 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_long_name_keeps_both_ends() -> None:
    name = "a" * 40 + "z" * 40
    assert shorten(name, 21) == "a" * 10 + "…" + "z" * 10
    assert len(shorten(name, 20)) == 20
    assert shorten("short") == "short"


@pytest.mark.parametrize(
    ("size", "unit"),
    [(0, "B"), (1023, "B"), (1024, "KiB"), (2**20, "MiB"), (2**40, "TiB"), (2**60, "TiB")],
)
def test_a_size_chooses_its_binary_unit(size: int, unit: str) -> None:
    assert byte_unit(size)[0] == unit


def test_percent_and_ppm_take_no_prefix() -> None:
    assert [si(0.0025, "%"), si(4321.0, "%", digits=4), si(0.00025, "ppm")] == ["0.0025 %", "4321 %", "2.5·10⁻⁴ ppm"]
