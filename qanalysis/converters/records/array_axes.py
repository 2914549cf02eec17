"""Which array of several is the signal, and which one counts or tells the time? An axis rises in even steps.

An axis is passed over where an array as long as it is there that is none. One that is named as time gives the rate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.array_file import find_rate, is_axis, pick_array, take_array
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import Samples
from qanalysis.converters.records.text.times import measure_times
from qanalysis.notation import quote

_TIME_NAME = re.compile(r"(?:t|times?|zeit|timestamps?|seconds?)(?:[_ \[(]*(s|ms|us|ns)[\])]*)?", re.IGNORECASE)
_UNITS = {None: 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_MOST_TRIED = 16


def take_named(
    sizes: dict[str, int], reading: Reading, place: str, read: Callable[[str], NDArray[Any]], *, least: int
) -> Samples:
    """The array of an archive that is asked for, else the largest that is no axis, with its rate.

    `sizes` are those of the arrays by name, `least` that of a single number, `read` gives one. The rate is that of a
    scalar beside the array, else of an array of times. Raises RecordError as `pick_array` and `take_array` do.
    """
    name, notes = pick_array(sizes, reading.column, place, least=least)
    array = read(name)
    others = sorted((one for one in sizes if one != name and sizes[one] > least), key=sizes.__getitem__)[::-1]
    if reading.column is None and _is_axis(array, name):
        for other in others[:_MOST_TRIED]:
            beside = _try_reading(read, other)
            if beside is not None and _is_signal(beside, other, count_samples(array)):
                text = f"Array {quote(other)} is read; {quote(name)} rises in even steps and is an axis."
                notes = (Finding("column", text, [*sizes].index(other) + 1),)
                others, name, array = [name, *others], other, beside
                break
    samples = take_array(array, reading.channel, f"{place}: array {quote(name)}")
    samples = replace(samples, notes=(*notes, *samples.notes))
    scalars = {one: _try_reading(read, one) for one in sizes if one != name and sizes[one] <= least}
    rate = find_rate({one: value for one, value in scalars.items() if value is not None})
    if rate is not None:
        return replace(samples, fs_hz=rate)
    if samples.fs_hz is not None:
        return samples
    return _take_times(samples, [one for one in others if one != name], read)


def _is_axis(array: NDArray[Any], name: str) -> bool:
    return is_axis(array, is_named=_TIME_NAME.fullmatch(name) is not None)


def count_samples(array: NDArray[Any]) -> int:
    """The longest side of an array, 0 for a number."""
    return max(array.shape, default=0)


def _is_signal(array: NDArray[Any], name: str, count: int) -> bool:
    return count_samples(array) == count and array.dtype.kind in "biufc" and not _is_axis(array, name)


def _try_reading(read: Callable[[str], NDArray[Any]], name: str) -> NDArray[Any] | None:
    """An array that is not asked for; None where it can not be read."""
    try:
        return read(name)
    except (ValueError, OSError):
        return None


def _take_times(samples: Samples, names: list[str], read: Callable[[str], NDArray[Any]]) -> Samples:
    """The samples with the rate that an array of times beside them tells."""
    for name in names:
        match = _TIME_NAME.fullmatch(name)
        array = _try_reading(read, name) if match else None
        if match is None or array is None or array.size != len(samples.numbers) or not _is_axis(array, name):
            continue
        times = array.reshape(-1).astype(np.float64)
        if match[1] is None and array.dtype.kind != "f" and float(times[-1]) - float(times[0]) == times.size - 1:
            continue  # it counts samples
        timing = measure_times(times * _UNITS[match[1] and match[1].casefold()], 0.0, name, lambda at: at + 1)
        return replace(samples, fs_hz=timing.fs_hz, times=timing.times, notes=(*samples.notes, *timing.notes))
    return samples
