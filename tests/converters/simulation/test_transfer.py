"""Pictures of a converter as data: staircase, saw-tooth, histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.choices import TRANSFERS
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.transfer import count_codes, histogram_errors, trace_transfer
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
    assert np.diff(curve.values[1:-1].reshape(-1, 2), axis=1).ravel() == pytest.approx(np.full(inside.size, 1 / 8), abs=1e-12)


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
    curve = trace_transfer(Simulation(converter, Dc(0.0)), high=converter.levels[-1] if bits < 24 else 0.9, most_steps=500)
    assert not curve.complete
    assert curve.x.size <= 500
    assert (np.diff(curve.x) >= 0).all()
    # Inputs near 1 are known to 2^-53; within the window every stretch holds a corner of each kind.
    assert [curve.errors.min(), curve.errors.max()] == pytest.approx([-converter.half_step, converter.half_step], abs=2**-51)


@pytest.mark.parametrize("wrong", [{"low": 1.0, "high": 1.0}, {"most_steps": 1}, {"low": math.nan}])
def test_a_window_runs_upwards(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="the lower one first"):
        trace_transfer(Simulation(Converter(4, 0, 1), Dc(0.0)), **wrong)  # type: ignore[arg-type]


def test_codes_of_a_ramp_come_equally_often() -> None:
    histogram = count_codes(Simulation(Converter(4, 0, 16), Ramp(-0.5, 15.5), samples=1600).run())
    assert histogram.counts.tolist() == [100] * 16
    assert histogram.starts.tolist() == list(range(16))


def test_codes_of_a_sine_follow_the_arc_sine() -> None:
    converter = Converter(5, -16, 16)
    histogram = count_codes(Simulation(converter, Sine(15.4, 127 / 16384)).run())
    edges = np.clip(np.arange(-15.5, 16) / 15.4, -1, 1)
    expected = 16384 * np.diff(np.arcsin(edges)) / np.pi
    assert histogram.first == 1
    # Four crossings a turn at each end of a bar, each misplaced by less than a sample.
    assert np.abs(histogram.counts - expected).max() <= 4


def test_wide_bars_hold_all_codes() -> None:
    capture = Simulation(Converter(32, -1, 1), Gaussian(0.1)).run()
    histogram = count_codes(capture, most_bars=100)
    assert histogram.counts.size <= 100
    assert histogram.counts.sum() == 16384
    assert histogram.starts[-1] <= capture.codes.max() < histogram.starts[-1] + histogram.width


def test_a_histogram_has_bars() -> None:
    capture = Simulation(Converter(8, -1, 1), Dc(0.0)).run()
    with pytest.raises(ValueError, match="0 bars"):
        count_codes(capture, most_bars=0)
    with pytest.raises(ValueError, match="0 bins"):
        histogram_errors(capture, bins=0)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_errors_of_a_busy_signal_are_uniform_over_one_step(transfer: str) -> None:
    histogram = histogram_errors(Simulation(Converter(10, -1, 1, transfer=transfer), Gaussian(0.1), samples=2**17).run(), bins=60)
    width = np.diff(histogram.edges_lsb)
    assert histogram.density @ width == pytest.approx(1.0, abs=1e-12)
    assert histogram.uniform @ width == pytest.approx(1.0, abs=1e-12)
    # About 5200 in a bin of 1/40 LSB: relative deviation 0.014, five of them for sixty bins.
    assert np.abs(histogram.density - histogram.uniform).max() < 0.07


def test_noise_widens_the_histogram() -> None:
    capture = Simulation(Converter(10, -1, 1), Gaussian(0.1), noise_lsb=2.0).run()
    histogram = histogram_errors(capture)
    assert histogram.edges_lsb[0] == pytest.approx(capture.errors.min() / capture.simulation.converter.lsb)
    assert histogram.density.max() < 0.3
