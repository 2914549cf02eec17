"""What are the words of a raw file? Their type as a word, such as i16le, and the words themselves, mapped.

i, u or f, the bits, le or be: `i16le`, `u8`, `f32be`; `*2` behind it says that two channels take turns. A `c` before
it says that each sample is a pair I, Q of such words: `cu8`, `ci16le`, `cf32le`. The spellings of SigMF, `cf32_le` and
`ri16_le`, are the same words. Little-endian where nothing is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import (
    RecordError,
    Samples,
    keep_whole,
    limit_samples,
    pick_channel,
)
from qanalysis.notation import quote

_WORD = re.compile(r"([cr])?(?:([iu]|(?<=c)s)(8|16|24|32|64)|(f)(32|64))_?(le|be)?(?:\*(\d{1,3}))?")
_RULE = (
    "it is i, u or f, the bits (8, 16, 24, 32, 64) and le or be, such as i16le, u8, f32be; i16le*2 for two channels, "
    "c before it for I and Q, such as cu8, ci16le, cf32le"
)


@dataclass(frozen=True, slots=True)
class WordType:
    """Words of a raw file: `kind` i, u or f, bits, byte order, channels that take turns, whether each is a pair I, Q.

    >>> WordType.parse("ci16_le", "a.bin").name, WordType.parse("u8*2", "a.bin").frame_bytes
    ('ci16le', 2)
    """

    kind: str
    bits: int
    big_endian: bool = False
    channels: int = 1
    is_complex: bool = False

    @classmethod
    def parse(cls, text: str, place: str) -> WordType:
        """The type that a word names. Raises RecordError for any other word, and for no channel."""
        match = _WORD.fullmatch(text.strip().casefold())
        if match is None:
            raise RecordError(f"{place}: dtype {quote(text)} was given; {_RULE}")
        channels = int(match[7] or 1)
        if not channels:
            raise RecordError(
                f"{place}: dtype {quote(text)} was given with no channel; leave the end out or write at least *1"
            )
        kind = (match[2] or match[4]).replace("s", "i")
        return cls(kind, int(match[3] or match[5]), match[6] == "be", channels, match[1] == "c")

    @property
    def name(self) -> str:
        """The word, in the one spelling that is told."""
        order = ("be" if self.big_endian else "le") if self.bits > 8 else ""
        channels = f"*{self.channels}" if self.channels > 1 else ""
        return f"{'c' * self.is_complex}{self.kind}{self.bits}{order}{channels}"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.bits // 8 * self.channels * (2 if self.is_complex else 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type in numpy's words; for words of three bytes that of their bytes."""
        if self.bits == 24:
            return np.dtype(np.uint8)
        return np.dtype(f"{'>' if self.big_endian else '<'}{self.kind}{self.bits // 8}")

    def decode(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """Words (words,) of bytes (words * bytes of a word,)."""
        if self.bits == 24:
            return widen_three_bytes(data.reshape(-1, 3), signed=self.kind == "i", big_endian=self.big_endian)
        return data.view(self.dtype)


def read_words(
    path: Path, words: WordType, *, channel: int | None, offset: int = 0, length: int | None = None
) -> Samples:
    """One channel of the words at `offset`, `length` bytes or all that follow; of pairs both rails.

    Bytes after the last whole frame are left out, and frames beyond 2^26, with a note. Raises RecordError for no whole
    frame, a channel that is not there and unsigned codes from 2^53 on.
    """
    place = path.name
    size = path.stat().st_size - offset if length is None else length
    count, left = divmod(max(0, size), words.frame_bytes)
    frames, notes = limit_samples(count, place)
    if left:
        notes += (
            Finding(
                "odd-bytes",
                f"{size} bytes do not divide into frames of {words.frame_bytes}: the last {left} are left out. "
                f"Is {words.name} right?",
                left,
            ),
        )
    rails = 2 if words.is_complex else 1
    mapped = _map(path, words, offset, frames).reshape(frames, words.channels, rails)
    picked, channel_notes = pick_channel(mapped, channel, place)
    samples = hand_on(picked[:, 0], picked[:, 1] if words.is_complex else None, place)
    return replace(samples, channels=words.channels, notes=notes + channel_notes)


def hand_on(picked: NDArray[Any], quadrature: NDArray[Any] | None, place: str) -> Samples:
    """Numbers (samples,) of any real type, and a Q rail of the same, as words or as floats; whole floats are words.

    Raises RecordError for unsigned codes from 2^53 on.
    """
    if picked.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            whole = keep_whole(picked.astype(np.float64))
            other = None if quadrature is None else keep_whole(quadrature.astype(np.float64))
        if other is not None and other.dtype != whole.dtype:
            whole, other = whole.astype(np.float64), other.astype(np.float64)
        return Samples(whole, quadrature=other)
    if picked.dtype.kind == "u" and picked.dtype.itemsize == 8:
        top = max(int(rail.max()) for rail in (picked, quadrature) if rail is not None)
        if top >= 2**53:
            raise RecordError(f"{place} holds codes up to {top}, beyond 53 bits; converters have at most 32")
    bits = 1 if picked.dtype.kind == "b" else 8 * picked.dtype.itemsize
    return Samples(picked, quadrature=quadrature, container_bits=bits, container_signed=picked.dtype.kind == "i")


def _map(path: Path, words: WordType, offset: int, frames: int) -> NDArray[Any]:
    """Words (words,) mapped where they lie; those of three bytes are widened in memory."""
    count = frames * words.frame_bytes // (words.bits // 8)
    if words.bits == 24:
        return words.decode(np.memmap(path, np.uint8, mode="r", offset=offset, shape=(count * 3,)))
    return np.memmap(path, words.dtype, mode="r", offset=offset, shape=(count,))


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
