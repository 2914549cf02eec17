"""The fused loops, and the only folder that imports numba: see `uniform` for what all of them keep to."""

from qanalysis.kernels.coded import CODED_GEOMETRY, MOST_PARAMETERS, PARTS, accumulate_coded, coded_errors
from qanalysis.kernels.lanes import LARGEST_TAME, SMALLEST_TAME, TILE
from qanalysis.kernels.scans import NONZERO, SIGNALS, SUM_X, SUM_X2, extremes, magnitudes, scan
from qanalysis.kernels.searches import divergence_clips, squared_errors
from qanalysis.kernels.uniform import (
    CLIPPED,
    CLIPPED_E2,
    GEOMETRY,
    MAX_ABS_E,
    SUM_ABS_E,
    SUM_E,
    SUM_E2,
    SUM_E2_IN_STEPS,
    SUM_RELATIVE,
    SUM_XE,
    SUMS,
    ZERO_CODES,
    accumulate,
    accumulate_rounded,
)

__all__ = [
    "CLIPPED",
    "CLIPPED_E2",
    "CODED_GEOMETRY",
    "GEOMETRY",
    "LARGEST_TAME",
    "MAX_ABS_E",
    "MOST_PARAMETERS",
    "NONZERO",
    "PARTS",
    "SIGNALS",
    "SMALLEST_TAME",
    "SUMS",
    "SUM_ABS_E",
    "SUM_E",
    "SUM_E2",
    "SUM_E2_IN_STEPS",
    "SUM_RELATIVE",
    "SUM_X",
    "SUM_X2",
    "SUM_XE",
    "TILE",
    "ZERO_CODES",
    "accumulate",
    "accumulate_coded",
    "accumulate_rounded",
    "coded_errors",
    "divergence_clips",
    "extremes",
    "magnitudes",
    "scan",
    "squared_errors",
]
