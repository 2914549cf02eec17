"""The fit of a tone in I/Q samples: worked by hand, and against numpy's least squares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.spectrum.rotations import fit_rotation, guess_turns, tell_imbalance

SAMPLES = 512


def make_rails(cycles: float, *, gain: float = 1.0, degrees: float = 0.0, start: float = 0.4) -> NDArray[np.complex128]:
    """I = 3 cos(w t + start), Q = 3 gain sin(w t + start + phase)."""
    turns = 2 * np.pi * cycles * np.arange(SAMPLES) / SAMPLES + start
    return np.asarray(3 * (np.cos(turns) + 1j * gain * np.sin(turns + np.radians(degrees))), np.complex128)


@pytest.mark.parametrize("cycles", [40, 40.3, -40.3, 1.6, -254.2, 255.3])
@pytest.mark.parametrize(("gain", "degrees"), [(1.02, 0), (1, 1.5), (0.5, -20), (1, 0)])
def test_gain_and_phase_of_the_rails_are_found_exactly(cycles: float, gain: float, degrees: float) -> None:
    values = make_rails(cycles, gain=gain, degrees=degrees) + (0.2 - 0.1j)
    peak = int(np.argmax(np.abs(np.fft.fft(values - values.mean()))))
    found, residual = fit_rotation(values, guess_turns(np.fft.fft(values - values.mean()), peak), free=True)
    # The residual is rounding; near DC the columns of tone, image and offset lose some digits.
    assert np.abs(residual).max() < 1e-8
    assert found.cycles == pytest.approx(cycles, abs=1e-8)
    assert found.offset == pytest.approx(0.2 - 0.1j, abs=1e-8)
    assert found.imbalance is not None
    decibels, phase = tell_imbalance(found.imbalance)
    assert decibels == pytest.approx(20 * np.log10(gain), abs=1e-6)
    assert phase == pytest.approx(degrees, abs=1e-6)


@pytest.mark.parametrize(
    ("gain", "degrees"), [(1.001, 0.0), (1.0, 0.05), (1.001, -0.05)], ids=["gain", "phase", "both"]
)
def test_a_small_error_gives_half_of_it_as_image(gain: float, degrees: float) -> None:
    found, _ = fit_rotation(make_rails(40, gain=gain, degrees=degrees), 2 * np.pi * 40 / SAMPLES, free=False)
    assert found.image is not None
    size = np.hypot(gain - 1, np.radians(degrees)) / 2
    assert abs(found.image / found.tone) == pytest.approx(
        size, rel=1e-3
    )  # the next term is smaller by the error itself


@pytest.mark.parametrize("cycles", [33.37, -120.5])
def test_the_fit_is_the_least_squares_of_the_same_columns(cycles: float) -> None:
    dice = np.random.default_rng(1)
    noise = dice.normal(0, 0.3, SAMPLES) + 1j * dice.normal(0, 0.3, SAMPLES)
    values = make_rails(cycles, gain=1.1) + noise + 0.5j
    found, _ = fit_rotation(values, 2 * np.pi * cycles / SAMPLES, free=True)
    times = np.arange(SAMPLES)

    def solve(at: float) -> tuple[NDArray[np.complex128], float]:
        turn = np.exp(2j * np.pi * at * times / SAMPLES)
        columns = np.column_stack([turn, turn.conj(), np.ones(SAMPLES)])
        weights = np.linalg.lstsq(columns, values, rcond=None)[0]
        return weights, float(np.linalg.norm(values - columns @ weights))

    weights, left = solve(found.cycles)
    assert found.tone == pytest.approx(weights[0], abs=1e-9)
    assert found.image == pytest.approx(weights[1], abs=1e-9)
    assert found.offset == pytest.approx(weights[2], abs=1e-9)
    assert found.residual_rms * np.sqrt(SAMPLES) == pytest.approx(left, rel=1e-12)
    assert all(left < solve(found.cycles + step)[1] for step in (-1e-4, 1e-4))  # no frequency beside it leaves less


def test_a_dead_rail_is_an_image_of_the_same_size() -> None:
    values = make_rails(40).real.astype(np.complex128)
    found, _ = fit_rotation(values, 2 * np.pi * 40 / SAMPLES, free=False)
    assert abs(found.imbalance or 0.0) < 1e-12
    found, _ = fit_rotation(1j * values, 2 * np.pi * 40 / SAMPLES, free=False)
    assert found.imbalance is None or abs(found.imbalance) > 1e9
