"""Which numbers do the codes of the small floats stand for? Tables by code, float32."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import widen

#: E2M1: bit 3 is the sign, code 8 is -0.
FP4: Floats = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
#: E4M3 without infinities: the largest is 448, 0x7F and 0xFF are NaN.
FP8: Floats = widen(np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn))
#: Powers of two: 127 is 1, 0 is 2^-127, 255 is NaN.
POWERS: Floats = widen(np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e8m0fnu))
#: E2M3: bit 5 is the sign, below 1 in steps of 1/8, the largest is 7.5.
FP6: Floats = widen(np.arange(64, dtype=np.uint8).view(ml_dtypes.float6_e2m3fn))
