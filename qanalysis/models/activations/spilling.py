"""Where do values go that are looked at again? Into an anonymous file on disk, each activation in its own stretch.

An activation that outgrows its stretch keeps every other token, then every fourth, and so on: which tokens are kept
depends on their order alone, not on batches.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.notation import quote, shorten

#: All stretches together, in bytes of float32.
DISK_BYTES = 4 << 30
_ITEM = 4
#: Rows that are moved at once when a stretch is thinned out.
_MOVED_BYTES = 1 << 24


@dataclass(slots=True)
class Stretch:
    """A part of the file: where it begins, how many tokens of `width` features it has room for, how many it holds, that
    every `stride`-th token is kept, and how many were seen.
    """

    start: int
    width: int
    room: int
    kept: int = 0
    stride: int = 1
    seen: int = 0


class SpillFile:
    """An anonymous temporary file for `count` activations, at most `limit_bytes` together; it is gone when closed."""

    def __init__(self, count: int, limit_bytes: int = DISK_BYTES) -> None:
        if limit_bytes < 1:
            raise ValueError(f"disk limit of {limit_bytes} bytes: give room for one token at least")
        self._share = max(limit_bytes // max(count, 1) // _ITEM, 1) * _ITEM
        self._file = _open_nameless()
        self.stretches: dict[str, Stretch] = {}

    def add(self, name: str, tokens: Floats) -> None:
        """More tokens of an activation, (tokens, features) float32.

        Raises ValueError for another number of features, and where one token has no room or the disk is full.
        """
        stretch = self.stretches.get(name) or self._begin(name, tokens.shape[1])
        if tokens.shape[1] != stretch.width:
            raise ValueError(
                f"activation {quote(shorten(name))}: {tokens.shape[1]} features after {stretch.width}; all calls of a "
                "layer must have as many"
            )
        while len(tokens):
            # How many of the next tokens are seen before the stretch is full.
            first = -stretch.seen % stretch.stride
            free = stretch.room - stretch.kept
            taken = tokens[first :: stretch.stride][:free]
            passed = min(first + free * stretch.stride, len(tokens))
            self._write(name, stretch.start + stretch.kept * stretch.width * _ITEM, taken)
            stretch.kept += len(taken)
            stretch.seen += passed
            tokens = tokens[passed:]
            if stretch.kept == stretch.room and len(tokens):
                self._thin(name, stretch)

    def read(self, name: str) -> Floats:
        """What is kept of an activation, (tokens, features): a map of the file, not to be written to."""
        stretch = self.stretches[name]
        if not stretch.kept:
            return np.zeros((0, stretch.width), np.float32)
        shape = (stretch.kept, stretch.width)
        return np.memmap(self._file, np.float32, mode="r", offset=stretch.start, shape=shape)

    def close(self) -> None:
        """The file is gone; maps that were handed out stay valid."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, name: str, width: int) -> Stretch:
        room = self._share // (_ITEM * max(width, 1))
        if not room:
            raise ValueError(
                f"activation {quote(shorten(name))}: a token of {width} features takes {_ITEM * width} bytes, its "
                f"share of the disk limit is {self._share}; raise the limit or take fewer layers"
            )
        stretch = Stretch(self._share * len(self.stretches), width, room)
        self.stretches[name] = stretch
        return stretch

    def _thin(self, name: str, stretch: Stretch) -> None:
        """Keep every other token that is there."""
        kept = -(-stretch.kept // 2)
        step = max(_MOVED_BYTES // (_ITEM * stretch.width), 1)
        whole = self.read(name)
        for start in range(0, kept, step):
            part = np.ascontiguousarray(whole[2 * start : 2 * min(start + step, kept) : 2])
            self._write(name, stretch.start + start * stretch.width * _ITEM, part)
        stretch.kept, stretch.stride = kept, 2 * stretch.stride

    def _write(self, name: str, place: int, values: Floats) -> None:
        try:
            self._file.seek(place)
            data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
            while len(data):
                data = data[self._file.write(data) :]
        except OSError as error:
            raise ValueError(
                f"activation {quote(shorten(name))} can not be kept in {tempfile.gettempdir()}: "
                f"{os.strerror(error.errno or 0)}; set TMPDIR to a larger disk or lower the limit"
            ) from error


def _open_nameless() -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0)
