"""What is there to say of an error beside its size? Whether Gaussian values would have it, and where most of it is."""

from __future__ import annotations

import math

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.comparisons.errors import Tally
from qanalysis.comparisons.stored import StoredFormat
from qanalysis.notation import percent

#: Gaps to the prediction that are told, in dB.
_LEAST_GAP_DB = 0.5
#: A channel is named that holds so many times its share of the error, and so much of all.
_TIMES, _SHARE = 4.0, 0.05
#: Or whose largest value is so many times that of the channel in the middle.
_LARGER = 3.0
_FEWEST = 4


def tell_gap(sqnr_db: float | None, theory_db: float | None, tally: Tally, stored: StoredFormat) -> str:
    """How far the error is from that of Gaussian values in the same format, with the channel that explains it; empty
    where there is no prediction or no gap.

    "1.2 dB worse than Gaussian, outlier channel 18 (31 % of the error)"
    """
    if sqnr_db is None or theory_db is None or not math.isfinite(sqnr_db) or abs(sqnr_db - theory_db) < _LEAST_GAP_DB:
        return ""
    gap = theory_db - sqnr_db
    if gap < 0:
        return f"{-gap:.1f} dB better than Gaussian"
    channel = find_outlier(tally, stored)
    return f"{gap:.1f} dB worse than Gaussian{f', {channel}' if channel else ''}"


def find_outlier(tally: Tally, stored: StoredFormat) -> str:
    """The channel that makes the error larger than it need be, with how it stands out; empty where none does.

    That is the row or column that holds far more than its share of the error; where values of several channels share
    their scales, that whose values are far larger, which coarsens the step of all.
    """
    for energy, word in ((tally.row_energy, "outlier channel"), (tally.column_energy, "outlier input channel")):
        found = _find_heaviest(energy)
        if found is not None:
            return f"{word} {found[0]} ({percent(found[1], digits=2)} of the error)"
    shares_rows = stored.grouping == "tensor" or stored.grouping.startswith("block=")
    kinds = [(tally.row_largest, "outlier channel")] if shares_rows else []
    for largest, word in (*kinds, (tally.column_largest, "outlier input channel")):
        place = _find_largest(largest)
        if place is not None:
            times = largest[place] / np.median(largest)
            return f"{word} {place} (largest value {times:.2g} times the median channel's)"
    return ""


def _find_heaviest(energy: Doubles) -> tuple[int, float] | None:
    total = float(energy.sum())
    if energy.size < _FEWEST or not total:
        return None
    place = int(np.argmax(energy))
    share = float(energy[place]) / total
    return (place, share) if share >= max(_SHARE, _TIMES / energy.size) else None


def _find_largest(largest: Doubles) -> int | None:
    middle = float(np.median(largest)) if largest.size >= _FEWEST else 0.0
    place = int(np.argmax(largest)) if largest.size else 0
    return place if middle and float(largest[place]) >= _LARGER * middle else None
