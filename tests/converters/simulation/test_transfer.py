"""Pictures of a converter as data: staircase, saw-tooth, histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.choices import TRANSFERS, Transfer
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.transfer import trace_transfer
from qanalysis.converters.simulation.waveforms import Dc, Gaussian, Ramp, Sine

IMPERFECT = {"offset_lsb": 0.7, "gain_error_percent": 2.0, "inl": Inl("saw-tooth", 0.9)}


@pytest.mark.parametrize("transfer", TRANSFERS)
@pytest.mark.parametrize("options", [{}, IMPERFECT], ids=["ideal", "imperfect"])
def test_the_staircase_has_a_corner_below_and_above_every_transition(transfer: str, options: dict[str, object]) -> None:
    simulation = Simulation(Converter(4, -1, 1, transfer=transfer), Dc(0.0), noise_lsb=5.0, **options)  # type: ignore[arg-type]
    curve = trace_transfer(simulation)
    inside = simulation.transitions[(simulation.transitions > -1) & (simulation.transitions <= 1)]
    assert curve.complete
    assert curve.steps == inside.size
    assert np.array_equal(curve.x[1:-1:2], inside)
    assert np.array_equal(curve.x[2:-1:2], inside)
    assert np.diff(curve.values[1:-1].reshape(-1, 2), axis=1).ravel() == pytest.approx(
        np.full(inside.size, 1 / 8), abs=1e-12
    )


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_the_saw_tooth_stays_within_its_bound(transfer: str) -> None:
    converter = Converter(5, 0, 32, transfer=transfer)
    curve = trace_transfer(Simulation(converter, Dc(0.0)), high=31.5)
    assert curve.bound == converter.error_bound
    assert np.abs(curve.errors).max() == pytest.approx(curve.bound, abs=1e-12)


def test_a_window_shows_its_own_steps() -> None:
    curve = trace_transfer(Simulation(Converter(12, 0, 4096), Dc(0.0)), low=100.0, high=103.0)
    assert curve.x.tolist() == [100.0, 100.5, 100.5, 101.5, 101.5, 102.5, 102.5, 103.0]
    assert curve.values.tolist() == [100.0, 100.0, 101.0, 101.0, 102.0, 102.0, 103.0, 103.0]


def test_a_window_beyond_the_range_has_no_steps() -> None:
    curve = trace_transfer(Simulation(Converter(4, 0, 16), Dc(0.0)), low=20.0, high=24.0)
    assert (curve.steps, curve.values.tolist()) == (0, [15.0, 15.0])


@pytest.mark.parametrize("bits", [14, 20, 32])
def test_too_many_steps_become_their_extremes(bits: int) -> None:
    converter = Converter(bits, -1, 1)
    curve = trace_transfer(
        Simulation(converter, Dc(0.0)), high=converter.levels[-1] if bits < 24 else 0.9, most_steps=500
    )
    assert not curve.complete
    assert curve.x.size <= 500
    assert (np.diff(curve.x) >= 0).all()
    # Inputs near 1 are known to 2^-53; within the window every stretch holds a corner of each kind.
    assert [curve.errors.min(), curve.errors.max()] == pytest.approx(
        [-converter.half_step, converter.half_step], abs=2**-51
    )


@pytest.mark.parametrize("wrong", [{"low": 1.0, "high": 1.0}, {"most_steps": 1}, {"low": math.nan}])
def test_a_window_runs_upwards(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="the lower one first"):
        trace_transfer(Simulation(Converter(4, 0, 1), Dc(0.0)), **wrong)  # type: ignore[arg-type]


def test_codes_of_a_ramp_come_equally_often() -> None:
    record = Simulation(Converter(4, 0, 16), Ramp(-0.5, 15.5), samples=1600).run()
    assert np.bincount(record.codes).tolist() == [100] * 16


def test_codes_of_a_sine_follow_the_arc_sine() -> None:
    counts = np.bincount(Simulation(Converter(5, -16, 16), Sine(15.4, 127 / 16384)).run().codes)
    edges = np.clip(np.arange(-15.5, 16) / 15.4, -1, 1)
    expected = 16384 * np.diff(np.arcsin(edges)) / np.pi
    assert counts[0] == 0
    # Four crossings a turn at each end of a bar, each misplaced by less than a sample.
    assert np.abs(counts[1:] - expected).max() <= 4


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_errors_of_a_busy_signal_are_uniform_over_one_step(transfer: Transfer) -> None:
    converter = Converter(10, -1, 1, transfer=transfer)
    errors = Simulation(converter, Gaussian(0.1), samples=2**17).run().errors / converter.lsb
    top = 0.0 if transfer == "floor" else 0.5
    density, _ = np.histogram(errors, 40, (top - 1, top), density=True)
    assert np.abs(errors - (top - 0.5)).max() <= 0.5 + 2**-40
    # About 3300 in a bin of 1/40 LSB: relative deviation 0.0175, four of them for forty bins.
    assert np.abs(density - 1).max() < 0.07


def test_noise_widens_the_errors() -> None:
    converter = Converter(10, -1, 1)
    errors = Simulation(converter, Gaussian(0.1), noise_lsb=2.0).run().errors / converter.lsb
    # Noise of 2 LSB and the uniform error add their squares; 16384 samples know an rms to 0.55 %, four times that.
    assert float(errors.std()) == pytest.approx(math.sqrt(4 + 1 / 12), rel=0.022)
