"""How do SINAD and SFDR move with start phase and frequency? Plain figures of coherent records, many at a time.

Rectangular window, one bin for the tone, only DC left out. `spectrum` has the full analysis of one record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles
from qanalysis.converters.simulation.simulate import Simulation, count_bins
from qanalysis.converters.simulation.waveforms import Sine, Triangle, count_cycles
from qanalysis.notation import plain


@dataclass(frozen=True, slots=True, eq=False)
class ToneFigures:
    """SINAD and SFDR in dB, one of each per record: (records,); infinite where nothing but the tone is there."""

    sinad_db: Doubles
    sfdr_db: Doubles


def measure_tone(records: ArrayLike, cycles: int, *, osr: int = 1) -> ToneFigures:
    """Figures of records (samples,) or (records, samples) whose tone has `cycles` whole periods,
    in the bins to M/(2 osr).

    ValueError where that bin is not among them, or DC.

    >>> from qanalysis.converters.simulation.waveforms import sample_phases
    >>> tone = measure_tone(np.rint(127 * sample_phases(4096, 127)), 127)
    >>> tone.sfdr_db.round(2).tolist(), tone.sinad_db.round(2).tolist()
    ([68.61], [49.96])
    """
    records = np.atleast_2d(np.asarray(records, np.float64))
    samples = records.shape[-1]
    power = np.square(np.abs(np.fft.rfft(records)[:, : count_bins(samples, osr)]))
    if not 0 < cycles < power.shape[-1]:
        raise ValueError(
            f"{cycles} periods: the band of a record of {samples} samples has the bins 1..{power.shape[-1] - 1} "
            "beside DC"
        )
    power[:, 0] = 0.0
    if samples % 2 == 0 and osr == 1:
        power[:, -1] /= 2  # the bin of fs/2 stands for itself, the others for two
    tone = power[:, cycles].copy()
    power[:, cycles] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return ToneFigures(10 * np.log10(tone / power.sum(axis=-1)), 10 * np.log10(tone / power.max(axis=-1)))


@dataclass(frozen=True, slots=True, eq=False)
class ToneSweep:
    """One point per row: what was swept (`places`, in the unit `unit`), the divisor gcd(J, M), SINAD and SFDR in dB."""

    places: Doubles
    unit: str
    common_divisor: Doubles
    sinad_db: Doubles
    sfdr_db: Doubles


def sweep_phase(simulation: Simulation, *, phase_degrees: Sequence[float] | None = None) -> ToneSweep:
    """The start phase of a coherent sine or triangle;
    the default is 64 phases over the distance between the record's own phases.

    A relatively prime period has the same phases in every record that starts a multiple of 360/M degrees later; a
    locked one has not. TypeError for another waveform, ValueError for a broken number of periods.
    """
    wave, cycles = _find_tone(simulation)
    divisor = math.gcd(cycles, simulation.samples)
    phases = (
        np.arange(64) / 64 * 360 * divisor / simulation.samples
        if phase_degrees is None
        else np.asarray(phase_degrees, np.float64)
    )
    return _sweep(simulation, [replace(wave, phase_degrees=float(phase)) for phase in phases], phases, "degrees")


def sweep_frequency(simulation: Simulation, *, cycles: Sequence[int] | None = None) -> ToneSweep:
    """The number of periods in the record, J; the default is the 32 on each side of the tone's that lie in the band."""
    wave, centre = _find_tone(simulation)
    last = count_bins(simulation.samples, simulation.osr) - 1
    places = np.arange(max(1, centre - 32), min(last, centre + 32) + 1) if cycles is None else np.asarray(cycles)
    unit = simulation.fs_hz / simulation.samples
    return _sweep(
        simulation,
        [replace(wave, frequency_hz=float(place) * unit) for place in places],
        places.astype(np.float64),
        "periods",
    )


def _find_tone(simulation: Simulation) -> tuple[Sine | Triangle, int]:
    wave = simulation.waveform
    if not isinstance(wave, Sine | Triangle):
        raise TypeError(f"{type(wave).__name__}: frequency and start phase are swept on a sine or a triangle")
    cycles = count_cycles(wave.frequency_hz, fs_hz=simulation.fs_hz, samples=simulation.samples)
    if not cycles.is_integer():
        raise ValueError(
            f"{plain(cycles, digits=6)} periods in the record: sweeps need a whole number; find_coherent_hz "
            "gives the nearest"
        )
    return wave, int(cycles)


def _sweep(simulation: Simulation, waves: Sequence[Sine | Triangle], places: Doubles, unit: str) -> ToneSweep:
    figures, divisors = [], []
    for wave in waves:
        cycles = round(wave.frequency_hz / simulation.fs_hz * simulation.samples)
        figures.append(measure_tone(replace(simulation, waveform=wave).run().values, cycles, osr=simulation.osr))
        divisors.append(math.gcd(cycles, simulation.samples))
    sinad, sfdr = (np.concatenate([getattr(figure, name) for figure in figures]) for name in ("sinad_db", "sfdr_db"))
    return ToneSweep(places, unit, np.array(divisors, np.float64), sinad, sfdr)
