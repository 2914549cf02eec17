"""What is in a .wav file?

Integer PCM of 8 to 32 bits and floats, mapped where the words allow it, cut-off files as far as they go.

The chunks of RIFF and RF64: `fmt ` says what the words are, `data` holds them. Words of one byte are unsigned,
wider ones two's complement. The width that the header states is kept, which general readers drop.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import RecordError, Samples, check_sample_count, pick_channel, refuse_choice

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_KINDS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x55: "MP3"}
_EXPORT = "export it as plain PCM or float WAV"


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


def read_wav(path: Path, *, column: str | int | None = None, channel: int | None = None) -> Samples:
    """One channel of a WAV file: words of the stated width, or floats of the range -1 to 1. Raises RecordError.

    A file that ends early gives the whole frames that are there and a note `truncated` with the number of bytes
    missing.
    """
    place = path.name
    refuse_choice("column", column, place, instead="choose a channel")
    stated, offset, claimed = _find_chunks(path, place)
    room = path.stat().st_size - offset
    frames = min(claimed, room) // stated.frame_bytes
    check_sample_count(frames, place)
    picked, notes = pick_channel(_map_frames(path, stated, offset, frames), channel, place)
    if room < claimed:
        missing = claimed - room
        notes += (
            Finding(
                "truncated",
                f"The header claims {claimed} bytes of samples, {missing} of them are missing: "
                f"{frames} frames are read.",
                missing,
            ),
        )
    elif claimed % stated.frame_bytes:
        notes += (
            Finding(
                "odd-bytes",
                f"{claimed % stated.frame_bytes} bytes after the last whole frame are left out.",
                claimed % stated.frame_bytes,
            ),
        )
    if stated.tag == _FLOAT:
        return Samples(picked, low=-1.0, high=1.0, fs_hz=float(stated.rate_hz), notes=notes)
    width = 8 * stated.word_bytes
    return Samples(
        picked,
        container_bits=width,
        container_signed=stated.word_bytes > 1,
        stated_bits=stated.bits,
        fs_hz=float(stated.rate_hz),
        notes=notes,
    )


def _find_chunks(path: Path, place: str) -> tuple[_Format, int, int]:
    """The format, the offset of the samples and the bytes that the file claims for them.

    A claim of 2^32 - 1 stands for that of the ds64 chunk of RF64. Raises RecordError where the word WAVE, the format or
    the samples are missing.
    """
    stated: _Format | None = None
    wide_data = 0
    with path.open("rb") as file:
        if file.read(12)[8:] != b"WAVE":
            raise RecordError(f"{place} is no WAV file: the word WAVE is missing from its head; {_EXPORT}")
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            following = file.tell() + size + size % 2  # chunks start at even bytes
            if name == b"data":
                if stated is None:
                    raise RecordError(f"{place} has its samples before their format; {_EXPORT}")
                return stated, file.tell(), wide_data if size == 0xFFFFFFFF and wide_data else size
            if name == b"fmt ":
                stated = _parse_format(file.read(min(size, 40)), place)
            elif name == b"ds64":
                wide_data = int.from_bytes(file.read(16)[8:], "little")
            file.seek(following)
    raise RecordError(f"{place} ends before its samples: there is no data chunk; capture or copy it again")


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


def widen_three_bytes(packed: NDArray[np.uint8], *, signed: bool, big_endian: bool = False) -> NDArray[np.int32]:
    """Words of three bytes (words, 3) as int32 (words,).

    >>> widen_three_bytes(np.array([[255, 255, 255], [0, 0, 128]], np.uint8), signed=True)
    array([      -1, -8388608], dtype=int32)
    """
    ordered = packed[:, ::-1] if big_endian else packed
    wide = np.zeros((len(packed), 4), np.uint8)
    wide[:, 1:] = ordered
    words = wide.view("<u4")[:, 0] >> 8
    sign = np.int32(1 << 23) if signed else np.int32(0)
    return (words.astype(np.int32) ^ sign) - sign
