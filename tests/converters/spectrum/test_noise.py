"""Records without a tone: the noise power ratio against theory and counting by hand, and no notch where there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import firwin, lfilter
from scipy.special import ndtr

from qanalysis.converters.spectrum.noise import find_notch, judge_colour
from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SAMPLES = 16384
NOTCH = (3000, 3400)  # bins, the last one outside


def make_notched(dice: np.random.Generator, *, bits: int, sigmas: float, samples: int = SAMPLES) -> NDArray[np.int64]:
    """Codes of Gaussian noise, `sigmas` from the middle to the end of the range, with an ideal notch."""
    spectrum = np.fft.rfft(dice.standard_normal(samples))
    first, end = (round(edge * samples / SAMPLES) for edge in NOTCH)
    spectrum[first:end] = 0
    noise = np.fft.irfft(spectrum, samples)
    half = 2 ** (bits - 1)
    return np.clip(np.rint(noise / noise.std() * half / sigmas), -half, half - 1).astype(np.int64)


def expected_npr_db(bits: int, sigmas: float) -> float:
    """Power of the noise over that of rounding and overload; its density beside the notch is higher by the notch's share.

    Overload: E[(|x| - k)^2; |x| > k] = 2 ((1 + k^2) Q(k) - k phi(k)) of unit variance.
    """
    tail, density = ndtr(-sigmas), np.exp(-(sigmas**2) / 2) / np.sqrt(2 * np.pi)
    overload = 2 * ((1 + sigmas**2) * tail - sigmas * density)
    step = 2 * sigmas / 2**bits
    share = (NOTCH[1] - NOTCH[0]) / (SAMPLES / 2)
    return float(10 * np.log10((1 / (1 - share)) / (step**2 / 12 + overload)))


@pytest.mark.parametrize(("bits", "sigmas"), [(8, 2.5), (8, 3.0), (12, 3.0), (8, 6.0), (14, 8.0)])
def test_the_ratio_is_that_of_loaded_gaussian_noise(bits: int, sigmas: float) -> None:
    dice = np.random.default_rng(bits)
    found = [analyze_spectrum(make_notched(dice, bits=bits, sigmas=sigmas), bits=bits) for _ in range(12)]
    power = np.mean([10 ** (-one.npr_db / 10) for one in found if one.npr_db is not None])
    # 2 * 270 degrees of freedom inside: 0.26 dB; 44 samples a record beyond 3 sigmas, of squares like exponentials':
    # sqrt(6/44) of the power, 1.4 dB; of twelve records 0.4 dB together.
    assert -10 * np.log10(power) == pytest.approx(expected_npr_db(bits, sigmas), abs=3 * 0.4)


def test_the_notch_lies_where_it_was_cut_and_the_ratio_is_that_of_the_transform() -> None:
    codes = make_notched(np.random.default_rng(1), bits=12, sigmas=4.5)
    found = analyze_spectrum(codes, bits=12, fs_hz=1e6)
    assert found.notch is not None
    first, last = (end * SAMPLES for end in found.notch)
    assert first == pytest.approx(NOTCH[0] - 0.5, abs=2)
    assert last == pytest.approx(NOTCH[1] - 0.5, abs=2)
    power = np.abs(np.fft.rfft(codes - codes.mean())) ** 2  # the noise before rounding has whole periods: no leak
    inside = power[NOTCH[0] : NOTCH[1]].mean()
    beside = np.concatenate([power[1 : NOTCH[0]], power[NOTCH[1] : -1]]).mean()
    assert found.npr_ci95_db is not None
    assert found.npr_ci95_db[0] < 10 * np.log10(beside / inside) < found.npr_ci95_db[1]
    told = {finding.code: finding for finding in found.findings}
    assert told["npr"].is_note
    assert "183.1 kHz to 207" in told["npr"].text
    assert found.headline.startswith("No tone: noise power ratio ")
    assert {line.column for line in found.lines} >= {"npr_db", "notch", "noise_rms", "noise_free_bits"}


def test_the_interval_holds_the_truth_in_95_of_100_records() -> None:
    dice = np.random.default_rng(3)
    truth, held, count = expected_npr_db(8, 6.0), 0, 300
    for _ in range(count):
        notch = find_notch([make_notched(dice, bits=8, sigmas=6.0, samples=4096).astype(float)], (1, 2048))
        assert notch is not None
        held += notch.ci95_db[0] <= truth <= notch.ci95_db[1]
    assert held / count == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / count))


NOISES: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "white": lambda dice, n: dice.standard_normal(n),
    "codes": lambda dice, n: np.rint(dice.normal(0, 0.4, n)),
    "autoregressive": lambda dice, n: lfilter([1], [1, -0.95], dice.standard_normal(n)),
    "random walk": lambda dice, n: np.cumsum(dice.standard_normal(n)),
    "resonance": lambda dice, n: lfilter([1], [1, -1.07, 0.98], dice.standard_normal(n)),
    "low-pass": lambda dice, n: lfilter(firwin(101, 0.5), 1, dice.standard_normal(n)),
    "band-pass": lambda dice, n: lfilter(firwin(101, [0.3, 0.5], pass_zero=False), 1, dice.standard_normal(n)),
    "high-pass": lambda dice, n: np.diff(dice.standard_normal(n + 1)),
    "burst": lambda dice, n: dice.standard_normal(n) * (np.arange(n) > 0.7 * n),
}


@pytest.mark.parametrize("name", NOISES)
def test_no_notch_is_seen_in_noise_that_has_none(name: str) -> None:
    dice = np.random.default_rng(11)
    seen = sum(find_notch([NOISES[name](dice, 4096)], (1, 2048)) is not None for _ in range(60))
    assert seen == 0


def test_no_notch_is_seen_in_a_thousand_white_records() -> None:
    dice = np.random.default_rng(12)
    assert not any(find_notch([dice.standard_normal(2048)], (1, 1024)) for _ in range(1000))


@pytest.mark.parametrize(("power", "tilt"), [(-2, -6.02), (-1, -3.01), (1, 3.01)], ids=["walk", "pink", "blue"])
def test_coloured_noise_is_told_with_its_tilt(power: int, tilt: float) -> None:
    spectrum = np.fft.rfft(np.random.default_rng(4).standard_normal(SAMPLES))
    spectrum *= np.maximum(np.arange(spectrum.size), 1) ** (power / 2)
    (told,) = judge_colour(np.abs(spectrum) ** 2, (1, SAMPLES // 2))
    assert told.value == pytest.approx(tilt, abs=0.5)  # steps of octaves through a power of the frequency


def test_white_noise_has_no_colour_by_chance() -> None:
    dice = np.random.default_rng(6)
    spectra = (np.abs(np.fft.rfft(dice.standard_normal(1024))) ** 2 for _ in range(500))
    assert not any(judge_colour(power, (1, 512)) for power in spectra)


def test_noise_is_told_in_the_unit_of_the_range_and_in_steps() -> None:
    codes = np.rint(2048 + np.random.default_rng(2).normal(0, 3, SAMPLES)).astype(int)
    found = analyze_spectrum(codes, bits=12, low=0, high=3.3, fs_hz=1e6)
    rms = np.std(codes)
    assert found.noise_rms == pytest.approx(rms * 3.3 / 4096, rel=1e-9)
    assert found.noise_free_bits == pytest.approx(12 - np.log2(6.6 * rms), abs=1e-9)
    density = 10 * np.log10(rms**2 / (4096**2 / 8) / 5e5)
    assert found.nsd_dbfs_hz == pytest.approx(density, abs=1e-6)
    assert found.headline == f"No tone: noise {rms:.3g} LSB rms, −{-density:.1f} dBFS/Hz."
    assert found.sinad_db is None


def test_a_steady_record_has_all_bits() -> None:
    found = analyze_spectrum(np.full(64, 7), bits=8)
    assert (found.noise_rms, found.noise_free_bits) == (0, 8)
    assert found.headline == "No tone: noise 0 LSB rms."


def test_noise_beside_a_tone_is_told_without_it() -> None:
    turns = 2 * np.pi * 127 * np.arange(SAMPLES) / SAMPLES
    noise = np.random.default_rng(2).normal(0, 3, SAMPLES)
    found = analyze_spectrum(1000 * np.sin(turns) + noise, low=-2048, high=2048)
    assert found.noise_rms == pytest.approx(3, rel=0.03)  # 16384 samples: 0.55 % at one deviation
    assert found.noise_free_bits is None


def test_what_rises_evenly_is_no_noise() -> None:
    found = analyze_spectrum(np.arange(4096), bits=12)
    assert (found.noise_rms, found.noise_dbfs, found.noise_free_bits) == (None, None, None)
    assert "coloured-noise" not in {finding.code for finding in found.findings}
