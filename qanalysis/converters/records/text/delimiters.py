"""What separates the cells of a line, and is a comma a decimal one?

Semicolons and tabs separate where most lines hold them, commas where they are no decimal commas, else blanks, which may
also stand within one cell a line, before a unit or between groups of digits.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from qanalysis.converters.records.text.cells import FormError, find_form
from qanalysis.converters.records.text.rates import is_marked, is_unit, strip_comment

_LOOK = 200  # lines that settle the delimiter
_FEWEST = 8  # rows of which a counter is told
_WORD = 4  # digits of a binary word that fractions do not have by chance
DELIMITERS = {"\t": "tab", ";": "semicolon", ",": "comma", "|": "bar", None: "blanks", "": "lines"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


def split_cells(line: str, delimiter: str | None) -> list[str]:
    """Cells of a line without the blanks and quotes around them.

    >>> split_cells('"0,5";2 ', ";"), split_cells(" 1  2", None)
    (['0,5', '2'], ['1', '2'])
    """
    if delimiter == "":
        return [_unquote(line.strip()).strip()]
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)] if delimiter else line.split()
    if delimiter is None:
        return [_unquote(cell) for cell in line.split()]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:  # a carriage return within the line, or a cell beyond 128 KiB
        return [cell.strip().strip('"') for cell in line.split(delimiter)]


def _unquote(cell: str) -> str:
    """A cell without quotes around it; those of x"7FF" are its own."""
    return cell if cell[1:2] == '"' and cell[0] in "xXbB" else cell.strip('"')


def is_comment(line: str, delimiter: str | None) -> bool:
    """Whether a line holds nothing to read: no cells, or a mark of comments in front."""
    stripped = line.strip()
    if not stripped.strip(delimiter or None).strip():
        return True
    return is_marked(stripped) and not (delimiter == ";" and stripped.startswith(";"))


def find_decimal(digits: Sequence[str], lines: Sequence[str]) -> tuple[str | None, bool]:
    """The delimiter and whether commas are decimal commas, from lines with digits; `lines` are all of them.

    >>> find_decimal(["0,1;2,5", "0,2;3,5"], []), find_decimal(["1,2", "3,4"], []), find_decimal(["1 V", "2 V"], [])
    ((';', True), (',', False), ('', False))
    """
    bare = [re.sub(r'"[^"]*"', "0", line) for line in digits]
    for delimiter in ("\t", ";", "|"):
        if sum(delimiter in line.strip("; ") for line in bare) * 2 > len(bare):
            cells = [cell for line in digits for cell in split_cells(line, delimiter)]
            return delimiter, _has_decimal_comma(cells, is_certain=delimiter == ";")
    if sum("," in line for line in bare) * 2 > len(bare):
        return _find_comma(bare, lines)
    if any('"' in line for line in digits):
        quoted = [split_cells(line, ",") for line in digits]
        if all(len(row) == 1 for row in quoted):
            return "", _has_decimal_comma([row[0] for row in quoted])
    return _find_blanks(digits)


def _find_comma(rows: Sequence[str], lines: Sequence[str]) -> tuple[str | None, bool]:
    """Whether commas separate or are decimal: in cells between blanks, or in a lone column of fractions."""
    cells = [cell for row in rows for cell in row.split()]
    if (
        len(cells) > len(rows)
        and not any(cell.startswith(",") or cell.endswith(",") for cell in cells)
        and _has_decimal_comma(cells)
    ):
        return None, True
    quoted = any('"' in line for line in lines)
    lone = [row.split(",") for row in rows if row.count(",") == 1]
    fractions = len(lone) * 2 > len(rows) and not any("." in row for row in rows) and not quoted
    if fractions and (any(whole.strip() == "-0" for whole, _tail in lone) or _has_plain_head(lines)):
        return None, True
    zeros = fractions and any(re.fullmatch(r"0\d+", tail.strip()) for _whole, tail in lone)
    if zeros and not _are_pairs(lone) and not _has_two_names(lines):
        return None, True
    return ",", quoted and _has_decimal_comma([cell for line in lines[-_LOOK:] for cell in split_cells(line, ",")])


def _are_pairs(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows of two cells are two columns: the first counts, or the second holds binary or hexadecimal words."""
    wholes, tails = ([row[place].strip() for row in rows] for place in (0, 1))
    if len(rows) >= _FEWEST and sum(map(str.isdigit, tails)) * 10 < len(rows) * 9:
        return True
    if len(set(map(len, tails))) == 1 and len(tails[0]) >= _WORD and not set("".join(tails)) - set("01"):
        return True
    numbers = [int(whole) for whole in wholes if re.fullmatch(r"[+-]?\d{1,18}", whole)]
    steps = Counter(later - earlier for earlier, later in pairwise(numbers))
    usual, times = steps.most_common(1)[0] if steps else (0, 0)
    return len(rows) >= _FEWEST and usual > 0 and times * 10 >= 9 * (len(rows) - 2)


def _has_two_names(lines: Sequence[str]) -> bool:
    """Whether a line of two names, of which the second is no unit, stands above the first line of numbers."""
    for line in lines[:_LOOK]:
        cells = [cell.strip() for cell in strip_comment(line).split(",")]
        if len(cells) == 2 and all(cell[:1].isalpha() for cell in cells):
            return not is_unit(cells[1])
    return False


def _find_blanks(rows: Sequence[str]) -> tuple[str | None, bool]:
    """Blanks separate, unless they stand before a unit or between groups of three digits, which lines tell alone."""
    cells = [row.strip() for row in rows]
    if any(" " in cell for cell in cells):
        counts = {len(cell.split()) for cell in cells}
        try:
            form = find_form(cells)
        except FormError:
            form = None
        if form is not None and (form.has_prefixes or form.unit or (form.thousands and len(counts) > 1)):
            return "", False
    return None, False


def _has_plain_head(lines: Sequence[str]) -> bool:
    """Whether the last line before the numbers is one name, where rows of two columns would have two."""
    head = [line for line in lines[:_LOOK] if not any(char.isdigit() for char in line)]
    return bool(head) and "," not in head[-1]


def _has_decimal_comma(cells: Sequence[str], *, is_certain: bool = False) -> bool:
    """Whether commas in cells are decimal; not those that may all stand before groups of three digits, unless what
    separates the columns makes certain that they are.
    """
    commas = [cell for cell in cells if "," in cell and _DECIMAL_COMMA.fullmatch(cell)]
    return bool(commas) and (is_certain or not all(map(_THOUSANDS.fullmatch, commas)))
