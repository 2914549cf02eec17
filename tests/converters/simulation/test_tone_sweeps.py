"""SINAD and SFDR over phase and frequency: published figures of quantized sines, locked periods against free ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.converter import Converter
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.tone_sweeps import measure_tone, sweep_frequency, sweep_phase
from qanalysis.converters.simulation.waveforms import Gaussian, Sine, Triangle, sample_phases

TWELVE = Converter(12, -1, 1)


def tone(cycles: int, **options: object) -> Simulation:
    return Simulation(TWELVE, Sine(2047 / 2048, cycles / 4096), samples=4096, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bits", "cycles", "sfdr_db", "sinad_db"),
    [
        (4, 127, 35.39, None),
        (4, 128, 30.63, None),
        (6, 127, 51.66, None),
        (6, 128, 43.99, None),
        (8, 127, 68.61, 49.96),
        (8, 128, 53.53, 50.05),
        (10, 127, 81.36, None),
        (10, 128, 68.73, None),
    ],
)
def test_a_quantized_sine_has_the_published_spurs(
    bits: int, cycles: int, sfdr_db: float, sinad_db: float | None
) -> None:
    peak = 2 ** (bits - 1) - 1
    figures = measure_tone(np.rint(peak * sample_phases(4096, cycles)), cycles)
    assert figures.sfdr_db[0] == pytest.approx(sfdr_db, abs=0.005 + 1e-9)  # half of the last digit stated
    if sinad_db is not None:
        assert figures.sinad_db[0] == pytest.approx(sinad_db, abs=0.005 + 1e-9)


def test_figures_are_those_of_the_plain_definition() -> None:
    rng = np.random.default_rng(0)
    record = np.sin(2 * np.pi * 5 * np.arange(64) / 64) + 0.1 * rng.standard_normal(64) + 0.3
    n = np.arange(64)
    power = np.array([abs(np.sum(record * np.exp(-2j * np.pi * k * n / 64))) ** 2 for k in range(64)])
    others = [k for k in range(1, 64) if k not in (5, 59)]
    figures = measure_tone(record, 5)
    assert figures.sinad_db[0] == pytest.approx(10 * math.log10((power[5] + power[59]) / power[others].sum()), abs=1e-9)
    one_sided = [power[k] + power[64 - k] for k in range(1, 32) if k != 5] + [power[32]]
    assert figures.sfdr_db[0] == pytest.approx(10 * math.log10((power[5] + power[59]) / max(one_sided)), abs=1e-9)


def test_a_free_period_has_one_figure_for_every_phase_of_its_own() -> None:
    sweep = sweep_phase(tone(127), phase_degrees=np.arange(0, 4096, 37) * 360 / 4096)
    # The same 4096 samples in another order; sums in another order.
    assert sweep.sfdr_db == pytest.approx(np.full(111, 92.96), abs=0.005)
    assert sweep.sinad_db == pytest.approx(np.full(111, 74.09), abs=0.005)
    assert set(sweep.common_divisor) == {1.0}


def test_a_locked_period_moves_with_its_start() -> None:
    sweep = sweep_phase(tone(128))
    assert set(sweep.common_divisor) == {128.0}
    # Stated to 0.1 dB, for 64 phases between two of the record's own 32.
    assert (sweep.sfdr_db.min(), sweep.sfdr_db.max()) == (pytest.approx(75.8, abs=0.05), pytest.approx(82.3, abs=0.05))
    assert np.median(sweep.sfdr_db) == pytest.approx(78.9, abs=0.05)
    assert (sweep.sinad_db.min(), sweep.sinad_db.max()) == (
        pytest.approx(72.5, abs=0.05),
        pytest.approx(78.6, abs=0.05),
    )


def test_a_frequency_sweep_names_what_locks() -> None:
    sweep = sweep_frequency(tone(128))
    assert sweep.places.tolist() == list(range(96, 161))
    assert sweep.common_divisor.tolist() == [math.gcd(j, 4096) for j in range(96, 161)]
    free = sweep.common_divisor == 1
    assert sweep.sfdr_db[free].min() > sweep.sfdr_db[sweep.common_divisor >= 16].max()


def test_a_frequency_sweep_stays_in_the_band() -> None:
    assert sweep_frequency(tone(5)).places[0] == 1
    assert sweep_frequency(tone(31, osr=64)).places[-1] == 32
    assert sweep_frequency(tone(5), cycles=[7, 9]).places.tolist() == [7, 9]


def test_a_perfect_tone_has_nothing_beside_it() -> None:
    figures = measure_tone(np.tile([1.0, 0.0, -1.0, 0.0], 4), 4)
    assert figures.sinad_db[0] > 300
    assert figures.sfdr_db[0] > 300


def test_a_triangle_is_swept_too() -> None:
    sweep = sweep_phase(Simulation(TWELVE, Triangle(0.9, 127 / 4096), samples=4096), phase_degrees=[0.0])
    # All harmonics of a triangle but the first: (pi^4/96 - 1) of it, and a third harmonic of 1/9.
    assert sweep.sinad_db[0] == pytest.approx(-10 * math.log10(math.pi**4 / 96 - 1), abs=0.01)
    assert sweep.sfdr_db[0] == pytest.approx(20 * math.log10(9), abs=0.01)


@pytest.mark.parametrize("cycles", [0, 33])
def test_the_tone_lies_in_the_band(cycles: int) -> None:
    with pytest.raises(ValueError, match=r"has the bins 1\.\.32 beside DC"):
        measure_tone(np.zeros(64), cycles)


def test_only_tones_are_swept() -> None:
    with pytest.raises(TypeError, match="Gaussian: frequency and start phase are swept on a sine"):
        sweep_phase(Simulation(TWELVE, Gaussian(0.1)))


def test_a_broken_period_is_not_swept() -> None:
    with pytest.raises(ValueError, match="sweeps need a whole number"):
        sweep_frequency(Simulation(TWELVE, Sine(0.9, 0.1), samples=4096))
