"""Full scale follows what the user says, whole numbers are codes or values by their width and range, huge ones are told."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.spectrum.full_scale import find_full_scale, lies_within
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.spectrum import analyze_spectrum

TURNS = np.sin(2 * np.pi * 401 * np.arange(4096) / 4096)


def find(values: np.ndarray, *, bits: int | None = 12, low: float | None = None, high: float | None = None):
    whole = values.dtype.kind in "iu"
    return find_full_scale(values.astype(float), SpectrumOptions(low=low, high=high), bits=bits, whole=whole)


def test_whole_millivolts_beyond_the_width_are_values_in_the_unit_of_the_range() -> None:
    millivolts = np.rint(2251 * TURNS).astype(int)
    found = find(millivolts, low=-2500, high=2500)
    assert (found.span, found.lsb, found.bits) == (5000, 5000 / 4096, 12)
    assert [finding.code for finding in found.findings] == ["whole-values"]
    assert "from −2251 to 2251 are no codes of 12 bits (4096 codes)" in found.findings[0].text
    # Rounding to whole millivolts leaves 1/sqrt(12) mV, and an ideal converter's LSB of 5000/4096 mV leaves more.
    spectrum = analyze_spectrum(millivolts, bits=12, low=-2500, high=2500)
    assert spectrum.enob_ieee == pytest.approx(12 + np.log2(5000 / 4096), abs=0.05)


def test_codes_that_their_width_holds_are_codes_whatever_the_range() -> None:
    for low, high in ((-2.5, 2.5), (-2500, 2500)):
        found = find(np.rint(2000 * TURNS).astype(int), low=low, high=high)
        assert (found.span, found.findings) == (4096, ())


@pytest.mark.parametrize(("low", "high"), [(None, None), (-2.5, 2.5), (-1e7, 1e7)], ids=["none", "volts", "far wider"])
def test_whole_numbers_beyond_width_and_range_are_refused(low: float | None, high: float | None) -> None:
    with pytest.raises(ValueError, match=r"which 12 bits can not hold \(4096 codes\); raise bits"):
        find(np.rint(2251 * TURNS).astype(int), low=low, high=high)


def test_the_way_out_of_a_range_in_volts_is_the_unit() -> None:
    with pytest.raises(ValueError, match="or state the unit, V or mV, of numbers that are no codes"):
        find(np.rint(2251 * TURNS).astype(int), low=-2.5, high=2.5)


def test_fractions_that_leave_the_range_a_thousandfold_are_suspected_to_be_millivolts() -> None:
    found = find(2251.5 * TURNS, low=-2.5, high=2.5)
    assert found.findings[0].code == "beyond-range"
    assert found.findings[0].text.endswith("Millivolts beside volts? State the unit mV.")
    assert "Millivolts" not in find(3.5 * TURNS, low=-2.5, high=2.5).findings[0].text


def test_values_lie_within_a_range_that_they_fill() -> None:
    values = np.array([-1.0, 1.0])
    assert lies_within(values, -1, 1)
    assert lies_within(values, -1000, 999)
    assert not lies_within(values, -2000, 2000)
    assert not lies_within(values, 0, 1)
    assert not lies_within(values, None, None)


@pytest.mark.parametrize("reach", [1e200, 1e308, 1e-200, 1e-310, 5e-324])
def test_values_whose_squares_leave_double_precision_are_refused(reach: float) -> None:
    for options in ({}, {"low": -1, "high": 1}, {"bits": 12}):
        with pytest.raises(ValueError, match=r"the values reach .*: their squares leave double precision; count in a"):
            analyze_spectrum(reach * TURNS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("reach", [1e149, 1e-149])
def test_values_whose_squares_are_held_are_measured(reach: float) -> None:
    noisy = reach * (TURNS + 1e-3 * np.random.default_rng(0).standard_normal(4096))
    found = analyze_spectrum(noisy, low=-1.1 * reach, high=1.1 * reach)
    # Noise of 1e-3 rms beside a sine of 1/sqrt(2) rms is 57 dB; 4096 samples tell it within 4 times 0.1 dB.
    assert found.sinad_db == pytest.approx(56.99, abs=0.4)


def test_a_record_of_zeros_is_constant_and_no_fault_of_precision() -> None:
    assert [finding.code for finding in analyze_spectrum(np.zeros(64), low=-1, high=1).findings] == ["constant"]
