"""Which codes do the words of a file hold?

Width, justification and sign, guessed from evidence that is shown, or as they are stated.

Words are taken as two's complement or unsigned as their container is, right-justified, unless the evidence says
otherwise. Right-justified codes of a container without a header may be narrower than it: the guess is the narrowest
usual width that holds them. Codes that reach exactly 2^k are those of the width that ends just below it, clipped or of
inverted polarity, sooner than those of a wider converter: a guess never flatters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.converters.choices import Coding, Justification
from qanalysis.converters.findings import BITS_GUESSED, Finding
from qanalysis.converters.records.codings import decode_words, find_coding, find_word_bits, has_middle
from qanalysis.converters.records.reading import check_justification
from qanalysis.converters.records.samples import QUANTIZATION_RMS, RecordError, Samples, measure_surprise
from qanalysis.notation import plain, true_minus

#: Codes of the findings that say how words were read, besides their width.
CODE_NOTES = frozenset(
    {"bits-stated", "left-justified", "unsigned", "wrapped-codes", "gray-codes", "sign-magnitude-codes"}
)
USUAL_BITS = (8, 10, 12, 14, 16, 18, 20, 24, 32)
MAX_BITS = 32
CHANCE_BITS = 30  # evidence that is there by chance once in 2^30 records
_CONTAINERS = (8, 16, 24, 32)
_LOOK = 2**16  # samples that are enough to judge by
_FEWEST = 16  # samples below which nothing is evident
_NARROWEST_EDGE = 6  # bits: codes that reach less are as well a few steps of noise


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """Codes (samples,) with the width, justification and sign they were read with; `notes` say how these were found."""

    codes: Codes
    bits: int
    justification: Justification
    signed: bool
    notes: tuple[Finding, ...]


def resolve_codes(
    samples: Samples,
    place: str,
    *,
    bits: int | None = None,
    justify: Justification | None = None,
    signed: bool | None = None,
    coding: Coding | None = None,
) -> Resolved:
    """The codes in integer samples; what is given is taken, what is not is guessed.

    Codes beyond a given width are kept as they are. Raises RecordError for a width beyond 1..32 or beyond the
    container, and for words that a stated coding other than binary does not have.

    >>> words = Samples(np.arange(-32768, 32768, 16, np.int16), container_bits=16, container_signed=True)
    >>> read = resolve_codes(words, "left.npy")
    >>> read.bits, read.justification, read.codes[[0, -1]].tolist()
    (12, 'left', [-2048, 2047])
    """
    words = samples.numbers
    if words.dtype != np.int64 or isinstance(words, np.memmap):  # a file that is mapped may change
        words = words.astype(np.int64)
    container = _find_container(words, samples, place, bits=bits)
    check_justification(justify, place)
    shift, shift_notes = _find_shift(words, samples, container, bits=bits, justify=justify)
    words = words >> shift if shift else words
    width = bits or (container - shift if shift or justify == "left" else samples.stated_bits)
    coding_notes: tuple[Finding, ...] = ()
    if coding is None and signed is None:
        coding, coding_notes = _find_coding(words, samples, container - shift, bits=width)
    if coding is not None and coding != "binary":
        patterns = words & (1 << container - shift) - 1 if int(words.min()) < 0 else words
        word_bits = width or find_word_bits(patterns, coding)
        words = decode_words(patterns, coding, word_bits, place)
        if coding != "gray":
            signed, width = True, word_bits
    codes, is_signed, wrapped_at, sign_notes = _find_sign(words, samples, container - shift, bits=width, signed=signed)
    ends = _take_ends(codes)
    if wrapped_at in _CONTAINERS and width is None:  # a word's sign may be repeated up to its top
        wrapped_at = min(wrapped_at, round_up_bits(ends, signed=is_signed))
    width = width or wrapped_at
    if width is None:
        width = min(round_up_bits(ends, signed=is_signed), container)
    width_notes = () if bits is not None else (_note_bits(ends, width, samples, shift),)
    return Resolved(
        codes,
        width,
        "left" if shift or justify == "left" else "right",
        is_signed,
        (*width_notes, *shift_notes, *coding_notes, *sign_notes),
    )


def _find_container(words: Codes, samples: Samples, place: str, *, bits: int | None) -> int:
    """The width of the words: as the file has it, or the least usual one; RecordError where no converter's codes fit,
    and for a stated width that is none of these words.
    """
    ends = _take_ends(words)
    edge = find_edge(ends, signed=bool(ends[0] < 0))
    held = next((width for width in _CONTAINERS if _fits(ends, width) or edge == width), None)
    if held is None:
        raise RecordError(
            f"{place}: the codes run {true_minus(f'from {ends[0]} to {ends[1]}')}; converters have at "
            f"most {MAX_BITS} bits"
        )
    container = samples.container_bits or held
    if container > MAX_BITS or samples.container_bits is None:
        # Text and integers of 64 bits, a language's default, are no words of a width: a stated one is taken as it is.
        container = max(held, next((width for width in _CONTAINERS if width >= (bits or 0)), held))
    zeros = count_low_zeros(words) if bits is None else 0
    if bits is None and container - zeros not in USUAL_BITS and held - zeros in USUAL_BITS:
        container = held  # left-justified in words of 16 bits, say, that were kept in 32
    if bits is not None and (isinstance(bits, bool) or not 1 <= bits <= min(MAX_BITS, container)):
        raise RecordError(
            f"{place}: bits {bits} was given; converters have 1 to {MAX_BITS}, and these words have {container}"
        )
    return container


def _take_ends(words: Codes) -> Codes:
    """The least and the largest word, (2,), which say as much of the width as all of them."""
    return np.array([words.min(), words.max()])


def needed_bits(codes: Codes, *, signed: bool) -> int:
    """The narrowest width that holds the codes, at least 1; two's complement where `signed`.

    >>> needed_bits(np.array([-2048, 2047]), signed=True), needed_bits(np.array([0, 4095]), signed=False)
    (12, 12)
    """
    low, high = int(codes.min()), int(codes.max())
    reach = max(high, -low - 1)
    return max(1, reach.bit_length() + (signed or low < 0))


def find_edge(codes: Codes, *, signed: bool) -> int | None:
    """The width whose top code the codes (samples,) pass by exactly one; None where they do not reach exactly 2^k.

    Such codes may as well be those of a wider converter, driven to 2^k by chance. They must cover half of the width, of
    at least 6 bits, as the noise of a converter at rest does not.

    >>> find_edge(np.array([-2047, 2048]), signed=True), find_edge(np.array([0, 4096]), signed=False)
    (12, 12)
    >>> find_edge(np.array([-2049, 2048]), signed=True), find_edge(np.array([2040, 2048]), signed=False)
    (None, None)
    """
    low, high = int(codes.min()), int(codes.max())
    width = high.bit_length() - 1 + signed
    reaches = high > 0 and high & (high - 1) == 0 and low >= code_range(width, signed=signed)[0]
    return width if reaches and width >= _NARROWEST_EDGE and high - low >= 1 << width - 1 else None


def round_up_bits(codes: Codes, *, signed: bool) -> int:
    """The narrowest width where the codes (samples,) reach within 1/128 of both its ends, the next usual one otherwise.

    Of codes that pass the top of a width by exactly one it is that width.

    >>> round_up_bits(np.array([0, 4090]), signed=False), round_up_bits(np.array([0, 2100]), signed=False)
    (12, 12)
    >>> round_up_bits(np.array([0, 2040]), signed=False), round_up_bits(np.array([0, 1100]), signed=False)
    (11, 12)
    >>> round_up_bits(np.array([-2048, 2048]), signed=True)
    12
    """
    edge = find_edge(codes, signed=signed)
    if edge is not None:
        return edge
    narrow = needed_bits(codes, signed=signed)
    low, high = code_range(narrow, signed=signed)
    room = (high - low) >> 7
    if int(codes.min()) <= low + room and int(codes.max()) >= high - room:
        return narrow
    return round_up_usual(narrow)


def round_up_usual(bits: int) -> int:
    """The next width that converters have, the width itself beyond them.

    >>> round_up_usual(13), round_up_usual(14)
    (14, 14)
    """
    return next((usual for usual in USUAL_BITS if usual >= bits), bits)


def code_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Lowest and highest code of a width.

    >>> code_range(12, signed=True), code_range(12, signed=False)
    ((-2048, 2047), (0, 4095))
    """
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def count_low_zeros(codes: Codes) -> int:
    """Low bits that are zero in every code; 0 where all codes are zero.

    >>> count_low_zeros(np.array([48, -16, 64]))
    4
    """
    union = 0
    for start in range(0, codes.size, _LOOK):
        union |= int(np.bitwise_or.reduce(codes[start : start + _LOOK]))
        if union & 1:
            return 0
    return (union & -union).bit_length() - 1 if union else 0


def count_levels(codes: Codes) -> int:
    """Distinct codes among at most 2^16 samples, evenly taken."""
    return int(np.unique(codes[:: max(1, codes.size // _LOOK)]).size)


def _fits(words: Codes, width: int) -> bool:
    """Whether the words stay between the lowest signed and the highest unsigned code of a width."""
    return -(1 << width - 1) <= int(words.min()) and int(words.max()) < 1 << width


def _find_shift(
    words: Codes, samples: Samples, container: int, *, bits: int | None, justify: Justification | None
) -> tuple[int, tuple[Finding, ...]]:
    """By how many bits the words stand too far left:
    as stated, or where low zeros are no chance; 0 for right-justified.

    Zeros are evident where all levels seen would have them by chance once in 2^30, or where WAV prescribes them.
    """
    zeros = count_low_zeros(words)
    if justify is not None:
        return (container - bits if bits else zeros) if justify == "left" else 0, ()
    evident = zeros >= 2 and zeros * count_levels(words) >= CHANCE_BITS
    if samples.container_bits is None:  # the container is a guess too: believed where the words fill it
        evident = evident and container - needed_bits(words, signed=bool(words.min() < 0)) <= 1
    elif samples.stated_bits is not None and 0 < container - samples.stated_bits <= zeros:
        evident = True  # what WAV prescribes
    shift = (container - bits if bits else zeros) if evident else 0
    if not 0 < shift <= zeros:
        return 0, ()
    text = (
        f"The low {zeros} bits of the {container}-bit words are zero in every sample: "
        f"left-justified codes of {container - shift} bits, moved down by {shift}."
    )
    return shift, (Finding("left-justified", text, zeros),)


def _find_coding(
    words: Codes, samples: Samples, container: int, *, bits: int | None
) -> tuple[Coding | None, tuple[Finding, ...]]:
    """Another coding than binary where it is evident, and why; none where a header of PCM or a minus sign tells it."""
    negative = int(words.min()) < 0
    told = samples.container_bits is None or samples.container_bits > MAX_BITS
    if words.size < _FEWEST or (negative and told) or (samples.container_signed and samples.stated_bits is not None):
        return None, ()
    ends = _take_ends(words)
    holds = ends[0] >= 0 and ends[1] < 1 << container
    patterns = words if holds else words & (1 << container) - 1
    width = bits or (container if negative else needed_bits(ends if holds else patterns, signed=False))
    if int(ends[1] if holds else patterns.max()) >> width:
        return None, ()
    found = find_coding(patterns, width, (words, _wrap(patterns[:_LOOK], width, signed=True)))
    return (None, ()) if found is None else (found[0], (found[1],))


def _find_sign(
    words: Codes, samples: Samples, container: int, *, bits: int | None, signed: bool | None
) -> tuple[Codes, bool, int | None, tuple[Finding, ...]]:
    """Codes, whether they are two's complement, the width that they were wrapped at, and why;
    `container` is the width left after the shift.
    """
    ends = _take_ends(words)
    low, high = int(ends[0]), int(ends[1])
    width = container if low < 0 else bits or round_up_bits(ends, signed=False)
    if signed is not None:
        if signed == (low < 0):
            return words, signed, None, ()
        other = _wrap(words, width, signed=low >= 0)
        if not signed:
            return (_wrap(words, bits, signed=False) if bits else other), False, bits or width, ()
        wraps = 1 << width - 1 <= high < 1 << width and (bits is not None or not samples.container_signed)
        return (other, True, width, ()) if wraps else (words, True, None, ())
    if low < 0 or high < 1 << width:  # codes beyond a stated width have no place to wrap at
        ratio = _compare_readings(words, width, signed=low >= 0)
        if ratio is not None:
            other = _wrap(words, width, signed=low >= 0)
            found = "two's complement" if low >= 0 else "offset binary"
            text = (
                f"Read as {found} of {width} bits: as the words stand they wrap in mid-range, "
                f"and neighbours foretell a sample {plain(ratio)} times worse."
            )
            return other, low >= 0, width, (Finding("wrapped-codes", text, ratio),)
    kept = bool(samples.container_signed) and (samples.stated_bits is not None or words.size < _FEWEST or low == high)
    if low < 0 or kept:
        return words, True, None, ()
    return (
        words,
        False,
        None,
        (
            Finding(
                "unsigned",
                f"Read as unsigned (straight binary): the codes run from {low} to {high}, none is negative.",
                low,
            ),
        ),
    )


def _wrap(words: Codes, width: int, *, signed: bool) -> Codes:
    """The low `width` bits of each word read anew, as two's complement or as unsigned."""
    half = 1 << width - 1 if signed else 0
    wrapped: Codes = ((words + half) & ((1 << width) - 1)) - half
    return wrapped


def _compare_readings(words: Codes, width: int, *, signed: bool) -> float | None:
    """How much worse neighbours foretell the words than what `_wrap` makes of them;
    None below twice, and where that has no middle, as a square wave.
    """
    if words.size < _FEWEST:
        return None
    surprise, other_surprise = (measure_surprise(some) for some in (words, _wrap(words[:_LOOK], width, signed=signed)))
    if not surprise > 2 * other_surprise or not has_middle(_wrap(words, width, signed=signed)):
        return None
    return surprise / max(other_surprise, QUANTIZATION_RMS)


def _note_bits(codes: Codes, width: int, samples: Samples, shift: int) -> Finding:
    """How the width was found: from the file, or guessed from the codes."""
    ends = true_minus(f"from {int(codes.min())} to {int(codes.max())}")
    if samples.stated_bits is not None and not shift:
        return Finding("bits-stated", f"{width} bits, as the file states; the codes run {ends}.", width)
    text = f"{width} bits guessed: the codes run {ends}. Give the width where the converter has another."
    return Finding(BITS_GUESSED, text, width)
