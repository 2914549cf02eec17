"""When was a sample taken? Timestamps of several countries, and times of day, as seconds since the first line."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.records.text.cells import CellError
from qanalysis.converters.records.text.layout import find_stamp

_DAY = 86400.0
_FRACTION = re.compile(r"[.,](\d+)\D*$")


def parse_stamps(cells: Sequence[str], form: str, since: str) -> NDArray[np.float64]:
    """Seconds (cells,) of timestamps since the stamp `since`, or since midnight for times of a day.

    Raises CellError at the first cell that is none.

    >>> parse_stamps(["12:00:00.25", "12:00:01,5"], "clock", "12:00:00").tolist()
    [43200.25, 43201.5]
    """
    try:
        found = _count_nanoseconds(cells, form)
    except ValueError:
        place = next((place for place, cell in enumerate(cells) if find_stamp(cell) != form), 0)
        raise CellError(place, cells[place]) from None
    # The difference of whole nanoseconds is exact, where a double of those since 1970 has 128 of them.
    start = 0 if form == "clock" else int(_count_nanoseconds([since], form)[0])
    return np.asarray((found - start) / 1e9, np.float64)


def _count_nanoseconds(cells: Sequence[str], form: str) -> NDArray[np.int64]:
    """Nanoseconds since 1970 or midnight. Raises ValueError."""
    import pandas as pd

    points = [cell.replace(",", ".") for cell in cells]
    if form == "clock":
        return np.asarray(pd.to_timedelta(points).as_unit("ns").asi8)
    if form == "iso":
        return np.asarray(pd.to_datetime(points, format="ISO8601", utc=True).as_unit("ns").asi8)
    return np.asarray(pd.to_datetime(points, format=form).as_unit("ns").asi8)


def unwrap_days(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times of day (samples,) that go on rising past midnight.

    >>> unwrap_days(np.array([86399.0, 0.0, 1.0])).tolist()
    [86399.0, 86400.0, 86401.0]
    """
    days = np.cumsum(np.diff(times) < -_DAY / 2)
    return np.asarray(times + _DAY * np.r_[0, days], np.float64)


def find_last_fraction(cells: Sequence[str]) -> float:
    """The last digit, in seconds, in which timestamps are written: of those with a fraction, the finest.

    >>> find_last_fraction(["12:00:00.250", "12:00:01"])
    0.001
    """
    digits = [len(match[1]) for cell in cells if (match := _FRACTION.search(cell.split(":")[-1]))]
    return float(f"1e-{max(digits, default=0)}")
