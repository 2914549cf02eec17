"""Which sample rate and which units does a header state? Keys, values and units of lines and names, from the dialects.

A value stands behind its key in the same cell, in a cell to its right, or in the cell below. Increments are in seconds
unless key or value names a unit, rates in hertz.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qanalysis.converters.records.text.dialects import (
    COMMENT_MARKS,
    INCREMENT_KEYS,
    RATE_KEYS,
    SAMPLE_UNITS,
    TIME_UNITS,
    VERTICAL_UNIT_KEYS,
)

_UNIT = r"\s*(?:[\[(/_]\s*(?P<unit>[^\s\])=:]+)\s*[\])]?)?"
_VALUE = r"\s*(?:(?:[:=]|(?=\s[-+]?[.\d]))\s*(?P<value>.*))?"
_NUMBER = re.compile(
    r"(?:[A-Za-z]+:)?\s*(\+?(?:[1-9]\d{0,2}(?:,\d{3})+(?![\d.])|\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(.*)"
)
_GROUPS = re.compile(r"\+?[1-9]\d{0,2}(?:,\d{3})+")
_SEPARATING = re.compile(r"(?<!\d),|,(?!\d{3}(?!\d))")  # commas that part no groups of three digits
_RATE_UNIT = re.compile(r"([kKMGm]?)\s*(?:hz|s(?:a|amples?)?/s(?:ec(?:ond)?)?|sps|samples? per second|)", re.IGNORECASE)
_PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "g": 1e9}
_IN_BRACKETS = re.compile(r"(.*?)\s*[\[(]\s*([^\[\]()]*?)\s*[\])]")
_ALONE = frozenset(TIME_UNITS) - {"s", "h", "min", "mins"}  # a name of its own; `min` stands beside `max`
_TAILS = (
    re.compile(r"(.*?)\s*/\s*(\S+)"),
    re.compile(r"(.*)[_.](\S+)"),
    re.compile(r"(|.*?\s)in\s+(\S+)"),
    re.compile(r"(.*?),\s*(\S+)"),
    re.compile(r"(.*\S)\s+(\S+)"),
    re.compile(r"(ch(?:an(?:nel)?)?\s*\d+)(m?v)", re.IGNORECASE),
)


def _compile(keys: Sequence[str]) -> re.Pattern[str]:
    return re.compile(f"(?P<key>{'|'.join(keys)}){_UNIT}{_VALUE}", re.IGNORECASE)


_INCREMENT, _RATE, _VERTICAL = _compile(INCREMENT_KEYS), _compile(RATE_KEYS), _compile(VERTICAL_UNIT_KEYS)


@dataclass(frozen=True, slots=True)
class StatedRate:
    """A sample rate in hertz that the header states under `key`."""

    fs_hz: float
    key: str


def strip_comment(line: str) -> str:
    """A line without the mark of a comment.

    >>> strip_comment("; Samplerate: 5 kHz")
    'Samplerate: 5 kHz'
    """
    text = line.strip()
    return text.lstrip('"').lstrip("".join(COMMENT_MARKS) + " ") if is_marked(text) else text


def is_marked(line: str) -> bool:
    """Whether a line begins with the mark of a comment, behind a quote or not."""
    return line.strip().lstrip('"').startswith(COMMENT_MARKS)


def find_rate(header: Sequence[str], delimiter: str | None, *, decimal_comma: bool = False) -> StatedRate | None:
    """The rate of the first increment of a header that is above zero, else of its first rate; None for neither.

    5,000 is five thousand unless the samples have a `decimal_comma`, or semicolons between them.

    >>> find_rate(["X,CH1,Start,Increment", "Sequence,Volt,-0.25,2e-4"], ",").fs_hz
    5000.0
    >>> find_rate(["; Samplerate: 5 kHz"], None)
    StatedRate(fs_hz=5000.0, key='Samplerate')
    """
    for pattern, read in ((_INCREMENT, _read_increment), (_RATE, _read_rate)):
        for match, text in _find_values(header, delimiter, pattern):
            grouped = not decimal_comma and delimiter != ";" and _GROUPS.match(text.strip())
            value = text.replace(",", "") if grouped else text
            fs_hz = read(value, match["unit"] or "")
            if fs_hz is not None and math.isfinite(fs_hz) and fs_hz > 0:
                return StatedRate(fs_hz, match["key"].strip())
    return None


def find_vertical_unit(header: Sequence[str], delimiter: str | None) -> str:
    """The unit of the samples that a header states, as `SAMPLE_UNITS` tells it; "" for none.

    >>> find_vertical_unit(["Vertical Units,CH1:mV,CH2:mV"], ",")
    'mV'
    """
    for _match, value in _find_values(header, delimiter, _VERTICAL):
        unit = SAMPLE_UNITS.get(value.split(":")[-1].strip(), "")
        if unit:
            return unit
    return ""


def _find_values(
    header: Sequence[str], delimiter: str | None, pattern: re.Pattern[str]
) -> Iterator[tuple[re.Match[str], str]]:
    """Each key of the header with the text that may be its value."""
    rows = [_split_header(line, delimiter) for line in header]
    for number, cells in enumerate(rows):
        for place, cell in enumerate(cells):
            match = pattern.fullmatch(" ".join(cell.split()).rstrip(":"))
            if match is None:
                continue
            beside = [later for later in cells[place + 1 :] if later]
            below = rows[number + 1][place : place + 1] if number + 1 < len(rows) else []
            behind = [" ".join(beside[:2])] if beside and beside[1:] and beside[1].casefold() in TIME_UNITS else beside
            for value in (match["value"],) if match["value"] else (*behind[:1], *below):
                if value:
                    yield match, value


def _split_header(line: str, delimiter: str | None) -> list[str]:
    text = strip_comment(line)
    # Where other marks separate the samples, a comma is a decimal comma.
    marks = (delimiter, "\t", ";") if delimiter in {"\t", ";"} else (delimiter, "\t", ";", ",")
    found = next((mark for mark in marks if mark and mark in text), None)
    cells = _SEPARATING.split(text) if found == "," != delimiter else text.split(found) if found else [text]
    return [cell.strip().strip('"').strip() for cell in cells]


def _read_number(text: str) -> tuple[float, str] | None:
    match = _NUMBER.fullmatch(text.strip())
    return None if match is None else (float(match[1].replace(",", ".")), match[2].strip())


def _read_increment(text: str, key_unit: str) -> float | None:
    """Hertz of a time between samples; of a value that is no time, but a rate, that rate."""
    found = _read_number(text)
    if found is None or found[0] == 0:
        return None
    number, unit = found[0], (found[1] or key_unit).casefold()
    if unit and unit not in TIME_UNITS:
        return _read_rate(text, key_unit) if _RATE_UNIT.fullmatch(unit) else None
    # The quotient of whole powers of ten is exact where 1 / (2 · 1e-4) is not.
    seconds = float(f"{number:.17g}") * TIME_UNITS.get(unit, 1.0)
    return 1 / seconds


def _read_rate(text: str, key_unit: str) -> float | None:
    found = _read_number(text)
    if found is None:
        return None
    unit = found[1] or key_unit
    match = _RATE_UNIT.fullmatch(unit)
    if match is None:
        return None
    prefix = match[1]
    if prefix == "m" and unit != "mHz":
        prefix = "M"  # of a word in small letters; thousandths of hertz are written mHz
    return found[0] * (1e-3 if prefix == "m" else _PREFIXES[prefix])


def split_unit(name: str) -> tuple[str, str]:
    """The name of a column and its unit, "" where it has none that is known.

    >>> split_unit("Time [usec]"), split_unit("t/ms"), split_unit("in s"), split_unit("V(out)"), split_unit("ms")
    (('Time', 'usec'), ('t', 'ms'), ('', 's'), ('V(out)', ''), ('', 'ms'))
    """
    if name.casefold() in _ALONE:
        return "", name
    match = _IN_BRACKETS.fullmatch(name)
    if match is not None and is_unit(match[2]):
        return match[1], match[2]
    for pattern in _TAILS:
        match = pattern.fullmatch(name)
        if match is not None and is_unit(match[2]):
            return match[1].strip(), match[2]
    return name, ""


def is_unit(word: str) -> bool:
    """Whether a word is a unit of times or of samples."""
    return word in SAMPLE_UNITS or word.casefold() in TIME_UNITS


def bare_unit(cell: str) -> str:
    """The unit in a cell of a row of units, without the brackets around it.

    >>> bare_unit("(ms)"), bare_unit("[V]"), bare_unit("Volt")
    ('ms', 'V', 'Volt')
    """
    return cell.strip().strip("[]()").strip()


def join_units(names: Sequence[str], width: int) -> list[str]:
    """Names of which some have a unit behind a comma that separates cells, where there are more of them than columns.

    >>> join_units(["Time", "ms", "V"], 2)
    ['Time (ms)', 'V']
    """
    joined: list[str] = []
    for place, name in enumerate(names):
        if joined and is_unit(name) and len(joined) + len(names) - place > width:
            joined[-1] += f" ({name})"
        else:
            joined.append(name)
    return joined
