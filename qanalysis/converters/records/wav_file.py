"""What is in a .wav file?

Integer PCM of 8 to 32 bits and floats, mapped where the words allow it, cut-off files as far as they go.

The chunks of RIFF, RF64 and BW64: `fmt ` says what the words are, `data` holds them. Words of one byte are unsigned,
wider ones two's complement. The width that the header states is kept, which general readers drop. A recorder that was
cut off, or that wrote to a pipe, leaves the length of the samples open, as 0 or as 2^32 - 1: all that follows is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples, limit_samples, pick_channel, refuse_choice
from qanalysis.converters.records.word_types import widen_three_bytes

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_KINDS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x55: "MP3"}
_EXPORT = "export it as plain PCM or float WAV"
_OPEN, _MOST_CHUNKS = 0xFFFFFFFF, 1 << 12


@dataclass(frozen=True, slots=True)
class _Format:
    """What a format chunk states: kind of samples, channels, rate in hertz, bytes of a frame, bits in use of a word."""

    tag: int
    channels: int
    rate_hz: int
    frame_bytes: int
    bits: int

    @property
    def word_bytes(self) -> int:
        """Bytes of one word, padding included."""
        return self.frame_bytes // self.channels


def read_wav(path: Path, reading: Reading) -> Samples:
    """One channel of a WAV file: words of the stated width, or floats of the range -1 to 1. Raises RecordError.

    A file that ends early gives the whole frames that are there and a note `truncated` with the number of bytes
    missing; one that leaves its length open gives all that follow and a note `open-length`.
    """
    place = path.name
    refuse_choice("column", reading.column, place, instead="choose a channel")
    size = path.stat().st_size
    stated, offset, claimed, is_open = _find_chunks(path, place, size)
    frames, notes = limit_samples(min(claimed, size - offset) // stated.frame_bytes, place)
    picked, channel_notes = pick_channel(_map_frames(path, stated, offset, frames), reading.channel, place)
    notes += channel_notes + _tell_length(stated, claimed, size - offset, is_open=is_open)
    if stated.tag == _FLOAT:
        with np.errstate(invalid="ignore"):
            picked = picked.astype(np.float64)
        return Samples(picked, channels=stated.channels, low=-1.0, high=1.0, fs_hz=float(stated.rate_hz), notes=notes)
    return Samples(
        picked,
        channels=stated.channels,
        container_bits=8 * stated.word_bytes,
        container_signed=stated.word_bytes > 1,
        stated_bits=stated.bits,
        fs_hz=float(stated.rate_hz),
        notes=notes,
    )


def _tell_length(stated: _Format, claimed: int, room: int, *, is_open: bool) -> tuple[Finding, ...]:
    """What is odd about the length of the samples."""
    if room < claimed:
        text = (
            f"The header claims {claimed} bytes of samples, {claimed - room} of them are missing: "
            f"{room // stated.frame_bytes} frames are read."
        )
        return (Finding("truncated", text, claimed - room),)
    left = claimed % stated.frame_bytes
    if is_open:
        text = (
            f"The header leaves the length of the samples open, as a stream or a recorder that was cut off does: the "
            f"{claimed // stated.frame_bytes} frames that follow are read."
        )
        return (Finding("open-length", text, claimed // stated.frame_bytes),)
    return (Finding("odd-bytes", f"{left} bytes after the last whole frame are left out.", left),) if left else ()


def _find_chunks(path: Path, place: str, file_bytes: int) -> tuple[_Format, int, int, bool]:
    """The format, the offset of the samples, the bytes that the file claims for them, and whether it leaves them open.

    A claim of 2^32 - 1 stands for that of the ds64 chunk of RF64. Raises RecordError where the word WAVE, the format or
    the samples are missing, and for what is no chunk.
    """
    stated: _Format | None = None
    wide_data = 0
    with path.open("rb") as file:
        if file.read(12)[8:] != b"WAVE":
            raise RecordError(f"{place} is no WAV file: the word WAVE is missing from its head; {_EXPORT}")
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                break
            name, size = head[:4], int.from_bytes(head[4:], "little")
            start = file.tell()
            if name == b"data":
                if stated is None:
                    raise RecordError(f"{place} has its samples before their format; {_EXPORT}")
                if size == _OPEN and wide_data:
                    return stated, start, wide_data, False
                is_open = size == _OPEN or (size == 0 and not _is_name(file.read(4)))
                return stated, start, max(0, file_bytes - start) if is_open else size, is_open
            if not _is_name(name):
                raise RecordError(f"{place}, byte {start - 8}: {name!r} names no chunk; capture or copy it again")
            if name == b"fmt ":
                stated = _parse_format(file.read(min(size, 40)), place)
            elif name == b"ds64":
                wide_data = int.from_bytes(file.read(16)[8:], "little")
            file.seek(start + size + size % 2)  # chunks start at even bytes
    raise RecordError(f"{place} ends before its samples: there is no data chunk; capture or copy it again")


def _is_name(name: bytes) -> bool:
    """Whether four bytes can name a chunk: letters, digits and blanks."""
    return len(name) == 4 and name.isascii() and name.decode("ascii").isprintable()


def _parse_format(chunk: bytes, place: str) -> _Format:
    """The format of a chunk of 16 bytes or more; the extensible one tells the width in use beside that of its words.

    Raises RecordError for a chunk cut short, compressed samples, frames that do not divide, and widths beyond the word.
    """
    if len(chunk) < 16:
        raise RecordError(f"{place} ends within its format chunk ({len(chunk)} bytes of 16); capture or copy it again")
    tag, channels, rate, _bytes_per_second, frame_bytes, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        valid_bits, _speakers, tag = struct.unpack("<HIH", chunk[18:26])
        bits = valid_bits or bits
    if tag not in (_PCM, _FLOAT):
        raise RecordError(
            f"{place} holds {_KINDS.get(tag, f'samples of kind {tag:#x}')}, which are no plain samples; {_EXPORT}"
        )
    if not channels or not frame_bytes or frame_bytes % channels:
        raise RecordError(
            f"{place} states {channels} channels in frames of {frame_bytes} bytes, which do not divide; {_EXPORT}"
        )
    stated = _Format(tag, channels, rate, frame_bytes, bits)
    allowed = (4, 8) if tag == _FLOAT else (1, 2, 3, 4)
    if stated.word_bytes not in allowed or not 1 <= bits <= 8 * stated.word_bytes:
        raise RecordError(
            f"{place} states samples of {bits} bits in {stated.word_bytes} bytes; "
            f"PCM of 1 to 4 bytes and floats of 4 or 8 are read: {_EXPORT}"
        )
    return stated


def _map_frames(path: Path, stated: _Format, offset: int, frames: int) -> NDArray[Any]:
    """Words (frames, channels), mapped; words of three bytes are widened in memory."""
    if stated.word_bytes == 3:
        packed = np.memmap(path, np.uint8, mode="r", offset=offset, shape=(frames * stated.channels, 3))
        return widen_three_bytes(packed, signed=True).reshape(frames, stated.channels)
    kind = "f" if stated.tag == _FLOAT else "u" if stated.word_bytes == 1 else "i"
    return np.memmap(
        path, np.dtype(f"<{kind}{stated.word_bytes}"), mode="r", offset=offset, shape=(frames, stated.channels)
    )
