"""What may be asked of a linearity test?

The stimulus, the range, the reference line and the error bars, as one value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from qanalysis.converters.choices import InlReference, Test, Transfer, check_reference, check_test, check_transfer
from qanalysis.converters.lines import spell_span
from qanalysis.quantizers.quantizer import FsOver, check_fs_over


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearityOptions:
    """How a record of codes is tested.

    Parameters
    ----------
    test : what stood at the input: a "ramp", or a "sine" that overdrives the range.
    reference : INL from the line through both ends ("end-point") or by least squares ("best-fit").
    low, high, fs_over, transfer : the converter. Without a range `measure_linearity` takes 0 to 1; a capture is counted
        in LSB.
    drive : the lowest and the highest input, in the unit of `low` and `high`; a ramp without it runs from `low` to
        `high`, of a sine without it neither offset nor gain can be known.
    confidence : of the error bars, two-sided. dnl_within_lsb : for which error `samples_needed` is told; it decides
        nothing else.

    Raises
    ------
    ValueError : an unknown word, half a range, a drive that does not rise.
    """

    test: Test = "ramp"
    reference: InlReference = "end-point"
    low: float | None = None
    high: float | None = None
    fs_over: FsOver = "2^n"
    transfer: Transfer = "mid-tread"
    drive: tuple[float, float] | None = None
    confidence: float = 0.95
    dnl_within_lsb: float = 0.1

    def __post_init__(self) -> None:
        check_test(self.test)
        check_reference(self.reference)
        check_fs_over(self.fs_over)
        check_transfer(self.transfer)
        if (self.low is None) != (self.high is None):
            raise ValueError(f"range {self.low}:{self.high}: give both low and high, or neither")
        if self.drive is not None:
            start, stop = map(float, self.drive)
            if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
                raise ValueError(
                    f"drive {start}:{stop}: the lowest input must lie below the highest; "
                    "swap them (a falling ramp is seen in the record)",
                )

    @property
    def settings(self) -> dict[str, Any]:
        """The options as a document tells them, by the words of the command."""
        return {
            "range": spell_span(self.low, self.high),
            "test": self.test,
            "reference": self.reference,
            "drive": None if self.drive is None else spell_span(*self.drive),
            "fs_over": self.fs_over,
            "transfer": self.transfer,
            "confidence": self.confidence,
            "within": self.dnl_within_lsb,
        }
