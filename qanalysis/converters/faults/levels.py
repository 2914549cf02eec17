"""Which levels does a record have, and how often is each hit?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes
from qanalysis.converters.records.records import Record
from qanalysis.notation import plain, signed

_MOST_LEVELS = 2**16
_LOOK = 2**14


def tally_values(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distinct values, ascending, and how often each occurs, both (levels,)."""
    levels, counts = np.unique(values, return_counts=True)
    return levels, counts


def tally_codes(codes: Codes) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distinct codes and how often each occurs; by counting where that is cheaper than sorting."""
    low = int(codes.min())
    if int(codes.max()) - low >= 4 * codes.size:
        return tally_values(codes.astype(np.float64))
    counts = np.bincount(codes - low)
    hit = np.flatnonzero(counts)
    return (hit + low).astype(np.float64), counts[hit]


def name_level(level: float, record: Record) -> str:
    """A level as people call it: a code, or a value with six digits."""
    return f"code {signed(level, '.0f')}" if record.codes is not None else f"value {plain(level, digits=4)}"


def longest_run(held: NDArray[np.bool_]) -> int:
    """Longest stretch of true in (samples,); at least one must be true."""
    edges = np.flatnonzero(np.diff(held, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max())


def take_levels(levels: NDArray[np.float64]) -> Codes:
    """About 2^16 at most of the distinct codes (levels,), in order, the ends among them."""
    if levels.size > _MOST_LEVELS:
        levels = levels[np.linspace(0, levels.size - 1, _MOST_LEVELS).astype(np.intp)]
    return levels.astype(np.int64)


def find_step(record: Record) -> float:
    """The least step between two values: 1 for codes, for numbers the least among the first 2^14; 0 where all differ.

    Numbers count as stepped where some of them occur again and again, as a converter's do.
    """
    if record.codes is not None:
        return 1.0
    some = record.values[:_LOOK]
    levels = np.unique(some[np.isfinite(some)])
    return float(np.diff(levels).min()) if 2 <= levels.size <= some.size // 2 else 0.0


def list_some(places: Codes, most: int = 4) -> str:
    """Sample numbers (places,) for a sentence, cut after a few.

    >>> list_some(np.array([500])), list_some(np.array([500, 1700])), list_some(np.arange(9))
    ('500', '500 and 1700', '0, 1, 2, 3 and 5 more')
    """
    shown = [str(int(place)) for place in places[:most]]
    if places.size > most:
        return f"{', '.join(shown)} and {places.size - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
