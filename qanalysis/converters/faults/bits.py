"""Do the bits of the codes go their own ways? Width, justification, and data lines that rest or are joined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes
from qanalysis.converters.faults.levels import take_levels
from qanalysis.converters.findings import BITS_AMBIGUOUS, BITS_GUESSED, Finding
from qanalysis.converters.records.code_words import (
    CHANCE_BITS,
    code_range,
    count_levels,
    count_low_zeros,
    find_edge,
    needed_bits,
    round_up_usual,
)
from qanalysis.converters.records.records import Record
from qanalysis.notation import count, true_minus

_FEW_LEVELS = 256  # show that most bits are not joined
_FEWEST_FOR_BITS = 32  # levels: a bit rests by chance once in 2^31


def find_wrong_width(record: Record) -> Finding | None:
    """Codes outside the range of the width, with the width that would hold them."""
    if record.codes is None or record.bits is None:
        return None
    low, high = code_range(record.bits, signed=bool(record.signed))
    if low <= int(record.codes.min()) and int(record.codes.max()) <= high:
        return None
    outside = int(np.count_nonzero((record.codes < low) | (record.codes > high)))
    most, needed = int(record.codes.max()), needed_bits(record.codes, signed=bool(record.signed))
    span = true_minus(f"{low}..{high} of {record.bits} bits")
    if find_edge(record.codes, signed=bool(record.signed)) == record.bits:
        return _describe_edge(record, most, outside, round_up_usual(needed))
    ends = true_minus(f"from {int(record.codes.min())} to {most}")
    text = f"{count(outside, 'samples')} lie outside the {span}: the codes run {ends}, which takes {needed} bits."
    return Finding("wrong-width", f"{text} State {needed} bits, another sign, or left-justified words.", outside)


def _describe_edge(record: Record, most: int, outside: int, wide: int) -> Finding:
    """Codes that pass the top of the width by exactly one: both readings where the width is a guess."""
    beyond = f"{count(outside, 'samples') if outside > 1 else 'One sample'} at code {most}, one beyond the top of"
    if not is_width_guessed(record):
        text = f"{beyond} the {record.bits} bits stated: clipping, inverted polarity, or a converter of {wide} bits?"
        return Finding("wrong-width", text, outside)
    text = (
        f"{beyond} {record.bits} bits: as clipping or inverted polarity leave it, or a {wide} bit converter whose "
        f"level ends just there, whose ENOB would read {wide - (record.bits or 0)} more. The smaller width is taken; "
        f"state {record.bits} or {wide} bits."
    )
    return Finding(BITS_AMBIGUOUS, text, wide)


def find_unused_bits(record: Record) -> Finding | None:
    """Two or more upper bits that no code uses; nothing where the width itself was guessed from the codes."""
    if record.codes is None or record.bits is None:
        return None
    needed = needed_bits(record.codes, signed=bool(record.signed))
    unused = record.bits - needed
    if unused < 2 or is_width_guessed(record):
        return None
    text = (
        f"The upper {unused} of {record.bits} bits are never used: the codes run "
        f"{true_minus(f'from {record.codes.min()} to {record.codes.max()}')}."
    )
    return Finding("unused-upper-bits", f"{text} The level is low, or the width is {needed} bits: state it.", unused)


def is_width_guessed(record: Record) -> bool:
    """Whether the width comes from the codes and not from the user or a header."""
    return any(finding.code == BITS_GUESSED for finding in record.guesses)


def find_left_justified(record: Record) -> Finding | None:
    """Low bits that are zero in every code, where chance would show that once in 2^30 records."""
    if record.codes is None or record.bits is None:
        return None
    zeros = count_low_zeros(record.codes)
    if zeros < 2 or zeros * count_levels(record.codes) < CHANCE_BITS:
        return None
    text = (
        f"The low {zeros} bits are zero in every code: left-justified words of {record.bits - zeros} bits? "
        "Read them with justify left."
    )
    return Finding("left-justified", text, zeros)


def find_stuck_bits(record: Record, levels: NDArray[np.float64]) -> Finding | None:
    """Bits that rest, or that go with another: 2^(k+1) codes in a row show every pattern of the bits 0 to k.

    `levels` are the distinct codes, ascending.
    """
    if record.codes is None:
        return None
    some = take_levels(levels)
    span = int(some[-1]) - int(some[0]) + 1
    if some.size < _FEWEST_FOR_BITS:
        return None
    places = range(span.bit_length() - 1)
    toggled = int(np.bitwise_or.reduce(some ^ some[0]))
    justified = zeros if (zeros := count_low_zeros(record.codes)) >= 2 else 0
    resting = [place for place in places if not toggled >> place & 1 and place >= justified]
    if resting:
        states = ", ".join(f"bit {place} at {int(some[0]) >> place & 1}" for place in resting)
        text = (
            f"Stuck: {states} (bit 0 is the LSB), while {some.size} different codes over {span} steps toggle the "
            "others. Check the data lines."
        )
        return Finding("stuck-bits", text, resting[-1])
    return _find_tied_bits(some, np.array(places[justified:], np.intp))


def _find_tied_bits(levels: Codes, places: NDArray[np.intp]) -> Finding | None:
    """The first two of the bits `places` that are equal, or inverse, in all of the distinct `levels` (levels,)."""
    if places.size < 2:
        return None
    few = _pair_bits(levels[:: max(levels.size // _FEW_LEVELS, 1)], places)
    pairs = _pair_bits(levels, places) if few.size else few
    if not pairs.size:
        return None
    first, second = (int(places[index]) for index in pairs[0])
    same = "equals" if (int(levels[0]) >> first & 1) == (int(levels[0]) >> second & 1) else "is the inverse of"
    text = (
        f"Bit {second} always {same} bit {first} (bit 0 is the LSB) in {levels.size} different codes: "
        "two data lines are joined, or one is read twice."
    )
    return Finding("tied-bits", text, second)


def _pair_bits(levels: Codes, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which two of the bits `places` are equal, or inverse, in all levels, (pairs, 2) indices."""
    signs = ((levels[:, np.newaxis] >> places & 1) * 2 - 1).astype(np.float32)
    # Sums of 2^16 ones are exact in float32.
    return np.argwhere(np.triu(np.abs(signs.T @ signs) == levels.size, 1))
