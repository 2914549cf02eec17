"""Jitter, kT/C and the gain of noise shaping: the published values."""

from __future__ import annotations

import math

import pytest

from qanalysis.converters.noise_limits import jitter_snr_db, shaping_gain_db, thermal_noise_rms, thermal_snr_db

HALF_DIGIT = 0.005 + 1e-9  # tables are stated to 0.01 dB


@pytest.mark.parametrize(("frequency_hz", "snr_db"), [(10e6, 84.04), (70e6, 67.13), (100e6, 64.04), (1e9, 44.04)])
def test_a_picosecond_of_jitter(frequency_hz: float, snr_db: float) -> None:
    assert jitter_snr_db(frequency_hz, 1e-12) == pytest.approx(snr_db, abs=HALF_DIGIT)


@pytest.mark.parametrize(("capacitance_f", "snr_db"), [(1e-13, 64.80), (1e-12, 74.80), (1e-11, 84.80)])
def test_thermal_noise_of_a_capacitor_at_one_volt(capacitance_f: float, snr_db: float) -> None:
    assert thermal_snr_db(1.0, capacitance_f) == pytest.approx(snr_db, abs=HALF_DIGIT)
    assert thermal_noise_rms(1e-12) == pytest.approx(64.4e-6, abs=0.05e-6)


@pytest.mark.parametrize(("osr", "gains"), [(64, (18.06, 49.01, 77.41, 105.05)), (32, (15.05, 39.98, 62.36, 83.98))])
def test_shaping_gains(osr: int, gains: tuple[float, ...]) -> None:
    for order, gain in enumerate(gains):
        assert shaping_gain_db(osr, order) == pytest.approx(gain, abs=HALF_DIGIT)


def test_no_jitter_sets_no_limit() -> None:
    assert jitter_snr_db(1e6, 0.0) == jitter_snr_db(0.0, 1e-12) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jitter_snr_db(-1.0, 1e-12), "both are 0 or more"),
        (lambda: thermal_noise_rms(0.0), "both are above 0"),
        (lambda: thermal_snr_db(0.0, 1e-12), "full scale 0.0 V is not above 0"),
        (lambda: shaping_gain_db(0.5, 1), "a ratio of 1 or more"),
        (lambda: shaping_gain_db(8, -1), "an order of 0 or more"),
    ],
)
def test_limits_of_nothing_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
