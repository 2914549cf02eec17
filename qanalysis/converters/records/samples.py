"""What do all readers of records hand on? Numbers as they stand in the file, with what the file says about them.

A word is an integer as its container holds it (16 bits of a WAV file, say); a code is what the converter gave,
right-justified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.notation import quote

MAX_SAMPLES = 2**26
QUANTIZATION_RMS = 12**-0.5
_LOOK = 2**14
FIRST = "columns and channels are counted from 1"


class RecordError(ValueError):
    """A record that can not be read; the text names the file, the place in it and the way out."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """One channel of a file.

    `numbers` (samples,) are integers (words) or floats; the facts are None where the file is silent. `quadrature`
    (samples,) is the Q rail of complex samples, of which `numbers` are the I rail. `inputs` (samples,) is what stood at
    the input, of pairs. `times` (samples,) are seconds, kept only where they are uneven: beyond what their digits
    explain. `channels` says of how many this is one. `unit` is what a header says of the numbers, such as V or mV; with
    `carries_unit` it stands in the cells themselves, and the numbers are in it, whole or not.

    `container_bits` and `container_signed` describe the words, `stated_bits` is the width that a header states,
    `low` and `high` the range of float samples where the format fixes it (WAV: -1 to 1).
    """

    numbers: NDArray[Any]
    quadrature: NDArray[Any] | None = None
    inputs: NDArray[np.float64] | None = None
    times: NDArray[np.float64] | None = None
    channels: int = 1
    unit: str = ""
    carries_unit: bool = False
    container_bits: int | None = None
    container_signed: bool | None = None
    stated_bits: int | None = None
    low: float | None = None
    high: float | None = None
    fs_hz: float | None = None
    notes: tuple[Finding, ...] = ()


def measure_surprise(words: NDArray[np.integer[Any]]) -> float:
    """The rms of what four neighbours before a sample do not foretell of it, in steps of the words (samples,).

    By least squares over the first 2^14. Two tones of any frequency leave their noise, wrapped codes and swapped bytes
    leave jumps. 0 for fewer than 16 samples.
    """
    values = words[:_LOOK].astype(np.float64)
    if values.size < 16:
        return 0.0
    past = np.column_stack([*(values[lag : values.size - 4 + lag] for lag in range(4)), np.ones(values.size - 4)])
    weights, *_ = np.linalg.lstsq(past, values[4:], rcond=None)
    return float(np.sqrt(np.mean((values[4:] - past @ weights) ** 2)))


def limit_samples(count: int, place: str) -> tuple[int, tuple[Finding, ...]]:
    """How many of `count` samples are read, at most 2^26, and a note where that is not all; RecordError for none."""
    if not count:
        raise RecordError(f"{place} holds no samples; capture it again, or check that this is the file that was meant")
    if count <= MAX_SAMPLES:
        return count, ()
    text = (
        f"The first {MAX_SAMPLES} of {count} samples are read, the rest is left out; cut out the part that matters "
        "where it lies behind them."
    )
    return MAX_SAMPLES, (Finding("samples-left-out", text, count - MAX_SAMPLES),)


def pick_channel(frames: NDArray[Any], channel: int | None, place: str) -> tuple[NDArray[Any], tuple[Finding, ...]]:
    """One channel (samples,) of frames (samples, channels), the first unless asked.

    A note tells where there was a choice. Raises RecordError for a channel that is not there.
    """
    count = frames.shape[1]
    if channel is not None and (isinstance(channel, bool) or not 1 <= channel <= count):
        raise RecordError(f"{place} has {count} channel{'s' * (count > 1)}, channel {channel} was asked for; {FIRST}")
    picked = channel or 1
    notes = (
        (Finding("channel", f"Channel {picked} of {count} is read; name another where it was meant.", picked),)
        if count > 1 and channel is None
        else ()
    )
    return frames[:, picked - 1], notes


def keep_whole(values: NDArray[np.float64]) -> NDArray[np.int64] | NDArray[np.float64]:
    """The values (samples,) as integers where all of them are finite, whole and below 2^53, where float64 is exact."""
    whole = (
        bool(np.isfinite(values).all())
        and bool((values == np.rint(values)).all())
        and float(np.abs(values).max()) < 2**53
    )
    return values.astype(np.int64) if whole else values


def refuse_choice(word: str, choice: object, place: str, *, instead: str) -> None:
    """Raise RecordError where a choice was made that this kind of file does not have."""
    if choice is not None:
        raise RecordError(
            f"{place}: {word} {quote(choice)} was asked for, which this kind of file does not have; {instead}"
        )


def name_some(names: Sequence[str], most: int = 12) -> str:
    """Names in quotes for a message, cut after a dozen."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + rest
