"""What is there to say of an error beside its size? Whether Gaussian values would have it, and where most of it is."""

from __future__ import annotations

import math

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.comparisons.errors import Tally
from qanalysis.comparisons.stored import StoredFormat
from qanalysis.notation import percent, plain
from qanalysis.sums import ErrorStats

#: Gaps to the prediction that are told, in dB.
_LEAST_GAP_DB = 0.5
#: A channel is named that holds so many times its share of the error, and so much of all.
_TIMES, _SHARE = 4.0, 0.05
#: Or whose largest value is so many times that of the channel in the middle.
_LARGER = 3.0
_FEWEST = 4
#: The share of the error's energy that may be left where B is told to follow from A.
_ALIKE = 1e-6


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


def tell_relation(stats: ErrorStats) -> str:
    """That B is A plus a number, or A times one, where that holds throughout; empty otherwise.

    GGUF files of Gemma hold norms with 1 added; a scale that was not applied shows as a factor.

    >>> from qanalysis.sums import measure
    >>> tell_relation(measure([1.0, 2.0, 4.0], [2.0, 3.0, 5.0])), tell_relation(measure([1.0, -2.0], [2.0, -4.0]))
    ('B is A + 1 throughout', 'B is A times 2 throughout')
    """
    if stats.count < 2 or not stats.sum_e2 or not stats.sum_x2:
        return ""
    mean = stats.sum_e / stats.count
    if stats.sum_e2 / stats.count - mean * mean <= _ALIKE * mean * mean:
        return f"B is A {'+' if mean > 0 else '−'} {plain(abs(mean), digits=4)} throughout"
    factor = 1 + stats.sum_xe / stats.sum_x2
    if stats.sum_xe == -stats.sum_x2 == -stats.sum_e2:
        return "every value of B is 0"
    left = stats.sum_e2 - (factor - 1) * stats.sum_xe
    return f"B is A times {plain(factor, digits=4)} throughout" if left <= _ALIKE * stats.sum_e2 else ""


def find_outlier(tally: Tally, stored: StoredFormat) -> str:
    """The channel that makes the error larger than it need be, with how it stands out; empty where none does.

    That is the row or column that holds far more than its share of the error; where values of several channels share
    their scales, that whose values are far larger, which coarsens the step of all.
    """
    both = ((tally.row_energy, "outlier channel"), (tally.column_energy, "outlier input channel"))
    heavy = [(*found, word) for energy, word in both if (found := _find_heaviest(energy)) is not None]
    if heavy:
        channel, share, named = max(heavy, key=lambda one: one[1])
        return f"{named} {channel} ({percent(share, digits=2)} of the error)"
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
