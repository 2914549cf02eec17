"""Which controls does tab Capture have? How the record is read, and how it is measured, the rare ones folded away."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import streamlit as st

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.converters.findings import BITS_GUESSED
from qanalysis.converters.records.records import Record
from qanalysis.dashboard.converter.boxes import draw_number, draw_quantity
from qanalysis.dashboard.converter.view import (
    AVERAGE_WORDS,
    CODING_WORDS,
    DEFAULT,
    GUESS,
    JUSTIFICATIONS,
    RADIX_WORDS,
    SIGNS,
    UNIT_WORDS,
    WINDOW_WORDS,
    ConverterView,
)
from qanalysis.dashboard.open_file import FileKind
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.sources import name_source
from qanalysis.notation import plain, si

_CODINGS = {"gray-codes": "gray", "sign-magnitude-codes": "sign-magnitude"}  # by the finding that tells the guess
_RARE_READING = ("channel", "justify", "signed", "coding", "radix", "dtype")
_RARE_MEASURING = ("side_bins", "record_osr", "band_low", "band_high")
_RESAMPLE_HELP = "Lay samples of uneven times on even ones, by a cubic spline; without it their figures are withheld."
_DRIVE_HELP = "Lowest and highest input of the ramp or sine; both empty: unknown. Offset, gain error and TUE need them."


def draw_reading(view: ConverterView, record: Record | None) -> None:
    """How the record is read: column, width, rate, unit and range in sight, the rest folded away.

    What is left empty, or to a guess, says what was found in the record, if one could be read. The choice to resample
    is there where the times are uneven, or where it was taken.
    """
    found = _tell_found(record)
    if view.test == "pairs":
        found["column"] = GUESS
    st.markdown("**Reading**")
    if view.resample or (record is not None and record.uneven):
        st.toggle("Resample", key=keep("resample"), help=_RESAMPLE_HELP)
    help_ = "Name or number of a column of text, or of an array of an archive."
    st.text_input("Column", key=keep("column"), placeholder=found["column"], help=help_)
    help_ = "Width of the converter; empty takes what the file says, or a guess."
    draw_number("Bits", "record_bits", empty=found["bits"], help=help_)
    help_ = "Such as 1 MHz or 48k; empty takes what the file says."
    draw_quantity("Sample rate fs (Hz)", "rate_hz", empty=found["rate"], help=help_)
    _draw_words("Unit", "unit", UNIT_WORDS, found, "Whether whole numbers are codes, or volts or millivolts.")
    help_ = "Range of the converter; both empty: the file's own, or counted in codes."
    _draw_span(("Low end (V)", "High end (V)"), ("record_low", "record_high"), view, found, help=help_)
    with st.expander("More about the file", expanded=_is_stated(view, _RARE_READING), key="c-more-reading"):
        draw_number("Channel", "channel", empty=found["channel"], help="From 1 on; empty takes the first.")
        _draw_words("Words", "justify", JUSTIFICATIONS, found, "Where the code stands in its word.")
        _draw_words("Sign", "signed", SIGNS, found, "Two's complement, or straight binary.")
        _draw_words("Coding", "coding", CODING_WORDS, found, "How the words write their codes.")
        _draw_words("Digits", "radix", RADIX_WORDS, found, "In which digits a text writes its words.")
        help_ = "Words of a raw file, such as u8, i16le, i16be*2 for two channels, or cu8 for I/Q."
        st.text_input("Raw words", key=keep("dtype"), placeholder="as the file shows", help=help_)


def draw_measuring(view: ConverterView, record: Record | None, records: FileKind) -> None:
    """How the record is measured: for a spectrum the window, the second record and the band, for a linearity test its
    input, each where it means something.
    """
    st.markdown("**Measuring**")
    if view.test != "spectrum":
        _draw_input(view)
        return
    _draw_second(view, records)
    channels = 1 if record is None else record.channels
    if channels > 1 or view.average != DEFAULT.average:
        help_ = f"Of {channels:,} channels: the mean of their powers, or of the records, laid in phase."
        st.selectbox("Average", AVERAGE_WORDS, key=keep("average"), help=help_)
        if channels == 1:
            st.caption("The file has one channel: nothing is averaged.")
    help_ = "auto: rectangular for a coherent record, else the one that the width needs."
    st.selectbox("Window", WINDOW_WORDS, key=keep("window"), help=help_)
    with st.expander("Band and side bins", expanded=_is_stated(view, _RARE_MEASURING), key="c-more-measuring"):
        help_ = "Only these frequencies count, such as 20 kHz; both empty: up to half the sample rate."
        draw_quantity("Band from (Hz)", "band_low", empty="0", help=help_)
        draw_quantity("Band to (Hz)", "band_high", empty="half the rate", help=help_)
        help_ = "Only frequencies up to half the sample rate over this number count; in place of a band."
        draw_number("Oversampling", "record_osr", help=help_)
        help_ = "Bins to each side that belong to a tone; empty: chosen with the window."
        draw_number("Side bins", "side_bins", empty="auto", help=help_)


def _draw_second(view: ConverterView, records: FileKind) -> None:
    """The record behind the first, which is found out but for its column."""
    held = [text for text in (view.record, view.second) if text]  # an upload is in no list
    options = list(dict.fromkeys(["", *records.options, *held]))
    help_ = "A sample or a path below the root folder, drawn behind the first in the same chart."
    st.selectbox(
        "Second record",
        options,
        key=keep("second"),
        format_func=lambda text: name_source(text) if text else "none",
        accept_new_options=True,
        help=help_,
    )
    if view.second and not view.second.startswith(SAMPLE_PREFIX):
        help_ = "Of the second record; it may be the same file. Everything else of it is found out."
        st.text_input("Column of the second", key=keep("second_column"), placeholder="first", help=help_)


def _draw_input(view: ConverterView) -> None:
    """What stood at the input of a linearity test: a column of its own, or its ends."""
    if view.test == "pairs":
        help_ = "Name or number of the column of what stood at the input; the codes are in the box Column."
        st.text_input("Input column", key=keep("input_column"), placeholder=GUESS, help=help_)
        return
    found = dict.fromkeys(("drive_low", "drive_high"), "unknown")
    _draw_span(("Input from (V)", "Input to (V)"), ("drive_low", "drive_high"), view, found, help=_DRIVE_HELP)


def _is_stated(view: ConverterView, fields: tuple[str, ...]) -> bool:
    """Whether one of the folded controls is set, so that they must be in sight."""
    return any(getattr(view, field) != getattr(DEFAULT, field) for field in fields)


def _draw_words(label: str, field: str, words: tuple[str, ...], found: dict[str, str], help: str) -> None:
    """A box of words of which the first is a guess, and says what that came to."""
    told = partial(_name_word, found=found.get(field, ""))
    st.selectbox(label, words, key=keep(field), format_func=told, help=help)


def _draw_span(
    labels: tuple[str, str], fields: tuple[str, str], view: ConverterView, found: dict[str, str], *, help: str
) -> None:
    """Two boxes with the ends of a span; beside one that is given an empty one is 0."""
    given = any(getattr(view, field) for field in fields)
    for label, field in zip(labels, fields, strict=True):
        draw_number(label, field, empty="0" if given else found[field], help=help)


def _name_word(word: str, *, found: str) -> str:
    """A choice of a box that may be left to a guess; the guess says what it came to."""
    return f"{word}: {found}" if word == GUESS and found else word


def _tell_found(record: Record | None) -> dict[str, str]:
    """What stands in each empty box: what the file says, or what was guessed, by field of the view."""
    names = ("column", "channel", "bits", "rate", "justify", "signed", "record_low", "record_high")
    told = dict.fromkeys(names, "")
    if record is None:
        return told
    values = {finding.code: finding.value for finding in record.guesses}
    for field in ("column", "channel"):
        told[field] = f"guess: {values[field]}" if values.get(field) is not None else "first"
    word = GUESS if BITS_GUESSED in values else "file"
    told["bits"] = "none" if record.bits is None else f"{word}: {record.bits}"
    told["rate"] = "not given" if record.fs_hz is None else si(record.fs_hz, "Hz", digits=4)
    told["unit"] = record.unit
    told["justify"] = record.justification or "none"
    told["coding"] = (
        "" if record.codes is None else next((_CODINGS[code] for code in values if code in _CODINGS), "binary")
    )
    told["signed"] = "none" if record.signed is None else "signed" if record.signed else "unsigned"
    ends = ("in codes",) * 2 if record.codes is not None else (record.low, record.high)
    for field, end in zip(("record_low", "record_high"), ends, strict=True):
        told[field] = end if isinstance(end, str) else "unknown" if end is None else f"file: {plain(end)}"
    return told


def _name_coding(codes: Iterable[str]) -> str:
    """The coding that the findings of reading tell, by their codes; straight or two's complement where none does."""
    return next((_CODINGS[code] for code in codes if code in _CODINGS), "binary")
