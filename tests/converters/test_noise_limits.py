"""Jitter and kT/C: the published values, alone and together."""

from __future__ import annotations

import math

import pytest

from qanalysis.converters.noise_limits import (
    NO_NOISE,
    NoiseSources,
    combine_snr_db,
    jitter_snr_db,
    thermal_noise_rms,
    thermal_snr_db,
)

HALF_DIGIT = 0.005 + 1e-9  # tables are stated to 0.01 dB


@pytest.mark.parametrize(("frequency_hz", "snr_db"), [(10e6, 84.04), (70e6, 67.13), (100e6, 64.04), (1e9, 44.04)])
def test_a_picosecond_of_jitter(frequency_hz: float, snr_db: float) -> None:
    assert jitter_snr_db(frequency_hz, 1e-12) == pytest.approx(snr_db, abs=HALF_DIGIT)


@pytest.mark.parametrize(("capacitance_f", "snr_db"), [(1e-13, 64.80), (1e-12, 74.80), (1e-11, 84.80)])
def test_thermal_noise_of_a_capacitor_at_one_volt(capacitance_f: float, snr_db: float) -> None:
    assert thermal_snr_db(1.0, capacitance_f) == pytest.approx(snr_db, abs=HALF_DIGIT)
    assert thermal_noise_rms(1e-12) == pytest.approx(64.4e-6, abs=0.05e-6)


def test_independent_noises_add_their_powers() -> None:
    # Two equal powers are twice one: 3.0103 dB less.
    assert combine_snr_db(80, 80) == pytest.approx(80 - 10 * math.log10(2), rel=1e-14)
    assert combine_snr_db(70, math.inf) == pytest.approx(70, rel=1e-14)


def test_what_is_not_stated_limits_nothing() -> None:
    assert (NO_NOISE.jitter_snr_db, NO_NOISE.thermal_noise_rms, NO_NOISE.thermal_snr_db(5)) == (None, None, None)
    both = NoiseSources(jitter_s=1e-12, frequency_hz=70e6, capacitance_f=1e-12)
    assert both.jitter_snr_db == jitter_snr_db(70e6, 1e-12)
    assert both.thermal_noise_rms == thermal_noise_rms(1e-12)
    assert both.thermal_snr_db(2.0) == thermal_snr_db(2.0, 1e-12)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"jitter_s": 1e-12}, "a jitter without a frequency: what jitter costs depends on the frequency"),
        ({"frequency_hz": 1e6}, "a frequency without a jitter: what jitter costs"),
        ({"jitter_s": 0.0, "frequency_hz": 1e6}, "jitter 0 s: needs a finite value above 0"),
        ({"capacitance_f": math.nan}, "capacitance n/a F: needs a finite value above 0"),
    ],
)
def test_half_a_statement_is_refused(stated: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoiseSources(**stated)


def test_no_jitter_sets_no_limit() -> None:
    assert jitter_snr_db(1e6, 0.0) == jitter_snr_db(0.0, 1e-12) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jitter_snr_db(-1.0, 1e-12), "both are 0 or more"),
        (lambda: thermal_noise_rms(0.0), "both are above 0"),
        (lambda: thermal_snr_db(0.0, 1e-12), "full scale 0.0 V is not above 0"),
    ],
)
def test_limits_of_nothing_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_powers_of_extreme_ratios_add_without_overflow() -> None:
    # Of a ratio 6000 dB below another only the lower counts; 10^600 would be no float64.
    assert combine_snr_db(-6000.0, 60.0) == pytest.approx(-6000.0, abs=1e-9)
