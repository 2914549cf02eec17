"""Tab Capture: a record from a file, read, examined and measured as the commands `record` and `linearity` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from qanalysis.charts.converter_charts import code_histogram
from qanalysis.charts.linearity_charts import linearity_curves
from qanalysis.charts.spectrum_charts import spectrum_chart
from qanalysis.charts.spectrum_overlay import shares_scale, spectrum_pair
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.converters.captures import describe_captures, describe_tested, tabulate_capture, tabulate_captures
from qanalysis.converters.doctor import examine_record
from qanalysis.converters.findings import CONTRADICTIONS, WITHHELD, Finding
from qanalysis.converters.lines import Told
from qanalysis.converters.records.records import RECORD_SUFFIXES, Record
from qanalysis.converters.sample_records import SAMPLE_RECORDS
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.row import HARMONIC_COLUMNS, RecordRow, list_harmonic_lines
from qanalysis.dashboard.cache import list_records
from qanalysis.dashboard.converter.capture_controls import draw_measuring, draw_reading
from qanalysis.dashboard.converter.figures import draw_figures, draw_notes
from qanalysis.dashboard.converter.python_lines import (
    write_captured_codes,
    write_captured_linearity,
    write_captured_spectrum,
)
from qanalysis.dashboard.converter.recordings import (
    Recording,
    analyze_recording,
    find_recording,
    gather_records,
    get_records,
    measure_recording,
    read_recording,
    state_linearity,
    state_spectrum,
)
from qanalysis.dashboard.converter.second_record import Behind, draw_behind, find_behind, name_recording
from qanalysis.dashboard.converter.view import CAPTURE_TESTS, ConverterView
from qanalysis.dashboard.converter.wording import name_boxes, tell_on_page
from qanalysis.dashboard.elements import draw_chart, draw_fault, draw_findings, draw_lines
from qanalysis.dashboard.export import Extras, Picture, draw_export
from qanalysis.dashboard.open_file import FileKind, draw_picker
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import NOTHING, si
from qanalysis.results.table import Table

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_WAY_OUT = "Choose another **Record** or correct how it is read, at the left; the samples always open."
_SECOND_WAY_OUT = "Choose another **Second record**, or its column, at the left."
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
    controls, answers = st.columns([2, 5], gap="medium")
    record: Record | None = None
    with answers:
        try:
            recording = find_recording(view)
            record = read_recording(recording)
        except _FAULTS as error:
            draw_fault(name_boxes(str(error)), _WAY_OUT)
    with controls:
        draw_picker(RECORDS)
        draw_reading(view, record)
        draw_measuring(view, record, RECORDS)
    if record is not None:
        with answers:
            _draw_measured(recording, record, view)


def _draw_measured(recording: Recording, record: Record, view: ConverterView) -> None:
    """What a record that could be read says, or why it can not be measured."""
    try:
        _draw_spectrum(recording, view) if view.test == "spectrum" else _draw_linearity(recording, view)
    except (ValueError, TypeError) as error:
        draw_fault(name_boxes(str(error)), _WAY_OUT)
        _draw_unmeasured(recording, examine_record(record))


def _draw_spectrum(recording: Recording, view: ConverterView) -> None:
    """The record as `qanalysis record` tells it: chart "c-spectrum", figures, lines "c-lines", downloads.

    A second record is drawn behind the first and told in one line, or the reason why it can not be. Raises ValueError
    for a record without a spectrum, before anything is drawn.
    """
    record = read_recording(recording)
    options = state_spectrum(view) if record.channels > 1 else replace(state_spectrum(view), average=None)
    records = gather_records(recording, options)
    row = describe_captures(records, analyze_recording(recording, options))
    _draw_headline(record, row)
    behind = _find_behind(view, options)
    draw: Callable[[], Figure] = partial(spectrum_chart, row)
    if behind is not None:
        draw = partial(spectrum_pair, row, behind.row, (name_recording(recording), name_recording(behind.recording)))
        draw_behind(behind, drawn=shares_scale(row, behind.row))
    draw_chart(draw(), "c-spectrum", python=write_captured_spectrum(recording, options, behind))
    _draw_answers(recording, row)
    columns, lines = _leave_empty(HARMONIC_COLUMNS, list_harmonic_lines(row))
    draw_lines(columns, lines, "c-lines", alt="Harmonics, mixing products and the largest spur")
    picture = ("Spectrum", "The tone, its harmonics and the largest spur are marked.", draw)
    _draw_export(tabulate_captures(row, records, recording.reading, options), picture)


def _leave_empty(columns: Sequence[str], lines: Sequence[tuple[str, ...]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """A table without the columns in which no line holds anything, so that the others have room."""
    kept = [place for place in range(len(columns)) if any(line[place] not in ("", NOTHING) for line in lines)]
    return [columns[place] for place in kept], [tuple(line[place] for place in kept) for line in lines]


def _find_behind(view: ConverterView, options: SpectrumOptions) -> Behind | None:
    """The second record, measured as the first; None where none is chosen, or after the fault that tells why it can
    not be.
    """
    try:
        return find_behind(view, options)
    except _FAULTS as error:
        draw_fault(
            name_boxes(f"Second record: {error}"), "Choose another **Second record**, or its column, at the left."
        )
        return None


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
    _draw_export(tabulate_capture(row, record, recording.reading, options), picture)


def _draw_answers(recording: Recording, row: Told) -> None:
    """Findings, how the file was read, the figures, and below them the histogram of codes.

    What was guessed in reading stands in the notes, what the headline already warned of above it.
    """
    read, doubts = _list_readings(read_recording(recording), row), _list_doubts(row)
    others = [finding for finding in row.findings if finding not in read and finding not in doubts]
    if others or not doubts:
        draw_findings(tell_on_page(others), none="Nothing stands out in this record.")
    draw_notes(tell_on_page(read))
    if not _is_withheld(row):
        draw_figures(row, alt=row.headline)
    _draw_codes(recording)


def _draw_headline(record: Record, row: Told) -> None:
    """The record's name and the verdict in one line, and below it in small print how the record was read.

    Where the figures were withheld, or contradict what is known of the converter, that follows at once.
    """
    verdict = "Figures withheld" if _is_withheld(row) else row.headline
    st.markdown(f"#### {escape_markdown(record.name)}: {escape_markdown(verdict)}")
    st.caption(escape_markdown(f"{describe_reading(record)}{_tell_average(row)}"))
    for finding in tell_on_page(_list_doubts(row)):
        st.error(f"**{escape_markdown(finding.title)}**: {escape_markdown(finding.text)}", icon=":material/gpp_bad:")


def _is_withheld(row: Told) -> bool:
    """Whether the row has no figures, and the finding that says why."""
    return any(finding.code == WITHHELD for finding in row.findings)


def _tell_average(row: Told) -> str:
    """Of how many records the figures are an average, and which; nothing for one record."""
    if not isinstance(row, RecordRow) or row.records is None:
        return ""
    return f" So are {row.records:,} channels: {row.average} average."


def _list_readings(record: Record, row: Told) -> list[Finding]:
    """The findings on how the file was read; those of several channels are told once for all of them."""
    codes = {finding.code for finding in record.guesses} if isinstance(row, RecordRow) and row.records else set()
    return [finding for finding in row.findings if finding in record.guesses or finding.code in codes]


def _list_doubts(row: Told) -> list[Finding]:
    """The findings after which no figure of the row may be believed."""
    return [finding for finding in row.findings if finding.code in CONTRADICTIONS or finding.code == WITHHELD]


def describe_reading(record: Record) -> str:
    """How the record was read: length, width, justification, sign, rate; plain text.

    The rate in samples per second with an SI prefix; numbers without codes have no width and no sign.
    """
    kind = (
        f"numbers{f' in {record.unit}' if record.unit else ''}, no codes"
        if record.codes is None
        else f"{record.bits} bit codes, {record.justification}-justified, {'signed' if record.signed else 'unsigned'}"
    )
    kind += ", I and Q" if record.quadrature is not None else ""
    uneven = ", taken unevenly" if record.uneven else ""
    rate = "rate unknown" if record.fs_hz is None else si(record.fs_hz, "S/s", digits=4)
    return f"Read as {record.values.size:,} samples, {kind}, {rate}{uneven}."


def _draw_unmeasured(recording: Recording, findings: tuple[Finding, ...]) -> None:
    """What can still be said of a record that can not be measured."""
    record = read_recording(recording)
    st.caption(escape_markdown(describe_reading(record)))
    draw_findings(tell_on_page(findings), none="The record itself shows nothing unusual.")
    draw_notes(tell_on_page(record.guesses))
    _draw_codes(recording)


def _draw_codes(recording: Recording) -> None:
    """How often each code came, chart "c-codes"; nothing for a record of numbers, or of unknown width."""
    record = read_recording(recording)
    if record.codes is not None and record.bits is not None:
        figure = code_histogram(record.codes, bits=record.bits)
        draw_chart(figure, "c-codes", python=write_captured_codes(recording))


def _draw_export(rows: Table[Any], picture: Picture) -> None:
    """The four downloads of the row, the chart in the report: the files that the command writes for this reading."""
    draw_export(rows, ConverterView, "c-save", Extras(pictures=(picture,)))
