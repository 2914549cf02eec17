"""Sine fits against a least-squares solver, known sines, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.converters.spectrum.sinefit import (
    SineFit,
    check_rate,
    find_scale,
    fit_tone,
    guess_frequency,
    read_samples,
    rescale_fit,
    separate_tones,
)


def draw(
    samples: int, frequency: float, *, amplitude: float = 1.0, phase: float = 0.0, offset: float = 0.0
) -> np.ndarray:
    return offset + amplitude * np.sin(2 * np.pi * frequency * np.arange(samples) + phase)


def fit_sine(record: np.ndarray, *, fs_hz: float = 1.0, frequency_hz: float | None = None) -> SineFit:
    """One sine by the steps of an analysis: three parameters at a frequency, or four from the highest bin on."""
    values = read_samples(record)
    scale = find_scale(values)
    scaled = values / scale
    spectrum = np.fft.rfft(scaled - scaled.mean())
    peak = 1 + int(np.abs(spectrum[1:]).argmax())
    omega = guess_frequency(spectrum, scaled.size, peak) if frequency_hz is None else 2 * np.pi * frequency_hz / fs_hz
    fit, _residual = fit_tone(scaled, omega, free=frequency_hz is None)
    return rescale_fit(fit, scale, fs_hz)


def solve_plainly(record: np.ndarray, frequency: float) -> tuple[float, float, float, float]:
    """Amplitude, phase, offset and residual rms by the textbook's design matrix."""
    turns = 2 * np.pi * frequency * np.arange(record.size)
    design = np.column_stack([np.sin(turns), np.cos(turns), np.ones(record.size)])
    (a, b, c), *_ = np.linalg.lstsq(design, record, rcond=None)
    return (
        float(np.hypot(a, b)),
        float(np.arctan2(b, a)),
        float(c),
        float(np.sqrt(np.mean((record - design @ [a, b, c]) ** 2))),
    )


def wrap(angle: float) -> float:
    return float(np.pi - (np.pi - angle) % (2 * np.pi))


@pytest.mark.parametrize("samples", [16, 17, 63, 64, 1000, 4099])
@pytest.mark.parametrize("frequency", [0.0871, 0.25, 0.4123])
def test_three_parameters_equal_the_plain_solver(samples: int, frequency: float) -> None:
    record = draw(samples, 0.2, amplitude=3, phase=1, offset=-7) + np.random.default_rng(samples).normal(size=samples)
    fit = fit_sine(record, frequency_hz=frequency)
    amplitude, phase, offset, rms = solve_plainly(record, frequency)
    # Both solve systems of condition below 100 in double precision: 1e-9 leaves six digits of reserve.
    assert [fit.amplitude, fit.offset, fit.residual_rms] == pytest.approx([amplitude, offset, rms], abs=1e-9)
    assert wrap(fit.phase - phase) == pytest.approx(0, abs=1e-8)
    assert fit.parameters == 3


@given(
    samples=st.integers(32, 3000),
    share=st.floats(0.06, 0.94),
    amplitude=st.floats(1e-9, 1e9),
    phase=st.floats(-3.1, 3.1),
    offset=st.floats(-3, 3),
)
def test_a_pure_sine_is_found_wherever_it_lies(
    samples: int, share: float, amplitude: float, phase: float, offset: float
) -> None:
    frequency = 0.5 * share
    fit = fit_sine(draw(samples, frequency, amplitude=amplitude, phase=phase, offset=offset * amplitude))
    # The sines' arguments reach 1e4 rad with rounding 1e-12; the fit may not add more than two digits to that.
    assert fit.frequency_hz == pytest.approx(frequency, abs=1e-10 / samples * 100)
    assert fit.amplitude == pytest.approx(amplitude, rel=1e-8)
    assert wrap(fit.phase - phase) == pytest.approx(0, abs=1e-7)
    assert fit.offset == pytest.approx(offset * amplitude, abs=1e-8 * amplitude)


@pytest.mark.parametrize("frequency", [1.3 / 4096, 0.4999, 0.5 - 0.7 / 4096])
def test_a_sine_near_an_end_of_the_band_is_found(frequency: float) -> None:
    fit = fit_sine(draw(4096, frequency, amplitude=2, phase=0.7, offset=3))
    assert [fit.frequency_hz, fit.amplitude, fit.phase, fit.offset] == pytest.approx([frequency, 2, 0.7, 3], abs=1e-6)


def test_at_half_the_sample_rate_the_cosine_remains() -> None:
    fit = fit_sine(1 + 2 * np.cos(np.pi * np.arange(100)))
    assert [fit.frequency_hz, fit.amplitude, fit.offset, fit.power] == pytest.approx([0.5, 2, 1, 4])
    assert fit.sinad_db > 250


def test_four_parameters_beat_three_at_any_other_frequency() -> None:
    record = draw(1024, 0.123, amplitude=5) + np.random.default_rng(3).normal(size=1024)
    free = fit_sine(record)
    for nearby in (-1e-5, -1e-6, 1e-6, 1e-5):
        assert fit_sine(record, frequency_hz=free.frequency_hz + nearby).residual_rms > free.residual_rms


def test_the_residual_is_what_noise_leaves_after_four_parameters() -> None:
    samples, sigma = 4096, 0.01
    rms = [
        fit_sine(draw(samples, 0.1234) + np.random.default_rng(seed).normal(scale=sigma, size=samples)).residual_rms
        for seed in range(50)
    ]
    # The mean square of 50 (N - 4) normal draws: relative standard deviation sqrt(2/(50 N)) = 0.3 %, four of them.
    assert np.mean(np.square(rms)) == pytest.approx(sigma**2 * (samples - 4) / samples, rel=0.0125)


def test_sinad_of_the_fit_is_power_over_residual_power() -> None:
    fit = fit_sine(draw(4096, 0.1) + 0.01 * (-1.0) ** np.arange(4096))
    # 0.5 over 1e-4; the alternating residue is orthogonal to the sine up to 1/N.
    assert fit.sinad_db == pytest.approx(10 * np.log10(0.5 / 1e-4), abs=0.01)


def test_frequencies_carry_the_rate_and_the_phase_does_not() -> None:
    record = draw(1000, 0.1234, phase=0.4)
    slow, fast = fit_sine(record), fit_sine(record, fs_hz=1e9)
    assert fast.frequency_hz == pytest.approx(slow.frequency_hz * 1e9)
    assert (fast.amplitude, fast.phase, fast.residual_rms) == (slow.amplitude, slow.phase, slow.residual_rms)
    assert fast.cycles == pytest.approx(123.4)


def test_two_sines_are_told_apart_though_they_leak_into_each_other() -> None:
    record = draw(1000, 0.1013, amplitude=2) + draw(1000, 0.1191, amplitude=1, phase=1)
    fits, residual = separate_tones(record, [2 * np.pi * 0.101, 2 * np.pi * 0.119])
    assert [fit.frequency_hz for fit in fits] == pytest.approx([0.1013, 0.1191], abs=1e-5)
    # Rounds stop when the residual falls by less than 1e-4 of itself, at worst after eight.
    assert np.sqrt(np.mean(residual**2)) < 1e-4


def test_a_peak_between_bins_is_guessed_within_a_tenth_of_a_bin() -> None:
    spectrum = np.fft.rfft(draw(1024, 100.4 / 1024))
    assert guess_frequency(spectrum, 1024, 100) * 1024 / 2 / np.pi == pytest.approx(100.4, abs=0.1)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1, 2, 3], r"the record has 3 samples; a spectrum and a sine fit need at least 16"),
        (np.ones((2, 20)), r"one channel, one-dimensional; this one has shape \(2, 20\)"),
        ([0.0] * 20 + [np.nan, np.inf], r"2 of 22 samples are not finite \(NaN or infinite\), the first is sample 20"),
        (np.ones(20) * 1j, r"the record is complex"),
        ([object()] * 20, r"the record is not made of numbers"),
        (["a"] * 20, r"could not convert string to float"),
    ],
    ids=["three samples", "two channels", "NaN", "complex", "objects", "text"],
)
def test_records_that_hold_no_sine_are_refused(record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_samples(record)


@pytest.mark.parametrize("fs_hz", [0.0, -1.0, np.nan, np.inf])
def test_a_rate_that_is_none_is_refused(fs_hz: float) -> None:
    with pytest.raises(ValueError, match=r"the sample rate is a positive number of hertz"):
        check_rate(fs_hz)


def test_huge_and_tiny_records_neither_overflow_nor_vanish() -> None:
    for amplitude in (1e-300, 1e300):
        fit = fit_sine(draw(256, 0.1, amplitude=amplitude))
        assert fit.amplitude == pytest.approx(amplitude, rel=1e-9)
