"""What does page Converter keep between two runs? Simulations, sweeps and captured records, keyed by the settings that make them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import streamlit as st

from qanalysis.checkpoints.path_policy import resolve_inside
from qanalysis.converters.choices import check_transfer
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.linearity.linearity import Linearity, measure_linearity
from qanalysis.converters.records.reading import Reading, check_justification
from qanalysis.converters.records.records import RECORD_SUFFIXES, Record, read_record
from qanalysis.converters.sample_records import SAMPLE_RECORDS, write_sample
from qanalysis.converters.simulation.dac import WorstSpur, find_worst_spur
from qanalysis.converters.simulation.ledger import Ledger, open_ledger
from qanalysis.converters.simulation.noise_model import NoiseModel, judge_noise_model
from qanalysis.converters.simulation.simulate import SimulatedRecord, Simulation
from qanalysis.converters.simulation.sweeps import AmplitudeSweep, BitsSweep, DitherPanel, sweep_amplitude, sweep_bits, sweep_dither
from qanalysis.converters.simulation.tone_sweeps import ToneSweep, sweep_frequency, sweep_phase
from qanalysis.converters.simulation.waveforms import Dc, Gaussian, OwnRecord, Ramp, Sine, Triangle, TwoTone, Waveform
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum
from qanalysis.dashboard.converter.view import DEFAULT, WAVEFORMS, ConverterView
from qanalysis.dashboard.sources import SAMPLE_PREFIX, UPLOAD_PREFIX, UploadStore, read_root

SIMULATED = (
    *("lsb", "transfer", "sim_bits", "waveform", "amplitude", "cycles", "phase", "samples", "offset_lsb", "gain_percent", "inl_shape", "inl_lsb"),
    *("noise_lsb", "jitter_ps", "dither", "osr", "shaping_order", "sim_rate_hz"),
)
READ = ("record", "column", "channel", "record_bits", "justify", "signed", "rate_hz")
TESTED = ("record_low", "record_high", "drive_low", "drive_high", "lsb", "transfer", "inl_reference")
AMPLITUDES = tuple(np.round(np.geomspace(0.2, 128, 60), 4).tolist())
SIM_LOW, SIM_HIGH = -1.0, 1.0
TONES_APART = 14  # bins between the two tones


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A simulated record with its ledger and the verdict on the noise model."""

    capture: SimulatedRecord
    ledger: Ledger
    meter: NoiseModel


def simulation_key(view: ConverterView) -> ConverterView:
    """A view in which only what a simulation depends on differs from the defaults; of a record's, what reads it."""
    names = (*SIMULATED, *READ) if view.waveform == WAVEFORMS[-1] else SIMULATED
    return replace(DEFAULT, **{name: getattr(view, name) for name in names})


def record_key(view: ConverterView) -> ConverterView:
    """A view in which only what reading a record depends on differs from the defaults."""
    return replace(DEFAULT, **{name: getattr(view, name) for name in READ})


def linearity_key(view: ConverterView) -> ConverterView:
    """A view in which only what a linearity test depends on differs from the defaults."""
    return replace(DEFAULT, **{name: getattr(view, name) for name in (*READ, *TESTED)})


def build_simulation(view: ConverterView) -> Simulation:
    """The simulation that the controls state, over -1 to 1 V; ValueError for one that can not be."""
    converter = Converter(view.sim_bits, SIM_LOW, SIM_HIGH, fs_over=view.fs_over, transfer=check_transfer(view.transfer))
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
    samples, peak = int(view.samples), converter.amplitude * view.amplitude / 100
    spacing = view.sim_rate_hz / samples
    tone = view.cycles * spacing
    makers: dict[str, Callable[[], Waveform]] = {
        "sine": lambda: Sine(peak, tone, phase_degrees=view.phase),
        "triangle": lambda: Triangle(peak, tone, phase_degrees=view.phase),
        "two-tone": lambda: TwoTone(peak / 2, tone, tone + TONES_APART * spacing),
        "ramp": lambda: Ramp(-peak, peak),
        "gaussian": lambda: Gaussian(peak / 4),
        "dc": lambda: Dc(peak),
    }
    if view.waveform in makers:
        return makers[view.waveform](), samples
    values = load_record(record_key(view)).values
    centred = values - (values.max() + values.min()) / 2
    reach = float(np.abs(centred).max())
    return OwnRecord(centred * (peak / reach) if reach else centred), min(samples, values.size)


@st.cache_resource(max_entries=32, show_spinner=False)
def run_simulation(key: ConverterView) -> Simulated:
    """The capture of `simulation_key`'s view, its ledger and its verdict."""
    capture = build_simulation(key).run()
    return Simulated(capture, open_ledger(capture), judge_noise_model(capture))


@st.cache_resource(max_entries=32, show_spinner=False)
def analyze_simulation(key: ConverterView, full_scale: str, harmonics: int) -> Spectrum:
    """The spectrum of a simulation's output, within its band."""
    capture = run_simulation(key).capture
    simulation = capture.simulation
    band = None if simulation.osr == 1 else (0.0, simulation.band_hz)
    return analyze_spectrum(
        capture.values,
        fs_hz=simulation.fs_hz,
        bits=simulation.converter.bits,
        low=SIM_LOW,
        high=SIM_HIGH,
        fs_over=key.fs_over,
        full_scale=full_scale,
        harmonics=harmonics,
        band_hz=band,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def sweep_simulation(key: ConverterView) -> BitsSweep:
    """SQNR of a simulation against the bits."""
    return sweep_bits(build_simulation(key))


@st.cache_resource(max_entries=16, show_spinner=False)
def sweep_tone(key: ConverterView, kind: Literal["phase", "frequency"]) -> ToneSweep:
    """SINAD and SFDR of a simulation's tone against its start phase or its number of periods."""
    simulation = build_simulation(key)
    return sweep_phase(simulation) if kind == "phase" else sweep_frequency(simulation)


@st.cache_resource(max_entries=16, show_spinner=False)
def sweep_sizes(signal: str, dither: str) -> AmplitudeSweep:
    """Error against the size of a signal."""
    return sweep_amplitude(AMPLITUDES, signal=cast('Literal["sine", "gaussian"]', signal), dither=dither)


@st.cache_resource(max_entries=1, show_spinner=False)
def compare_dithers() -> DitherPanel:
    """The dithers across one step."""
    return sweep_dither()


@st.cache_resource(max_entries=16, show_spinner="Summing the spurs …")
def read_worst_spur(bits: int) -> WorstSpur:
    """The worst spur of an ideal sine."""
    return find_worst_spur(bits)


@st.cache_resource
def get_records() -> UploadStore:
    """The server's uploaded records."""
    return UploadStore(suffixes=RECORD_SUFFIXES)


def locate_record(text: str) -> Path:
    """The file behind a record's text: "sample:NAME", "upload:DIGEST/NAME", or a path below the root; ValueError where there is none."""
    if text.startswith(SAMPLE_PREFIX):
        name = text.removeprefix(SAMPLE_PREFIX)
        if name not in SAMPLE_RECORDS:
            raise ValueError(f"there is no sample record {name!r}; the samples are {'; '.join(SAMPLE_RECORDS)}")
        return get_records().locate(get_records().save(f"{re.sub('[^a-z0-9]+', '-', name)}.csv", write_sample(name)))
    return get_records().locate(text) if text.startswith(UPLOAD_PREFIX) else resolve_inside(read_root(), text)


def load_record(key: ConverterView) -> Record:
    """The record of `record_key`'s view, read again when its file has changed; RecordError or ValueError where there is none."""
    if key.record.startswith(SAMPLE_PREFIX):
        return _read_file(key, (0, 0))
    stat = locate_record(key.record).stat()
    return _read_file(key, (stat.st_size, stat.st_mtime_ns))


@st.cache_resource(max_entries=8, show_spinner="Reading the record …")
def _read_file(key: ConverterView, identity: tuple[int, int]) -> Record:  # noqa: ARG001  the identity is part of the key
    path = locate_record(key.record)
    return read_record(
        path,
        Reading(
            column=key.column or None,
            channel=key.channel or None,
            bits=key.record_bits or None,
            justify=None if key.justify == "guess" else check_justification(key.justify, path.name),
            signed={"guess": None, "signed": True, "unsigned": False}[key.signed],
            fs_hz=key.rate_hz or None,
        ),
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def analyze_capture(
    key: ConverterView,
    digest: str | None,  # noqa: ARG001  names the record's content, so that a changed file is measured again
    full_scale: str,
    harmonics: int,
    fs_over: str,
    ends: tuple[float, float],
) -> Spectrum:
    """The spectrum of `record_key`'s record; `ends` are the range in volts, two zeros for one counted in codes."""
    record = load_record(key)
    low, high = (None, None) if ends == (0, 0) else ends
    return analyze_spectrum(
        record.values if record.codes is None else record.codes,
        fs_hz=record.fs_hz or 1.0,
        bits=record.bits,
        low=low,
        high=high,
        fs_over=fs_over,
        full_scale=full_scale,
        harmonics=harmonics,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def measure_capture(key: ConverterView, digest: str | None, test: str) -> Linearity:  # noqa: ARG001  see above
    """The linearity of `linearity_key`'s record; ValueError for a record without codes."""
    record = load_record(record_key(key))
    if record.codes is None or record.bits is None:
        raise ValueError(f"{record.name} holds numbers that are no codes: a linearity test counts codes; give the integers of the converter")
    low, high = (0.0, 1.0) if key.record_low == key.record_high == 0 else (key.record_low, key.record_high)
    drive = None if key.drive_low == key.drive_high == 0 else (key.drive_low, key.drive_high)
    return measure_linearity(
        record.codes,
        bits=record.bits,
        test=test,
        reference=key.inl_reference,
        low=low,
        high=high,
        fs_over=key.fs_over,
        transfer=key.transfer,
        drive=drive,
        signed=record.signed,
    )
