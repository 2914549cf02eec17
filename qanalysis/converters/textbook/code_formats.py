"""How is a converter's code written as bits?

Six formats, each a pair of inverse maps between codes 0..2^n-1 and bit patterns.

Straight binary and Gray count from the bottom of the range; offset binary, two's complement, one's complement and
sign-magnitude stand for the signed number code - 2^(n-1), counted from the middle. The last two have two zeros and no
word for the lowest code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Codes

#: In an array of patterns: this format has no word for the code.
NO_WORD = -1


@dataclass(frozen=True, slots=True)
class CodeFormat:
    """One way to write codes as bits.

    `signed` formats stand for code - 2^(n-1); `has_lowest` says whether the lowest code has a word.
    """

    name: str
    signed: bool
    has_lowest: bool
    _to_pattern: Callable[[Codes, int], Codes]
    _to_code: Callable[[Codes, int], Codes]

    def __str__(self) -> str:
        return self.name

    def encode(self, codes: ArrayLike, bits: int) -> Codes:
        """Bit patterns of `codes` as numbers 0..2^n-1, same shape; NO_WORD (-1) where the format has none.

        ValueError outside 0..2^n-1.

        >>> CODE_FORMATS["sign-magnitude"].encode([0, 1, 4, 7], 3)
        array([-1,  7,  0,  3])
        """
        codes = _check_range(codes, bits, "codes")
        patterns = self._to_pattern(codes, bits)
        return patterns if self.has_lowest else np.where(codes == 0, NO_WORD, patterns)

    def decode(self, patterns: ArrayLike, bits: int) -> Codes:
        """Codes of bit patterns, same shape; the second zero reads as zero. ValueError outside 0..2^n-1.

        >>> CODE_FORMATS["sign-magnitude"].decode([7, 4, 0, 3], 3)
        array([1, 4, 4, 7])
        """
        return self._to_code(_check_range(patterns, bits, "patterns"), bits)

    def number(self, code: int, bits: int) -> int:
        """What the code counts in this format: itself, or its distance from the middle of the range."""
        return code - (1 << (bits - 1)) if self.signed else code


def _check_range(values: ArrayLike, bits: int, name: str) -> Codes:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} of type {array.dtype}: whole numbers are needed")
    if not 1 <= bits <= 32:
        raise ValueError(f"bits {bits}: a converter has 1 to 32 bits")
    if array.size and (array.min() < 0 or array.max() >> bits):
        raise ValueError(f"{name} {array.min()}..{array.max()}: {bits} bits have {name} 0..{2**bits - 1}")
    return array.astype(np.int64)


def _same(values: Codes, _bits: int) -> Codes:
    return values


def _flip_sign_bit(values: Codes, bits: int) -> Codes:
    return values ^ (1 << (bits - 1))


def _to_ones_complement(codes: Codes, bits: int) -> Codes:
    number = codes - (1 << (bits - 1))
    return np.where(number < 0, number + (1 << bits) - 1, number)


def _from_ones_complement(patterns: Codes, bits: int) -> Codes:
    middle = 1 << (bits - 1)
    return np.where(patterns < middle, patterns + middle, patterns + 1 - middle)


def _to_sign_magnitude(codes: Codes, bits: int) -> Codes:
    middle = 1 << (bits - 1)
    return np.where(codes < middle, 2 * middle - codes, codes - middle)


def _from_sign_magnitude(patterns: Codes, bits: int) -> Codes:
    middle = 1 << (bits - 1)
    return np.where(patterns < middle, middle + patterns, 2 * middle - patterns)


def _to_gray(codes: Codes, _bits: int) -> Codes:
    return codes ^ (codes >> 1)


def _from_gray(patterns: Codes, _bits: int) -> Codes:
    # A bit is the parity of the bits from the top down to it: five doublings reach 32.
    for shift in (1, 2, 4, 8, 16):
        patterns = patterns ^ (patterns >> shift)
    return patterns


CODE_FORMATS = {
    form.name: form
    for form in (
        CodeFormat("straight binary", False, True, _same, _same),
        CodeFormat("offset binary", True, True, _same, _same),
        CodeFormat("two's complement", True, True, _flip_sign_bit, _flip_sign_bit),
        CodeFormat("one's complement", True, False, _to_ones_complement, _from_ones_complement),
        CodeFormat("sign-magnitude", True, False, _to_sign_magnitude, _from_sign_magnitude),
        CodeFormat("Gray", False, True, _to_gray, _from_gray),
    )
}


@dataclass(frozen=True, slots=True)
class CodeWord:
    """One code in one format: its bits in groups of four, the same as hexadecimal, and the number counted;
    None where there is no word.
    """

    format: str
    binary: str | None
    hexadecimal: str | None
    number: int


def spell_code(code: int, bits: int) -> tuple[CodeWord, ...]:
    """A code in all six formats. ValueError for a code outside 0..2^n-1.

    >>> [f"{word.format} {word.binary}" for word in spell_code(96, 8)][1:3]
    ['offset binary 0110 0000', "two's complement 1110 0000"]
    """
    words = []
    for form in CODE_FORMATS.values():
        pattern = int(form.encode(code, bits))
        digits, nibbles = (
            (f"{pattern:0{bits}b}", f"0x{pattern:0{-(-bits // 4)}X}") if pattern != NO_WORD else (None, None)
        )
        words.append(CodeWord(form.name, digits and group_digits(digits), nibbles, form.number(code, bits)))
    return tuple(words)


def group_digits(digits: str) -> str:
    """Binary digits in groups of four, counted from the right.

    >>> group_digits("110000")
    '11 0000'
    """
    head = len(digits) % 4
    return " ".join(filter(None, [digits[:head], *(digits[i : i + 4] for i in range(head, len(digits), 4))]))
