"""What is one cell of a text record? The numeral in it: its radix, its digits, its unit and its separators.

The form of a column is decided from a sample of its cells and then holds for all of them, so that a cell that differs
is named and never guessed. Digits are those of ASCII. Words in hexadecimal and binary are unsigned, as they stand: what
they mean is left to those who know the width.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.choices import Radix
from qanalysis.notation import PREFIX_POWERS, quote

#: What instruments write, in small letters, where the input was beyond their range.
OVER_RANGE = frozenset({"∞", "+∞", "-∞", "−∞", "ol", "-ol", "+ol", "o.l", "ovld", "-ovld", "overload", "overflow"})
_SPELLINGS = {
    **dict.fromkeys(("V", "Volt", "Volts", "volt", "volts", "VDC", "VAC", "Vdc", "Vac"), "V"),
    **dict.fromkeys(("A", "Amp", "Amps", "amp", "amps", "ADC", "AAC"), "A"),
    **dict.fromkeys(("Ω", "\u2126", "Ohm", "Ohms", "ohm", "ohms"), "Ω"),
    **dict.fromkeys(("Hz", "hz"), "Hz"),
    **dict.fromkeys(("s", "sec"), "s"),
    **{name: name for name in ("W", "F", "H", "C", "Pa", "g", "N", "T", "Vpp", "Vrms")},
}
_WITHOUT_PREFIX = ("°C", "°F", "°", "%", "dB", "dBm", "dBV", "dBc", "dBFS", "LSB", "")
_TAILS = {
    **{prefix + name: (unit, power) for prefix, power in PREFIX_POWERS.items() for name, unit in _SPELLINGS.items()},
    **{prefix: ("", power) for prefix, power in PREFIX_POWERS.items() if prefix not in {"f", "T", "P"}},
    **{name: (name, 0) for name in _WITHOUT_PREFIX},
}  # "m" alone is milli, as "3.3k" is kilo: no converter's samples are lengths
_BLANKS = " \u00a0\u2009\u202f"
_SEPARATORS = f"{_BLANKS},.'’_"
_GROUPED = re.compile(rf"[+-]?[1-9][0-9]{{0,2}}([{_SEPARATORS}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[.,][0-9]*)?")
_WITH_TAIL = re.compile(rf"(.*[0-9.,])[{_BLANKS}]*(?:([^0-9.,{_BLANKS}]+)(?:[{_BLANKS}](?:AC|DC))?)")
_MARKED_HEX = re.compile(
    r"[+-]?(?:0x|\$|&h)([0-9a-f][0-9a-f_]*)u?l{0,2}|([0-9][0-9a-f]*)h|([0-9]*)'s?h([0-9a-f][0-9a-f_]*)|x\"([0-9a-f][0-9a-f_]*)\"",
    re.IGNORECASE,
)
_MARKED_BINARY = re.compile(
    r"[+-]?0b([01][01_]*)|([01]{2,})b|([0-9]*)'s?b([01][01_]*)|b\"([01][01_]*)\"|([01]{2,}(?:_[01]{2,})+)",
    re.IGNORECASE,
)
_HEX_MARKS = re.compile(
    r"(?:(?<![0-9])[0-9]*'s?h|\$|&h|x\")|(?:h|\"|(?<=[0-9a-f])u?l{0,2})$", re.IGNORECASE | re.MULTILINE
)
_BINARY_MARKS = re.compile(r"(?:(?<![0-9])[0-9]*'s?b|b\")|(?:(?<=[01])b|\")$", re.IGNORECASE | re.MULTILINE)
_BINARY_FRONT = re.compile(r"^([+-]?)0b(?=[01])", re.IGNORECASE | re.MULTILINE)  # and not the end of 100b
_HEX_DIGITS, _BINARY_DIGITS = re.compile(r"[0-9a-fA-F]+"), re.compile(r"[01]+")
_LIKE_HEX = re.compile(r"[0-9]+[eE][0-9]+")
_NO_TAIL = str.maketrans("", "", f"0123456789.+-{_BLANKS}")
_FEW, _MANY = 3, 8  # different words that chance does not make: of binary digits with leading zeros, of others
_ENOUGH = 16  # cells
_STATE = "state the radix, hex or decimal"


@cache
def _spell_number(thousands: str, *, comma: bool) -> re.Pattern[str]:
    """Decimals with or without exponent and what is not finite, for what stands between groups of three digits."""
    point, mark = "," if comma else r"\.", re.escape(thousands)
    whole = rf"(?:[0-9]{{1,3}}|[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+)" if thousands else "[0-9]+"
    finite = rf"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:e[+-]?[0-9]+)?"
    return re.compile(rf"[+-]?(?:{finite}|nan|inf(?:inity)?|∞)", re.IGNORECASE)


class CellError(ValueError):
    """A cell of a column that is no number in the column's form; `index` counts from 0, `text` is the cell."""

    def __init__(self, index: int, text: str) -> None:
        super().__init__(f"{quote(text, 40) if text else 'an empty cell'} is not a number")
        self.index, self.text = index, text


class FormError(ValueError):
    """Cells that may be read in two ways; the text says which, and what to state."""


@dataclass(frozen=True, slots=True)
class CellForm:
    """How the cells of a column write their numbers.

    `radix` and `digits`, None where cells differ, belong to words; `width` is their bits where the cells state it, as
    12'h7FF and binary strings do. `unit` is the base unit that cells carry; their prefixes, which `has_prefixes` tells
    of, are read cell by cell, so that 12mV is 0.012 of V. `scale` multiplies what was read, for prefixes that a header
    names. `thousands` stands between groups of three digits.
    """

    radix: Radix = "decimal"
    digits: int | None = None
    unit: str = ""
    scale: float = 1.0
    thousands: str = ""
    decimal_comma: bool = False
    width: int | None = None
    has_prefixes: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether a reader of C's numbers reads the cells as they stand."""
        return self == CellForm()

    @property
    def container_bits(self) -> int | None:
        """Bits of the words in which hexadecimal cells of one width hold their codes; None for other cells."""
        return None if self.radix != "hex" or self.digits is None else self.width or 4 * self.digits


def is_numeral(cell: str) -> bool:
    """Whether a cell is a number by itself: decimal, not finite, marked as hexadecimal or binary, with a unit.

    Plain hexadecimal is none: `add` may be a word.

    >>> [is_numeral(cell) for cell in ("-1.5e-3", "0x7FF", "12'h7ff", "1 234", "12 mV", "3.3k", "nan")]
    [True, True, True, True, True, True, True]
    >>> [is_numeral(cell) for cell in ("", "OK", "7ff", "١٢", "12 apples", "1 2")]
    [False, False, False, False, False, False]
    """
    return bool(_is_number(cell) or _MARKED_HEX.fullmatch(cell) or _MARKED_BINARY.fullmatch(cell) or _split_tail(cell))


def find_form(cells: Sequence[str], *, radix: Radix | None = None, decimal_comma: bool = False) -> CellForm | None:
    """The form of a column from a sample of its cells without blanks around them; empty ones are passed over.

    None where they are no numbers. A stated `radix` is taken for what the cells may be in two ways. Raises FormError
    for cells that may be: 2e3 amid integers of one width, and 1,234 where nothing tells what the comma is.

    >>> find_form(["0x7FF", "0x800"]).container_bits, find_form(["7ff", "800"]).radix, find_form(["12mV", "1.2 V"]).unit
    (12, 'hex', 'V')
    >>> find_form(["0110", "1001", "0000"]).width, find_form(["OK", "OK"])
    (4, None)
    """
    sample = [cell for cell in cells if cell]
    if not sample:
        return None
    if radix in {"hex", "binary"}:
        return _find_stated(sample, radix)
    if radix is None and (form := _find_binary_strings(sample)) is not None:
        return form
    if all(map(_spell_number("", comma=decimal_comma).fullmatch, sample)):
        if radix is None:
            _check_exponents(sample)
        return CellForm(decimal_comma=decimal_comma)
    words = None if radix == "decimal" else _find_marked(sample)
    numbers = words or _find_dressed(sample, decimal_comma=decimal_comma)
    return numbers or (None if radix == "decimal" else _find_plain_hex(sample))


def parse_cells(cells: Sequence[str], form: CellForm) -> NDArray[np.int64] | NDArray[np.float64]:
    """The numbers (cells,) of a column: int64 for words in hexadecimal and binary, else float64.

    Of a form that `find_form` found in a sample of them. Raises CellError at the first cell that does not have it.

    >>> parse_cells(["1.5 V", "12mV"], find_form(["1.5 V", "12mV"])).tolist()
    [1.5, 0.012]
    >>> parse_cells(["7ff", "800"], CellForm("hex")).tolist()
    [2047, 2048]
    """
    parse = _parse_decimals if form.radix == "decimal" else _parse_words
    if not cells:
        return parse(["0"], form)[:0]
    try:
        return parse(cells, form)
    except (ValueError, OverflowError):
        if len(cells) == 1:
            raise CellError(0, cells[0]) from None
    middle = len(cells) // 2  # halves lead to the first cell that is no number in twice the time of all
    first = parse_cells(cells[:middle], form)
    try:
        return np.concatenate([first, parse_cells(cells[middle:], form)])
    except CellError as error:
        raise CellError(middle + error.index, error.text) from None


def _parse_words(cells: Sequence[str], form: CellForm) -> NDArray[np.int64] | NDArray[np.float64]:
    """Words as Python reads them in base 16 or 2, after the marks that it does not know are taken off."""
    text = _check_ascii("\n".join(cells)).replace("_", "")
    base, marks, letters = (16, _HEX_MARKS, "$&'\"hHuUlL") if form.radix == "hex" else (2, _BINARY_MARKS, "'\"Bb")
    if base == 2:
        text = _BINARY_FRONT.sub(r"\1", text)
    if form.width is not None:
        text = text.replace(f"{form.width}'{'h' if base == 16 else 'b'}", "")
    if any(letter in text for letter in letters):
        text = marks.sub("", text)
    return np.fromiter(map(int, text.split("\n"), repeat(base)), np.int64, len(cells))


def _parse_decimals(cells: Sequence[str], form: CellForm) -> NDArray[np.int64] | NDArray[np.float64]:
    """Numbers as Python reads them, after separators are taken off and units are made powers of ten."""
    number = _spell_number(form.thousands, comma=form.decimal_comma)
    if form.thousands and not all(number.fullmatch((_split_tail(cell) or (cell,))[0]) for cell in cells):
        raise ValueError("what parts thousands stands elsewhere")
    text = "\n".join(cells) + "\n"
    if form.thousands:
        text = text.replace(form.thousands, "")
    if form.decimal_comma:
        text = text.replace(",", ".")
    text = text.replace("∞", "inf").replace("−", "-")
    if form.unit or form.has_prefixes:
        text = _resolve_tails(text, form)
    text = _check_ascii(text)
    if "_" in text:
        raise ValueError("Python's own separator of digits")
    values = np.fromiter(map(float, text[:-1].split("\n")), np.float64, len(cells))
    if form.scale == 1:
        return values
    # 1e-3 is no double: a quotient by 1000 is the one nearest to the number in the cell.
    return values * form.scale if form.scale > 1 else values / round(1 / form.scale, 6)


def _resolve_tails(text: str, form: CellForm) -> str:
    """Lines with each unit replaced by the power of ten of its prefix, so that 1650 mV is the double nearest to 1.65.

    Raises ValueError for another unit than that of the form.
    """
    if "  " in text:
        text = re.sub(" +", " ", text)
    for wave in ("AC", "DC"):
        text = text.replace(f" {wave}\n", "\n")
    tails = set(text.translate(_NO_TAIL).split("\n"))
    for tail in sorted(tails, key=len, reverse=True):
        unit = tail.removeprefix("e").removeprefix("E") if tail not in _TAILS else tail
        if not unit or unit.casefold() in {"nan", "inf", "infinity"}:
            continue
        base, power = _TAILS.get(unit, (None, 0))
        if base != form.unit or (power and unit != tail):
            raise ValueError("another unit, or a prefix beside an exponent")
        for blank in (*_BLANKS, ""):
            text = text.replace(f"{blank}{unit}\n", f"e{power}\n" if power else "\n")
    return text


def _check_ascii(text: str) -> str:
    if not text.isascii():
        raise ValueError("letters beyond ASCII: Python would read their digits too")
    return text


def _is_number(cell: str) -> bool:
    """Whether a cell is a decimal number in any of the spellings."""
    return any(
        pattern.fullmatch(cell) for pattern in (_spell_number("", comma=False), _spell_number("", comma=True), _GROUPED)
    )


def _split_tail(cell: str) -> tuple[str, str, int] | None:
    """Number, base unit and power of ten of a cell that carries a unit or a prefix; None of another."""
    match = _WITH_TAIL.fullmatch(cell)
    if match is None or match[2] not in _TAILS or not _is_number(match[1]):
        return None
    unit, power = _TAILS[match[2]]
    return None if power and "e" in match[1].lower() else (match[1], unit, power)


def _find_stated(sample: list[str], radix: Radix) -> CellForm | None:
    """The form of words in the radix that is stated, with or without marks; None where a cell is none."""
    marked, digits = (_MARKED_HEX, _HEX_DIGITS) if radix == "hex" else (_MARKED_BINARY, _BINARY_DIGITS)
    if not all(marked.fullmatch(cell) or digits.fullmatch(cell) for cell in sample):
        return None
    return _measure_words(sample, radix)


def _measure_words(sample: list[str], radix: Radix) -> CellForm:
    """The form of words, with the number of their digits where all have as many, and the width that they state."""
    pattern = _MARKED_HEX if radix == "hex" else _MARKED_BINARY
    counts, widths = set(), set()
    for cell in sample:
        match = pattern.fullmatch(cell)
        digits = cell if match is None else next(group for group in match.groups()[::-1] if group is not None)
        counts.add(0 if cell[0] in "+-" else len(digits.replace("_", "")))
        widths.add(int(match[3]) if match is not None and match[3] else None)
    count = counts.pop() if len(counts) == 1 else 0
    width = widths.pop() if len(widths) == 1 else None
    return CellForm(radix, digits=count or None, width=width or (count or None if radix == "binary" else None))


def _find_binary_strings(sample: list[str]) -> CellForm | None:
    """Digits 0 and 1 in cells of one width, where decimals would hold others: with leading zeros, or many words."""
    width = len(sample[0])
    if width < 2 or not all(len(cell) == width and _BINARY_DIGITS.fullmatch(cell) for cell in sample):
        return None
    words = set(sample)
    padded = width >= 4 and len(words) >= _FEW and any(word[0] == "0" for word in words)
    padded = padded or (len(words) == 2**width and len(sample) >= _ENOUGH)
    return _measure_words(sample, "binary") if padded or len(words) >= _MANY else None


def _check_exponents(sample: list[str]) -> None:
    """FormError for cells such as 2e3 amid integers of one width: hexadecimal that holds no other letter by chance."""
    like = [cell for cell in sample if _LIKE_HEX.fullmatch(cell)]
    if not like or any(not cell.isdecimal() and not _LIKE_HEX.fullmatch(cell) for cell in sample):
        return
    places = {cell.lower().find("e") for cell in sample}
    if len({len(cell) for cell in sample}) == 1 and len(places) > 1:
        word, value = quote(like[0]), int(like[0], 16)
        raise FormError(
            f"{word} amid digits of one width may be hexadecimal, {value}, or decimal, {float(like[0]):.0f}; {_STATE}"
        )


def _find_marked(sample: list[str]) -> CellForm | None:
    """Words that are marked as hexadecimal or binary, 0 without a mark among them; None of others."""
    marks: tuple[tuple[Radix, re.Pattern[str]], ...] = (("binary", _MARKED_BINARY), ("hex", _MARKED_HEX))
    for radix, pattern in marks:
        found = [cell for cell in sample if pattern.fullmatch(cell)]
        if found and all(cell.strip("0") == "" for cell in sample if not pattern.fullmatch(cell)):
            return _measure_words(found if len(found) == len(sample) else sample, radix)
    return None


def _find_dressed(sample: list[str], *, decimal_comma: bool) -> CellForm | None:
    """Decimals with units, prefixes or separators of thousands; None where one is none, or units differ."""
    parts = [_split_tail(cell) or (cell, "", 0) for cell in sample]
    numbers, units = [part[0] for part in parts], {part[1] for part in parts if part[1] or part[2]}
    if len(units) > 1 or not all(map(_is_number, numbers)):
        return None
    unit = units.pop() if units else ""
    has_prefixes = any(part[2] for part in parts)
    separators = _find_separators(numbers, decimal_comma=decimal_comma)
    if separators is None:
        return None
    return CellForm(unit=unit, thousands=separators[0], decimal_comma=separators[1], has_prefixes=has_prefixes)


def _find_separators(numbers: list[str], *, decimal_comma: bool) -> tuple[str, bool] | None:
    """What parts the thousands and whether the comma is a decimal one; None where no reading fits all.

    FormError where every comma has three digits behind it, so that none tells which of the two it is.
    """
    text = "".join(numbers)
    fits = [
        (mark, comma)
        for comma in ((True,) if decimal_comma else (False, True))
        for mark in ("", *(mark for mark in _SEPARATORS if mark in text and mark != ("," if comma else ".")))
        if all(map(_spell_number(mark, comma=comma).fullmatch, numbers))
    ]
    if len(fits) > 1 and fits[0][0]:  # a comma that parts thousands, or a decimal one
        if all("," in number for number in numbers):
            shown = quote(numbers[0])
            raise FormError(f"the comma of {shown} may be decimal or part thousands; use points, or no separators")
        return fits[0]
    return fits[0] if fits else None


def _find_plain_hex(sample: list[str]) -> CellForm | None:
    """Hexadecimal words without marks: digits and letters of one width, or many of them of different widths."""
    if not all(map(_HEX_DIGITS.fullmatch, sample)):
        return None
    words = set(map(str.lower, sample))
    with_digits = sum(not word.isalpha() for word in words) * 4 >= len(words)
    letters = {letter for word in words for letter in word if letter.isalpha()}
    if not with_digits or len(words) < 2:
        return None
    if len({len(cell) for cell in sample}) == 1 or (len(words) >= _MANY and len(letters) >= _FEW):
        return _measure_words(sample, "hex")
    return None
