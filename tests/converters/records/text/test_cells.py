"""Cells are read as what they write, are refused where they may be two things, and the first that differs is named."""

from __future__ import annotations

import time

import numpy as np
import pytest

from qanalysis.converters.records.text.cells import CellError, CellForm, FormError, find_form, is_numeral, parse_cells

CODES = np.random.default_rng(1).integers(0, 4096, 500)


def read(cells: list[str], **stated: object) -> list[float]:
    form = find_form(cells, **stated)  # type: ignore[arg-type]
    assert form is not None
    return parse_cells(cells, form).tolist()


@pytest.mark.parametrize(
    ("spell", "container"),
    [
        (lambda code: f"{code:03x}", 12),
        (lambda code: f"{code:04X}", 16),
        (lambda code: f"0x{code:03X}", 12),
        (lambda code: f"0X{code:04x}", 16),
        (lambda code: f"${code:03X}", 12),
        (lambda code: f"&H{code:04X}", 16),
        (lambda code: f"{code:04X}h", 16),
        (lambda code: f"12'h{code:03x}", 12),
        (lambda code: f"14'h{code:04x}", 14),
        (lambda code: f'x"{code:04X}"', 16),
        (lambda code: f"0x{code:04x}u", 16),
        (lambda code: f"{code:#x}", None),
        (lambda code: f"{code:x}", None),
    ],
    ids=["plain", "padded", "0x", "0X", "$", "&H", "h", "Verilog", "Verilog-wider", "VHDL", "C", "%#x", "%x"],
)
def test_hexadecimal_words_are_read_in_every_spelling(spell, container) -> None:
    cells = [spell(code) for code in CODES]
    form = find_form(cells)
    assert (form.radix, form.is_plain) == ("hex", False)
    assert form.container_bits == container
    np.testing.assert_array_equal(parse_cells(cells, form), CODES)


@pytest.mark.parametrize("bits", [2, 3, 6, 8, 12, 24])
@pytest.mark.parametrize("mark", ["", "0b", "b''"], ids=["strings", "0b", "Verilog"])
def test_binary_words_state_their_width(bits: int, mark: str) -> None:
    codes = CODES << 12 | CODES if bits == 24 else CODES % 2**bits
    cells = [f"{bits}'b{code:0{bits}b}" if mark == "b''" else f"{mark}{code:0{bits}b}" for code in codes]
    form = find_form(cells)
    assert (form.radix, form.width, form.container_bits) == ("binary", bits, None)
    np.testing.assert_array_equal(parse_cells(cells, form), codes)


def test_binary_strings_whose_first_bit_never_moves_are_told_by_their_many_words() -> None:
    cells = [f"{128 + code % 100:08b}" for code in CODES]
    assert find_form(cells).radix == "binary"
    assert find_form(["1000", "1010", "1100"]) == CellForm()
    assert find_form(["0", "1"] * 20) == CellForm()


@pytest.mark.parametrize(
    "cells",
    [
        ["2e3", "1e2", "100", "2e1", "099"],
        ["2e3", "123", "5e1", "201"],
    ],
    ids=["amid digits", "few"],
)
def test_exponents_amid_digits_of_one_width_are_refused_until_the_radix_is_stated(cells: list[str]) -> None:
    with pytest.raises(
        FormError, match="'2e3' amid digits of one width may be hexadecimal, 739, or decimal, 2000; state"
    ):
        find_form(cells)
    assert read(cells, radix="hex") == [int(cell, 16) for cell in cells]
    assert read(cells, radix="decimal") == [float(cell) for cell in cells]


def test_exponents_that_all_stand_in_one_place_are_decimal() -> None:
    assert find_form(["1e3", "2e3", "9e2"]) == CellForm()
    assert find_form(["1.5e3", "200.0", "9e2"]) == CellForm()
    assert find_form(["0123", "0999", "0500"]) == CellForm()


@pytest.mark.parametrize(
    ("cells", "values", "unit"),
    [
        (["1.234 V", "-0.5 V"], [1.234, -0.5], "V"),
        (["12mV", "1.2V", "900 µV", "900 μV", "7 uV"], [0.012, 1.2, 0.0009, 0.0009, 7e-6], "V"),
        (["1650 mV"], [1.65], "V"),
        (["+1.5 VDC", "-0.1 mV DC"], [1.5, -0.0001], "V"),
        (["5 µA", "3 nA", "nan"], [5e-6, 3e-9, float("nan")], "A"),
        (["3.3k", "120", "1M"], [3300, 120, 1e6], ""),
        (["4.7 kΩ", "4.7 kΩ", "47 Ohm"], [4700, 4700, 47], "Ω"),
        (["25.1 °C", "-3 °C"], [25.1, -3], "°C"),
        (["5 %", "-12.5 %"], [5, -12.5], "%"),
        (["1.5e-3 V", "2 V"], [0.0015, 2], "V"),
        (["1,234 V", "0,5 V"], [1.234, 0.5], "V"),
        (["1,234.5 mV", "999 mV"], [1.2345, 0.999], "V"),
        (["20 kHz", "1 MHz"], [20e3, 1e6], "Hz"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, list) else None,
)
def test_units_and_prefixes_are_read_cell_by_cell(cells: list[str], values: list[float], unit: str) -> None:
    # The power goes into the numeral, so each value is the double nearest to it: exact.
    np.testing.assert_array_equal(read(cells), values)
    assert find_form(cells).unit == unit
    assert all(is_numeral(cell) for cell in cells)


def test_other_units_and_words_in_a_column_are_no_numbers() -> None:
    assert find_form(["1 V", "2 A"]) is None
    assert find_form(["12 apples", "13 apples"]) is None
    assert find_form(["OK", "1"]) is None
    assert find_form(["add", "bad", "fee"]) is None
    assert find_form(["", ""]) is None
    assert find_form(["12", "13.5"], radix="hex") is None
    assert find_form(["12", "7ff"], radix="decimal") is None


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1 234", "999", "-12 345.5"], [1234, 999, -12345.5]),
        (["1\u00a0234", "999"], [1234, 999]),
        (["1\u202f234", "0"], [1234, 0]),
        (["1,234", "999"], [1234, 999]),
        (["1,234.5", "2,000.25"], [1234.5, 2000.25]),
        (["1,234,567", "1,000"], [1234567, 1000]),
        (["1'234.5", "999"], [1234.5, 999]),
        (["1.234,5", "2.000,25"], [1234.5, 2000.25]),
        (["0,123", "1,234"], [0.123, 1.234]),
        (["1,5", "-2,25e-3"], [1.5, -0.00225]),
        (["1_000", "20"], [1000, 20]),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else None,
)
def test_separators_of_thousands_and_decimal_commas(cells: list[str], values: list[float]) -> None:
    assert read(cells) == values
    assert all(is_numeral(cell) for cell in cells)


def test_a_comma_that_nothing_explains_is_refused_until_it_is_known() -> None:
    with pytest.raises(FormError, match="the comma of '1,234' may be decimal or part thousands"):
        find_form(["1,234", "2,345"])
    assert read(["1,234", "2,345"], decimal_comma=True) == [1.234, 2.345]
    assert read(["1,5", "2"], decimal_comma=True) == [1.5, 2]


def test_digits_of_other_scripts_are_letters() -> None:
    assert not any(map(is_numeral, ("١٢", "１２", "१२", "12٣", "0x١")))
    assert find_form(["١٢", "١٣"]) is None
    for form in (CellForm(), CellForm("hex", digits=2), CellForm(unit="V", has_prefixes=True)):
        with pytest.raises(CellError, match="'١٢' is not a number"):
            parse_cells(["12", "١٢"], form)


def test_what_is_not_finite_is_a_number() -> None:
    np.testing.assert_array_equal(read(["nan", "-inf", "1", "∞", "-∞"]), [np.nan, -np.inf, 1, np.inf, -np.inf])


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (CellForm(), "1.5", "1.5x"),
        (CellForm(), "1.5", ""),
        (CellForm(), "1.5", "1_5"),
        (CellForm("hex", digits=3), "7ff", "7fg"),
        (CellForm("binary", digits=3, width=3), "101", "102"),
        (CellForm("hex", digits=3), "7ff", "f" * 17),
        (CellForm(unit="V", has_prefixes=True), "1 mV", "1 A"),
        (CellForm(unit="V", has_prefixes=True), "1 mV", "1e3 mV"),
        (CellForm(thousands=","), "1,234", "1,23"),
        (CellForm(thousands=" "), "1 234", "12 34"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 499, 998, 999])
def test_the_first_cell_that_is_no_number_is_named(form: CellForm, good: str, bad: str, place: int) -> None:
    cells = [good] * 1000
    cells[place] = cells[-1] = bad
    with pytest.raises(CellError) as caught:
        parse_cells(cells, form)
    assert (caught.value.index, caught.value.text) == (place, bad)
    assert "is not a number" in str(caught.value)


def test_no_cells_are_no_numbers() -> None:
    assert parse_cells([], CellForm()).shape == parse_cells([], CellForm("hex")).shape == (0,)
    assert parse_cells([], CellForm("hex")).dtype == np.int64


def test_a_scale_that_a_header_names_keeps_the_nearest_double() -> None:
    cells = [str(code) for code in CODES]
    np.testing.assert_array_equal(parse_cells(cells, CellForm(scale=1e-3)), [float(f"{code}e-3") for code in CODES])
    np.testing.assert_array_equal(parse_cells(cells, CellForm(scale=1e3)), CODES * 1000.0)


@pytest.mark.parametrize("spell", ["{:03x}", "0x{:03x}", "{} mV", "{:012b}"])
def test_a_column_is_read_at_more_than_half_a_million_cells_a_second(spell: str) -> None:
    # 4 to 8 million when measured; the bound only catches a loop over cells with an expression for each, 0.1 million.
    cells = [spell.format(code) for code in CODES] * 200
    form = find_form(cells[:500])
    start = time.process_time()
    parse_cells(cells, form)
    assert time.process_time() - start < len(cells) / 5e5


@pytest.mark.parametrize("spell", ["{:012b}b", "0b{:012b}", "12'b{:012b}", 'b"{:012b}"'])
def test_words_that_end_in_the_mark_of_another_spelling_keep_their_bits(spell: str) -> None:
    words = [0, 1, 2, 0x800, 0xFFE, 0xFFF]  # those that end in 0 end in 0b with a b behind
    assert read([spell.format(word) for word in words]) == words


def test_underscores_part_the_bits_of_words() -> None:
    assert read(["1010_0010_0001", "0000_0000_0010", "1111_1111_1110"]) == [0xA21, 2, 0xFFE]
