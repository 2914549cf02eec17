"""Records that are not one clean tone: two tones, tones at the ends of the band, folded harmonics, no tone, too short, not numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.coherence import fold_cycles, is_coherent
from qanalysis.converters.spectrum.components import find_harmonic
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum

SAMPLES = 4096


def draw(cycles: float, *, amplitude: float = 1.0, phase: float = 0.0, samples: int = SAMPLES) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * cycles * np.arange(samples) / samples + phase)


def hiss(sigma: float, *, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=sigma, size=samples)


def find(spectrum: Spectrum, code: str) -> Finding:
    return next(finding for finding in spectrum.findings if finding.code == code)


def find_codes(spectrum: Spectrum) -> list[str]:
    return [finding.code for finding in spectrum.findings]


FIGURES = (
    "sinad_db",
    "snr_db",
    "thd_dbc",
    "thd_raw_dbc",
    "sfdr_dbc",
    "sfdr_dbfs",
    "enob_ieee",
    "enob_at_level",
    "fundamental_hz",
    "level_dbfs",
    "sinefit_sinad_db",
)


# Two tones


@pytest.mark.parametrize(
    ("first", "second"), [(401, 487), (401.3, 487.8), (401, 487.5)], ids=["coherent", "between bins", "one of each"]
)
def test_two_tones_are_one_finding_with_their_products_named(first: float, second: float) -> None:
    products = draw(2 * first - second, amplitude=1e-3) + draw(second - first, amplitude=3e-4)
    record = draw(first, amplitude=0.5) + draw(second, amplitude=0.45) + products + hiss(1e-5)
    spectrum = analyze_spectrum(record, low=-1, high=1, bits=14)
    finding = find(spectrum, "two-tone")
    assert spectrum.coherent is (first == int(first) and second == int(second))
    assert "IMD2 f2−f1 −64.4 dBc" in finding.text
    assert "IMD3 2f1−f2 −54.0 dBc" in finding.text
    lines = {line.name: line for line in spectrum.intermodulation}
    # 20 log10(1e-3/0.5) and 20 log10(3e-4/0.5); noise is 30 dB below the smaller one even in a lobe.
    assert lines["IMD3 2f1-f2"].corrected_dbc == pytest.approx(-53.98, abs=0.1)
    assert lines["IMD2 f2-f1"].corrected_dbc == pytest.approx(-64.44, abs=0.1)
    assert lines["IMD2 f1+f2"].below_noise or lines["IMD2 f1+f2"].corrected_dbc < -95
    assert spectrum.sfdr_dbc == pytest.approx(53.98, abs=0.1)
    assert spectrum.spur.name == "IMD3 2f1-f2"
    power, distortion = (0.5**2 + 0.45**2) / 2, (1e-6 + 9e-8) / 2
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(power / (distortion + 1e-10)), abs=0.1)
    assert spectrum.sinefit_sinad_db == pytest.approx(spectrum.sinad_db, abs=0.1)
    # Four standard deviations of the noise in a fifth of 2048 bins.
    assert spectrum.snr_db == pytest.approx(10 * np.log10(power / 1e-10), abs=4 * 4.34 / np.sqrt(400))


def test_a_strong_harmonic_is_no_second_tone() -> None:
    spectrum = analyze_spectrum(draw(401) + draw(802, amplitude=0.6), low=-2, high=2)
    assert "two-tone" not in find_codes(spectrum)
    assert find_harmonic(spectrum.harmonics, 2) == pytest.approx(20 * np.log10(0.6))


def test_a_weak_second_line_is_a_spur() -> None:
    spectrum = analyze_spectrum(draw(401) + draw(777, amplitude=0.3), low=-2, high=2)
    assert "two-tone" not in find_codes(spectrum)
    assert spectrum.sfdr_dbc == pytest.approx(-20 * np.log10(0.3))


# Ends of the band, and folding


@pytest.mark.parametrize("cycles", [1, 2, 2047, 2048])
def test_coherent_tones_in_the_first_and_last_bins_are_measured(cycles: int) -> None:
    record = draw(cycles, phase=1.0) + hiss(1e-3)
    spectrum = analyze_spectrum(record, low=-1.1, high=1.1)
    power = np.mean(draw(cycles, phase=1.0) ** 2)
    assert (spectrum.coherent, spectrum.fundamental_hz) == (True, cycles / SAMPLES)
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(power / 1e-6), abs=5 * 4.34 / np.sqrt(2048))
    assert spectrum.sinefit_sinad_db == pytest.approx(spectrum.sinad_db, abs=0.01)


@pytest.mark.parametrize("cycles", [1.3, 2.6, 5.5, 2042.4, 2046.4])
def test_tones_near_an_end_are_fitted_because_their_lobe_would_fold(cycles: float) -> None:
    spectrum = analyze_spectrum(draw(cycles, phase=0.4) + hiss(1e-4), low=-1, high=1, bits=14)
    finding = find(spectrum, "tone-at-edge")
    assert finding.value == pytest.approx(cycles, abs=1e-3)
    assert spectrum.fundamental_hz == pytest.approx(cycles / SAMPLES, abs=1e-7)
    assert spectrum.level_dbfs == pytest.approx(0, abs=0.01)
    # The window sees a fifth of 2048 bins.
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(0.5 / 1e-8), abs=5 * 4.34 / np.sqrt(400))
    assert spectrum.sinefit_sinad_db == pytest.approx(10 * np.log10(0.5 / 1e-8), abs=5 * 4.34 / np.sqrt(2048))


@pytest.mark.parametrize("samples", [16, 40, 100, 200])
@pytest.mark.parametrize("shift", [0.0, 0.37])
def test_short_records_are_measured_with_wide_intervals(samples: int, shift: float) -> None:
    record = draw(samples // 5 + shift, samples=samples) + hiss(1e-3, samples=samples, seed=samples)
    spectrum = analyze_spectrum(record, low=-1.1, high=1.1)
    truth = 10 * np.log10(0.5 / 1e-6)
    low, high = spectrum.sinad_ci95_db
    # The interval holds the truth in 95 % of cases; another 2 dB make this seed no lottery ticket.
    assert low - 2 <= truth <= high + 2
    assert high - low > 2 * 4.34 / np.sqrt(samples / 2)
    assert ("short-record" in find_codes(spectrum)) is not spectrum.coherent


def test_a_tone_without_any_error_says_why_sinad_is_infinite() -> None:
    spectrum = analyze_spectrum(np.tile([2000, -2000], SAMPLES // 2), bits=12)
    assert (spectrum.sinad_db, spectrum.enob_ieee) == (np.inf, np.inf)
    assert find(spectrum, "no-error").text.startswith("Nothing but the tone and DC")
    assert "no-error" not in find_codes(analyze_spectrum(draw(127) + hiss(1e-4), low=-1.1, high=1.1))


@pytest.mark.parametrize("reach", [1e200, 1e-200])
def test_a_range_whose_square_leaves_double_precision_is_refused(reach: float) -> None:
    with pytest.raises(ValueError, match="leaves double precision; count in a larger or smaller unit"):
        analyze_spectrum(draw(127) * reach, low=-reach, high=reach)


def test_harmonics_that_fold_onto_the_tone_or_dc_or_each_other_are_named_and_counted_once() -> None:
    # At an eighth of the rate HD7 and HD9 fall on the tone, HD8 on DC, HD5 on HD3 and HD6 on HD2.
    record = draw(512, phase=0.3) + draw(1024, amplitude=1e-2) + draw(1536, amplitude=1e-3) + hiss(1e-5)
    spectrum = analyze_spectrum(record, low=-1.1, high=1.1, harmonics=9)
    assert find(spectrum, "harmonic-on-tone").text.startswith("HD7, HD9 fold onto the tone")
    assert find(spectrum, "harmonic-on-dc").text.startswith("HD8 folds onto DC")
    assert "HD5 with HD3, HD6 with HD2" in find(spectrum, "harmonics-share-bins").text
    assert spectrum.thd_dbc == pytest.approx(10 * np.log10(1e-4 + 1e-6), abs=0.01)
    assert (find_harmonic(spectrum.harmonics, 6), find_harmonic(spectrum.harmonics, 8)) == (
        find_harmonic(spectrum.harmonics, 2),
        None,
    )
    aliases = [line.alias_hz for line in spectrum.harmonics]
    assert aliases == pytest.approx([0.25, 0.375, 0.5, 0.375, 0.25, 0.125, 0.0, 0.125])
    assert [line.frequency_hz for line in spectrum.harmonics] == pytest.approx(
        [0.125 * order for order in range(2, 10)]
    )


@pytest.mark.parametrize(
    ("cycles", "samples", "shown"),
    [(3000, 4096, 1096), (4096, 4096, 0), (2048, 4096, 2048), (9000.5, 4096, 808.5), (7, 15, 7), (8, 15, 7)],
)
def test_lines_fold_at_half_the_rate(cycles: float, samples: int, shown: float) -> None:
    assert fold_cycles(cycles, samples) == shown


# Coherence


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
@pytest.mark.parametrize("cycles", [1, 3, 127, 128, 1001])
def test_strong_harmonics_do_not_make_a_coherent_record_incoherent(bits: int, cycles: int) -> None:
    clean = draw(cycles, phase=0.6)
    record = np.rint((2 ** (bits - 1) - 1) * np.clip(clean + 0.1 * clean**2, -0.9, 0.9))
    assert analyze_spectrum(record, bits=bits).coherent is True


@pytest.mark.parametrize("bits", [6, 12, 16, 20])
@pytest.mark.parametrize("noise", [1.0, 10.0])
def test_what_leaks_more_than_the_noise_is_not_coherent(bits: int, noise: float) -> None:
    # Leak (pi d)^2/3 of the tone; noise q^2/12 times `noise`^2.
    ratio = noise**2 / 12 / (2.0 ** (2 * bits - 2) / 2)
    border = np.sqrt(3 * 0.01 * ratio) / np.pi
    for times, coherent in ((0.3, True), (4.0, False)):
        record = draw(301 + times * border, amplitude=2.0 ** (bits - 1), samples=1 << 15) + hiss(
            noise / np.sqrt(12), samples=1 << 15
        )
        spectrum = np.fft.rfft(record - record.mean())
        assert is_coherent(spectrum, np.abs(spectrum) ** 2, 1 << 15, [301]) is coherent


def test_noise_alone_rarely_makes_a_record_incoherent() -> None:
    kept = sum(
        analyze_spectrum(draw(31, samples=256) + hiss(0.1, samples=256, seed=seed), low=-2, high=2).coherent
        for seed in range(300)
    )
    # One in a thousand by design; five of 300 would be a chance of 1e-5.
    assert kept >= 296


# Resolution


@pytest.mark.parametrize("cycles", [301.5, 1001.37])
def test_a_record_finer_than_its_stated_bits_gets_the_window_it_needs(cycles: float) -> None:
    record = draw(cycles) + hiss(1e-6)
    spectrum = analyze_spectrum(record, bits=4, low=-1, high=1)
    assert spectrum.window == "kaiser-38"
    # Noise of a fifth of 2048 bins.
    assert spectrum.sinad_db == pytest.approx(10 * np.log10(0.5 / 1e-12), abs=5 * 4.34 / np.sqrt(400))


def test_a_band_takes_the_window_of_the_highest_resolution() -> None:
    # One bit with its noise above the band: only 24 bits' lobes keep the tone out of it.
    shaped = np.diff(hiss(0.3, samples=(1 << 15) + 2), n=2) / 4
    record = draw(101.5, amplitude=0.5, samples=1 << 15) + shaped
    spectrum = analyze_spectrum(record, bits=1, low=-1, high=1, band_hz=(0, 0.02))
    assert spectrum.window == "kaiser-38"
    # Second differences over four: density (2 sin(pi f))^4/16 of 0.09 over half the rate, 328 bins of them integrated.
    lines = np.arange(1, 0.02 * (1 << 15)) / (1 << 15)
    noise = float(np.sum(np.sin(np.pi * lines) ** 4)) * 0.09 * 2 / (1 << 15)
    # A fifth of 655 bins, most of the noise in the upper third of them.
    assert spectrum.snr_db == pytest.approx(10 * np.log10(0.125 / noise), abs=5 * 4.34 / np.sqrt(655 * 0.2 / 3))


def test_a_long_record_s_spur_is_no_edge_of_its_tone_s_lobe() -> None:
    record = np.rint(
        127 * draw(12345.5, samples=1 << 17) + np.random.default_rng(0).uniform(-0.5, 0.5, (2, 1 << 17)).sum(axis=0)
    )
    spectrum = analyze_spectrum(record, bits=8, low=-130, high=130)
    # White noise LSB^2/4 in 2^16 bins of bandwidth ENBW: the highest stands at most 13 dB above the mean, and 10 dB above it on the whole.
    mean = 10 * np.log10(0.25 / 2**16 / (127**2 / 2) * 2.0)
    assert spectrum.sfdr_dbc == pytest.approx(-mean - 11, abs=2.5)
    assert abs(spectrum.spur.bin - 12345) > 2 * spectrum.side_bins


def test_beyond_double_precision_the_two_sinads_say_so() -> None:
    spectrum = analyze_spectrum(draw(100.56, samples=1024), bits=1, low=-1, high=1)
    assert spectrum.sinad_db > 200
    assert "double precision" in find(spectrum, "sinad-differs").text


# No tone


def test_a_constant_record_has_no_figures() -> None:
    for record in (np.full(100, 7), np.zeros(100)):
        spectrum = analyze_spectrum(record, bits=12)
        assert find(spectrum, "constant").value == record[0]
        assert [getattr(spectrum, name) for name in FIGURES] == [None] * len(FIGURES)
        assert spectrum.noise_dbfs == -np.inf
        assert (spectrum.coherent, spectrum.spur, spectrum.sinefit, spectrum.harmonics, spectrum.power_dbc) == (
            None,
            None,
            None,
            (),
            None,
        )


def test_noise_alone_has_a_density_and_no_tone() -> None:
    for seed in range(50):
        spectrum = analyze_spectrum(hiss(0.01, seed=seed), fs_hz=1e6, low=-1, high=1)
        assert find_codes(spectrum) == ["no-tone"]
        assert [getattr(spectrum, name) for name in FIGURES] == [None] * len(FIGURES)
        # 1e-4 over 1/2, in 500 kHz.
        assert spectrum.nsd_dbfs_hz == pytest.approx(10 * np.log10(2e-4 / 5e5), abs=5 * 4.34 / np.sqrt(2048))


def test_a_sine_without_any_error_has_no_finite_sinad() -> None:
    spectrum = analyze_spectrum(np.tile([0, 1, 0, -1], 64), bits=2)
    assert spectrum.sinad_db > 250
    assert spectrum.sinefit_sinad_db > 250


def test_the_sine_fit_stands_in_the_record_s_unit() -> None:
    record = 1000 + draw(401.3, amplitude=500, phase=0.5)
    fit = analyze_spectrum(record, fs_hz=8192, low=0, high=4096).sinefit
    assert (fit.offset, fit.amplitude, fit.phase, fit.frequency_hz) == pytest.approx((1000, 500, 0.5, 802.6))


# Full scale


def test_fractions_within_one_are_taken_as_normalised_and_other_values_have_no_full_scale() -> None:
    normalised = analyze_spectrum(draw(101, amplitude=0.5) + hiss(1e-3))
    assert find(normalised, "range-assumed").value == pytest.approx(0.5, abs=0.01)
    assert (normalised.low, normalised.high, normalised.lsb) == (-1, 1, None)
    assert normalised.level_dbfs == pytest.approx(-6.02, abs=0.01)
    unknown = analyze_spectrum(draw(101, amplitude=5) + hiss(1e-3))
    assert "full-scale-unknown" in find_codes(unknown)
    assert (
        unknown.level_dbfs,
        unknown.sfdr_dbfs,
        unknown.enob_ieee,
        unknown.nsd_dbfs_hz,
        unknown.power_dbfs,
        unknown.enob_ci95,
    ) == (None,) * 6
    assert unknown.sinad_db == pytest.approx(10 * np.log10(12.5 / 1e-6), abs=0.5)


@pytest.mark.parametrize(("shift", "low"), [(0, -2048), (2048, 0)], ids=["two's complement", "straight binary"])
def test_codes_span_two_to_the_bits(shift: int, low: int) -> None:
    record = np.rint(2047 * draw(401)).astype(int) + shift
    for codes in (record, record.astype(float)):
        spectrum = analyze_spectrum(codes, bits=12)
        assert (spectrum.low, spectrum.high, spectrum.lsb) == (low, low + 4096, 1)
        assert spectrum.level_dbfs == pytest.approx(20 * np.log10(2047 / 2048), abs=0.001)
    volts = analyze_spectrum(record.astype(float), bits=12, low=0, high=10)
    assert (volts.lsb, volts.level_dbfs) == (10 / 4096, spectrum.level_dbfs)


def test_a_record_beyond_its_range_is_told() -> None:
    spectrum = analyze_spectrum(draw(101.5, amplitude=1.2), low=-1, high=1)
    assert find(spectrum, "beyond-range").value == pytest.approx(0.2, abs=1e-3)


# What can not be measured


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 0}, r"bits 0: a converter has 1 to 32 bits"),
        ({"bits": 33}, r"bits 33: a converter has 1 to 32 bits"),
        ({"bits": 12.5}, r"bits 12.5: a converter has 1 to 32 bits"),
        ({"low": 0}, r"range 0:None: give both low and high, or neither"),
        ({"low": 5, "high": 1}, r"range 5:1: needs two finite numbers, the lower one first"),
        ({"low": 0, "high": np.inf}, r"needs two finite numbers"),
        ({"full_scale": "rms"}, r"full_scale 'rms': 0 dBFS refers to a 'sine' over the range or to 'dc'"),
        ({"fs_over": "2^n+1"}, r"fs_over '2\^n\+1': full scale is divided by '2\^n' or by '2\^n-1'"),
        ({"window": "hanning"}, r"window 'hanning' is unknown; windows are auto, rectangular"),
        ({"side_bins": -1}, r"side_bins -1: 'auto' or a whole number of 0 to 64 bins"),
        ({"side_bins": "many"}, r"side_bins 'many'"),
        ({"harmonics": 1}, r"harmonics 1: the highest order counted is 2 to 100"),
        ({"harmonics": 101}, r"harmonics 101"),
        ({"band_hz": (0.3, 0.1)}, r"band_hz 0.3:0.1: two frequencies, the lower one first"),
        ({"band_hz": (0.1, 0.6)}, r"within 0 and half the sample rate, 500 mHz"),
        ({"band_hz": (0.1, 0.11)}, r"band_hz \(0.1, 0.11\): holds 3 bins of 3.906 mHz; at least 8 are needed"),
        ({"fs_hz": 0}, r"fs_hz 0: the sample rate is a positive number of hertz"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analyze_spectrum(draw(31, samples=256), **options)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1, 2, 3], r"the record has 3 samples"),
        ([0.0] * 99 + [np.nan], r"1 of 100 samples are not finite \(NaN or infinite\), the first is sample 99"),
        (np.zeros((3, 100)), r"has shape \(3, 100\)"),
    ],
    ids=["three samples", "NaN", "three channels"],
)
def test_bad_records_are_refused(record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analyze_spectrum(record, bits=12)


def test_codes_outside_the_stated_width_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"codes reach from −2047 to 2047, which 8 bits can not hold \(256 codes\); raise bits, or shift left-justified words",
    ):
        analyze_spectrum(np.rint(2047 * draw(31)).astype(int), bits=8)


def test_findings_are_ready_for_json() -> None:
    spectrum = analyze_spectrum(draw(401) + draw(487.5) + hiss(0.1), low=-3, high=3)
    assert json.loads(json.dumps([finding.to_dict() for finding in spectrum.findings]))[0]["code"] == "two-tone"
