"""How do samples of uneven times become a record? By a cubic spline, with what that rests on told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import RecordError, Samples
from qanalysis.converters.records.text.times import measure_gap, resample
from qanalysis.notation import plain, si


def lay_even(samples: Samples, times: NDArray[np.float64], place: str) -> Samples:
    """The samples of uneven times (samples,) on even ones, as numbers, with a note on what that rests on.

    Raises RecordError where the times do not rise.
    """
    try:
        values, fs_hz = resample(times, np.asarray(samples.numbers, np.float64))
        inputs = None if samples.inputs is None else resample(times, samples.inputs)[0]
    except RecordError as error:
        raise RecordError(f"{place}: {error}") from None
    gap = measure_gap(times)
    text = (
        f"Resampled by a cubic spline to {si(fs_hz, 'Hz', digits=7)}, the mean rate of its uneven times, whose largest "
        f"gap is {plain(gap)} mean steps. Content above half of that rate, {si(fs_hz / 2, 'Hz', digits=7)}, is not "
        "trustworthy, and what lies within a gap is not known."
    )
    return replace(
        samples,
        numbers=values,
        inputs=inputs,
        times=None,
        unit=samples.unit or ("code" if samples.numbers.dtype.kind in "iu" else ""),
        fs_hz=fs_hz,
        notes=(*samples.notes, Finding("resampled", text, gap)),
    )
