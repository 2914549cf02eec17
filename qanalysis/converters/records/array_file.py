"""What is in a .npy file? One channel of its array, mapped where it lies; and what any array is as samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import (
    RecordError,
    Samples,
    limit_samples,
    name_some,
    pick_channel,
    refuse_choice,
)
from qanalysis.converters.records.word_types import hand_on
from qanalysis.notation import quote, shorten

#: Scalars beside an array that tell its rate, in the order in which they are believed, and those that tell its step.
RATE_NAMES = ("fs_hz", "fs", "sample_rate", "samplerate", "sampling_rate", "rate")
STEP_NAMES = ("tinterval", "dt", "ts", "xincr", "xinc")
_SAVE_AGAIN = "save it again with `numpy.save` as a plain array of numbers"
_LONGEST_HEADER = 1 << 16
_DESCR = re.compile(r"'descr'\s*:\s*(?:'([^']*)'|\[)")
_SHAPE = re.compile(r"'shape'\s*:\s*\(([\d\s,L]*)\)")
_TURNED = re.compile(r"'fortran_order'\s*:\s*(True|False)")
_FIELD = re.compile(r"\(\s*'([^']*)'\s*,")
_TYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32))")
_FEWEST = 8  # numbers that make an axis
_LARGEST = 1e150  # of an axis: the squares of its steps are in double precision
_KINDS = {"O": "pickled objects", "U": "text", "S": "text", "M": "dates", "m": "spans of time", "V": "raw bytes"}


def read_npy(path: Path, reading: Reading) -> Samples:
    """One channel of a .npy array (samples,), (samples, channels) or (channels, samples): the longer axis is time.

    The file is mapped, not read whole. Raises RecordError for a damaged or pickled array, and as `take_array` does.
    """
    refuse_choice("column", reading.column, path.name, instead="choose a channel")
    with refuse_broken(f"{path.name} is no whole .npy array", _SAVE_AGAIN):
        with path.open("rb") as file:
            shape, turned, dtype = read_npy_header(file, path.name)
            offset = file.tell()
        refuse_dtype(dtype, path.name)
        room = (path.stat().st_size - offset) // dtype.itemsize
        count = count_elements(shape, path.name)
        if count > room:
            raise RecordError(f"{path.name} is no whole .npy array: it has {room} numbers of {count}; copy it again")
        array = np.memmap(path, dtype, mode="r", offset=offset, shape=(count,)) if count else np.empty(0, dtype)
    return take_array(array.reshape(shape, order="F" if turned else "C"), reading.channel, path.name)


def read_npy_header(file: IO[bytes], place: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis runs fastest, and type of an array; RecordError for what holds no plain numbers,
    ValueError for what is no header.
    """
    magic = file.read(8)
    width = 2 if magic[6:7] == b"\1" else 4
    length = int.from_bytes(file.read(width), "little")
    if magic[:6] != b"\x93NUMPY" or length > _LONGEST_HEADER:
        raise ValueError("its header is damaged")
    text = file.read(length).decode("latin-1")
    described, shape, turned = _DESCR.search(text), _SHAPE.search(text), _TURNED.search(text)
    if described is None or shape is None or turned is None:
        raise ValueError("its header does not state the type, the shape and the order")
    lengths = tuple(int(one) for one in re.findall(r"\d{1,18}", shape[1]))
    if described[1] is None:
        names = [shorten(name, 80) for name in _FIELD.findall(text)]
        raise RecordError(
            f"{place} holds fields ({name_some(names)}), not one number a sample; save one field as a plain array"
        )
    return lengths, turned[1] == "True", _parse_type(described[1], place)


def _parse_type(text: str, place: str) -> np.dtype[Any]:
    if _TYPE.fullmatch(text) is None:
        kind = _KINDS.get(text.lstrip("<>|=")[:1], f"words of type {quote(text)}")
        raise RecordError(f"{place} holds {kind}, not numbers; {_SAVE_AGAIN}")
    if text.endswith(("f16", "c32")):
        raise RecordError(f"{place} holds {text}, beyond 64 bits; save it as float64")
    return np.dtype(text)


def refuse_dtype(dtype: np.dtype[Any], place: str) -> None:
    """Raise RecordError for fields and for what is no number."""
    if dtype.names:
        raise RecordError(
            f"{place} holds fields ({name_some(dtype.names)}), not one number a sample; save one field as a plain array"
        )
    if dtype.kind not in "biufc" or dtype.itemsize == 0:
        raise RecordError(f"{place} holds {_KINDS.get(dtype.kind, str(dtype))}, not numbers; {_SAVE_AGAIN}")
    if dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise RecordError(f"{place} holds {dtype}, beyond 64 bits; save it as float64")


def count_elements(shape: tuple[int, ...], place: str) -> int:
    """How many numbers a shape has. Raises RecordError for shapes that are no record."""
    if len(shape) not in (1, 2) and shape != ():
        raise RecordError(f"{place} has shape {shape}; a record is (samples,) or (samples, channels)")
    count = 1
    for length in shape:
        if length < 0:
            raise RecordError(f"{place} has shape {shape}, which no array has; {_SAVE_AGAIN}")
        count *= length
    return count


@contextmanager
def refuse_broken(fault: str, way_out: str) -> Iterator[None]:
    """Let whatever a parser raises over damaged bytes leave as one RecordError."""
    try:
        yield
    except RecordError:
        raise
    except Exception as error:  # zlib, tokenize, struct, memory
        told = re.sub(r"<[^<>]* at 0x[0-9a-f]+>", "what is no literal", str(error))  # a parser's own objects
        reason = shorten(" ".join(told.split()), 120) or type(error).__name__
        raise RecordError(f"{fault} ({reason}); {way_out}") from error


def pick_array(
    sizes: dict[str, int], column: str | int | None, place: str, *, least: int = 0
) -> tuple[str, tuple[Finding, ...]]:
    """Name of the array asked for, by name or number from 1, else of the largest; a note where there was a choice of
    more than one that is larger than `least`.

    Raises RecordError for one that is not in it.
    """
    names = list(sizes)
    if column is None:
        name = max(names, key=sizes.__getitem__)
        note = Finding(
            "column",
            f"Array {quote(name)} is read, the largest of {len(names)}; name another where it was meant.",
            names.index(name) + 1,
        )
        return name, (note,) if sum(size > least for size in sizes.values()) > 1 else ()
    number = int(column) if isinstance(column, int) or (column not in names and column.isdecimal()) else 0
    if 1 <= number <= len(names):
        return names[number - 1], ()
    if column not in names:
        raise RecordError(
            f"{place} has no array {quote(column)}; it has {name_some([shorten(name, 80) for name in names])}"
        )
    return str(column), ()


def find_rate(scalars: dict[str, NDArray[Any]]) -> float | None:
    """The rate in hertz that a scalar beside an array tells by its name; None where none does that is above 0."""
    found = {
        name.casefold(): float(value.reshape(-1)[0])
        for name, value in scalars.items()
        if value.size == 1 and value.dtype.kind in "iuf"
    }
    rates = [found[name] for name in RATE_NAMES if name in found]
    rates += [1 / found[name] for name in STEP_NAMES if found.get(name, 0.0) > 0]
    return next((rate for rate in rates if 0 < rate < float("inf")), None)


def take_array(array: NDArray[Any], channel: int | None, place: str) -> Samples:
    """One channel of an array of one or two axes; booleans are words of 1 bit, floats are words where all are whole.

    Complex numbers are samples of two rails. A first channel that rises in even steps beside one that does not is an
    axis: passed over unless asked for, and fs in hertz unless it counts. Of more than 2^26 samples the first are taken,
    with a note. Raises RecordError for fields, other shapes, no samples, and unsigned codes from 2^53 on.
    """
    refuse_dtype(array.dtype, place)
    if array.ndim not in (1, 2):
        raise RecordError(f"{place} has shape {array.shape}; a record is (samples,) or (samples, channels)")
    frames = array[:, np.newaxis] if array.ndim == 1 else array if array.shape[0] >= array.shape[1] else array.T
    count, notes = limit_samples(frames.shape[0] if frames.size else 0, place)
    frames = frames[:count]
    fs_hz = None
    if channel is None and frames.shape[1] > 1 and is_axis(frames[:, 0]) and not is_axis(frames[:, 1]):
        text = f"Channel 1 of {frames.shape[1]} rises in even steps and is an axis: channel 2 is read."
        notes += (Finding("channel", text, 2),)
        channel = 2
        step = float(frames[-1, 0] - frames[0, 0]) / (count - 1)
        fs_hz = 1 / step if step != 1 and 1 / step < float("inf") else None
    picked, channel_notes = pick_channel(frames, channel, place)
    is_complex = array.dtype.kind == "c"
    samples = hand_on(picked.real if is_complex else picked, picked.imag if is_complex else None, place)
    return replace(samples, channels=frames.shape[1], fs_hz=fs_hz, notes=notes + channel_notes)


def is_axis(array: NDArray[Any], *, is_named: bool = False) -> bool:
    """Whether an array (samples,), or of one row, counts or is a time: real numbers that rise, in even steps unless its
    name is that of a time.
    """
    if array.dtype.kind not in "iuf" or array.size != max(array.shape, default=0) or array.size < _FEWEST:
        return False
    with np.errstate(over="ignore", invalid="ignore"):  # long doubles, and NaN that signal
        values = array.reshape(-1).astype(np.float64)
    if not np.abs(values).max() < _LARGEST:
        return False
    steps = np.diff(values)
    if not bool((steps > 0).all()):
        return False
    return is_named or float(np.ptp(steps)) <= 0.5 * float(steps.mean())
