"""Are the lines of a text one record, word after word? A memory view, a C array, one line of thousands of codes.

Their words are read as a stream, whatever separates them, and the lines mean nothing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.choices import Radix
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import MAX_SAMPLES, RecordError
from qanalysis.converters.records.text.cells import CellError, CellForm, FormError, find_form, is_numeral
from qanalysis.converters.records.text.delimiters import find_decimal, is_comment, split_cells
from qanalysis.converters.records.text.encoding import Block, TextFile
from qanalysis.converters.records.text.layout import find_end
from qanalysis.converters.records.text.numbers import parse_finite, tell_left_out
from qanalysis.converters.records.text.rates import strip_comment
from qanalysis.converters.records.text.rows import is_one_record
from qanalysis.notation import quote

_FEWEST = 4  # words of a line, as `is_one_record` has it
_LOOK = 400
_MOST = 0.9  # of the words of a line: what its numbers are at least
_MARKS = " \t\n\r;|"


@dataclass(frozen=True, slots=True)
class Dump:
    """Words of one `form`, separated by any of `marks`, from line `first`, from 0, to the byte `end`; `width` words
    stand in a line. `header` are the lines above, `footer` lines of words follow.
    """

    marks: str
    form: CellForm
    first: int
    end: int
    footer: int
    width: int
    header: tuple[str, ...]


def find_dump(text: TextFile, place: str, *, radix: Radix | None, is_array: bool) -> Dump | None:
    """The dump that a text is; None where its lines are those of a table. An array of a program always is one.

    Raises RecordError for words that may be read in two ways.
    """
    lines = [line for line in text.head[:_LOOK] if not is_comment(line, None)]
    digits = [line for line in lines if any(char.isdigit() for char in line)]
    if not digits or (not is_array and max(map(len, digits)) < 2 * _FEWEST - 1):
        return None
    delimiter, decimal_comma = find_decimal(digits, lines)
    rows = [_split(line, delimiter) for line in text.head[:_LOOK]]
    fewest = 1 if is_array else _FEWEST
    first = next((at for at, row in enumerate(rows) if len(row) >= fewest and _is_row(row, text.head[at])), None)
    if first is None:
        return None
    body = [row for row, line in zip(rows[first:], text.head[first:], strict=False) if not is_comment(line, delimiter)]
    if text.is_long or (len(body) == 1 and not text.is_whole):
        body[-1].pop()  # cut by the end of what is looked at
    while len(body) > 1 and not _is_row(body[-1], ""):
        body.pop()
    names = _find_names(text.head[:first], delimiter, len(rows[first]))
    # Of a lone line the words that are no numbers are told when it is read.
    body = [list(filter(_is_word, row)) for row in body] if len(body) == 1 or is_array else body
    if not is_array and not is_one_record(body, names):
        return None
    words = [cell for row in body for cell in row]
    try:
        form = find_form(words, radix=radix, decimal_comma=decimal_comma)
    except FormError as error:
        raise RecordError(f"{place}: {error}") from None
    if form is None:
        return None
    end, footer = find_end(text, delimiter, lambda line: _is_row(_split(line, delimiter), line), lambda _line: True)
    marks = _MARKS if decimal_comma else _MARKS + ","
    return Dump(marks, form, first, end, footer, len(rows[first]), text.head[:first])


def _split(line: str, delimiter: str | None) -> list[str]:
    cells = split_cells(line, delimiter)
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _is_row(cells: Sequence[str], line: str) -> bool:
    """Whether a line holds words of a dump alone: nine in ten of the first of them numbers, or hexadecimal digits."""
    if not cells or (line and is_comment(line, None)):
        return False
    some = cells[:64]
    words = sum(map(_is_word, some))
    return words >= _MOST * len(some) and any(char.isdigit() for cell in some for char in cell)


def _is_word(cell: str) -> bool:
    """Whether a cell is a number or may be one in hexadecimal digits."""
    return is_numeral(cell) or (bool(cell) and not set(cell.casefold()) - set("0123456789abcdef"))


def _find_names(header: Sequence[str], delimiter: str | None, width: int) -> list[str]:
    """The names that the line above gives the columns, if it has as many."""
    filled = [line for line in header if line.strip()]
    names = split_cells(strip_comment(filled[-1]), delimiter) if filled else []
    return names if len(names) == width else []


def read_dump(text: TextFile, dump: Dump, place: str) -> tuple[NDArray[np.float64], tuple[Finding, ...]]:
    """The words (samples,) as float64, up to 2^26, with a note on how they were read.

    Raises RecordError for a word that is no number, named by its line.
    """
    table = bytes(10 if chr(byte) in dump.marks else byte for byte in range(256))
    parts: list[NDArray[np.float64]] = []
    count = left = 0
    for block in text.iterate_blocks(dump.first, dump.end, dump.marks.encode()):
        words = block.content.translate(table)
        if count >= MAX_SAMPLES:
            left += len(words.split())
            continue
        found = _parse(text, dump, block, words, place)
        parts.append(found[: MAX_SAMPLES - count])
        count += parts[-1].size
        left += found.size - parts[-1].size
    text_of_note = (
        f"The words of a line are read as samples one after another, {dump.width} a line; name a column where they are "
        "channels."
    )
    note = Finding("words-in-lines", text_of_note, dump.width)
    return np.concatenate(parts), (note, *tell_left_out(count, left))


def _parse(text: TextFile, dump: Dump, block: Block, words: bytes, place: str) -> NDArray[np.float64]:
    import pandas as pd

    if dump.form.is_plain:
        try:
            frame = pd.read_csv(io.BytesIO(words), header=None, dtype=np.float64, na_filter=False)
        except ValueError:
            pass
        else:
            return frame[0].to_numpy()
    cells = text.decode(words).split()
    try:
        return parse_finite(cells, dump.form).astype(np.float64)
    except CellError as error:
        before = block.content[: _find_word(words, error.index)].count(b"\n")
        raise RecordError(
            f"{place}, line {block.line + before + 1}: {quote(error.text, 40)} is not a number; mend it or take it out"
        ) from None


def _find_word(words: bytes, index: int) -> int:
    """The byte at which a word starts, of words that line feeds separate."""
    lengths = [len(word) for word in words.split(b"\n")]
    seen = at = 0
    for length in lengths:
        if length and words[at : at + length].strip():
            if seen == index:
                return at
            seen += 1
        at += length + 1
    return at
