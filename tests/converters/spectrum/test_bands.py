"""A band of interest: what it gains, and what is said where the tone lies outside it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SAMPLES = 65536


def make_tone(cycles: float, *, lines: tuple[tuple[float, float], ...] = ()) -> NDArray[np.float64]:
    """A tone of 1800 with further lines (periods, size) and noise of 2."""
    turns = 2 * np.pi * np.arange(SAMPLES) / SAMPLES
    parts = [size * np.sin(periods * turns + 0.3) for periods, size in ((cycles, 1800.0), *lines)]
    return np.asarray(sum(parts) + np.random.default_rng(1).normal(0, 2, SAMPLES))


@pytest.mark.parametrize("cycles", [401, 401.37], ids=["bin", "between"])
def test_oversampling_gains_its_ratio_in_white_noise(cycles: float) -> None:
    values = make_tone(cycles)
    whole, narrow = (analyze_spectrum(values, low=-2048, high=2048, osr=osr) for osr in (1, 16))
    assert whole.snr_db is not None
    assert narrow.snr_db is not None
    # 2048 bins, of which a window leaves 0.37: 4.34/sqrt(760) = 0.16 dB at one deviation.
    assert narrow.snr_db - whole.snr_db == pytest.approx(10 * np.log10(16), abs=0.5)
    assert (narrow.osr, narrow.band, narrow.band_hz) == (16, (0, 1 / 32), (0, 1 / 32))


def test_oversampling_needs_no_rate() -> None:
    values = make_tone(401)
    bare = analyze_spectrum(values, low=-2048, high=2048, osr=16, fs_hz=None)
    rated = analyze_spectrum(values, low=-2048, high=2048, band_hz=(0, 31250), fs_hz=1e6)
    assert bare.snr_db == rated.snr_db
    assert bare.band_hz is None


@pytest.mark.parametrize("cycles", [20000, 20000.4], ids=["bin", "between"])
def test_a_band_without_the_tone_tells_where_it_is_and_holds_its_noise_alone(cycles: float) -> None:
    found = analyze_spectrum(make_tone(cycles), low=-2048, high=2048, osr=4, fs_hz=65536.0)
    (told,) = (finding for finding in found.findings if finding.code == "tone-outside-band")
    assert told.value == pytest.approx(cycles, abs=0.01)
    assert "lies at 20 kHz, outside the band from 0 Hz to 8.192 kHz" in told.text
    assert (found.sinad_db, found.enob_ieee, found.cycles) == (None, None, None)
    assert found.noise_rms == pytest.approx(2 / np.sqrt(4), rel=0.03)  # a quarter of the noise, and no leak


def test_a_harmonic_in_the_band_is_no_tone() -> None:
    found = analyze_spectrum(make_tone(10000, lines=((20000, 18.0),)), band_hz=(15000, 25000), fs_hz=65536.0)
    assert found.sinad_db is None
    assert "tone-outside-band" in {finding.code for finding in found.findings}


def test_a_tone_in_the_band_is_measured_beside_a_stronger_one_outside() -> None:
    found = analyze_spectrum(make_tone(25000, lines=((401, 300.0),)), osr=8, fs_hz=65536.0)
    assert found.cycles == 401
    assert "tone-outside-band" in {finding.code for finding in found.findings}
    assert found.snr_db == pytest.approx(10 * np.log10(300**2 / 2 / (4 / 8)), abs=0.5)
