"""Which arrays do the rooms hand one another? One name per element type; the shape is said where the array is."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: float32: values of a tensor, steps, levels.
Floats = NDArray[np.float32]
#: float64: sums, volts, decibels.
Doubles = NDArray[np.float64]
#: complex128: bins of a spectrum, phasors.
Phasors = NDArray[np.complex128]
#: int64: codes of a quantizer, counts of a histogram.
Codes = NDArray[np.int64]
#: A real array whose width is the caller's choice: float32 for tensors, float64 for converters.
Reals = NDArray[Any]

_LARGEST_BLOCK = 32_000_000  # bytes; glibc takes no more than 2^25 as a measure


@cache
def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of freed memory instead of returning it after every array; nothing on other systems.

    It adapts to the largest block freed so far. Pages that are mapped anew for each array of a long record cost as
    much time as its FFT.
    """
    np.empty(_LARGEST_BLOCK, np.uint8)
