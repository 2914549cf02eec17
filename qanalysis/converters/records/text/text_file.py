"""Which samples are in a text file? The export of an instrument, a logger, a simulator or firmware as one record.

The layout is found from the first lines, the last and some between, the columns by their names and numbers; then the
numbers are read as a stream, and their times say the rate.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples, refuse_choice
from qanalysis.converters.records.text.cells import CellForm
from qanalysis.converters.records.text.columns import Choice, choose_columns
from qanalysis.converters.records.text.delimiters import DELIMITERS
from qanalysis.converters.records.text.dialects import SAMPLE_UNITS, TIME_UNITS
from qanalysis.converters.records.text.dumps import Dump, find_dump, read_dump
from qanalysis.converters.records.text.encoding import TextFile, open_text, rewrite_lines
from qanalysis.converters.records.text.layout import Layout, find_layout
from qanalysis.converters.records.text.listings import Dressing, ListingError, find_dressing
from qanalysis.converters.records.text.numbers import Numbers, Task, read_numbers, to_words
from qanalysis.converters.records.text.rates import StatedRate, find_rate, find_vertical_unit
from qanalysis.converters.records.text.stamps import find_last_fraction, unwrap_days
from qanalysis.converters.records.text.times import Timing, find_first, find_last_digit, measure_times, scale_times
from qanalysis.notation import quote, si

_ALIKE = 1e-3  # rates of header and times that differ by more are told


@dataclass(frozen=True, slots=True)
class _Rate:
    """The rate of a record, its times where they are uneven, and what is told of both."""

    fs_hz: float | None = None
    times: NDArray[np.float64] | None = None
    notes: tuple[Finding, ...] = ()


def read_text(path: Path, reading: Reading) -> Samples:
    """One column of a text file: whole numbers as int64 words, others as float64, with rate, unit and uneven times.

    `nan` and `inf` are numbers, which the doctor finds. Memory is 8 bytes for each sample and column, of which at most
    2^26 are read, and some blocks of 4 MiB. Raises RecordError for binary data, no line of numbers, no such column, and
    a line or cell that does not fit, which is named.
    """
    place = path.name
    refuse_choice("channel", reading.channel, place, instead="choose a column")
    try:
        with ExitStack() as opened:
            text = opened.enter_context(open_text(path))
            dressing = find_dressing(text.head)
            if dressing is not None:
                text = opened.enter_context(rewrite_lines(text, dressing.undress))
            is_array = dressing is not None and dressing.wrapping == "array"
            is_table = reading.column is not None or reading.inputs is not None
            dump = None if is_table else find_dump(text, place, radix=reading.radix, is_array=is_array)
            return _read_dump(text, dump, place) if dump else _read_table(text, dressing, reading, place)
    except ListingError as error:
        raise RecordError(f"{place}: {error}") from None


def _read_dump(text: TextFile, dump: Dump, place: str) -> Samples:
    """A text whose words follow each other."""
    values, notes = read_dump(text, dump, place)
    rate = _take_stated(find_rate(dump.header, None, decimal_comma=dump.form.decimal_comma))
    notes = (*_tell_lines(dump.first, dump.footer), *notes, *rate.notes)
    return _describe(values, dump.form, "", rate, notes)


def _read_table(text: TextFile, dressing: Dressing | None, reading: Reading, place: str) -> Samples:
    """A text of columns."""
    layout = find_layout(text, place, names=dressing.names if dressing else ())
    choice = choose_columns(layout, reading, place)
    timed = choice.time if choice.time is not None and not choice.counts else None
    wanted = tuple(dict.fromkeys(n for n in (choice.picked, choice.inputs, timed) if n is not None))
    task = Task(text, layout, choice.columns, wanted, place)
    numbers = read_numbers(task)
    column = dict(zip(wanted, numbers.columns, strict=True))
    rate = _find_rate(layout, choice, None if timed is None else column[timed], numbers)
    picked = choice.columns[choice.picked]
    notes = (
        *_tell_lines(layout.first, layout.footer),
        *_tell_comma(layout),
        *choice.notes,
        *rate.notes,
        *numbers.notes,
    )
    unit = SAMPLE_UNITS.get(picked.unit) or picked.unit or find_vertical_unit(layout.facts, layout.delimiter)
    inputs = None if choice.inputs is None else column[choice.inputs]
    own = bool(picked.unit)
    return _describe(column[choice.picked], picked.form or CellForm(), unit, rate, notes, inputs=inputs, is_own=own)


def _describe(
    values: NDArray[np.float64],
    form: CellForm,
    unit: str,
    rate: _Rate,
    notes: tuple[Finding, ...],
    *,
    inputs: NDArray[np.float64] | None = None,
    is_own: bool = False,
) -> Samples:
    """The samples as all readers hand them on. The unit that a header states of all is not that of whole numbers,
    which are codes; that of their column is.
    """
    numbers = to_words(values)
    is_whole = numbers.dtype.kind == "i"
    has_words = form.radix != "decimal" and is_whole
    return Samples(
        numbers,
        inputs=inputs,
        times=rate.times,
        carries_unit=bool(form.unit),
        unit=form.unit or ("" if is_whole and not is_own else unit),
        container_bits=form.container_bits if has_words else None,
        container_signed=False if has_words and form.container_bits else None,
        stated_bits=form.width if has_words else None,
        fs_hz=rate.fs_hz,
        notes=notes,
    )


def _find_rate(layout: Layout, choice: Choice, raw: NDArray[np.float64] | None, numbers: Numbers) -> _Rate:
    """The rate from the column of times and from the header, whichever is there."""
    stated = find_rate(layout.facts, layout.delimiter, decimal_comma=layout.decimal_comma)
    if raw is None or choice.time is None:
        return _take_stated(stated)
    column = choice.columns[choice.time]
    cells = [row[choice.time] for row in (*layout.rows, *layout.others) if choice.time < len(row)]
    if column.stamp:
        times = unwrap_days(raw) if column.stamp == "clock" else raw
        timing = measure_times(times, find_last_fraction(cells), column.name, numbers.find_line)
        return _settle(timing, stated)
    unit = TIME_UNITS.get(column.unit.casefold())
    if raw.size > 1 and _counts_samples(raw) and unit is None and (stated is not None or not choice.is_time):
        return _take_stated(stated)
    if not choice.is_time and (not column.name.startswith("column ") or _wraps(raw)):
        return _take_stated(stated)
    scale = unit or 1.0
    times = raw if scale == 1 else scale_times(raw, scale)
    digit = find_last_digit(cells) * scale
    is_guess = unit is None and not choice.is_time
    return _settle(measure_times(times, digit, column.name, numbers.find_line, is_guess=is_guess), stated)


def _counts_samples(raw: NDArray[np.float64]) -> bool:
    """Whether numbers (samples,) rise by one a line."""
    first, second, last = float(raw[0]), float(raw[1]), float(raw[-1])
    return last - first == raw.size - 1 and second - first == 1


def _wraps(raw: NDArray[np.float64]) -> bool:
    """Whether numbers (samples,) rise in whole steps and fall back, as a counter of few bits does."""
    steps = np.diff(raw[: 1 << 20])
    usual = float(np.median(steps)) if steps.size else 0.0
    whole = usual > 0 and usual.is_integer()
    return whole and find_first(raw, lambda part: part[1:] < part[:-1], overlap=1) is not None


def _take_stated(stated: StatedRate | None) -> _Rate:
    """The rate of the header alone."""
    if stated is None:
        return _Rate()
    text = (
        f"fs is {si(stated.fs_hz, 'Hz', digits=7)}, from {quote(stated.key)} of the header. "
        "State fs where that is wrong."
    )
    return _Rate(stated.fs_hz, None, (Finding("sample-rate", text, stated.fs_hz),))


def _settle(timing: Timing, stated: StatedRate | None) -> _Rate:
    """The rate of the times, told with that of the header where they differ; the header's where no times rise."""
    if stated is None:
        return _Rate(timing.fs_hz, timing.times, timing.notes)
    if timing.fs_hz is None:
        known = _take_stated(stated)
        return _Rate(stated.fs_hz, timing.times, known.notes if timing.times is None else timing.notes)
    notes = timing.notes
    if abs(timing.fs_hz / stated.fs_hz - 1) > _ALIKE and timing.times is None:
        text = (
            f"fs is {si(timing.fs_hz, 'Hz', digits=7)}, from the times; {quote(stated.key)} of the header says "
            f"{si(stated.fs_hz, 'Hz', digits=7)}. State fs where that is wrong."
        )
        notes = (Finding("sample-rate", text, timing.fs_hz),)
    return _Rate(timing.fs_hz, timing.times, notes)


def _tell_lines(first: int, footer: int) -> tuple[Finding, ...]:
    """The lines above and below the numbers."""
    notes = []
    if first:
        lines = "line is no sample and is" if first == 1 else f"{first} lines are no samples and are"
        notes.append(Finding("header-lines", f"The first {lines} passed over.", first))
    if footer:
        lines = "line is no sample and is" if footer == 1 else f"{footer} lines are no samples and are"
        notes.append(Finding("footer-lines", f"The last {lines} passed over.", footer))
    return tuple(notes)


def _tell_comma(layout: Layout) -> tuple[Finding, ...]:
    if not layout.decimal_comma:
        return ()
    text = f"Commas are read as decimal commas; columns are separated by {DELIMITERS[layout.delimiter]}."
    return (Finding("decimal-comma", text),)
