"""The bench judges its own converters: what the simulation put in, the analysis of its records must find."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.choices import TRANSFERS
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.tone_sweeps import measure_tone
from qanalysis.converters.simulation.waveforms import Ramp, Sine
from qanalysis.converters.spectrum.spectrum import analyze_spectrum


@pytest.mark.parametrize("shape", ["bow", "s-shape", "saw-tooth"])
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_ramp_finds_the_transitions_that_were_put_in(shape: str, transfer: str) -> None:
    converter = Converter(8, 0, 256, transfer=transfer)
    drive = (-4.0, 260.0)
    simulation = Simulation(
        converter, Ramp(*drive), samples=2**19, offset_lsb=0.4, gain_error_percent=-0.3, inl=Inl(shape, 0.8)
    )
    found = measure_linearity(simulation.run().codes, bits=8, low=0, high=256, transfer=transfer, drive=drive)
    # Samples stand 264/2^19 of a step apart, and a transition is known to one of them.
    assert np.abs(found.transitions - simulation.transitions).max() < 0.001
    # The reference line runs through the end transitions, where the shapes are zero; its steps are 0.3 % longer. Four
    # transitions make INL.
    u = np.linspace(-1, 1, 255)
    assert np.abs(found.inl_lsb - Inl(shape, 0.8)(u))[np.abs(u % 0.5) > 1e-9].max() < 0.003


def test_a_falling_shape_misses_the_codes_that_it_should() -> None:
    simulation = Simulation(Converter(6, 0, 64), Ramp(-1, 65), samples=2**16, inl=Inl("saw-tooth", 3.0))
    widths = np.diff(simulation.transitions)
    expected = tuple((np.flatnonzero(widths < 0.1) + 1).tolist())
    assert measure_linearity(simulation.run().codes, bits=6, low=0, high=64, drive=(-1, 65)).missing_codes == expected
    assert len(expected) >= 3


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("noise_lsb", [0.0, 1.0])
def test_the_spectrum_has_the_sinad_of_the_plain_definition(bits: int, noise_lsb: float) -> None:
    capture = Simulation(Converter(bits, -1, 1), Sine(0.9, 1021 / 16384), noise_lsb=noise_lsb).run()
    found = analyze_spectrum(capture.values, bits=bits, low=-1, high=1)
    plain = measure_tone(capture.values, 1021)
    assert found.sinad_db == pytest.approx(float(plain.sinad_db[0]), abs=0.01)
    assert found.sfdr_dbc == pytest.approx(float(plain.sfdr_db[0]), abs=0.01)


def test_a_bow_is_a_second_harmonic_of_its_size() -> None:
    capture = Simulation(Converter(16, -1, 1), Sine(0.9, 1021 / 16384), inl=Inl("bow", 20.0)).run()
    second = next(harmonic for harmonic in analyze_spectrum(capture.values).harmonics if harmonic.order == 2)
    # -20 LSB (1 - u^2) with u = 0.9 sin: cos 2wt of 20 LSB 0.81/2, over the tone's 0.9 of 2^15 LSB.
    assert second.dbc == pytest.approx(20 * math.log10(20 * 0.405 / (0.9 * 2**15)), abs=0.05)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_shaped_record_is_as_quiet_in_its_band_as_the_simulation_says(order: int) -> None:
    capture = Simulation(
        Converter(8, -1, 1), Sine(0.5, 31 / 16384), osr=32, shaping_order=order, dither="subtractive"
    ).run()
    found = analyze_spectrum(capture.values, low=-1, high=1, band_hz=(0.0, capture.simulation.band_hz))
    # The tone of the record is that of the input but for what noise in its own bin adds, one of 256.
    assert found.sinad_db == pytest.approx(capture.in_band_snr_db, abs=0.1)
