"""In which code are the words of a file written? Binary, Gray, sign-magnitude or one's complement.

As it is stated, or as neighbours tell: words in another code than the one they are read in jump where their signal does
not. Sign-magnitude and one's complement need the place of their sign bit, the top one of the width; Gray code does not.
"""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.converters.choices import Coding
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import QUANTIZATION_RMS, RecordError, measure_surprise
from qanalysis.converters.textbook.code_formats import CODE_FORMATS
from qanalysis.notation import plain

_FORMATS: dict[Coding, str] = {
    "gray": "Gray",
    "sign-magnitude": "sign-magnitude",
    "ones-complement": "one's complement",
}
_CERTAIN = 3.0  # times that neighbours foretell words worse than the same words read in another code
_FEWEST_LEVELS = 12  # different words; fewer are smooth in several codes
_LOOK = 1 << 14
_MOST_BITS = 32


def decode_words(words: Codes, coding: Coding, bits: int, place: str) -> Codes:
    """The codes (samples,) that words of `bits` write in a coding, signed for sign-magnitude and one's complement.

    Negative words are bit patterns of the width. RecordError for words that the width does not hold.

    >>> decode_words(np.array([0x000, 0x7FF, 0x800, 0xFFF]), "sign-magnitude", 12, "sm.csv").tolist()
    [0, 2047, 0, -2047]
    >>> decode_words(np.array([0, 1, 3, 2, 6]), "gray", 3, "gray.csv").tolist()
    [0, 1, 2, 3, 4]
    """
    if coding == "binary":
        return words
    low, high = int(words.min()), int(words.max())
    if bits > _MOST_BITS:
        raise RecordError(
            f"{place}: {coding} words up to {high} need {bits} bits; converters have at most {_MOST_BITS}"
        )
    if high >> bits or low < -(1 << bits - 1):
        raise RecordError(
            f"{place}: words from {low} to {high} are no {coding} codes of {bits} bits; raise bits, or state another "
            "coding"
        )
    form = CODE_FORMATS[_FORMATS[coding]]
    codes = form.decode(words & (1 << bits) - 1, bits)
    return codes - (1 << bits - 1) if form.signed else codes


def find_word_bits(words: Codes, coding: Coding) -> int:
    """The width of words in a coding that is stated without one: up to the top bit that is used, at least 1.

    That bit is the sign of sign-magnitude and one's complement, unless neighbours foretell the words better without a
    sign: then all of them are positive, and the sign bit stands above.

    >>> find_word_bits(np.array([0x7FF, 0x801, 0x000]), "sign-magnitude")
    12
    """
    top = max(1, int(words.max()).bit_length())
    if coding not in {"sign-magnitude", "ones-complement"}:
        return top
    signed = decode_words(words[:_LOOK], coding, top, "")
    return top if measure_surprise(signed) <= measure_surprise(words[:_LOOK]) else top + 1


def find_coding(words: Codes, bits: int, others: tuple[Codes, ...]) -> tuple[Coding, Finding] | None:
    """Gray or sign-magnitude, where neighbours foretell words read so three times better than as they stand and as in
    any of the `others` (samples,), two's complement say; None where nothing is certain.

    Words must have at least 12 levels, and read so a middle, which a square wave has not.

    >>> codes = np.rint(127.5 + 120 * np.sin(0.37 * np.arange(500))).astype(int)
    >>> find_coding(codes ^ codes >> 1, 8, ())[0], find_coding(codes, 8, ())
    ('gray', None)
    """
    words = words[:_LOOK]
    if np.unique(words).size < _FEWEST_LEVELS:
        return None
    surprise = min(measure_surprise(other[:_LOOK]) for other in (words, *others))
    codings: tuple[Coding, ...] = ("gray", "sign-magnitude")
    readings = {coding: decode_words(words, coding, bits, "") for coding in codings}
    left = {coding: max(measure_surprise(codes), QUANTIZATION_RMS) for coding, codes in readings.items()}
    coding = min(codings, key=lambda known: left[known])
    if surprise <= _CERTAIN * left[coding] or not has_middle(readings[coding]):
        return None
    ratio = surprise / left[coding]
    name = "Gray code" if coding == "gray" else "sign and magnitude"
    text = (
        f"Read as {name} of {bits} bits: as binary words neighbours foretell a sample {plain(ratio)} times worse. "
        "State the coding, binary, where that is wrong."
    )
    return coding, Finding(f"{coding}-codes", text, ratio)


def has_middle(codes: Codes) -> bool:
    """Whether more than 1 % of the codes (samples,) lie within a 16th of their range around its middle.

    Those of a square wave do not, so that nothing is known of a step between its levels.
    """
    low, high = int(codes.min()), int(codes.max())
    middle = np.abs(codes - (low + high) / 2) <= (high - low) / 16
    return bool(middle.mean() > 0.01)
