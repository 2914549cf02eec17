"""Which words may be chosen about a converter and its record?

One Literal, one tuple and one check each, for engines, commands and pages.

The steps of a range, "2^n" or "2^n-1", belong to the quantizer (`FsOver`), the windows to `spectrum/windows.py`.
"""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

from qanalysis.notation import quote

Word = TypeVar("Word", bound=str)

#: Where a code's levels and transitions stand.
Transfer = Literal["mid-tread", "mid-rise", "floor"]
TRANSFERS: tuple[Transfer, ...] = get_args(Transfer)
#: What 0 dBFS is the rms of: a sine over the range, or a square (dc) over it.
FullScaleWave = Literal["sine", "dc"]
FULL_SCALES: tuple[FullScaleWave, ...] = get_args(FullScaleWave)
#: What stood at the input of a linearity test: a ramp or a sine, or inputs that are known, one of each code.
Test = Literal["ramp", "sine", "pairs"]
TESTS: tuple[Test, ...] = get_args(Test)
#: The line that an INL is taken from.
InlReference = Literal["end-point", "best-fit"]
INL_REFERENCES: tuple[InlReference, ...] = get_args(InlReference)
#: Where a code stands in its word.
Justification = Literal["right", "left"]
JUSTIFICATIONS: tuple[Justification, ...] = get_args(Justification)
#: What the numbers of a file are: codes, or volts in either size.
Unit = Literal["V", "mV", "code"]
UNITS: tuple[Unit, ...] = get_args(Unit)
#: How the words of a file write a code; binary is straight or two's complement, as the sign says.
Coding = Literal["binary", "gray", "sign-magnitude", "ones-complement"]
CODINGS: tuple[Coding, ...] = get_args(Coding)
#: In which digits text writes its words.
Radix = Literal["decimal", "hex", "binary"]
RADIXES: tuple[Radix, ...] = get_args(Radix)
#: How several records become one spectrum: the mean of their powers, or of the records themselves, laid in phase.
Average = Literal["power", "coherent"]
AVERAGES: tuple[Average, ...] = get_args(Average)
#: What stands at the input of a simulated converter; a record is the user's own.
WaveformName = Literal["sine", "ramp", "triangle", "gaussian", "dc", "two-tone", "record"]
WAVEFORMS: tuple[WaveformName, ...] = get_args(WaveformName)
#: Whose size is swept against the step.
Signal = Literal["sine", "gaussian"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)
#: What is added before rounding.
DitherName = Literal["none", "rpdf", "tpdf", "subtractive"]
DITHER_NAMES: tuple[DitherName, ...] = get_args(DitherName)
#: How real transitions lie off the straight line.
InlShape = Literal["none", "bow", "s-shape", "saw-tooth", "mid-step"]
INL_SHAPES: tuple[InlShape, ...] = get_args(InlShape)


def choose(word: str, words: tuple[Word, ...], fault: str) -> Word:
    """The one of `words` that `word` is; ValueError with the text `fault` where it is none."""
    for known in words:
        if known == word:
            return known
    raise ValueError(fault)


def check_transfer(word: str) -> Transfer:
    """The word as a transfer; ValueError names them all.

    >>> check_transfer("floor")
    'floor'
    """
    return choose(word, TRANSFERS, f"transfer {quote(word)} is unknown; use {', '.join(TRANSFERS)}")


def check_full_scale(word: str) -> FullScaleWave:
    """The word as what 0 dBFS refers to; ValueError names both."""
    return choose(word, FULL_SCALES, f"full_scale {quote(word)}: 0 dBFS refers to a 'sine' over the range or to 'dc'")


def check_test(word: str) -> Test:
    """The word as a linearity test; ValueError names them all."""
    return choose(word, TESTS, f"test {quote(word)} is unknown; choose {', '.join(TESTS)}")


def check_unit(word: str) -> Unit:
    """The word as a unit of a file's numbers; ValueError names them all."""
    return choose(word, UNITS, f"unit {quote(word)} is unknown; use {', '.join(UNITS)}")


def check_coding(word: str) -> Coding:
    """The word as a coding; ValueError names them all."""
    return choose(word, CODINGS, f"coding {quote(word)} is unknown; use {', '.join(CODINGS)}")


def check_radix(word: str) -> Radix:
    """The word as the digits of a text; ValueError names them all."""
    return choose(word, RADIXES, f"radix {quote(word)} is unknown; use {', '.join(RADIXES)}")


def check_average(word: str) -> Average:
    """The word as a way to average records; ValueError names both."""
    return choose(word, AVERAGES, f"average {quote(word)} is unknown; use {' or '.join(AVERAGES)}")


def check_reference(word: str) -> InlReference:
    """The word as the line of an INL; ValueError names both."""
    return choose(word, INL_REFERENCES, f"INL reference {quote(word)} is unknown; choose {' or '.join(INL_REFERENCES)}")


def check_signal(word: str) -> Signal:
    """The word as a signal whose size is swept; ValueError names both."""
    return choose(word, SIGNALS, f"signal {quote(word)} is unknown; choose {' or '.join(SIGNALS)}")


def check_dither(word: str) -> DitherName:
    """The word as a dither; ValueError names them all."""
    return choose(word, DITHER_NAMES, f"dither {quote(word)} is unknown; use {', '.join(DITHER_NAMES)}")


def check_shape(word: str) -> InlShape:
    """The word as the shape of an INL; ValueError names them all."""
    return choose(word, INL_SHAPES, f"INL shape {quote(word)} is unknown; use {', '.join(INL_SHAPES)}")
