"""Published and recomputed values of whole records:
locked periods, spurs by width, the two ENOBs, full scales, the rate label.
"""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SAMPLES = 4096


def turn(cycles: float, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * cycles * np.arange(SAMPLES) / SAMPLES + phase)


# SFDR in dBc and SINAD in dB of sines of 2^(n-1) - 1 LSB, 4096 points, given to two decimals.
SPURS = {
    (4, 127): 35.39,
    (4, 128): 30.63,
    (6, 127): 51.66,
    (6, 128): 43.99,
    (8, 127): 68.61,
    (8, 128): 53.53,
    (10, 127): 81.36,
    (10, 128): 68.73,
}


@pytest.mark.parametrize(("bits", "cycles"), SPURS)
def test_spurs_of_a_few_bits_by_prime_and_locked_period(bits: int, cycles: int) -> None:
    spectrum = analyze_spectrum(np.rint((2 ** (bits - 1) - 1) * turn(cycles)), bits=bits)
    assert spectrum.sfdr_dbc == pytest.approx(SPURS[bits, cycles], abs=0.005 + 1e-6)
    assert (spectrum.coherent, spectrum.side_bins) == (True, 0)


def test_eight_bits_reach_49_96_db_and_8_02_bits() -> None:
    prime, locked = (analyze_spectrum(np.rint(127 * turn(cycles)), bits=8) for cycles in (127, 128))
    assert (prime.sinad_db, locked.sinad_db, locked.enob_at_level) == pytest.approx((49.96, 50.05, 8.02), abs=0.005)


def test_a_prime_period_has_one_spectrum_for_every_start_phase_and_a_locked_one_has_many() -> None:
    prime, locked = [], []
    for step in range(64):
        # Multiples of 2 pi/4096 permute the samples of 127 cycles; a full period of phases of 128 cycles is 2 pi/32.
        prime.append(analyze_spectrum(np.rint(2047 * turn(127, 2 * np.pi * step / SAMPLES)), bits=12))
        locked.append(analyze_spectrum(np.rint(2047 * turn(128, 2 * np.pi * step / 64 / 32)), bits=12))
    # Given to two decimals; a few samples on a rounding boundary move single codes.
    assert [spectrum.sfdr_dbc for spectrum in prime] == pytest.approx([92.96] * 64, abs=0.1)
    assert [spectrum.sinad_db for spectrum in prime] == pytest.approx([74.09] * 64, abs=0.02)
    spurs, sinads = [spectrum.sfdr_dbc for spectrum in locked], [spectrum.sinad_db for spectrum in locked]
    # 75.8..82.3 (median 78.9) and 72.5..78.6 over another grid of phases: extremes of a jagged curve move with the
    # grid.
    assert (min(spurs), np.median(spurs)) == pytest.approx((75.8, 78.9), abs=0.5)
    assert 82 <= max(spurs) <= 84
    assert (min(sinads), max(sinads)) == pytest.approx((72.5, 78.6), abs=0.4)


def test_a_tone_60_db_below_full_scale_has_12_18_bits_by_ieee_and_2_25_at_its_level() -> None:
    spectrum = analyze_spectrum(np.rint(2.047 * turn(127)), bits=12)
    assert (spectrum.enob_ieee, spectrum.enob_at_level) == pytest.approx((12.18, 2.25), abs=0.005)
    # IEEE 1241 written out: log2(range/(NAD sqrt 12)), the sine fit's residual being NAD.
    assert spectrum.enob_ieee == pytest.approx(np.log2(4096 / (spectrum.sinefit.residual_rms * np.sqrt(12))), abs=1e-6)


def test_full_scale_noise_is_73_99_db_by_sine_and_77_00_db_by_dc() -> None:
    records = [np.floor(2047 * turn(cycles)).astype(int) for cycles in (101, 127, 331, 1001, 1237)]
    spectra = [[analyze_spectrum(record, bits=12, full_scale=kind) for record in records] for kind in ("sine", "dc")]
    means = [-np.mean([spectrum.noise_dbfs for spectrum in some]) for some in spectra]
    # Quantization noise of one record of 2048 bins scatters by 0.1 dB, the mean of five by 0.05.
    assert means == pytest.approx([73.99, 77.00], abs=0.1)
    sine, dc = spectra[0][0], spectra[1][0]
    assert sine.noise_dbfs - dc.noise_dbfs == pytest.approx(10 * np.log10(2))
    assert (sine.sinad_db, sine.enob_ieee, sine.sfdr_dbc) == pytest.approx((dc.sinad_db, dc.enob_ieee, dc.sfdr_dbc))
    assert dc.sfdr_dbfs - sine.sfdr_dbfs == pytest.approx(10 * np.log10(2))


def test_sixteen_bits_are_sixteen_bits_at_one_hertz_and_at_a_gigahertz() -> None:
    record = np.rint(32767 * turn(127, 0.1)).astype(np.int16)
    bits = [analyze_spectrum(record, bits=16, fs_hz=fs_hz).enob_ieee for fs_hz in (1.0, 1e9)]
    assert bits[0] == bits[1] == pytest.approx(16, abs=0.08)


def test_twelve_bits_between_bins_read_73_db_where_small_lobes_fail() -> None:
    # 0.89 of full scale: 12 bits less 1.01 dB are 73.0 dB.
    record = np.rint(0.89 * 2047 * turn(1003.5)).astype(int)
    spectrum = analyze_spectrum(record, bits=12)
    narrow = analyze_spectrum(record, bits=12, window="blackman-harris", side_bins=3)
    assert (spectrum.window, spectrum.coherent) == ("blackman-harris", False)
    assert spectrum.sinad_db == pytest.approx(spectrum.sinefit_sinad_db, abs=0.4)
    assert spectrum.sinefit_sinad_db == pytest.approx(73.0, abs=0.2)
    assert narrow.sinad_db < 66


@pytest.mark.parametrize(
    ("fs_over", "lsb", "convention"), [("2^n", 10 / 256, "fs/2^n"), ("2^n-1", 10 / 255, "fs/(2^n-1)")]
)
def test_the_step_follows_its_convention(fs_over: str, lsb: float, convention: str) -> None:
    spectrum = analyze_spectrum(np.rint(100 * turn(127)).astype(int), bits=8, low=0, high=10, fs_over=fs_over)
    assert (spectrum.lsb, spectrum.lsb_convention) == (pytest.approx(lsb), convention)
    # 100 LSB of 128, or of 127.5.
    assert spectrum.level_dbfs == pytest.approx(20 * np.log10(100 * lsb / 5), abs=0.01)
