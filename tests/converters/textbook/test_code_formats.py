"""Six code formats: tables worked by hand, inverse pairs over all codes,
the definitions as plain Python, the two zeros, refusals.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from qanalysis.converters.textbook.code_formats import CODE_FORMATS, NO_WORD, CodeFormat, group_digits, spell_code

EVERY = pytest.mark.parametrize("form", CODE_FORMATS.values(), ids=str)

# Codes 0 to 7 of 3 bits, by hand.
THREE_BITS = {
    "straight binary": "000 001 010 011 100 101 110 111",
    "offset binary": "000 001 010 011 100 101 110 111",
    "two's complement": "100 101 110 111 000 001 010 011",
    "one's complement": "--- 100 101 110 000 001 010 011",
    "sign-magnitude": "--- 111 110 101 000 001 010 011",
    "Gray": "000 001 011 010 110 111 101 100",
}


def spell_number(form: str, number: int, bits: int) -> int | None:
    """The bit pattern by the format's definition, digit by digit."""
    magnitude = [int(digit) for digit in f"{abs(number):0{bits}b}"]
    if form == "sign-magnitude":
        digits = None if magnitude[0] else [int(number < 0), *magnitude[1:]]
    elif form == "one's complement":
        digits = None if magnitude[0] else [1 - digit for digit in magnitude] if number < 0 else magnitude
    elif form == "two's complement":
        return number % (1 << bits)
    elif form == "Gray":
        digits = [magnitude[0], *(a ^ b for a, b in pairwise(magnitude))]
    else:
        return number + (2 ** (bits - 1) if form == "offset binary" else 0)
    return None if digits is None else int("".join(map(str, digits)), 2)


@EVERY
def test_three_bits_are_the_table_worked_by_hand(form: CodeFormat) -> None:
    patterns = form.encode(np.arange(8), 3)
    assert " ".join("---" if pattern == NO_WORD else f"{pattern:03b}" for pattern in patterns) == THREE_BITS[form.name]


@EVERY
@pytest.mark.parametrize("bits", [1, 2, 5, 8, 12])
def test_every_word_is_its_definition_and_reads_back(form: CodeFormat, bits: int) -> None:
    codes = np.arange(2**bits)
    patterns = form.encode(codes, bits)
    for code, pattern in zip(codes.tolist(), patterns.tolist(), strict=True):
        assert (None if pattern == NO_WORD else pattern) == spell_number(form.name, form.number(code, bits), bits)
    spelled = codes[patterns != NO_WORD]
    assert spelled.size == 2**bits - (not form.has_lowest)
    assert form.decode(patterns[patterns != NO_WORD], bits).tolist() == spelled.tolist()


@EVERY
def test_the_widest_codes_read_back(form: CodeFormat) -> None:
    codes = np.unique(
        np.concatenate(
            [2 ** np.arange(32), 2 ** np.arange(1, 33) - 1, np.random.default_rng(4).integers(1, 2**32, 1000)]
        )
    )
    assert form.decode(form.encode(codes, 32), 32).tolist() == codes.tolist()


def test_neighbours_in_gray_differ_in_one_bit() -> None:
    patterns = CODE_FORMATS["Gray"].encode(np.arange(2**12), 12).tolist()
    assert {(a ^ b).bit_count() for a, b in pairwise([*patterns, patterns[0]])} == {1}


@pytest.mark.parametrize(("name", "negative_zero"), [("one's complement", 0b11111111), ("sign-magnitude", 0b10000000)])
def test_the_second_zero_reads_as_zero(name: str, negative_zero: int) -> None:
    assert CODE_FORMATS[name].decode([0, negative_zero], 8).tolist() == [128, 128]


def test_a_code_is_spelled_in_all_formats() -> None:
    words = {word.format: (word.binary, word.hexadecimal, word.number) for word in spell_code(96, 8)}
    assert words == {
        "straight binary": ("0110 0000", "0x60", 96),
        "offset binary": ("0110 0000", "0x60", -32),
        "two's complement": ("1110 0000", "0xE0", -32),
        "one's complement": ("1101 1111", "0xDF", -32),
        "sign-magnitude": ("1010 0000", "0xA0", -32),
        "Gray": ("0101 0000", "0x50", 96),
    }


def test_the_lowest_code_has_no_word_in_formats_with_two_zeros() -> None:
    silent = [word.format for word in spell_code(0, 12) if word.binary is None and word.hexadecimal is None]
    assert silent == ["one's complement", "sign-magnitude"]
    assert {word.number for word in spell_code(0, 12) if word.format in silent} == {-2048}


@pytest.mark.parametrize(
    ("digits", "grouped"), [("1", "1"), ("1010", "1010"), ("11010", "1 1010"), ("110011001100", "1100 1100 1100")]
)
def test_digits_are_grouped_from_the_right(digits: str, grouped: str) -> None:
    assert group_digits(digits) == grouped


def test_refusals_say_what_is_wrong() -> None:
    gray = CODE_FORMATS["Gray"]
    with pytest.raises(ValueError, match=r"codes 0..256: 8 bits have codes 0..255"):
        gray.encode([0, 256], 8)
    with pytest.raises(ValueError, match=r"patterns -1..-1: 8 bits have patterns 0..255"):
        gray.decode([-1], 8)
    with pytest.raises(TypeError, match="codes of type float64: whole numbers"):
        gray.encode([1.0], 8)
    for bits in (0, 33):
        with pytest.raises(ValueError, match=f"bits {bits}: a converter has 1 to 32 bits"):
            gray.encode([0], bits)
