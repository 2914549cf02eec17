"""Do the ends of a record hold more samples than a smooth peak leaves there?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.faults.levels import longest_run, name_level
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.notation import in_percent

# A smooth peak spends at most as long in its top cell as in the three below: sqrt(1) against sqrt(4) - sqrt(1).
# Clipping is more than twice that.
_PEAK_RATIO = 2.0
_PEAK_LEVELS = 3
_FEWEST_CLIPPED = 8
_FEWEST_LEVELS = 8  # square waves and records of 2 bits have no shape to judge


def find_clipping(
    values: NDArray[np.float64], record: Record, tally: tuple[NDArray[np.float64], NDArray[np.intp]]
) -> list[Finding]:
    """An end level that holds more than twice what the next three hold, and 8 samples at least.

    `tally` are the distinct values, ascending, and how often each occurs. Both ends are judged alone, so that clipping
    of one end is seen. Records of fewer than 8 levels have no shape to judge.
    """
    levels, counts = tally
    if levels.size < _FEWEST_LEVELS:
        return []
    ends = {
        "bottom": (levels[0], counts[0], counts[1 : 1 + _PEAK_LEVELS]),
        "top": (levels[-1], counts[-1], counts[-1 - _PEAK_LEVELS : -1]),
    }
    clipped = {
        end: (level, int(count))
        for end, (level, count, near) in ends.items()
        if count >= max(_FEWEST_CLIPPED, _PEAK_RATIO * near.sum() + 1)
    }
    if not clipped:
        return []
    parts = [
        f"{count} samples at the {end} ({name_level(level, record)}, longest run {longest_run(values == level)})"
        for end, (level, count) in clipped.items()
    ]
    share = sum(count for _level, count in clipped.values()) / values.size
    lopsided = f" Only the {next(iter(clipped))} is clipped: move the offset as well." if len(clipped) == 1 else ""
    text = (
        f"Clipped: {' and '.join(parts)}, {in_percent(share, '.3g')} of the record, "
        f"more than twice what the next three levels hold together.{lopsided}"
    )
    return [Finding("clipping", f"{text} Lower the level for a spectrum; a histogram test wants it.", share)]
