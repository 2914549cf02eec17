"""How is a file of samples read, where it does not say so itself? The choices of a reader as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qanalysis.converters.choices import JUSTIFICATIONS, Coding, Justification, Radix, Unit
from qanalysis.converters.records.samples import RecordError
from qanalysis.notation import quote, si


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is stated about a file of samples; None means: find out.

    Parameters
    ----------
    column : a column of text or an array of an archive, by name or by number from 1.
    inputs : the column of what stood at the input, of pairs (input, code); named like `column`.
    channel : a channel of a WAV, NPY or raw file, by number from 1.
    bits, justify, signed : width of the codes, their place in their words, two's complement or not.
    coding : how the words write their codes; radix : in which digits text writes the words.
    unit : "code", or volts and millivolts, which are no codes even where they are whole; values are then in volts.
    fs_hz : sample rate; of a file with times it overrides them, so that they may be uneven.
    resample : lay samples of uneven times on even ones, by a cubic spline.
    dtype : the words of a raw file, such as i16le, u8, i16le*2, or complex ones, cu8, ci16le, cf32le.
    """

    column: str | int | None = None
    inputs: str | int | None = None
    channel: int | None = None
    bits: int | None = None
    justify: Justification | None = None
    signed: bool | None = None
    coding: Coding | None = None
    radix: Radix | None = None
    unit: Unit | None = None
    fs_hz: float | None = None
    resample: bool = False
    dtype: str | None = None

    def check_rate(self, place: str) -> None:
        """RecordError unless the stated rate, if any, is finite and above 0."""
        if self.fs_hz is not None and not (math.isfinite(self.fs_hz) and self.fs_hz > 0):
            stated = "NaN" if math.isnan(self.fs_hz) else si(self.fs_hz, "Hz")
            raise RecordError(f"{place}: fs {stated} was given; a sample rate is finite and above zero")


def check_justification(word: str | None, place: str) -> Justification | None:
    """The word as a justification, None for none stated; RecordError names the place and both."""
    if word is None:
        return None
    for known in JUSTIFICATIONS:
        if known == word:
            return known
    raise RecordError(f"{place}: justify {quote(word)} was given; it is 'left' or 'right'")
