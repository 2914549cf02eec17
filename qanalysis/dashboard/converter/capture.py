"""Tab Capture: a record from a file, read, examined and measured as the commands `record` and `linearity` do."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from qanalysis.charts.converter_charts import code_histogram
from qanalysis.charts.linearity_charts import linearity_curves
from qanalysis.charts.spectrum_charts import spectrum_chart
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.converters.captures import describe_capture
from qanalysis.converters.doctor import examine_record
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.row import describe_linearity
from qanalysis.converters.records.records import RECORD_SUFFIXES, Record
from qanalysis.converters.rows import ConverterRow, ConverterRows
from qanalysis.converters.sample_records import SAMPLE_RECORDS
from qanalysis.converters.spectrum.row import HARMONIC_COLUMNS, list_harmonic_lines
from qanalysis.dashboard.cache import list_records
from qanalysis.dashboard.controls import BOUND, UPLOAD_LIMIT_MB
from qanalysis.dashboard.converter.cache import analyze_capture, get_records, linearity_key, load_record, measure_capture, record_key
from qanalysis.dashboard.converter.elements import current_converter, draw_fault, draw_figures, draw_findings, draw_lines, draw_notes
from qanalysis.dashboard.converter.export import Picture, draw_converter_export
from qanalysis.dashboard.converter.view import CAPTURE_TESTS, DEFAULT, JUSTIFICATIONS, SIGNS, ConverterView
from qanalysis.dashboard.elements import draw_chart, read_theme
from qanalysis.dashboard.sources import SAMPLE_PREFIX, read_root
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import si

_WAY_OUT = "Choose another **Record** or correct how it is read, at the left; the samples always open."
_TESTS = dict(zip(CAPTURE_TESTS[1:], ("ramp", "sine"), strict=True))


@st.fragment
def draw_capture() -> None:
    """The tab: the record and how to read it at the left, what it says at the right."""
    st.segmented_control("Test", CAPTURE_TESTS, default=DEFAULT.test, required=True, key="cte", bind=BOUND, label_visibility="collapsed")
    controls, answers = st.columns([2, 7], gap="medium")
    with controls:
        _draw_controls()
    view = current_converter()
    with answers:
        try:
            record = load_record(record_key(view))
        except (CheckpointError, ValueError, TypeError, OSError) as error:
            draw_fault(str(error), _WAY_OUT)
            return
        try:
            _draw_spectrum(record, view) if view.test == CAPTURE_TESTS[0] else _draw_linearity(record, view)
        except (ValueError, TypeError) as error:
            draw_fault(str(error), _WAY_OUT)
            _draw_reading(record, examine_record(record))


def _draw_controls() -> None:
    samples = [f"{SAMPLE_PREFIX}{name}" for name in SAMPLE_RECORDS]
    options = list(dict.fromkeys([*samples, *list_records(str(read_root()), RECORD_SUFFIXES)]))
    help_ = f"A sample, or the path of a record below the root folder: {', '.join(RECORD_SUFFIXES)}."
    st.selectbox("Record", options, index=options.index(DEFAULT.record), key="cr", accept_new_options=True, bind=BOUND, help=help_)
    with st.popover("Open your own record", icon=":material/folder_open:", width="stretch"):
        st.markdown(f"Type or choose a path below the folder **{escape_markdown(read_root().resolve().name)}**, or upload a file; it is removed after an hour.")
        key = f"record-{st.session_state.get('records', 0)}"
        kinds = [suffix.removeprefix(".") for suffix in RECORD_SUFFIXES]
        st.file_uploader("Upload a record", type=kinds, key=key, max_upload_size=UPLOAD_LIMIT_MB, on_change=_keep_record, args=(key,))
    refused = st.session_state.pop("record-refused", None)
    if refused:
        draw_fault(refused, "Give the file one of these suffixes, if it is one of these kinds.")
    left, right = st.columns(2, gap="xsmall")
    left.text_input("Column", key="cc", placeholder="first", bind=BOUND, help="Name or number of a column of text, or of an array of an archive.")
    right.number_input("Channel", 0, 255, DEFAULT.channel, key="cch", bind=BOUND, help="From 1 on; 0 takes the first.")
    left.number_input("Bits", 0, 32, DEFAULT.record_bits, key="cb", bind=BOUND, help="Width of the converter; 0 takes what the file says, or a guess.")
    right.number_input("Rate (Hz)", 0.0, value=DEFAULT.rate_hz, key="cfs", format="%g", bind=BOUND, help="0 takes what the file says.")
    left.selectbox("Words", JUSTIFICATIONS, key="cj", bind=BOUND, help="Where the code stands in its word.")
    right.selectbox("Sign", SIGNS, key="cs", bind=BOUND)
    help_ = "Range of the converter; both 0: counted in codes."
    left.number_input("Low end (V)", value=DEFAULT.record_low, key="clo", format="%g", bind=BOUND, help=help_)
    right.number_input("High end (V)", value=DEFAULT.record_high, key="chi", format="%g", bind=BOUND)
    if current_converter().test != CAPTURE_TESTS[0]:
        help_ = "Lowest and highest input of the ramp or sine; both 0: unknown. Offset, gain error and TUE need them."
        left.number_input("Input from (V)", value=DEFAULT.drive_low, key="cdl", format="%g", bind=BOUND, help=help_)
        right.number_input("Input to (V)", value=DEFAULT.drive_high, key="cdh", format="%g", bind=BOUND)


def _keep_record(key: str) -> None:
    file = st.session_state.get(key)
    if file is None:
        return
    try:
        st.session_state["cr"] = get_records().save(file.name, file.getvalue())
    except ValueError as error:
        st.session_state["record-refused"] = str(error)
    st.session_state["records"] = st.session_state.get("records", 0) + 1


def _draw_spectrum(record: Record, view: ConverterView) -> None:
    found = analyze_capture(record_key(view), record.source.digest, view.full_scale, view.harmonics, view.fs_over, (view.record_low, view.record_high))
    row = describe_capture(record, found)
    _draw_headline(record, row)
    draw_chart(spectrum_chart(found, theme=read_theme()), "c-spectrum")
    draw_findings([finding for finding in row.findings if finding not in record.guesses], none="Nothing stands out in this record.")
    draw_notes(record.guesses)
    left, right = st.columns([5, 4], gap="medium")
    with left:
        draw_figures(row, alt=row.headline)
    with right:
        _draw_codes(record)
    draw_lines(HARMONIC_COLUMNS, list_harmonic_lines(row), "c-lines", alt="Harmonics, mixing products and the largest spur")
    picture = ("Spectrum", "The tone, its harmonics and the largest spur are marked.", partial(spectrum_chart, found))
    _draw_export(record, row, view, "record", picture)


def _draw_linearity(record: Record, view: ConverterView) -> None:
    found = measure_capture(linearity_key(view), record.source.digest, _TESTS[view.test])
    row = describe_linearity(found)
    row = replace(row, findings=(*row.findings, *(finding for finding in examine_record(record) if finding.code != "clipping" or found.test == "ramp")))
    _draw_headline(record, row)
    draw_chart(linearity_curves(found, theme=read_theme()), "c-linearity")
    draw_findings(row.findings, none="Nothing stands out in this record.")
    draw_notes(record.guesses)
    left, right = st.columns([5, 4], gap="medium")
    with left:
        draw_figures(row, alt=row.headline)
    with right:
        _draw_codes(record)
    _draw_export(record, row, view, "linearity", ("DNL and INL by code", "The band is the uncertainty of each figure.", partial(linearity_curves, found)))


def _draw_headline(record: Record, row: ConverterRow) -> None:
    st.markdown(f"#### {escape_markdown(record.name)}: {escape_markdown(row.headline)}")
    st.caption(escape_markdown(describe_reading(record)))


def describe_reading(record: Record) -> str:
    """How the record was read: length, width, justification, sign, rate; plain text."""
    kind = (
        "numbers, no codes"
        if record.codes is None
        else f"{record.bits} bit codes, {record.justification}-justified, {'signed' if record.signed else 'unsigned'}"
    )
    rate = "rate unknown: frequencies are in parts of it" if record.fs_hz is None else si(record.fs_hz, "S/s", digits=7)
    return f"Read as {record.values.size:,} samples, {kind}, {rate}."


def _draw_reading(record: Record, findings: tuple[Finding, ...]) -> None:
    """What can still be said of a record that can not be measured."""
    st.caption(escape_markdown(describe_reading(record)))
    draw_findings(findings, none="The record itself shows nothing unusual.")
    draw_notes(record.guesses)
    _draw_codes(record)


def _draw_codes(record: Record) -> None:
    if record.codes is not None and record.bits is not None:
        draw_chart(code_histogram(record.codes, bits=record.bits, theme=read_theme()), "c-codes")


def _draw_export(record: Record, row: ConverterRow, view: ConverterView, command: str, picture: Picture) -> None:
    reading = {"column": view.column or None, "channel": view.channel or None, "justification": record.justification, "signed": record.signed}
    settings = {"bits": record.bits, "fs_hz": record.fs_hz, "fs_over": view.fs_over, "full_scale": view.full_scale, "harmonics": view.harmonics, **reading}
    rows = ConverterRows(command, (row,), record.source, settings)
    draw_converter_export(rows, view, "c-save", pictures=(picture,))
