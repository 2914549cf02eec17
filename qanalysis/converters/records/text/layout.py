"""How is a text laid out? Delimiter, decimal comma, header, names, units, and where the samples start and end.

Decided from the first lines, the last ones and some between, so that a file is read once and as a stream. The columns
of numbers are found first, from the lines that most resemble each other; a line is then a sample by its cells in these
columns alone, whatever stands in the others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qanalysis.converters.choices import Radix
from qanalysis.converters.records.samples import RecordError, name_some
from qanalysis.converters.records.text.cells import (
    OVER_RANGE,
    CellError,
    CellForm,
    FormError,
    find_form,
    is_numeral,
    parse_cells,
)
from qanalysis.converters.records.text.delimiters import find_decimal, is_comment, split_cells
from qanalysis.converters.records.text.dialects import CLOCK, COUNT_UNITS, MARKS, RADIX_WORDS, SEGMENT_LINE, STAMPS
from qanalysis.converters.records.text.encoding import TextFile
from qanalysis.converters.records.text.rates import bare_unit, find_rate, is_unit, join_units, split_unit, strip_comment
from qanalysis.notation import quote

_LOOK = 200  # lines that settle the delimiter and the forms
_MOST_ROWS = 1000  # lines that settle what the columns are
RULE = "a line holds numbers between commas, semicolons, tabs or blanks"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of cells. `name` and `unit` are the header's; `form` of its numbers is None for words and stamps;
    `fault` says why its numbers may be read in two ways. `is_empty` says that most of its cells hold nothing.
    """

    name: str
    unit: str = ""
    form: CellForm | None = None
    stamp: str = ""
    radix: Radix | None = None
    fault: str = ""
    is_empty: bool = False

    @property
    def has_values(self) -> bool:
        """Whether its cells are numbers or timestamps."""
        return self.form is not None or bool(self.stamp)

    def matches(self, cell: str) -> bool:
        """Whether a cell is a value of the column."""
        if self.stamp:
            return bool(find_stamp(cell))
        if self.form is not None and self.form.radix != "decimal":
            try:
                parse_cells([cell], self.form)
            except CellError:
                return False
            return True
        return is_numeral(cell)


@dataclass(frozen=True, slots=True)
class Layout:
    """`delimiter` None stands for blanks, "" for one cell a line. Samples start at line `first`, from 0, and end at the
    byte `end`; `footer` lines follow. `rows` are cells of sample lines of the head, and `others` of the rest.
    """

    delimiter: str | None
    decimal_comma: bool
    header: tuple[str, ...]
    first: int
    end: int
    footer: int
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    others: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """How many cells a line has, empty ones counted: as many as one in a hundred has, or the line above."""
        counts = Counter(map(len, self.rows))
        usual = max(count for count, times in counts.items() if 100 * times >= len(self.rows))
        above = split_cells(self.header[-1], self.delimiter) if self.header else []
        return max(usual, 0 if any(map(is_numeral, above)) else len(above))

    @property
    def facts(self) -> tuple[str, ...]:
        """The header, and what stands beside the first samples in columns that are empty below."""
        empty = [place for place, column in enumerate(self.columns) if column.is_empty]
        mark = self.delimiter or " "
        beside = [mark.join(row[place] for place in empty if place < len(row)) for row in self.rows[:_LOOK]]
        return (*self.header, *(line for line in beside if any(char.isalpha() for char in line)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)


def find_stamp(cell: str) -> str:
    """The form of a timestamp, "clock" for a time of day, "" for other cells."""
    if CLOCK.fullmatch(cell):
        return "clock"
    for pattern, form in STAMPS:
        if pattern.fullmatch(cell):
            return form or "iso"
    return ""


def find_layout(text: TextFile, place: str, names: Sequence[str] = ()) -> Layout:
    """The layout of an open text; `names` are those of its columns where lines have labels.

    Raises RecordError where there is no line of numbers.
    """
    lines = [line for line in text.head if not is_comment(line, None) or line.strip().startswith(";")]
    digits = [line for line in [*lines[-_LOOK:], *text.tail[-_LOOK:]] if any(char.isdigit() for char in line)]
    if not digits:
        raise _refuse(text.head, place)
    delimiter, decimal_comma = find_decimal(digits, lines)
    body = [split_cells(line, delimiter) for line in lines[-_LOOK:] if not is_comment(line, delimiter)]
    while len(body) > 1 and not any(map(is_numeral, body[0])) and any(map(is_numeral, body[-1])):
        del body[0]  # names above a few samples
    radixes = _find_radixes(text.head, delimiter)
    columns = find_columns(body, radixes, decimal_comma=decimal_comma)
    first = _find_first(text.head, delimiter, columns)
    if first is None:
        raise _refuse(text.head, place)
    header = text.head[:first]
    width = max(len(columns), Counter(map(len, body)).most_common(1)[0][0])
    columns = _name_columns(columns, (*header, (delimiter or " ").join(names)), delimiter, width)
    end, footer = find_end(
        text,
        delimiter,
        lambda line: _read_sample(line, delimiter, columns) is not None,
        lambda line: _is_footer(line, delimiter, columns),
    )
    rows = _read_samples(text.head[first : first + _MOST_ROWS], delimiter, columns)
    others = () if text.is_whole else _read_samples((*text.between, *text.tail), delimiter, columns)
    if delimiter == ",":
        _refuse_pairs([row for row in (*rows, *others) if len(row) == len(rows[0])], header, place)
    return Layout(delimiter, decimal_comma, tuple(header), first, end, footer, columns, rows, others)


def _refuse(head: Sequence[str], place: str) -> RecordError:
    shown = name_some([line[:40] for line in head if not is_comment(line, None)][:2])
    return RecordError(f"{place} has no line of numbers{f': it starts with {shown}' if shown else ''}; {RULE}")


def _refuse_pairs(rows: Sequence[Sequence[str]], header: Sequence[str], place: str) -> None:
    """Raise RecordError where commas both separate the columns and stand in their numbers.

    Rows of whole cells then, of which every other is a fraction: always as long, and with zeros in front that the cells
    between them do not have, or beside a whole part of minus zero, or under half as many names. Never under as many.
    """
    width = len(rows[0])
    names = split_cells(strip_comment(header[-1]), ",") if header else []
    named = 0 if any(map(is_numeral, names)) else len(names)
    if width < 4 or width % 2 or named == width:
        return
    if not all(re.fullmatch(r"[+-]?\d+", cell) for row in rows for cell in row):
        return
    wholes = [cell for row in rows for cell in row[::2]]
    fractions = [{row[place] for row in rows} for place in range(1, width, 2)]
    steady = all(len({len(cell) for cell in found}) == 1 and all(map(str.isdigit, found)) for found in fractions)
    padded = all(any(re.fullmatch(r"0\d+", cell) for cell in found) for found in fractions)
    padded = padded and not any(re.fullmatch(r"[+-]?0\d+", cell) for cell in wholes)
    if steady and (padded or named == width // 2 or "-0" in wholes):
        shown = quote(",".join(rows[0]), 40)
        raise RecordError(
            f"{place} has commas between its columns and in its numbers ({shown}), which can not "
            "be told apart; export it with semicolons or tabs between columns, or with decimal points"
        )


def _find_radixes(head: Sequence[str], delimiter: str | None) -> tuple[Radix | None, ...]:
    """The digits that a row such as `Radix - UNSIGNED,HEX` names for the columns."""
    for line in head[:_LOOK]:
        if line.lstrip('"# ').casefold().startswith("radix"):
            words = [re.sub(r"radix\s*[-:]?\s*", "", cell.casefold()) for cell in split_cells(line, delimiter)]
            return tuple(RADIX_WORDS.get(word) for word in words)
    return ()


def find_columns(
    rows: Sequence[Sequence[str]], radixes: Sequence[Radix | None] = (), *, decimal_comma: bool = False
) -> tuple[Column, ...]:
    """The columns of some rows, of which most are samples; those without values at the end are left out."""
    counts = Counter(map(len, rows))
    most = max(counts.values(), default=0)
    width = max((count for count, times in counts.items() if times == most), default=0)
    columns = []
    for place in range(width):
        cells = [row[place] for row in rows if len(row) == width]
        radix = radixes[place] if place < len(radixes) else None
        columns.append(_find_column(cells, place, radix, decimal_comma=decimal_comma))
    while (
        columns and not columns[-1].has_values and not any(row[len(columns) - 1] for row in rows if len(row) == width)
    ):
        columns.pop()
    return tuple(columns)


def _find_column(cells: Sequence[str], place: int, radix: Radix | None, *, decimal_comma: bool) -> Column:
    name = f"column {place + 1}"
    values = [cell for cell in cells if cell and cell.casefold() not in MARKS and cell.casefold() not in OVER_RANGE]
    if len(values) * 2 < len(cells):
        return Column(name, is_empty=True)
    stamps = Counter(map(find_stamp, values))
    stamp, times = stamps.most_common(1)[0] if stamps else ("", 0)
    if stamp and times * 2 > len(values):
        return Column(name, stamp=stamp)
    numerals = [cell for cell in values if is_numeral(cell)]
    try:
        form = find_form(values, radix=radix, decimal_comma=decimal_comma)
        if form is None and len(numerals) * 2 > len(values):
            form = find_form(numerals, radix=radix, decimal_comma=decimal_comma)
    except FormError as error:
        return Column(name, form=CellForm(), radix=radix, fault=str(error))
    return Column(name, form=form, radix=radix)


def _read_sample(line: str, delimiter: str | None, columns: Sequence[Column]) -> list[str] | None:
    """The cells of a line that is a sample: its values stand where values stand, or a mark does; else None."""
    if is_comment(line, delimiter):
        return None
    cells = split_cells(line, delimiter)
    places = [place for place, column in enumerate(columns) if column.has_values and place < len(cells)]
    hits = [place for place in places if columns[place].matches(cells[place])]
    if not hits:
        return None
    others = [cells[place] for place in places if place not in hits]
    if all(_is_mark(cell) for cell in others):
        return cells
    return cells if hits[0] == places[0] and len(hits) * 2 >= len(places) else None


def _read_samples(
    lines: Sequence[str], delimiter: str | None, columns: Sequence[Column]
) -> tuple[tuple[str, ...], ...]:
    """The cells of those lines that are samples."""
    return tuple(tuple(cells) for line in lines if (cells := _read_sample(line, delimiter, columns)))


def _is_mark(cell: str) -> bool:
    """Whether a cell stands for a sample that is not there."""
    return cell.casefold() in MARKS or cell.casefold() in OVER_RANGE or not any(char.isalpha() for char in cell)


def _find_first(head: Sequence[str], delimiter: str | None, columns: Sequence[Column]) -> int | None:
    """The number of the first line that is a sample.

    Words where samples have nothing are either facts beside samples or a key before its value: a line of words alone
    that follows tells that all of them are keys.
    """
    is_hex = any(column.form is not None and column.form.radix == "hex" for column in columns)
    first = None
    for number, line in enumerate(head):
        cells = _read_sample(line, delimiter, columns)
        if cells is None or _is_key(line, cells, delimiter, columns):
            if first is not None and (not line.strip() or not is_comment(line, delimiter)):
                first = None  # a key with its value was taken for a sample
            continue
        if is_hex and number == 0 and line.strip().casefold() in {"adc", "dac"}:
            continue  # words of hexadecimal digits that are names
        first = number if first is None else first
        if not _has_words_beside(cells, columns):
            return first
    return first


def _is_key(line: str, cells: Sequence[str], delimiter: str | None, columns: Sequence[Column]) -> bool:
    """Whether a line is a key and its value: in blanks between them, or with a rate where samples have their values."""
    if delimiter is None:
        return not columns[0].matches(cells[0])
    start = next(place for place, column in enumerate(columns) if column.has_values)
    is_word = start > 0 and columns[start - 1].is_empty and cells[start - 1][:1].isalpha()
    return is_word and find_rate([line], delimiter) is not None


def _has_words_beside(cells: Sequence[str], columns: Sequence[Column]) -> bool:
    """Whether words stand where most lines have nothing, in front of the values."""
    start = next(place for place, column in enumerate(columns) if column.has_values)
    beside = zip(cells[:start], columns, strict=False)
    return any(column.is_empty and any(char.isalpha() for char in cell) for cell, column in beside)


def find_end(
    text: TextFile, delimiter: str | None, is_sample: Callable[[str], bool], is_footer: Callable[[str], bool]
) -> tuple[int, int]:
    """Where the samples end, in bytes, and the number of lines of words that follow.

    A line that is cut off, or whose cells are neither words nor samples, is left to be told by the reader.
    """
    end, footer = text.end, 0
    piece = text.read_tail()
    while piece:
        cut = piece.rstrip(b"\r\n \t").rfind(b"\n") + 1
        line = text.decode(piece[cut:]).strip()
        if not cut and end - len(piece) > text.start:
            break  # the end of a line that is not whole here
        if line and not is_comment(line, delimiter):
            if is_sample(line) or not is_footer(line):
                break
            footer += 1
        end -= len(piece) - cut
        piece = piece[:cut]
    return end, footer


def _is_footer(line: str, delimiter: str | None, columns: Sequence[Column]) -> bool:
    """Whether a line is words: its first cell is none of a column of values, and has a letter or a mark."""
    cells = split_cells(line, delimiter)
    first = next(place for place, column in enumerate(columns) if column.has_values)
    cell = cells[min(first, len(cells) - 1)]
    if delimiter and len(columns) > 1 and len(cells) == 1 and not cell.strip("-=_"):
        return True  # a rule between the samples and what follows
    says = any(char.isalpha() for char in cell) or bool(cell.strip("+-.,0123456789"))
    return says and not is_numeral(cells[0]) and not columns[first].matches(cell) and not cell[:1].isdigit()


def _name_columns(
    columns: Sequence[Column], header: Sequence[str], delimiter: str | None, width: int
) -> tuple[Column, ...]:
    """The columns with the names and units of the nearest rows of words above; samples have `width` cells."""
    used = [place for place, column in enumerate(columns) if column.has_values]
    names: list[str] = []
    units: list[str] = []
    for line in reversed(header):
        row = _read_words(line, delimiter, columns, used[-1] + 1)
        if row is None:
            if units and line.strip() and not is_comment(line, delimiter):
                break
            continue
        if row[0].casefold().startswith("radix"):
            continue
        if not units and all(_is_unit_cell(cell) for cell in row[: used[-1] + 1] if cell):
            units = row
            continue
        names = row
        break
    names = join_units(names or units, width)
    return tuple(
        replace(
            column,
            name=_pick(names, place).rstrip(":").strip() or column.name,
            unit=_find_unit(_pick(names, place), _pick(units, place)),
        )
        for place, column in enumerate(columns)
    )


def _pick(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _find_unit(name: str, unit: str) -> str:
    return bare_unit(unit) or split_unit(name)[1]


def _is_unit_cell(cell: str) -> bool:
    return is_unit(bare_unit(cell)) or bare_unit(cell).casefold() in COUNT_UNITS


def _read_words(line: str, delimiter: str | None, columns: Sequence[Column], width: int) -> list[str] | None:
    """The cells of a header line that may be names or units of the columns: as many, and no number where values are.

    A comment must have just as many; other lines may go on, as where an increment stands beside the names.
    """
    text = strip_comment(line)
    commented = is_comment(line, delimiter)
    if len(columns) == 1 and not delimiter and not commented:
        delimiter = ""  # one name, of several words or not
    cells = [cell.strip() for cell in split_cells(text, delimiter)] if text else []
    if len(cells) == 1 and delimiter == "\t" and not SEGMENT_LINE.fullmatch(text):
        cells = re.split(r" {2,}", text.strip())  # ngspice lays names out with blanks
    while cells and not cells[-1]:
        cells.pop()
    if len(cells) < width or ((commented or not delimiter) and len(cells) > len(columns)):
        return None
    return None if any(is_numeral(cell) for cell in cells[:width]) else cells
