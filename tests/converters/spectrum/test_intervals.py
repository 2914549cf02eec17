"""Do intervals of 95 % hold the truth in 95 of 100 records, and does noise alone rarely pass for something?"""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum

SAMPLES, RECORDS, SIGMA = 1024, 2000, 0.01
NAMED = {"drift", "hum", "settling", "amplitude-modulation", "phase-modulation"}
# Binomial(2000, 0.95) has a standard deviation of 0.49 %: 0.935..0.965 is three of them.
LOW, HIGH = 0.935, 0.965


def measure_many(cycles: float, records: int, *lines: tuple[float, float], seed: int = 11) -> list[Spectrum]:
    """Tones of amplitude 1 at any phase, lines (cycles, amplitude) at any phase, white noise."""
    rng, time = np.random.default_rng(seed), np.arange(SAMPLES) / SAMPLES
    found = []
    for _ in range(records):
        record = rng.normal(scale=SIGMA, size=SAMPLES)
        for place, amplitude in ((cycles, 1.0), *lines):
            record += amplitude * np.sin(2 * np.pi * (place * time + rng.uniform()))
        found.append(analyze_spectrum(record, low=-1.2, high=1.2, bits=8))
    return found


def count_share(intervals: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


@pytest.mark.parametrize("cycles", [101.0, 101.3], ids=["coherent", "between bins"])
def test_intervals_hold_the_truth_in_95_percent_and_noise_is_nothing_else(cycles: float) -> None:
    spectra = measure_many(cycles, RECORDS)
    truth = 10 * np.log10(0.5 / SIGMA**2)
    assert LOW <= count_share([one.sinad_ci95_db for one in spectra], truth) <= HIGH
    assert LOW <= count_share([one.snr_ci95_db for one in spectra], truth) <= HIGH
    bits = np.log2(2.4 / (SIGMA * np.sqrt(12)))
    assert LOW <= count_share([one.enob_ci95 for one in spectra], bits) <= HIGH
    # Fewer than one in a thousand.
    assert sum(any(finding.code in NAMED for finding in one.findings) for one in spectra) < RECORDS / 1000


@pytest.mark.parametrize("cycles", [101.0, 101.3], ids=["coherent", "between bins"])
def test_intervals_of_strong_lines_hold_their_truth(cycles: float) -> None:
    # HD3 at -34 dBc and a spur at -38 dBc stand 20 dB and more above the noise of their bins.
    distortion, spur, records = 0.02, 0.0125, 500
    spectra = measure_many(cycles, records, (3 * cycles, distortion), (round(3.7 * cycles) + cycles % 1, spur))
    noise = SIGMA**2 + spur**2 / 2
    truths = {
        "thd_ci95_db": 20 * np.log10(distortion),
        "sfdr_ci95_db": -20 * np.log10(distortion),
        "sinad_ci95_db": 10 * np.log10(0.5 / (noise + distortion**2 / 2)),
        "snr_ci95_db": 10 * np.log10(0.5 / noise),
    }
    for name, truth in truths.items():
        # Binomial(500, 0.95): 0.97 %, three of them.
        assert 0.921 <= count_share([getattr(one, name) for one in spectra], truth) <= 0.979, name
