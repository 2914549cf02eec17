"""Which source makes how much of the error?

Each source switched on alone, and what they do together beyond that as a row of its own.

Powers are mean squares in the band that counts; the rows, interaction included, sum to the total by construction. Alone
means: rounding on an endless grid, clipping without any grid, every other source on the analog side; what one source
does to another is interaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import STRAIGHT
from qanalysis.converters.simulation.dither import find_dither
from qanalysis.converters.simulation.simulate import SimulatedRecord, Simulation, band_power, difference, shape_noise
from qanalysis.decibels import ratio_db

SOURCES = ("rounding", "clipping", "offset", "gain", "inl", "noise", "jitter", "dither", "interaction")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One source: its power alone, in the square of the range's unit; its share of the total;
    its rms in LSB; the SNR it leaves alone.

    `share` is None where there is no error at all; `snr_db` is infinite for a silent source and None for a negative
    interaction.
    """

    source: str
    power: float
    share: float | None
    rms_lsb: float | None
    snr_db: float | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """All rows in the order of SOURCES, and the measured total that they sum to."""

    rows: tuple[LedgerRow, ...]
    total: float

    def __getitem__(self, source: str) -> LedgerRow:
        return self.rows[SOURCES.index(source)]


def open_ledger(record: SimulatedRecord) -> Ledger:
    """The ledger of a simulated record: about one run's time per source that is on.

    >>> from qanalysis.converters.simulation.waveforms import Ramp
    >>> ledger = open_ledger(Simulation(Converter(4, 0, 16), Ramp(0.5, 14.5), samples=1400, offset_lsb=2).run())
    >>> round(ledger["offset"].power, 9), round(sum(row.power for row in ledger.rows) - ledger.total, 12)
    (4.0, 0.0)
    """
    simulation = record.simulation
    powers = {source: band_power(error, simulation.osr) for source, error in _errors_alone(record)}
    total = band_power(record.errors, simulation.osr)
    powers["interaction"] = total - sum(powers.values())
    signal = band_power(record.ideal - record.ideal.mean(), simulation.osr) if np.ptp(record.ideal) else 0.0
    return Ledger(
        tuple(
            _make_row(source, powers.get(source, 0.0), total, signal, simulation.converter.lsb) for source in SOURCES
        ),
        total,
    )


def clip_analog(x: Doubles, converter: Converter) -> Doubles:
    """`x` within what the codes can say: between the end levels of mid-tread,
    where clipping and rounding have no cross term.

    Mid-rise and floor stand off their end levels by design, so there it is the span of the cells.
    """
    span = (converter.codes - (converter.transfer == "mid-tread")) * converter.lsb
    return np.clip(x, converter.low, converter.low + span)


def _errors_alone(record: SimulatedRecord) -> Iterator[tuple[str, Doubles]]:
    simulation, ideal = record.simulation, record.ideal
    step = simulation.converter.lsb
    yield "rounding", step * _round_alone(simulation, ideal)
    yield "clipping", clip_analog(ideal, simulation.converter) - ideal
    quiet = replace(simulation, offset_lsb=0.0, gain_error_percent=0.0, noise_lsb=0.0, jitter_s=0.0, inl=STRAIGHT)
    for source, name in (
        ("offset", "offset_lsb"),
        ("gain", "gain_error_percent"),
        ("noise", "noise_lsb"),
        ("jitter", "jitter_s"),
    ):
        if setting := getattr(simulation, name):
            yield source, replace(quiet, **{name: setting}).disturb(ideal) - ideal
    if simulation.inl:
        yield "inl", -step * simulation.inl.displace(ideal, simulation.converter)
    if simulation.dither != "none" and not find_dither(simulation.dither).subtracted:
        yield "dither", step * difference(simulation.draw_dither(), simulation.shaping_order)


def _round_alone(simulation: Simulation, ideal: Doubles) -> Doubles:
    grid = simulation.converter.quantizer
    scaled = (ideal - grid.offset) / simulation.converter.lsb
    if simulation.shaping_order:
        error = shape_noise(scaled, np.zeros(1), order=simulation.shaping_order, rounding=grid.rounding)[1]
        return difference(error, simulation.shaping_order)
    return np.asarray(grid.rounding(scaled) - scaled)


def _make_row(source: str, power: float, total: float, signal: float, step: float) -> LedgerRow:
    share = power / total if total else None
    if power < 0:
        return LedgerRow(source, power, share, None, None)
    return LedgerRow(source, power, share, math.sqrt(power) / step, ratio_db(signal, power))
