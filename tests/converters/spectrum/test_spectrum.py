"""Spectra against the definition written out, records whose figures follow from their making, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.converters.spectrum.components import find_harmonic
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum

DBC = ("sinad_db", "snr_db", "thd_dbc", "thd_raw_dbc", "sfdr_dbc", "enob_at_level", "sinefit_sinad_db")
DBFS = ("level_dbfs", "sfdr_dbfs", "enob_ieee", "noise_dbfs")


def draw(samples: int, cycles: float, *, amplitude: float = 1.0, phase: float = 0.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * cycles * np.arange(samples) / samples + phase)


def quantize(values: np.ndarray, bits: int) -> np.ndarray:
    """Mid-tread codes of values in -1..1."""
    return np.clip(np.rint(values * 2 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype(np.int64)


def quantize_with_tpdf(values: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Non-subtractive triangular dither: the error's power is exactly LSB^2/4 for every signal."""
    dither = rng.uniform(-0.5, 0.5, (2, values.size)).sum(axis=0)
    return np.rint(values * 2 ** (bits - 1) + dither)


def find_codes(spectrum: Spectrum) -> set[str]:
    return {finding.code for finding in spectrum.findings}


def allow_db(bins: float) -> float:
    """Five standard deviations of a noise power of so many bins, in dB: 4.34 sqrt(2/nu), nu = 2 bins."""
    return float(5 * 4.343 / np.sqrt(bins))


def define_plainly(record: np.ndarray, cycles: int, orders: range) -> dict[str, float]:
    """Figures of a coherent record by the definition: N^2 products, bins 1..N/2, each harmonic bin once."""
    samples = record.size
    time = np.arange(samples)
    powers = {}
    for k in range(samples // 2 + 1):
        line = abs(sum(record * np.exp(-2j * np.pi * k * time / samples))) ** 2 / samples**2
        powers[k] = line if k in {0, samples / 2} else 2 * line
    signal = powers.pop(cycles)
    powers.pop(0)
    folded = {min(order * cycles % samples, samples - order * cycles % samples) for order in orders} - {0, cycles}
    distortion = sum(powers[k] for k in folded)
    total = sum(powers.values())
    return {
        "sinad_db": 10 * np.log10(signal / total),
        "snr_db": 10 * np.log10(signal / (total - distortion)),
        "thd_raw_dbc": 10 * np.log10(distortion / signal),
        "sfdr_dbc": 10 * np.log10(signal / max(powers.values())),
    }


@pytest.mark.parametrize("samples", [64, 255, 256])
@pytest.mark.parametrize("cycles", [1, 5, 21, 31])
@pytest.mark.parametrize("bits", [4, 8, 14])
def test_coherent_records_follow_the_plain_definition(samples: int, cycles: int, bits: int) -> None:
    clean = draw(samples, cycles, amplitude=0.9, phase=0.3)
    record = quantize(clean + 0.02 * clean**2 - 0.01 * clean**3, bits)
    spectrum = analyze_spectrum(record, bits=bits)
    assert (spectrum.coherent, spectrum.window, spectrum.side_bins) == (True, "rectangular", 0)
    for name, truth in define_plainly(record, cycles, range(2, 7)).items():
        # Rounding only; the contract is 0.01 dB.
        assert getattr(spectrum, name) == pytest.approx(truth, abs=1e-6), name


@pytest.mark.parametrize("highest", [2, 5, 15])
def test_the_number_of_harmonics_can_be_chosen(highest: int) -> None:
    clean = draw(256, 21)
    record = np.rint(2000 * np.sign(clean) * np.abs(clean) ** 0.8)
    spectrum = analyze_spectrum(record, bits=12, harmonics=highest)
    truth = define_plainly(record, 21, range(2, highest + 1))
    assert spectrum.snr_db == pytest.approx(truth["snr_db"], abs=1e-6)
    assert [line.order for line in spectrum.harmonics] == list(range(2, highest + 1))
    assert spectrum.harmonics_counted == highest


# Tones of half an LSB and more.
LEVELS = [
    (bits, level_db)
    for bits in range(4, 21, 2)
    for level_db in (0, -6, -20, -60)
    if 10 ** (level_db / 20) * 2 ** (bits - 1) >= 0.5
]


@pytest.mark.parametrize(("bits", "level_db"), LEVELS)
@pytest.mark.parametrize("cycles", [1001.0, 1001.37], ids=["coherent", "between bins"])
def test_dithered_converters_reach_the_analytic_sinad(bits: int, level_db: float, cycles: float) -> None:
    amplitude = 10 ** (level_db / 20)
    steps = amplitude * 2 ** (bits - 1)
    rng = np.random.default_rng(bits * 100 - level_db)
    record = quantize_with_tpdf(draw(16384, cycles, amplitude=amplitude, phase=0.7), bits, rng)
    spectrum = analyze_spectrum(record, bits=bits, low=-(2.0 ** (bits - 1)), high=2.0 ** (bits - 1))
    expected = 10 * np.log10(steps**2 / 2 / 0.25)
    # A window of share 0.2 leaves a fifth of the 8192 bins' freedom; the lobe's leak adds at most 0.05 dB.
    tolerance = allow_db(8192 * (1.0 if spectrum.coherent else 0.2)) + 0.05
    assert spectrum.coherent is (cycles == 1001)
    assert spectrum.sinad_db == pytest.approx(expected, abs=tolerance)
    assert spectrum.snr_db == pytest.approx(expected, abs=tolerance)
    assert spectrum.sinefit_sinad_db == pytest.approx(expected, abs=allow_db(8192))
    assert spectrum.level_dbfs == pytest.approx(level_db, abs=0.01 + 3 / steps / np.sqrt(16384) * 8.7)
    # IEEE: bits lost by an error of LSB^2/4 in place of LSB^2/12 are log2(3)/2, at any level.
    assert spectrum.enob_ieee == pytest.approx(bits - np.log2(3) / 2, abs=tolerance / 6.02)
    assert spectrum.enob_at_level == pytest.approx(spectrum.enob_ieee + spectrum.level_dbfs / 6.0206, abs=1e-4)
    assert spectrum.noise_dbfs == pytest.approx(spectrum.level_dbfs - spectrum.snr_db, abs=1e-9)


@pytest.mark.parametrize("bits", [6, 8, 10, 12, 16])
@pytest.mark.parametrize("cycles", [127.0, 127.37, 901.5])
def test_an_ideal_quantizer_of_a_full_sine_stays_near_the_textbook_line(bits: int, cycles: float) -> None:
    record = np.rint((2 ** (bits - 1) - 1) * draw(4096, cycles, phase=0.2))
    spectrum = analyze_spectrum(record, bits=bits)
    # A sine's quantization error is not quite uniform: 0.979 of q^2/12 at 128 LSB, more off below; 0.3 dB serve 6 bits
    # and up, chance of a window 0.5.
    tolerance = 0.3 + (0 if spectrum.coherent else 0.5)
    assert spectrum.sinad_db == pytest.approx(
        6.0206 * bits + 1.7609 + 20 * np.log10(1 - 2.0 ** (1 - bits)), abs=tolerance
    )
    assert spectrum.enob_ieee == pytest.approx(bits, abs=tolerance / 6.02)


@pytest.mark.parametrize("cycles", [1001.0, 1001.4], ids=["coherent", "between bins"])
@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5])
def test_known_harmonics_and_noise_are_read_back(cycles: float, phase: float) -> None:
    samples, rng = 16384, np.random.default_rng(5)
    levels = {2: -60.0, 3: -70.0, 4: -85.0, 5: -75.0, 6: -80.0}
    record = draw(samples, cycles, phase=phase) + rng.normal(scale=1e-4, size=samples)
    for order, level in levels.items():
        record += draw(samples, order * cycles, amplitude=10 ** (level / 20), phase=order)
    spectrum = analyze_spectrum(record, low=-1.01, high=1.01, bits=14)
    bins = 8192 * (1.0 if spectrum.coherent else 0.2)
    assert spectrum.snr_db == pytest.approx(10 * np.log10(0.5 / 1e-8), abs=allow_db(bins))
    distortion = sum(10 ** (level / 10) for level in levels.values())
    assert spectrum.thd_dbc == pytest.approx(10 * np.log10(distortion), abs=0.05)
    assert spectrum.thd_below_noise is False
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(0.5 / (1e-8 + distortion / 2)), abs=0.05)
    for order, level in levels.items():
        # Noise of one bin stands at -116 dBc, of a lobe of 19 bins at -103: amplitudes err by up to
        # 3 * 10^((noise - level)/20).
        noise = -116 if spectrum.coherent else -103
        assert find_harmonic(spectrum.harmonics, order) == pytest.approx(
            level, abs=0.05 + 3 * 8.7 * 10 ** ((noise - level) / 20)
        ), order
    assert spectrum.sfdr_dbc == pytest.approx(60, abs=0.1)
    assert spectrum.spur.name == "HD2"


def test_spurs_that_are_no_harmonics_count_for_sfdr() -> None:
    record = draw(4096, 401) + draw(4096, 1777, amplitude=1e-3) + draw(4096, 1203, amplitude=1e-4)
    for window in ("auto", "blackman-harris"):
        spectrum = analyze_spectrum(record, bits=16, low=-1, high=1, window=window)
        assert (spectrum.spur.name, spectrum.spur.bin) == ("spur", 1777)
        assert spectrum.sfdr_dbc == pytest.approx(60, abs=1e-3)
        # 0.0087 dB below full scale: the record peaks at 1 but its tone is the whole range's.
        assert spectrum.sfdr_dbfs == pytest.approx(spectrum.sfdr_dbc - spectrum.level_dbfs)


@pytest.mark.parametrize("offset", [0.0, 0.2, 0.5])
def test_a_spur_between_bins_is_as_high_as_one_on_a_bin(offset: float) -> None:
    record = draw(8192, 1001.3) + draw(8192, 2222 + offset, amplitude=1e-3)
    # The parabola through three logarithms of a Kaiser or Blackman-Harris line errs by less than 0.05 dB.
    assert analyze_spectrum(record, low=-1.01, high=1.01).sfdr_dbc == pytest.approx(60, abs=0.05)


def test_thd_is_a_limit_and_no_figure_where_noise_is_all_there_is() -> None:
    below = 0
    for seed in range(100):
        record = draw(4096, 401) + np.random.default_rng(seed).normal(scale=1e-3, size=4096)
        spectrum = analyze_spectrum(record, bits=12, low=-2, high=2)
        below += spectrum.thd_below_noise
        assert (spectrum.thd_dbc is None) is spectrum.thd_below_noise
        assert spectrum.thd_raw_dbc < -75
    # One in twenty by design: binomial(100, 0.95) is at least 87 all but once in a thousand times.
    assert below >= 87


@pytest.mark.parametrize("cycles", [401, 401.3], ids=["coherent", "between bins"])
def test_thd_is_corrected_for_the_noise_of_its_bins(cycles: float) -> None:
    corrected, raw = [], []
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(scale=10 ** (-55 / 20), size=4096)
        record = draw(4096, cycles) + draw(4096, 3 * cycles, amplitude=10 ** (-65 / 20)) + noise
        spectrum = analyze_spectrum(record, bits=10, low=-1.01, high=1.01)
        corrected.append(10 ** ((spectrum.thd_dbc if spectrum.thd_dbc is not None else -200) / 10))
        raw.append(10 ** (spectrum.thd_raw_dbc / 10))
    # The mean of 60 unbiased estimates, each within about 40 % of the truth.
    assert 10 * np.log10(np.mean(corrected)) == pytest.approx(-65, abs=1.2)
    assert np.mean(raw) > np.mean(corrected)


def test_the_interval_is_the_chi_square_of_its_bins() -> None:
    from scipy.stats import chi2

    spectrum = analyze_spectrum(
        draw(1024, 101) + np.random.default_rng(0).normal(scale=0.01, size=1024), low=-1.1, high=1.1
    )
    bins = 512 - 1 - 5
    # Of all noise: the figure leaves out the bins of the tone and of the harmonics, the truth does not.
    low, high = chi2.ppf([0.025, 0.975], 2 * bins) / (2 * bins) * bins / 512
    assert spectrum.snr_ci95_db == pytest.approx(
        (spectrum.snr_db + 10 * np.log10(low), spectrum.snr_db + 10 * np.log10(high))
    )


@pytest.mark.parametrize("seed", range(12))
def test_both_sinads_agree_to_a_tenth_of_a_decibel_or_say_why(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = int(rng.integers(6, 19))
    cycles = rng.uniform(3, 2045)
    record = np.rint((2 ** (bits - 1) - 1) * draw(4096, cycles, phase=rng.uniform(0, 6)))
    spectrum = analyze_spectrum(record, bits=bits)
    reasons = [finding for finding in spectrum.findings if finding.code == "sinad-differs"]
    gap = spectrum.spectrum_sinad_db - spectrum.sinefit_sinad_db
    assert (abs(gap) > 0.1) is bool(reasons)
    # Chance of the window at 4096 samples is 0.2 dB of standard deviation at most.
    assert abs(gap) < 0.8
    if reasons:
        assert reasons[0].value == pytest.approx(gap)
        assert "by sine fit: " in reasons[0].text


@pytest.mark.parametrize("bits", [12, 16])
def test_long_records_between_bins_agree_without_excuses(bits: int) -> None:
    record = np.rint((2 ** (bits - 1) - 1) * draw(1 << 18, 12345.37))
    spectrum = analyze_spectrum(record, bits=bits)
    # Window chance at 2^18 samples: 4.34 sqrt(2/(0.2 * 2^18)) = 0.03 dB; Blackman-Harris leaks up to 0.04 dB more.
    assert spectrum.sinad_db == pytest.approx(spectrum.sinefit_sinad_db, abs=0.1)
    assert "sinad-differs" not in find_codes(spectrum)
    assert spectrum.enob_ieee == pytest.approx(bits, abs=0.03)


def test_a_drifting_tone_says_that_chance_is_no_excuse() -> None:
    time = np.arange(8192) / 8192
    record = np.sin(2 * np.pi * (1000.3 * time + 3 * time**2))
    spectrum = analyze_spectrum(record, low=-1, high=1)
    reason = next(finding for finding in spectrum.findings if finding.code == "sinad-differs")
    assert "the tone drifts, breaks off or is modulated" in reason.text


RECORD = np.rint(
    2000 * draw(1024, 101, phase=0.4) + 20 * draw(1024, 202) + np.random.default_rng(1).normal(scale=3, size=1024)
)
LOOSE = np.rint(
    2000 * draw(1024, 101.3, phase=0.4) + 20 * draw(1024, 202.6) + np.random.default_rng(1).normal(scale=3, size=1024)
)


@pytest.mark.parametrize("record", [RECORD, LOOSE], ids=["coherent", "between bins"])
@given(factor=st.floats(1e-12, 1e12), negative=st.booleans())
@settings(max_examples=20)
def test_scaling_changes_no_figure(record: np.ndarray, factor: float, negative: bool) -> None:
    sign = -1 if negative else 1
    plain = analyze_spectrum(record, low=-2048, high=2048)
    scaled = analyze_spectrum(record * factor * sign, low=-2048 * factor, high=2048 * factor)
    for name in DBC + DBFS:
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name), abs=1e-6), name


@pytest.mark.parametrize("record", [RECORD, LOOSE], ids=["coherent", "between bins"])
@given(fs_hz=st.floats(1e-6, 1e12))
@settings(max_examples=20)
def test_the_rate_label_changes_only_what_is_in_hertz(record: np.ndarray, fs_hz: float) -> None:
    plain, labelled = analyze_spectrum(record, bits=12), analyze_spectrum(record, bits=12, fs_hz=fs_hz)
    for name in DBC + DBFS:
        assert getattr(labelled, name) == getattr(plain, name), name
    assert labelled.nsd_dbfs_hz == pytest.approx(plain.nsd_dbfs_hz - 10 * np.log10(fs_hz))
    assert labelled.fundamental_hz == pytest.approx(plain.fundamental_hz * fs_hz)


@pytest.mark.parametrize("record", [RECORD, LOOSE], ids=["coherent", "between bins"])
def test_time_reversal_and_offsets_change_no_figure(record: np.ndarray) -> None:
    plain = analyze_spectrum(record, low=-2048, high=2048)
    for other in (record[::-1], record + 47):
        changed = analyze_spectrum(other, low=-2048, high=2048)
        for name in DBC + DBFS:
            # A periodic window is symmetric about sample 0 and not about the middle: reversal shifts it by one sample
            # in 1024.
            assert getattr(changed, name) == pytest.approx(
                getattr(plain, name), abs=0.05 if record is LOOSE else 1e-6
            ), name


def test_no_power_hides_in_the_bins() -> None:
    rng = np.random.default_rng(2)
    for samples in (255, 256):
        record = draw(samples, 31, phase=1) + rng.normal(scale=0.1, size=samples)
        spectrum = analyze_spectrum(record, low=-2, high=2)
        # Parseval: the sum over the bins is the mean square without DC.
        assert spectrum.power[1:].sum() == pytest.approx(np.var(record))
        assert (
            spectrum.frequencies_hz.shape
            == spectrum.power.shape
            == spectrum.power_dbfs.shape
            == spectrum.power_dbc.shape
        )
        assert spectrum.power_dbfs[31] == pytest.approx(spectrum.level_dbfs)


@pytest.mark.parametrize("name", ["hann", "blackman-harris", "kaiser-38", "flat-top"])
def test_a_named_window_shows_the_same_tone(name: str) -> None:
    record = quantize_with_tpdf(draw(16384, 1001), 12, np.random.default_rng(0))
    spectrum = analyze_spectrum(record, bits=12, low=-2048, high=2048, window=name)
    assert (spectrum.window, spectrum.coherent) == (name, True)
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(2048**2 / 2 / 0.25), abs=allow_db(8192 * 0.2))
    assert spectrum.power_dbfs[1001] == pytest.approx(spectrum.level_dbfs, abs=0.01)


def test_a_window_that_does_not_hold_the_tone_is_told() -> None:
    record = np.rint(2047 * draw(4096, 401.5))
    spectrum = analyze_spectrum(record, bits=12, window="hann", side_bins=3)
    finding = next(finding for finding in spectrum.findings if finding.code == "window-leaks")
    assert spectrum.side_bins == 3
    assert finding.value > -74
    assert "window-leaks" not in find_codes(analyze_spectrum(record, bits=12, window="blackman-harris"))


def test_the_band_bounds_noise_and_spurs() -> None:
    rng = np.random.default_rng(0)
    record = draw(8192, 401) + draw(8192, 3001, amplitude=0.01) + rng.normal(scale=1e-3, size=8192)
    whole = analyze_spectrum(record, fs_hz=8192, low=-1.1, high=1.1)
    low = analyze_spectrum(record, fs_hz=8192, low=-1.1, high=1.1, band_hz=(100, 1000))
    assert whole.sfdr_dbc == pytest.approx(40, abs=0.1)
    assert low.sfdr_dbc > 70
    # Within the band 900 of 4096 bins of white noise; the same density.
    assert low.noise_dbfs == pytest.approx(10 * np.log10(1e-6 / (1.1**2 / 2) * 900 / 4096), abs=allow_db(900))
    assert low.nsd_dbfs_hz == pytest.approx(10 * np.log10(1e-6 / (1.1**2 / 2) / 4096), abs=allow_db(900))
    assert low.band_hz == (100, 1000)


def test_a_hundred_harmonics_that_fold_onto_each_other_make_one_bounded_line() -> None:
    values = np.sin(2 * np.pi * 5 * np.arange(64) / 64) + 0.01 * np.random.default_rng(1).normal(size=64)
    row = analyze_spectrum(values, harmonics=100)
    text = next(finding.text for finding in row.findings if finding.code == "harmonics-share-bins")
    assert " more." in text
    assert len(text) < 400
