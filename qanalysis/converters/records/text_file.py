"""Which numbers are in a text file?

Delimiter, decimal comma, header lines and the column of samples, found from the lines themselves.

Lines that are empty or start with #, %, ! or // are comments. A first column that rises in even steps is a time axis
and gives fs. A comma is a decimal comma where another delimiter separates the columns, or where digits after it start
with a zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import (
    FIRST,
    RecordError,
    Samples,
    check_sample_count,
    keep_whole,
    name_some,
    refuse_choice,
)
from qanalysis.notation import plain, quote, si

_COMMENTS = ("#", "%", "!", "//")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_TIME_NAME = re.compile(r"(t|time|timestamp|zeit|x-axis|second|seconds|sec)(?![a-z]).*|date.*time", re.IGNORECASE)
_INDEX_NAME = re.compile(r"(index|i|n|no\.?|nr\.?|#|sample|point)\b.*", re.IGNORECASE)
_TIME_UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ns": 1e-9,
}
_UNIT = re.compile(r"[\[(/_ ](s|sec|seconds|ms|[uµμ]s|ns)[\])]?$", re.IGNORECASE)
_EVEN_WITHIN = 1.0  # samples: times written with few digits are off by less, a missing sample by more
_LOOK = 200  # lines that settle the delimiter
_RULE = "a line holds numbers between commas, semicolons, tabs or blanks"
_NAMES = {"\t": "tab", ";": "semicolon", ",": "comma", None: "blanks"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Lines of numbers start at `first` (counted from 0); `delimiter` None stands for blanks;
    `names` has one word per column.
    """

    delimiter: str | None
    first: int
    names: tuple[str, ...]


def read_text(path: Path, *, column: str | int | None = None, channel: int | None = None) -> Samples:
    """One column of a text file, by its name or its number from 1: whole numbers as int64 words, others as float64.

    `nan` and `inf` are numbers, which the doctor finds. A column of times gives fs unless it is the one that is read.
    Raises RecordError for binary data, no line of numbers, no such column, more than 2^26 lines, and a cell that is no
    number, which is named with line and column.
    """
    place = path.name
    refuse_choice("channel", channel, place, instead="choose a column")
    lines = _decode(path.read_bytes(), place)
    delimiter, decimal_comma = _find_decimal([line for line in lines if not _is_comment(line)], place)
    if decimal_comma:
        lines = [line.replace(",", ".") for line in lines]
    layout = _find_layout(lines, delimiter, place)
    kept = [number for number in range(layout.first, len(lines)) if not _is_comment(lines[number])]
    check_sample_count(len(kept), place)
    rows = [lines[number] for number in kept]
    axis = _find_axis(rows, layout)
    picked, notes = _pick_column(layout, column, axis, place)
    notes = (*_describe(layout, decimal_comma=decimal_comma), *notes)
    values = _parse_column(rows, kept, picked, layout, place)
    fs_hz = None
    if axis is not None and axis != picked:
        times = _read_times([_split(row, delimiter)[axis] for row in rows])
        name = layout.names[axis]
        is_time = (
            _TIME_NAME.fullmatch(name) is not None or _STAMP.fullmatch(_split(rows[0], delimiter)[axis]) is not None
        )
        fs_hz, rate_notes = _measure_rate(times, name, is_time=is_time)
        notes = (*notes, *rate_notes)
    return Samples(keep_whole(values), fs_hz=fs_hz, notes=notes)


def _split(line: str, delimiter: str | None) -> list[str]:
    """Cells of a line without blanks around them; None splits at any run of blanks."""
    cells = [cell.strip() for cell in line.split(delimiter)]
    return cells[:-1] if len(cells) > 1 and not cells[-1] else cells  # a delimiter at the end of the line


def _decode(content: bytes, place: str) -> list[str]:
    """Lines of UTF-16 by its mark, else UTF-8, else Latin-1; commas within quotes become points, the quotes go.

    Raises RecordError for a zero byte in the first 64 KiB, which no text has.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16", errors="replace")
    elif b"\0" in content[: 1 << 16]:
        raise RecordError(
            f"{place} holds binary data, not text; name it .bin and give the type of its words, such as i16le"
        )
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")  # µ and ° of instruments
    if '"' in text:
        text = re.sub(r'"([^"\n]*)"', lambda quoted: quoted[1].replace(",", "."), text)
    return text.splitlines()


def _is_comment(line: str) -> bool:
    """Whether a line holds nothing to read: blank, or one of `_COMMENTS` in front."""
    stripped = line.strip()
    return not stripped or stripped.startswith(_COMMENTS)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _find_layout(lines: list[str], delimiter: str | None, place: str) -> _Layout:
    """The first line with a number and nothing but numbers, timestamps and empty cells; names stand above it.

    Raises RecordError where there is none.
    """
    for number, line in enumerate(lines):
        cells = _split(line, delimiter)
        if (
            not _is_comment(line)
            and any(map(_is_number, cells))
            and all(not cell or _is_number(cell) or _STAMP.fullmatch(cell) for cell in cells)
        ):
            return _Layout(delimiter, number, _find_names(lines[:number], delimiter, len(cells)))
    shown = name_some([line[:40] for line in lines if not _is_comment(line)][:2])
    raise RecordError(f"{place} has no line of numbers: it starts with {shown}; {_RULE}")


def _find_decimal(lines: list[str], place: str) -> tuple[str | None, bool]:
    """The delimiter (None: blanks) and whether commas are decimal commas, from lines that are mostly digits."""
    rows = [line.strip() for line in lines[-_LOOK:] if any(char.isdigit() for char in line)]
    if not rows:
        raise RecordError(f"{place} has no line of numbers; {_RULE}")
    for delimiter in ("\t", ";"):
        if sum(delimiter in row for row in rows) * 2 > len(rows):
            return delimiter, _has_decimal_comma(cell for row in rows for cell in row.split(delimiter))
    if not any("," in row for row in rows):
        return None, False
    cells = [cell for row in rows for cell in row.split()]
    if (
        len(cells) > len(rows)
        and not any(cell.startswith(",") or cell.endswith(",") for cell in cells)
        and _has_decimal_comma(cells)
    ):
        return None, True
    lone = [row.split(",") for row in rows if row.count(",") == 1]
    fractions = len(lone) * 2 > len(rows) and not any("." in row for row in rows)
    zeros = fractions and any(re.fullmatch(r"0\d+", tail.strip()) or whole.strip() == "-0" for whole, tail in lone)
    headed = fractions and _has_plain_head(lines)
    return (None, True) if zeros or headed else (",", False)


def _has_plain_head(lines: list[str]) -> bool:
    """Whether the last line before the numbers is one name, where rows of two columns would have two."""
    head = [line for line in lines[:_LOOK] if not any(char.isdigit() for char in line)]
    return bool(head) and "," not in head[-1]


def _has_decimal_comma(cells: Iterable[str]) -> bool:
    """Whether any cell is a number with a decimal comma."""
    return any(_DECIMAL_COMMA.fullmatch(cell.strip()) for cell in cells)


def _find_names(head: list[str], delimiter: str | None, count: int) -> tuple[str, ...]:
    """Names from the nearest line above that has as many cells, comments included; else "column 1", ..."""
    for line in reversed(head):
        cells = _split(line.strip().lstrip("#%!/ "), delimiter)
        if len(cells) == count and not any(map(_is_number, cells)) and any(cells):
            return tuple(cells)
    return tuple(f"column {number}" for number in range(1, count + 1))


def _find_axis(rows: list[str], layout: _Layout) -> int | None:
    """The column of times or sample numbers: one named so, one of timestamps, or a first one that rises evenly;
    None where there is none.
    """
    if len(layout.names) < 2:
        return None
    named = [index for index, name in enumerate(layout.names) if _TIME_NAME.fullmatch(name)]
    if named:
        return named[0]
    cells = [_split(row, layout.delimiter)[0] for row in rows[:_LOOK]]
    if _STAMP.fullmatch(cells[0]):
        return 0
    if len(cells) < 3 or not all(map(_is_number, cells)):
        return None
    steps = np.diff(np.array(cells, np.float64))
    return 0 if bool((steps > 0).all()) and float(np.ptp(steps)) <= 0.5 * float(steps.mean()) else None


def _pick_column(
    layout: _Layout, column: str | int | None, axis: int | None, place: str
) -> tuple[int, tuple[Finding, ...]]:
    """Place of the column asked for, from 0, by number from 1 or by name in any case; else the first that is no axis.

    A name of digits is taken as a name where a column has it. The note names the column where there was a choice.
    Raises RecordError for a column that is not there.
    """
    names = layout.names
    if column is None:
        picked = next(index for index in range(len(names)) if index != axis)
        note = Finding(
            "column",
            f"Column {quote(names[picked])} is read, number {picked + 1} of {len(names)}; name another where it was "
            "meant.",
            picked + 1,
        )
        return picked, (note,) if len(names) > 1 else ()
    if isinstance(column, int) or (column not in names and column.isdecimal()):
        if not 1 <= int(column) <= len(names):
            raise RecordError(f"{place} has {len(names)} columns, column {column} was asked for; {FIRST}")
        return int(column) - 1, ()
    matches = [index for index, name in enumerate(names) if name.casefold() == column.casefold()]
    if not matches:
        raise RecordError(f"{place} has no column {quote(column)}; it has {name_some(names)}")
    return matches[0], ()


def _parse_column(rows: list[str], kept: list[int], picked: int, layout: _Layout, place: str) -> NDArray[np.float64]:
    """One column (samples,); RecordError names line and column of the first cell that is missing or no number."""
    try:
        values: NDArray[np.float64] = np.loadtxt(
            rows, delimiter=layout.delimiter, usecols=picked, comments=None, ndmin=1
        )
    except (ValueError, IndexError):
        for row, number in zip(rows, kept, strict=True):
            cells = _split(row, layout.delimiter)
            where = f"{place}, line {number + 1}"
            if picked >= len(cells):
                raise RecordError(
                    f"{where} ends after column {len(cells)}, column {picked + 1} is missing; "
                    "mend the line or take it out"
                ) from None
            if not _is_number(cells[picked]):
                shown = repr(cells[picked][:40]) if cells[picked] else "an empty cell"
                raise RecordError(
                    f"{where}, column {picked + 1} ({layout.names[picked]}): {shown} is not a number; "
                    "mend or take out the line"
                ) from None
        raise
    return values


def _read_times(cells: list[str]) -> NDArray[np.float64] | None:
    """Seconds (or the unit of the column) since the first line; None where a cell is neither number nor timestamp."""
    try:
        if _STAMP.fullmatch(cells[0]):
            stamps = np.array([cell.removesuffix("Z") for cell in cells], "datetime64[ns]")
            return np.asarray((stamps - stamps[0]).astype(np.float64) * 1e-9)
        return np.array(cells, np.float64)
    except ValueError:
        return None


def _measure_rate(
    times: NDArray[np.float64] | None, name: str, *, is_time: bool
) -> tuple[float | None, tuple[Finding, ...]]:
    """Samples per second from the mean step of the times, with how uneven they are;
    None for sample numbers and columns of other things.
    """
    if times is None or times.size < 2 or not np.isfinite(times).all() or times[-1] <= times[0]:
        return None, (
            Finding(
                "no-rate",
                f"Column {quote(name)} gives no sample rate: its times do not rise from the first line to the last. "
                "State fs.",
            ),
        )
    step = float(times[-1] - times[0]) / (times.size - 1)
    if _INDEX_NAME.fullmatch(name) or not (is_time or name.startswith("column ")) or (step == 1 and not is_time):
        return None, ()
    unit = _UNIT.search(name)
    fs_hz = 1 / (step * (_TIME_UNITS[unit[1].lower()] if unit else 1.0))
    notes = [
        Finding(
            "sample-rate",
            f"fs is {si(fs_hz, 'Hz', digits=7)}, from the mean step of column {quote(name)}. State fs where that is "
            "wrong.",
            fs_hz,
        )
    ]
    late = float(np.abs(times - times[0] - step * np.arange(times.size)).max()) / step
    if late > _EVEN_WITHIN:
        notes.append(
            Finding(
                "uneven-times",
                f"Times of column {quote(name)} are up to {plain(late)} samples off even steps: samples may be "
                "missing.",
                late,
            )
        )
    return fs_hz, tuple(notes)


def _describe(layout: _Layout, *, decimal_comma: bool) -> tuple[Finding, ...]:
    """What was passed over or read otherwise than it stands: lines above the numbers, decimal commas."""
    notes = []
    if layout.first:
        lines = "line is no sample and is" if layout.first == 1 else f"{layout.first} lines are no samples and are"
        notes.append(Finding("header-lines", f"The first {lines} passed over.", layout.first))
    if decimal_comma:
        notes.append(
            Finding(
                "decimal-comma",
                f"Commas are read as decimal commas; columns are separated by {_NAMES[layout.delimiter]}.",
            )
        )
    return tuple(notes)
