"""A record is quiet only where nothing that the searches find could be in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.faults.quiet import Quiet, judge_rest
from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SAMPLES, CYCLES = 2**15, 1021.3


def draw_tone(noise: float = 0.5, *, amplitude: float = 2000.0) -> NDArray[np.float64]:
    """A rounded tone between bins with Gaussian noise, in LSB."""
    drawn = np.random.default_rng(3).standard_normal(SAMPLES)
    tone = amplitude * np.sin(2 * np.pi * CYCLES / SAMPLES * np.arange(SAMPLES))
    return np.rint(tone + noise * drawn)


def judge(values: NDArray[np.float64]) -> Quiet:
    """What the residual of the fit says of codes."""
    fit = analyze_spectrum(values, bits=13).sinefit
    assert fit is not None
    return judge_rest(values, fit, 1.0)


@pytest.mark.parametrize(("noise", "straight"), [(0.0, True), (0.3, True), (2.0, False)])
def test_a_sound_record_is_quiet_and_noise_may_hide_a_bend(noise: float, straight: bool) -> None:
    assert judge(draw_tone(noise)) == Quiet(sound=True, straight=straight)


def hold(values: NDArray[np.float64]) -> None:
    values[9000:9012] = values[9000]


def flip(values: NDArray[np.float64]) -> None:
    values[500] += 16


def jump_in_phase(values: NDArray[np.float64]) -> None:
    values[20000:] = draw_tone()[20000 - 1 : -1]


def jump_in_amplitude(values: NDArray[np.float64]) -> None:
    values[16000:] = np.rint(values[16000:] * 1.006)


def jump_in_offset(values: NDArray[np.float64]) -> None:
    values[16000:] += 12  # 0.6 % of the amplitude


def jump_near_the_end(values: NDArray[np.float64]) -> None:
    values[-100:] += 12


@pytest.mark.parametrize(
    "spoil", [hold, flip, jump_in_phase, jump_in_amplitude, jump_in_offset, jump_near_the_end], ids=lambda f: f.__name__
)
def test_a_record_with_a_fault_is_searched(spoil: Callable[[NDArray[np.float64]], None]) -> None:
    values = draw_tone()
    spoil(values)
    assert not judge(values).sound


def test_a_short_record_is_searched() -> None:
    values = draw_tone()[:60]
    fit = analyze_spectrum(values, bits=13).sinefit
    assert fit is not None
    assert judge_rest(values, fit, 1.0) == Quiet(sound=False, straight=False)
