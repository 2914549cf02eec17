"""Which arrays do the rooms hand one another? One name per element type; the shape is said where the array is."""

from __future__ import annotations

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
