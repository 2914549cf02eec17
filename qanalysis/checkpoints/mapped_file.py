"""How are bytes of a large file reached without holding the file in memory?

The file is mapped and the pages of each read are handed back, so that resident memory stays near one slice however much
is read. Before each read the file is checked to be the one that was opened: reading a map of a file that was cut short
kills the process.
"""

from __future__ import annotations

import mmap
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.source import CheckpointError, widen

SAVE_AGAIN = "the file is damaged or was cut short: download or save it again"


def stat_file(path: Path) -> os.stat_result:
    """Status of a regular, non-empty file. Raises CheckpointError for anything else, devices and pipes included."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise CheckpointError(
            f"{str(path)!r} does not exist; check the spelling and the folder it is relative to"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)!r} can not be opened: {_reason(error)}; check the path and its permissions"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(
            f"{str(path)!r} is not a regular file; give a checkpoint file or the folder that holds it"
        )
    if not status.st_size:
        raise CheckpointError(f"{str(path)!r} is empty (0 bytes); {SAVE_AGAIN}")
    return status


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def read_head(path: Path, length: int) -> bytes:
    """At most the first `length` bytes of a regular file."""
    stat_file(path)
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError as error:
        raise CheckpointError(f"{str(path)!r} can not be opened: {_reason(error)}; check its permissions") from None


def stamp_file(path: Path) -> tuple[int, int, int]:
    """Size, time of change and inode of a file, which together tell whether it is still the one that was opened."""
    status = stat_file(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


def check_unchanged(path: Path, stamp: tuple[int, int, int]) -> None:
    """Raise CheckpointError unless the file still has that stamp."""
    if stamp_file(path) != stamp:
        raise CheckpointError(f"{path.name} changed on disk since it was opened; open it again")


class MappedFile:
    """A file mapped for reading; several threads may read at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = stamp_file(path)
        self.size = self._stamp[0]
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{str(path)!r} can not be opened: {_reason(error)}; check its permissions") from None

    def read_header(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`, fewer at the end of the file; unlike `read_array` without a look at the file on
        disk.
        """
        self._check_open()
        return self._map[offset : offset + length]

    def read_array(self, offset: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        """A copy of `count` values at byte `offset`: 1-D, in `dtype`, except that FLOAT_DTYPES come as float32."""
        self._check_open()
        check_unchanged(self.path, self._stamp)
        view = np.frombuffer(self._map, dtype=dtype, count=count, offset=offset) if count else np.empty(0, dtype=dtype)
        values = view.copy() if dtype == np.float32 or dtype.kind == "u" else widen(view)
        self._release(offset, count * dtype.itemsize)
        return values

    def _check_open(self) -> None:
        if self._map.closed:
            raise CheckpointError(f"{self.path.name} was closed; open it again to read from it")

    def _release(self, offset: int, length: int) -> None:
        # Pages read through a map count as resident until the kernel needs them: a 2 GB file would look like 2 GB in
        # use.
        start = offset // mmap.PAGESIZE * mmap.PAGESIZE
        if length and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, start, offset + length - start)

    def close(self) -> None:
        """Unmap; a read that is under way keeps the map until it ends."""
        with suppress(BufferError):
            self._map.close()


@dataclass(frozen=True, slots=True)
class MappedValues:
    """`count` values that lie in a mapped file as they are in memory."""

    file: MappedFile
    offset: int
    dtype: np.dtype
    sliceable: bool = True

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        return self.file.read_array(self.offset + start * self.dtype.itemsize, dtype=self.dtype, count=stop - start)
