"""Waveforms at the input: exact samples, coherent frequencies, periods that lock."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.simulation.waveforms import (
    Dc,
    Gaussian,
    OwnRecord,
    Ramp,
    Sine,
    Triangle,
    TwoTone,
    Waveform,
    count_cycles,
    find_coherent_hz,
    judge_period,
    sample_phases,
)

SMOOTH: list[Waveform] = [
    Sine(0.7, 127.0, phase_degrees=30, offset=0.1),
    TwoTone(0.4, 101.0, 127.0),
    Triangle(0.5, 3.0),
    Ramp(-1, 1),
    Dc(0.3),
    Gaussian(0.2),
]


def test_a_sine_is_its_formula_one_sample_at_a_time() -> None:
    wave = Sine(0.7, 127.0, phase_degrees=30, offset=0.1)
    by_hand = [0.1 + 0.7 * math.sin(2 * math.pi * 127 * n / 4096 + math.pi / 6) for n in range(4096)]
    # Angles to 2 pi 127 carry 2^-53 of themselves, 1e-13.
    assert np.abs(wave.sample(4096, 4096.0) - by_hand).max() < 2e-13


def test_two_tones_are_the_sum_of_two() -> None:
    both = TwoTone(0.4, 101.0, 127.0, offset=0.2).sample(512, 512.0)
    parts = Sine(0.4, 101.0).sample(512, 512.0) + Sine(0.4, 127.0).sample(512, 512.0) + 0.2
    assert np.abs(both - parts).max() < 1e-15  # the order of two sums


@pytest.mark.parametrize("fs_hz", [1.0, 3.0, 44100.0, 1e9])
def test_samples_do_not_depend_on_the_label_of_the_rate(fs_hz: float) -> None:
    frequency = 127 * fs_hz / 4096
    assert np.array_equal(Sine(1.0, frequency).sample(4096, fs_hz), Sine(1.0, 127.0).sample(4096, 4096.0))


def test_a_triangle_has_the_moments_of_a_uniform_distribution() -> None:
    x = Triangle(1.0, 7.0).sample(4096, 4096.0)
    assert np.abs(x).max() <= 1
    # A sampled triangle of coprime period is a uniform grid of 1/1024: mean square 1/3 to within the square of that.
    assert np.mean(x**2) == pytest.approx(1 / 3, abs=1e-6)


def test_a_ramp_sits_in_the_middles_of_equal_parts_and_starts_again() -> None:
    assert Ramp(0, 8, sweeps=2).sample(8, 1.0).tolist() == [0.5, 2.5, 4.5, 6.5, 0.5, 2.5, 4.5, 6.5]


def test_a_gaussian_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first = Gaussian(0.5, mean=1.0, seed=3).sample(100_000, 1.0)
    assert np.array_equal(first, Gaussian(0.5, mean=1.0, seed=3).sample(100_000, 1.0))
    assert not np.array_equal(first, Gaussian(0.5, mean=1.0, seed=4).sample(100_000, 1.0))
    # Four standard errors: 4 * 0.5 / sqrt(1e5) = 0.0063; of the deviation 0.0045.
    assert first.mean() == pytest.approx(1.0, abs=0.0063)
    assert first.std() == pytest.approx(0.5, abs=0.0045)


@pytest.mark.parametrize("wave", SMOOTH[:4], ids=lambda wave: type(wave).__name__)
def test_a_shift_of_whole_samples_is_a_later_record(wave: Waveform) -> None:
    shifted = wave.sample(512, 512.0, shift_s=3 / 512)
    assert np.allclose(shifted[:500], wave.sample(512, 512.0)[3:503], atol=1e-12)


def test_small_shifts_of_a_record_follow_the_slope_of_its_wave() -> None:
    sine = Sine(1.0, 5.0)
    record = OwnRecord(sine.sample(256, 256.0))
    shift = 1e-6 * np.cos(np.arange(256))
    # Second order: (2 pi 5 * 1e-6)^2 / 2 = 5e-10.
    assert np.abs(record.sample(256, 256.0, shift_s=shift) - sine.sample(256, 256.0, shift_s=shift)).max() < 6e-10


def test_a_record_gives_as_many_samples_as_asked_and_no_more() -> None:
    record = OwnRecord(np.array([1.0, 2.0, 3.0]), "mine")
    assert record.sample(2, 1.0).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="mine: 4 samples asked, 3 there"):
        record.sample(4, 1.0)


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, math.nan]], ids=["empty", "table", "nan"])
def test_a_record_is_a_row_of_finite_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="needs a row of finite values"):
        OwnRecord(np.array(values))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sine(math.nan, 1.0), "sine: amplitude nan is not finite"),
        (lambda: TwoTone(1.0, math.inf, 2.0), "two tones: frequency_hz inf"),
        (lambda: Triangle(1.0, 1.0, phase_degrees=math.inf), "triangle: phase_degrees"),
        (lambda: Ramp(0, math.inf), "ramp: high inf"),
        (lambda: Ramp(0, 1, sweeps=0), "0 sweeps"),
        (lambda: Dc(math.nan), "dc: level nan"),
        (lambda: Gaussian(-1.0), "std -1.0 is negative"),
        (lambda: Dc(0.0).sample(0, 1.0), "0 samples at 1 Hz"),
        (lambda: Dc(0.0).sample(4, 0.0), "4 samples at 0 Hz"),
    ],
)
def test_what_is_no_waveform_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("samples", [3, 7, 100, 1000, 1001, 4096, 30030, 65536])
def test_the_coherent_frequency_is_the_nearest_that_shares_no_divisor(samples: int) -> None:
    for near in (0.0, 0.1, 0.25, 0.333, 0.5):
        found = find_coherent_hz(1.0, samples, near)
        cycles = round(found * samples)
        best = min((abs(j - near * samples), j) for j in range(1, (samples + 1) // 2) if math.gcd(j, samples) == 1)[1]
        assert cycles == best
        assert judge_period(found, fs_hz=1.0, samples=samples) is None


@pytest.mark.parametrize(("samples", "near"), [(2, 0.1), (16, 0.6), (16, -0.1), (16, math.nan)])
def test_a_coherent_frequency_needs_a_record_and_a_place(samples: int, near: float) -> None:
    with pytest.raises(ValueError, match="needs 3 samples at least and a frequency"):
        find_coherent_hz(1.0, samples, near)


def test_locked_periods_are_named_with_their_divisor() -> None:
    locked = judge_period(128.0, fs_hz=4096.0, samples=4096)
    assert locked is not None
    assert (locked.code, locked.value) == ("locked-period", 128.0)
    assert "only 32 phases, each 128 times" in locked.text
    assert "127 periods" in locked.text


def test_broken_periods_are_named_with_their_distance() -> None:
    broken = judge_period(100.0, fs_hz=1000.0, samples=4096)
    assert broken is not None
    assert broken.code == "leakage"
    assert broken.value == pytest.approx(0.4, abs=1e-9)  # 409.6 periods


@pytest.mark.parametrize("frequency", [0.0, -5.0, 600.0])
def test_what_is_no_tone_has_no_period(frequency: float) -> None:
    assert judge_period(frequency, fs_hz=1000.0, samples=1000) is None


def test_cycles_are_whole_where_they_are_so_to_a_millionth() -> None:
    assert count_cycles(127 * 44100 / 4096, fs_hz=44100, samples=4096) == 127.0
    assert not count_cycles(0.1234567, fs_hz=1.0, samples=4096).is_integer()


def test_rows_of_phases_are_sines() -> None:
    rows = sample_phases(256, 3, phase_degrees=[0, 10, 350])
    # Sums of turns below 2 to 2^-52, times 2 pi.
    assert all(
        np.abs(row - Sine(1.0, 3.0, phase_degrees=p).sample(256, 256.0)).max() < 1e-14
        for row, p in zip(rows, (0, 10, 350), strict=True)
    )
