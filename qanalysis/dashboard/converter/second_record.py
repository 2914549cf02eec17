"""How does a second record stand beside the first? Measured in the same way, behind it in the chart and in one line."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from qanalysis.converters.captures import describe_capture
from qanalysis.converters.records.records import Record
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.dashboard.converter.recordings import Recording, analyze_recording, find_second, read_recording
from qanalysis.dashboard.converter.view import ConverterView
from qanalysis.dashboard.sources import name_source
from qanalysis.dashboard.wording import escape_markdown


@dataclass(frozen=True, slots=True, eq=False)
class Behind:
    """A second record: how it is read, how it was measured, and its row."""

    recording: Recording
    options: SpectrumOptions
    row: Spectrum

    @property
    def record(self) -> Record:
        """The record itself."""
        return read_recording(self.recording)


def find_behind(view: ConverterView, options: SpectrumOptions) -> Behind | None:
    """The second record under the options of the first, which it does not average; None where none is chosen.

    Raises what reading and measuring a record raise.
    """
    recording = find_second(view)
    if recording is None:
        return None
    options = replace(options, average=None)
    return Behind(
        recording, options, describe_capture(read_recording(recording), analyze_recording(recording, options))
    )


def draw_behind(behind: Behind, *, drawn: bool) -> None:
    """The second record in one line: its name, its figures, how many findings it has; `drawn` says whether the chart
    shows it.
    """
    guesses = behind.record.guesses
    faults = [finding for finding in behind.row.findings if not finding.is_note and finding not in guesses]
    count = f" {len(faults)} finding{'' if len(faults) == 1 else 's'}." if faults else ""
    scale = "" if drawn else " Not in the chart: the two have no common scale; state the range."
    name = escape_markdown(name_recording(behind.recording))
    st.markdown(f"Behind it **{name}**: {escape_markdown(f'{behind.row.headline}{count}{scale}')}")


def name_recording(recording: Recording) -> str:
    """The file's name, and the column where one was stated."""
    column = recording.reading.column
    return f"{name_source(recording.text)}{'' if column is None else f', {column}'}"
