"""What does page Converter keep between two runs? Simulations and sweeps, keyed by the settings that make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import streamlit as st

from qanalysis.converters.choices import DitherName, FullScaleWave, Signal, WaveformName
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.simulation.dac import WorstSpur, find_worst_spur
from qanalysis.converters.simulation.ledger import Ledger, open_ledger
from qanalysis.converters.simulation.noise_model import NoiseModel, judge_noise_model
from qanalysis.converters.simulation.simulate import SimulatedRecord, Simulation
from qanalysis.converters.simulation.sweeps import (
    AmplitudeSweep,
    BitsSweep,
    DitherPanel,
    LoadingSweep,
    sweep_amplitude,
    sweep_bits,
    sweep_dither,
    sweep_loading,
)
from qanalysis.converters.simulation.tone_sweeps import ToneSweep, sweep_frequency, sweep_phase
from qanalysis.converters.simulation.waveforms import Dc, Gaussian, OwnRecord, Ramp, Sine, Triangle, TwoTone, Waveform
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum
from qanalysis.dashboard.converter.recordings import find_recording, read_recording
from qanalysis.dashboard.converter.view import DEFAULT, ConverterView

SIMULATED = (
    *(
        "fs_over",
        "transfer",
        "sim_bits",
        "waveform",
        "amplitude",
        "cycles",
        "phase",
        "samples",
        "offset_lsb",
        "gain_percent",
        "inl_shape",
        "inl_lsb",
    ),
    *("noise_lsb", "jitter_ps", "dither", "osr", "shaping_order", "sim_rate_hz"),
)
READ = (
    *("record", "column", "channel", "record_bits", "justify", "signed", "rate_hz"),
    *("unit", "coding", "radix", "dtype", "resample"),
)
AMPLITUDES = tuple(np.round(np.geomspace(0.2, 128, 60), 4).tolist())
SIM_LOW, SIM_HIGH = -1.0, 1.0
TONES_APART = 14  # bins between the two tones
AMPLITUDE_DIGITS = 6  # amplitudes that differ beyond these decimals of a percent are one


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A simulated record with its ledger and the verdict on the noise model.

    Compared by identity: the cache's key is the view that made it.
    """

    capture: SimulatedRecord
    ledger: Ledger
    meter: NoiseModel


def simulation_key(view: ConverterView) -> ConverterView:
    """A view in which only what a simulation depends on differs from the defaults; of a record's, what reads it.

    Two views that differ in anything else, a tab, a convention of the spectrum, share one simulation.
    """
    names = (*SIMULATED, *READ) if view.waveform == "record" else SIMULATED
    amplitude = round(view.amplitude, AMPLITUDE_DIGITS)
    return replace(DEFAULT, **{name: getattr(view, name) for name in names} | {"amplitude": amplitude})


def build_simulation(view: ConverterView) -> Simulation:
    """The simulation that the controls state, over -1 to 1 V; ValueError for one that can not be.

    The view's amplitude is in percent of half the range, its jitter in ps; offset, INL and noise are in LSB.
    """
    converter = Converter(view.sim_bits, SIM_LOW, SIM_HIGH, fs_over=view.fs_over, transfer=view.transfer)
    waveform, samples = _build_waveform(view, converter)
    return Simulation(
        converter,
        waveform,
        samples=samples,
        fs_hz=view.sim_rate_hz,
        offset_lsb=view.offset_lsb,
        gain_error_percent=view.gain_percent,
        inl=Inl(view.inl_shape, view.inl_lsb),
        noise_lsb=view.noise_lsb,
        jitter_s=view.jitter_ps * 1e-12,
        dither=view.dither,
        osr=view.osr,
        shaping_order=view.shaping_order,
    )


def _build_waveform(view: ConverterView, converter: Converter) -> tuple[Waveform, int]:
    """The waveform that the controls state and the number of its samples; amplitudes in volts, frequencies in hertz.

    A Gaussian has a quarter of the peak as its standard deviation. A record is centred between its extremes and scaled
    to the peak, a constant one stays constant; it gives at most as many samples as it has. Raises what reading a record
    raises.
    """
    samples, peak = int(view.samples), converter.amplitude * view.amplitude / 100
    spacing = view.sim_rate_hz / samples
    tone = view.cycles * spacing
    makers: dict[WaveformName, Callable[[], Waveform]] = {
        "sine": lambda: Sine(peak, tone, phase_degrees=view.phase),
        "triangle": lambda: Triangle(peak, tone, phase_degrees=view.phase),
        "two-tone": lambda: TwoTone(peak / 2, tone, tone + TONES_APART * spacing),
        "ramp": lambda: Ramp(-peak, peak),
        "gaussian": lambda: Gaussian(peak / 4),
        "dc": lambda: Dc(peak),
    }
    if view.waveform in makers:
        return makers[view.waveform](), samples
    values = read_recording(find_recording(view)).values
    centred = values - (values.max() + values.min()) / 2
    reach = float(np.abs(centred).max())
    return OwnRecord(centred * (peak / reach) if reach else centred), min(samples, values.size)


@st.cache_resource(max_entries=64, show_spinner=False)
def run_simulation(key: ConverterView) -> Simulated:
    """The capture of `simulation_key`'s view, its ledger and its verdict.

    The same key gives the same samples: every random source has a fixed seed. ValueError where the controls contradict.
    """
    capture = build_simulation(key).run()
    return Simulated(capture, open_ledger(capture), judge_noise_model(capture))


@st.cache_resource(max_entries=32, show_spinner=False)
def analyze_simulation(key: ConverterView, full_scale: FullScaleWave, harmonics: int) -> Spectrum:
    """The spectrum of a simulation's output, within its band.

    With oversampling the band ends at fs/(2 OSR), in hertz. ValueError for a record too short for a spectrum.
    """
    capture = run_simulation(key).capture
    simulation = capture.simulation
    options = SpectrumOptions(
        low=SIM_LOW,
        high=SIM_HIGH,
        fs_over=key.fs_over,
        full_scale=full_scale,
        harmonics=harmonics,
        band_hz=None if simulation.osr == 1 else (0.0, simulation.band_hz),
    )
    return analyze_spectrum(capture.values, options, fs_hz=simulation.fs_hz, bits=simulation.converter.bits)


@st.cache_resource(max_entries=16, show_spinner=False)
def sweep_simulation(key: ConverterView) -> BitsSweep:
    """SQNR of a simulation against the bits.

    In dB, for each width with everything else as in the view.
    """
    return sweep_bits(build_simulation(key))


@st.cache_resource(max_entries=16, show_spinner=False)
def sweep_tone(key: ConverterView, kind: Literal["phase", "frequency"]) -> ToneSweep:
    """SINAD and SFDR of a simulation's tone against its start phase or its number of periods.

    In dB. ValueError for a waveform that is no sine, or for a number of periods that is not whole.
    """
    simulation = build_simulation(key)
    return sweep_phase(simulation) if kind == "phase" else sweep_frequency(simulation)


@st.cache_resource(max_entries=16, show_spinner=False)
def sweep_sizes(signal: Signal, dither: DitherName) -> AmplitudeSweep:
    """Error against the size of a signal.

    Sizes are `AMPLITUDES`, in LSB of a mid-tread grid: the peak of a sine, the standard deviation of a Gaussian.
    """
    return sweep_amplitude(AMPLITUDES, signal=signal, dither=dither)


@st.cache_resource(max_entries=16, show_spinner=False)
def sweep_range(bits: int) -> LoadingSweep:
    """SQNR in dB of a Gaussian on `bits` bits against where it is clipped."""
    return sweep_loading(bits)


@st.cache_resource(max_entries=1, show_spinner=False)
def compare_dithers() -> DitherPanel:
    """The dithers across one step.

    Mean error and error power over the place of the input within a step; depends on no control.
    """
    return sweep_dither()


@st.cache_resource(max_entries=16, show_spinner="Summing the spurs …")
def read_worst_spur(bits: int) -> WorstSpur:
    """The worst spur of an ideal sine.

    `bits` from 2 to `MOST_SPUR_BITS`: the sum over all harmonics grows with the number of codes.
    """
    return find_worst_spur(bits)
