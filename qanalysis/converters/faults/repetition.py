"""Does a record repeat itself exactly?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record

_BLOCK = 64
_MOST_TRIED = 256


def find_repetition(record: Record) -> Finding | None:
    """A record that repeats itself exactly: its quantization error does so too and is no noise."""
    period = find_period(record.values)
    if period is None:
        return None
    text = (
        f"The record repeats itself exactly every {period} samples: {record.values.size} samples show no more than "
        f"{period} do, and quantization noise"
    )
    return Finding(
        "locked-period",
        f"{text} gathers into lines. Choose a frequency whose number of periods has no divisor in common with the "
        "length.",
        period,
    )


def find_period(values: NDArray[np.float64]) -> int | None:
    """The shortest period after which the record (samples,) repeats exactly, twice at least; None where there is none.

    NaN equals nothing, so a record that holds one has no period.

    >>> find_period(np.tile(np.arange(100.0), 5))
    100
    """
    block = min(_BLOCK, values.size // 2)
    starts = np.flatnonzero(values[1 : values.size // 2 + 1] == values[0]) + 1 if block else np.arange(0)
    for place in range(1, block):
        starts = starts[values[starts + place] == values[place]]
    return next((int(start) for start in starts[:_MOST_TRIED] if np.array_equal(values[start:], values[:-start])), None)
