"""Tab Capture: a record from a file, read, examined and measured as the commands `record` and `linearity` do."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from qanalysis.charts.converter_charts import code_histogram
from qanalysis.charts.linearity_charts import linearity_curves
from qanalysis.charts.spectrum_charts import spectrum_chart
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.converters.captures import describe_capture, describe_tested, tabulate_capture
from qanalysis.converters.doctor import examine_record
from qanalysis.converters.findings import BITS_GUESSED, Finding
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.lines import Told
from qanalysis.converters.records.records import RECORD_SUFFIXES, Record
from qanalysis.converters.sample_records import SAMPLE_RECORDS
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.row import HARMONIC_COLUMNS, RecordRow, list_harmonic_lines
from qanalysis.dashboard.cache import list_records
from qanalysis.dashboard.converter.boxes import draw_number
from qanalysis.dashboard.converter.cache import (
    Recording,
    analyze_recording,
    find_recording,
    get_records,
    measure_recording,
    read_recording,
    state_linearity,
    state_spectrum,
)
from qanalysis.dashboard.converter.figures import draw_figures, draw_notes
from qanalysis.dashboard.converter.python_lines import (
    write_captured_codes,
    write_captured_linearity,
    write_captured_spectrum,
)
from qanalysis.dashboard.converter.view import CAPTURE_TESTS, JUSTIFICATIONS, SIGNS, ConverterView
from qanalysis.dashboard.elements import draw_chart, draw_fault, draw_findings, draw_lines
from qanalysis.dashboard.export import Extras, Picture, draw_export
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import plain, si

_WAY_OUT = "Choose another **Record** or correct how it is read, at the left; the samples always open."
_FAULTS = (CheckpointError, ValueError, TypeError, OSError)
RECORDS = FileKind(
    field="record",
    label="Record",
    noun="record",
    help=f"A sample, or the path of a record below the root folder: {', '.join(RECORD_SUFFIXES)}.",
    samples=tuple(SAMPLE_RECORDS),
    suffixes=RECORD_SUFFIXES,
    get_store=get_records,
    list_paths=partial(list_records, suffixes=RECORD_SUFFIXES),
)


def draw_capture(view: ConverterView) -> None:
    """The tab: the record and how to read it at the left, what it says at the right.

    What can not be opened or read becomes a fault in place of the figures, with the way out. A record that opens but
    can not be measured still shows how it was read, what is wrong with it and its histogram.
    """
    st.segmented_control(
        "Test",
        list(CAPTURE_TESTS),
        key=keep("test"),
        format_func=CAPTURE_TESTS.__getitem__,
        required=True,
        label_visibility="collapsed",
    )
    controls, answers = st.columns([1, 3], gap="medium")
    record: Record | None = None
    with answers:
        try:
            recording = find_recording(view)
            record = read_recording(recording)
        except _FAULTS as error:
            draw_fault(str(error), _WAY_OUT)
    with controls:
        draw_picker(RECORDS)
        _draw_reading_controls(view, record)
    if record is not None:
        with answers:
            _draw_measured(recording, record, view)


def _draw_measured(recording: Recording, record: Record, view: ConverterView) -> None:
    """What a record that could be read says, or why it can not be measured."""
    try:
        _draw_spectrum(recording, view) if view.test == "spectrum" else _draw_linearity(recording, view)
    except (ValueError, TypeError) as error:
        draw_fault(str(error), _WAY_OUT)
        _draw_unmeasured(recording, examine_record(record))


def _draw_reading_controls(view: ConverterView, record: Record | None) -> None:
    """How the record is read: column, channel, width, rate, place in the word, sign, range.

    For the linearity tests also the ends of the input, which only they use. What is left empty, or to a guess, says
    what was found in the record, if one could be read.
    """
    found = _tell_found(record)
    boxes = st.container(horizontal=True, gap="small")
    help_ = "Name or number of a column of text, or of an array of an archive."
    boxes.text_input("Column", key=keep("column"), placeholder=found["column"], help=help_)
    draw_number("Channel", "channel", empty=found["channel"], place=boxes, help="From 1 on; empty takes the first.")
    help_ = "Width of the converter; empty takes what the file says, or a guess."
    draw_number("Bits", "record_bits", empty=found["bits"], place=boxes, help=help_)
    draw_number("Rate (Hz)", "rate_hz", empty=found["rate"], place=boxes, help="Empty takes what the file says.")
    for label, field, words, help_ in (
        ("Words", "justify", JUSTIFICATIONS, "Where the code stands in its word."),
        ("Sign", "signed", SIGNS, "Two's complement, or straight binary."),
    ):
        boxes.selectbox(label, words, key=keep(field), format_func=partial(_name_word, found=found[field]), help=help_)
    help_ = "Range of the converter; both empty: the file's own, or counted in codes."
    _draw_span("Low end (V)", "High end (V)", ("record_low", "record_high"), view, found, place=boxes, help=help_)
    if view.test != "spectrum":
        help_ = (
            "Lowest and highest input of the ramp or sine; both empty: unknown. Offset, gain error and TUE need them."
        )
        _draw_span("Input from (V)", "Input to (V)", ("drive_low", "drive_high"), view, found, place=boxes, help=help_)


def _draw_span(
    low: str, high: str, fields: tuple[str, str], view: ConverterView, found: dict[str, str], *, place: Any, help: str
) -> None:
    """Two boxes with the ends of a span; beside one that is given an empty one is 0."""
    given = any(getattr(view, field) for field in fields)
    for label, field in zip((low, high), fields, strict=True):
        draw_number(label, field, empty="0" if given else found[field], place=place, help=help)


def _tell_found(record: Record | None) -> dict[str, str]:
    """What stands in each empty box: what the file says, or what was guessed, by field of the view."""
    told = dict.fromkeys(("column", "channel", "bits", "rate", "justify", "signed", "record_low", "record_high"), "")
    told |= dict.fromkeys(("drive_low", "drive_high"), "unknown")
    if record is None:
        return told
    values = {finding.code: finding.value for finding in record.guesses}
    for field in ("column", "channel"):
        told[field] = f"guess: {values[field]}" if values.get(field) is not None else "first"
    word = "guess" if BITS_GUESSED in values else "file"
    told["bits"] = "none" if record.bits is None else f"{word}: {record.bits}"
    told["rate"] = "not given" if record.fs_hz is None else si(record.fs_hz, "Hz", digits=4)
    told["justify"] = record.justification or "none"
    told["signed"] = "none" if record.signed is None else "signed" if record.signed else "unsigned"
    ends = ("in codes",) * 2 if record.codes is not None else (record.low, record.high)
    for field, end in zip(("record_low", "record_high"), ends, strict=True):
        told[field] = end if isinstance(end, str) else "unknown" if end is None else f"file: {plain(end)}"
    return told


def _name_word(word: str, *, found: str) -> str:
    """A choice of a box that may be left to a guess; the guess says what it came to."""
    return f"{word}: {found}" if word == JUSTIFICATIONS[0] and found else word


def _draw_spectrum(recording: Recording, view: ConverterView) -> None:
    """The record as `qanalysis record` tells it: chart "c-spectrum", figures, lines "c-lines", downloads.

    Raises ValueError for a record without a spectrum, before anything is drawn.
    """
    record, options = read_recording(recording), state_spectrum(view)
    row = describe_capture(record, analyze_recording(recording, options))
    _draw_headline(record, row)
    draw_chart(spectrum_chart(row), "c-spectrum", python=write_captured_spectrum(recording, options))
    _draw_answers(recording, row)
    draw_lines(
        HARMONIC_COLUMNS, list_harmonic_lines(row), "c-lines", alt="Harmonics, mixing products and the largest spur"
    )
    picture = ("Spectrum", "The tone, its harmonics and the largest spur are marked.", partial(spectrum_chart, row))
    _draw_export(recording, row, options, picture)


def _draw_linearity(recording: Recording, view: ConverterView) -> None:
    """The record as `qanalysis linearity` tells it: chart "c-linearity" of DNL and INL, figures, downloads.

    Raises ValueError for a record without codes or of another signal than the test wants, before anything is drawn.
    """
    record, options = read_recording(recording), state_linearity(view)
    found = measure_recording(recording, options)
    row = describe_tested(record, found)
    _draw_headline(record, row)
    draw_chart(linearity_curves(found), "c-linearity", python=write_captured_linearity(recording, options))
    _draw_answers(recording, row)
    picture = ("DNL and INL by code", "The band is the uncertainty of each figure.", partial(linearity_curves, found))
    _draw_export(recording, row, options, picture)


def _draw_answers(recording: Recording, row: Told) -> None:
    """Findings, how the file was read, the figures, and below them the histogram of codes.

    What was guessed in reading stands in the notes, not among the findings.
    """
    guesses = read_recording(recording).guesses
    draw_findings(
        [finding for finding in row.findings if finding not in guesses],
        none="Nothing stands out in this record.",
    )
    draw_notes(guesses)
    draw_figures(row, alt=row.headline)
    _draw_codes(recording)


def _draw_headline(record: Record, row: Told) -> None:
    """The record's name and the verdict in one line, and below it in small print how the record was read."""
    st.markdown(f"#### {escape_markdown(record.name)}: {escape_markdown(row.headline)}")
    st.caption(escape_markdown(describe_reading(record)))


def describe_reading(record: Record) -> str:
    """How the record was read: length, width, justification, sign, rate; plain text.

    The rate in samples per second with an SI prefix; numbers without codes have no width and no sign.
    """
    kind = (
        "numbers, no codes"
        if record.codes is None
        else f"{record.bits} bit codes, {record.justification}-justified, {'signed' if record.signed else 'unsigned'}"
    )
    rate = "rate unknown" if record.fs_hz is None else si(record.fs_hz, "S/s", digits=4)
    return f"Read as {record.values.size:,} samples, {kind}, {rate}."


def _draw_unmeasured(recording: Recording, findings: tuple[Finding, ...]) -> None:
    """What can still be said of a record that can not be measured."""
    record = read_recording(recording)
    st.caption(escape_markdown(describe_reading(record)))
    draw_findings(findings, none="The record itself shows nothing unusual.")
    draw_notes(record.guesses)
    _draw_codes(recording)


def _draw_codes(recording: Recording) -> None:
    """How often each code came, chart "c-codes"; nothing for a record of numbers, or of unknown width."""
    record = read_recording(recording)
    if record.codes is not None and record.bits is not None:
        figure = code_histogram(record.codes, bits=record.bits)
        draw_chart(figure, "c-codes", python=write_captured_codes(recording))


def _draw_export(
    recording: Recording, row: RecordRow | LinearityRow, options: SpectrumOptions | LinearityOptions, picture: Picture
) -> None:
    """The four downloads of the row, the chart in the report: the files that the command writes for this reading."""
    record = read_recording(recording)
    draw_export(
        tabulate_capture(row, record, recording.reading, options), ConverterView, "c-save", Extras(pictures=(picture,))
    )
