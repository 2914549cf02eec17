"""What is in a .npy or .npz file, or in a file of raw integers? One channel of it, mapped where it lies plainly.

The type of raw words is a word such as `i16le`: i, u or f, the bits, le or be; `i16le*2` says that two channels take
turns.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import (
    MAX_SAMPLES,
    RecordError,
    Samples,
    check_sample_count,
    keep_whole,
    measure_surprise,
    name_some,
    pick_channel,
    refuse_choice,
)
from qanalysis.converters.records.wav_file import widen_three_bytes
from qanalysis.notation import plain, quote

_WORD = re.compile(r"(?:([iu])(8|16|24|32)|(f)(32|64))(le|be)?(?:\*(\d{1,3}))?")
_RATE_NAMES = ("fs_hz", "fs", "sample_rate", "samplerate", "rate")
_SAVE_AGAIN = "save it again with `numpy.save` as a plain array of numbers"


def read_npy(path: Path, *, column: str | int | None = None, channel: int | None = None) -> Samples:
    """One channel of a .npy array (samples,), (samples, channels) or (channels, samples): the longer axis is time.

    The file is mapped, not read whole. Raises RecordError for a damaged or pickled array, and as `read_npz` does for
    its numbers.
    """
    refuse_choice("column", column, path.name, instead="choose a channel")
    with _refuse_broken(f"{path.name} is no whole .npy array", _SAVE_AGAIN):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    return _take_array(array, channel, path.name)


def read_npz(path: Path, *, column: str | int | None = None, channel: int | None = None) -> Samples:
    """One array of a .npz archive, by its name or its number from 1; the largest unless asked.

    A scalar named `fs` (or fs_hz, sample_rate, samplerate, rate) gives fs where it is above 0. Raises RecordError for
    a damaged archive, an array that is not there or takes over 1 GiB, and numbers that are not real.
    """
    place = path.name
    with _refuse_broken(f"{place} is no whole .npz archive of plain arrays", "save it again with `numpy.savez`"):
        with zipfile.ZipFile(path) as archive:
            sizes = {
                member.filename.removesuffix(".npy"): member.file_size
                for member in archive.infolist()
                if member.filename.endswith(".npy")
            }
        if max(sizes.values(), default=0) > MAX_SAMPLES * 16:
            raise RecordError(
                f"{place} holds an array of {max(sizes.values())} bytes, more than 2^26 samples take; "
                "cut out the part that matters"
            )
        name, notes = _pick_member(sizes, column, place)
        with np.load(path, allow_pickle=False) as arrays:
            samples = _take_array(arrays[name], channel, f"{place}: array {quote(name)}")
            rates = [
                float(arrays[word]) for word in _RATE_NAMES if word in sizes and word != name and sizes[word] < 256
            ]
    fs_hz = rates[0] if rates and rates[0] > 0 else None
    return Samples(
        samples.numbers,
        container_bits=samples.container_bits,
        container_signed=samples.container_signed,
        fs_hz=fs_hz,
        notes=(*notes, *samples.notes),
    )


@contextmanager
def _refuse_broken(fault: str, way_out: str) -> Iterator[None]:
    """Let whatever a parser raises over damaged bytes leave as one RecordError."""
    try:
        yield
    except RecordError:
        raise
    except Exception as error:  # zlib, tokenize, struct, memory
        raise RecordError(f"{fault} ({' '.join(str(error).split())[:120]}); {way_out}") from error


def _pick_member(sizes: dict[str, int], column: str | int | None, place: str) -> tuple[str, tuple[Finding, ...]]:
    """Name of the array asked for, by name or number from 1, else of the largest; a note where there was a choice.

    Raises RecordError for an archive without arrays and for one that is not in it.
    """
    names = list(sizes)
    if not names:
        raise RecordError(f"{place} holds no arrays; save one with `numpy.savez`")
    if column is None:
        name = max(names, key=sizes.__getitem__)
        note = Finding(
            "column",
            f"Array {quote(name)} is read, the largest of {len(names)}; name another where it was meant.",
            names.index(name) + 1,
        )
        return name, (note,) if len(names) > 1 else ()
    number = int(column) if isinstance(column, int) or (column not in names and column.isdecimal()) else 0
    if 1 <= number <= len(names):
        return names[number - 1], ()
    if column not in names:
        raise RecordError(f"{place} has no array {quote(column)}; it has {name_some(names)}")
    return str(column), ()


def _take_array(array: NDArray[Any], channel: int | None, place: str) -> Samples:
    """One channel of an array of one or two axes; booleans are words of 1 bit, floats are words where all are whole.

    Raises RecordError for complex numbers, fields, other shapes, no samples, and unsigned codes from 2^53 on.
    """
    if array.dtype.kind not in "biuf":
        raise RecordError(f"{place} holds {array.dtype}, not real numbers; save its real part or one field as numbers")
    if array.ndim not in (1, 2):
        raise RecordError(f"{place} has shape {array.shape}; a record is (samples,) or (samples, channels)")
    frames = array[:, np.newaxis] if array.ndim == 1 else array if array.shape[0] >= array.shape[1] else array.T
    check_sample_count(frames.shape[0] if frames.size else 0, place)
    picked, notes = pick_channel(frames, channel, place)
    if array.dtype.kind == "f":
        return Samples(keep_whole(np.asarray(picked, np.float64)), notes=notes)
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and int(picked.max()) >= 2**53:
        raise RecordError(f"{place} holds codes up to {picked.max()}, beyond 53 bits; converters have at most 32")
    bits = 1 if array.dtype.kind == "b" else 8 * array.dtype.itemsize
    return Samples(picked, container_bits=bits, container_signed=array.dtype.kind == "i", notes=notes)


def read_raw(
    path: Path, *, dtype: str | None = None, column: str | int | None = None, channel: int | None = None
) -> Samples:
    """One channel of a file of words without a header; 16-bit words of the smoother byte order unless `dtype` says.

    Bytes after the last whole frame are left out, with a note. Raises RecordError for an unknown type, no channel, a
    channel that is not there, and a file without a whole frame.
    """
    place = path.name
    refuse_choice("column", column, place, instead="choose a channel")
    notes: tuple[Finding, ...] = ()
    if dtype is None:
        dtype, notes = _guess_dtype(path)
    match = _WORD.fullmatch(dtype)
    if match is None:
        raise RecordError(
            f"{place}: dtype {quote(dtype)} was given; it is i, u or f, the bits (8, 16, 24, 32, 64) and le or be, "
            "such as i16le, u8, f32be, i16le*2"
        )
    kind, bits, order = match[1] or match[3], int(match[2] or match[4]), match[5] or "le"
    channels = int(match[6] or 1)
    size = path.stat().st_size
    frame_bytes = bits // 8 * channels
    if not frame_bytes:
        raise RecordError(
            f"{place}: dtype {quote(dtype)} was given with no channel; leave the end out or write at least *1"
        )
    frames, left = divmod(size, frame_bytes)
    check_sample_count(frames, place)
    if left:
        notes += (
            Finding(
                "odd-bytes",
                f"{size} bytes do not divide into frames of {frame_bytes}: the last {left} are left out. "
                f"Is {dtype} right?",
                left,
            ),
        )
    picked, channel_notes = pick_channel(_map_words(path, kind, bits, order, (frames, channels)), channel, place)
    if kind == "f":
        return Samples(np.asarray(picked, np.float64), notes=notes + channel_notes)
    return Samples(picked, container_bits=bits, container_signed=kind == "i", notes=notes + channel_notes)


def _map_words(path: Path, kind: str, bits: int, order: str, shape: tuple[int, int]) -> NDArray[Any]:
    """Words (frames, channels) of a raw file, mapped where they lie; those of three bytes are widened in memory."""
    if bits == 24:
        packed = np.memmap(path, np.uint8, mode="r", shape=(shape[0] * shape[1], 3))
        return widen_three_bytes(packed, signed=kind == "i", big_endian=order == "be").reshape(shape)
    return np.memmap(path, np.dtype(f"{'>' if order == 'be' else '<'}{kind}{bits // 8}"), mode="r", shape=shape)


def _guess_dtype(path: Path) -> tuple[str, tuple[Finding, ...]]:
    """Two's complement words of 16 bits, big-endian where neighbours foretell a sample twice as well in that order."""
    head = np.fromfile(path, np.uint8, count=1 << 15)
    little, big = (measure_surprise(head[: head.size // 2 * 2].view(order)) for order in ("<i2", ">i2"))
    dtype = "i16be" if 2 * big < little else "i16le"
    text = (
        f"Words read as {dtype}: neighbours foretell a sample to {plain(little, digits=4)} steps as little-endian, "
        f"to {plain(big, digits=4)} as big-endian. State the type."
    )
    return dtype, (Finding("words", text),)
