"""What may be asked of a spectrum?

The range, the window, the harmonics and the band, as one value for engine, command and page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from qanalysis.converters.choices import Average, FullScaleWave, check_average, check_full_scale
from qanalysis.converters.lines import spell_span
from qanalysis.converters.spectrum.windows import Window, check_window
from qanalysis.quantizers.quantizer import FsOver, check_fs_over

MOST_HARMONICS = 100
NARROWEST, WIDEST = 1e-150, 1e150  # their squares are powers in double precision


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrumOptions:
    """How the spectrum of a record is taken; None and "auto" mean that the record decides.

    Parameters
    ----------
    low, high, fs_over : the converter's range in the record's unit, and "2^n" or "2^n-1" steps of it.
    full_scale : what 0 dBFS refers to: "sine" or "dc".
    window, side_bins : "auto", or one of WINDOWS and a number of bins.
    harmonics : the highest order counted as distortion, 2..100.
    band_hz : take tones, noise and spurs from this band (low, high) only.
    osr : the same of 0 to half the sample rate over this number, at least 1; beside `band_hz` only 1.
    average : how several records become one, "power" or "coherent"; None for one record.

    Raises
    ------
    ValueError : half a range or a reversed one, an unknown word, an order out of range.
    """

    low: float | None = None
    high: float | None = None
    fs_over: FsOver = "2^n"
    full_scale: FullScaleWave = "sine"
    window: Window | Literal["auto"] = "auto"
    side_bins: int | Literal["auto"] = "auto"
    harmonics: int = 6
    band_hz: tuple[float, float] | None = None
    osr: float = 1.0
    average: Average | None = None

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)
        check_full_scale(self.full_scale)
        check_fs_over(self.fs_over)
        check_window(self.window)
        if not (isinstance(self.harmonics, int | np.integer) and 2 <= self.harmonics <= MOST_HARMONICS):
            raise ValueError(f"harmonics {self.harmonics}: the highest order counted is 2 to {MOST_HARMONICS}")
        if self.average is not None:
            check_average(self.average)
        if not (math.isfinite(self.osr) and self.osr >= 1):
            raise ValueError(f"osr {self.osr}: the oversampling is a number of 1 or more")
        if self.osr != 1 and self.band_hz is not None:
            raise ValueError(f"osr {self.osr:g} and a band were given: both choose the band; give one of them")

    @property
    def settings(self) -> dict[str, Any]:
        """The options as a document tells them, by the words of the command."""
        return {
            "range": spell_span(self.low, self.high),
            "fs_over": self.fs_over,
            "full_scale": self.full_scale,
            "window": self.window,
            "side_bins": str(self.side_bins),
            "harmonics": self.harmonics,
            "band": None if self.band_hz is None else spell_span(*self.band_hz),
            "osr": self.osr,
            "average": self.average,
        }


def _check_range(low: float | None, high: float | None) -> None:
    if low is None and high is None:
        return
    if low is None or high is None:
        raise ValueError(f"range {low}:{high}: give both low and high, or neither")
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"range {low}:{high}: needs two finite numbers, the lower one first")
    if not NARROWEST <= high - low <= WIDEST:
        raise ValueError(
            f"range {spell_span(low, high)}: the square of its width leaves double precision; "
            "count in a larger or smaller unit",
        )
