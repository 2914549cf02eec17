"""What does tab Capture keep of records?

Files as they are read, their spectra and linearity tests, keyed by the settings that make them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from qanalysis.checkpoints.path_policy import resolve_inside
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.converters.captures import analyze_captures, measure_capture, open_capture, open_captures, open_tested
from qanalysis.converters.choices import check_average, check_coding, check_radix, check_test, check_unit
from qanalysis.converters.linearity.linearity import Linearity
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.records.reading import Reading, check_justification
from qanalysis.converters.records.records import RECORD_SUFFIXES, Record
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.converters.spectrum.windows import check_window
from qanalysis.dashboard.converter.view import AVERAGE_WORDS, GUESS, ConverterView
from qanalysis.dashboard.sources import UPLOAD_PREFIX, UploadStore, read_root
from qanalysis.notation import si

PAIRS = LinearityOptions(test="pairs")


@st.cache_resource
def get_records() -> UploadStore:
    """The server's uploaded records.

    Apart from the checkpoints', since it takes other suffixes; limits and life are the same.
    """
    return UploadStore(suffixes=RECORD_SUFFIXES)


def locate_record(text: str) -> str | Path:
    """What `open_capture` is given for a record's text: "sample:NAME" itself, or a file below the root or the upload
    folder; ValueError for none.
    """
    if text.startswith(SAMPLE_PREFIX):
        return text
    return get_records().locate(text) if text.startswith(UPLOAD_PREFIX) else resolve_inside(read_root(), text)


@dataclass(frozen=True, slots=True)
class Recording:
    """A record as it lies on disk, and how it is read, for pairs with its inputs. The key of all that is kept of it."""

    text: str
    reading: Reading
    identity: tuple[int, int]
    pairs: bool = False


def find_recording(view: ConverterView) -> Recording:
    """The record that the controls state; another value when its file has changed.

    ValueError or OSError where there is none.

    An empty box states nothing: the file decides, or a guess that the page tells. Only pairs have a column of inputs.
    """
    reading = Reading(
        column=view.column or None,
        inputs=view.input_column or None if view.test == "pairs" else None,
        channel=view.channel,
        bits=view.record_bits,
        justify=None if view.justify == GUESS else check_justification(view.justify, view.record),
        signed={GUESS: None, "signed": True, "unsigned": False}[view.signed],
        coding=None if view.coding == GUESS else check_coding(view.coding),
        radix=None if view.radix == GUESS else check_radix(view.radix),
        unit=None if view.unit == GUESS else check_unit(view.unit),
        fs_hz=_read_hertz(view.rate_hz),
        resample=view.resample,
        dtype=view.dtype or None,
    )
    return replace(_identify(view.record, reading), pairs=view.test == "pairs")


def find_second(view: ConverterView) -> Recording | None:
    """The record to lay behind the first: all of it is found out, but for its column; None where none is chosen.

    The rate that is stated for the first is that of a second which tells none. Raises what reading the record raises.
    """
    if not view.second:
        return None
    recording = _identify(view.second, Reading(column=view.second_column or None))
    stated = _read_hertz(view.rate_hz)
    if stated is None or read_recording(recording).fs_hz is not None:
        return recording
    return replace(recording, reading=replace(recording.reading, fs_hz=stated))


def _identify(text: str, reading: Reading) -> Recording:
    """A record's text and how it is read, with what changes when its file does."""
    located = locate_record(text)
    stat = located.stat() if isinstance(located, Path) else None
    return Recording(text, reading, (stat.st_size, stat.st_mtime_ns) if stat else (0, 0))


def _read_hertz(text: str) -> float | None:
    """A frequency of the view as a number; None for an empty box."""
    return float(text) if text else None


@st.cache_resource(max_entries=8, show_spinner="Reading the record …")
def read_recording(recording: Recording) -> Record:
    """The record itself; RecordError where it can not be read."""
    located = locate_record(recording.text)
    return (
        open_tested(located, recording.reading, PAIRS) if recording.pairs else open_capture(located, recording.reading)
    )


@st.cache_resource(max_entries=4, show_spinner="Reading the channels …")
def read_channels(recording: Recording) -> tuple[Record, ...]:
    """Every channel of a file as a record; RecordError where one can not be read, or where one alone was asked for."""
    return open_captures([locate_record(recording.text)], recording.reading, every=True)


def gather_records(recording: Recording, options: SpectrumOptions) -> tuple[Record, ...]:
    """The records that a spectrum is made of: every channel where they are averaged, else the record itself."""
    return (read_recording(recording),) if options.average is None else read_channels(recording)


def state_spectrum(view: ConverterView) -> SpectrumOptions:
    """How the controls want a spectrum taken; without a range the record decides.

    Ends in volts, those of the band in hertz. ValueError for a band and an oversampling together, and for a band of
    which one end is missing or the lower one is not below the other.
    """
    low, high = _span(view.record_low, view.record_high) or (None, None)
    return SpectrumOptions(
        low=low,
        high=high,
        fs_over=view.fs_over,
        full_scale=view.full_scale,
        window=check_window(view.window),
        side_bins="auto" if view.side_bins is None else view.side_bins,
        harmonics=view.harmonics,
        band_hz=_read_band(view),
        osr=view.record_osr,
        average=None if view.average == AVERAGE_WORDS[0] else check_average(view.average),
    )


def _read_band(view: ConverterView) -> tuple[float, float] | None:
    """The ends of the band in hertz, the lower one 0 where its box is empty; None where both are."""
    low, high = _read_hertz(view.band_low), _read_hertz(view.band_high)
    if low is None and high is None:
        return None
    if high is None:
        raise ValueError(f"band from {si(low or 0.0, 'Hz')}: its upper end is missing; give Band to, or empty both")
    if (low or 0.0) >= high:
        raise ValueError(
            f"band from {si(low or 0.0, 'Hz')} to {si(high, 'Hz')}: the lower end must lie below the upper one"
        )
    return low or 0.0, high


def state_linearity(view: ConverterView) -> LinearityOptions:
    """How the controls want the linearity tested; without a range in LSB, without a drive no figure that needs one.

    Range and drive in volts.
    """
    low, high = _span(view.record_low, view.record_high) or (None, None)
    return LinearityOptions(
        test=check_test(view.test),
        reference=view.inl_reference,
        low=low,
        high=high,
        fs_over=view.fs_over,
        transfer=view.transfer,
        drive=None if view.test == "pairs" else _span(view.drive_low, view.drive_high),
    )


def _span(low: float | None, high: float | None) -> tuple[float, float] | None:
    """Two ends as the engine takes them; None where nothing but 0 is stated. Beside another end an empty one is 0."""
    return (low or 0.0, high or 0.0) if low or high else None


@st.cache_resource(max_entries=16, show_spinner=False)
def analyze_recording(recording: Recording, options: SpectrumOptions) -> Spectrum:
    """The spectrum of a record, or of its file's channels by `options.average`; ValueError where there is none.

    The key holds the file's size and time of change, so that a changed file is analyzed anew.
    """
    return analyze_captures(gather_records(recording, options), options)


@st.cache_resource(max_entries=16, show_spinner=False)
def measure_recording(recording: Recording, options: LinearityOptions) -> Linearity:
    """The linearity of a record; ValueError for one without codes.

    The key holds the file's size and time of change, so that a changed file is measured anew.
    """
    return measure_capture(read_recording(recording), options)
