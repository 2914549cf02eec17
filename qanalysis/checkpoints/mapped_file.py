"""How are bytes of a large file reached without holding the file in memory?

The file is mapped and the pages of each read are handed back, so that resident memory stays near one slice however much
is read. Before each read the file is checked to be the one that was opened: reading a map of a file that was cut short
kills the process.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.source import CheckpointError, widen
from qanalysis.notation import shorten

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_CAN_WALK = os.open in os.supports_dir_fd

_TOUCHED_AT_ONCE = 1 << 26  # bytes of a map that are resident while columns are taken
SAVE_AGAIN = "the file is damaged or was cut short: download or save it again"


def stat_file(path: Path) -> os.stat_result:
    """Status of a regular, non-empty file. Raises CheckpointError for anything else, devices and pipes included."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise CheckpointError(
            f"{_show(path)} does not exist; check the spelling and the folder it is relative to"
        ) from None
    except (OSError, ValueError) as error:
        raise _refuse_access(path, error) from None
    _check_regular(path, status)
    return status


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(
            f"{_show(path)} is not a regular file; give a checkpoint file or the folder that holds it"
        )
    if not status.st_size:
        raise CheckpointError(f"{_show(path)} is empty (0 bytes); {SAVE_AGAIN}")


def _show(path: Path) -> str:
    return repr(shorten(str(path), 160))


def _refuse_access(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{_show(path)} can not be opened: {_reason(error)}; check the path and its permissions")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def stamp_file(path: Path) -> tuple[int, int, int]:
    """Size, time of change and inode of a file, which together tell whether it is still the one that was opened."""
    return _stamp(stat_file(path))


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def check_unchanged(path: Path, stamp: tuple[int, int, int]) -> None:
    """Raise CheckpointError unless the file still has that stamp."""
    if stamp_file(path) != stamp:
        raise CheckpointError(f"{path.name} changed on disk since it was opened; open it again")


def open_regular(path: Path, *, root: Path | None = None) -> int:
    """A descriptor of a regular, non-empty file, for reading; the caller closes it.

    With `root` (links resolved) the file lies below it: the path is resolved, and what it resolves to is then opened
    from `root` on without following a link, so that nothing put in its way in between leads elsewhere. Never waits for
    a pipe. Raises CheckpointError.
    """
    if root is not None:
        path = resolve_below(path, root)
    stat_file(path)  # before it is opened: opening a device may act on it
    try:
        descriptor = os.open(path, _READ) if root is None or not _CAN_WALK else _open_below(path, root)
    except OSError as error:
        raise _refuse_access(path, error) from None
    try:
        _check_regular(path, os.fstat(descriptor))
    except CheckpointError:
        os.close(descriptor)
        raise
    return descriptor


def resolve_below(path: Path, root: Path) -> Path:
    """The path with its links resolved. Raises CheckpointError unless it lies below `root`, whose own are resolved."""
    try:
        resolved = Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise _refuse_access(path, error) from None
    if not resolved.is_relative_to(root):
        name = shorten(path.name, 80)
        raise CheckpointError(f"{name!r} leaves the root folder {root.name!r}; copy the file into it")
    return resolved


def _open_below(path: Path, root: Path) -> int:
    *folders, name = path.relative_to(root).parts
    held = os.open(root, _PASS)
    try:
        for folder in folders:
            inner = os.open(folder, _PASS | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = inner
        return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=held)
    finally:
        os.close(held)


class MappedFile(DataFile):
    """A file mapped for reading; several threads may read at once. With `root` (links resolved) it lies below it."""

    def __init__(self, path: Path, *, root: Path | None = None) -> None:
        self.path, self.name = path, path.name
        self._root = root
        descriptor = open_regular(path, root=root)
        try:
            self._stamp = _stamp(os.fstat(descriptor))
            self.size = self._stamp[0]
            self._map = mmap.mmap(descriptor, self.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise _refuse_access(path, error) from None
        finally:
            os.close(descriptor)

    def read_header(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`, fewer at the end of the file; without a look at the file on disk."""
        self._check_open()
        return self._map[offset : offset + length]

    def read_array(self, offset: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        values = self._view(offset, dtype=dtype, count=count).copy()
        self._release(offset, count * dtype.itemsize)
        return values

    def read_floats(self, offset: int, *, dtype: np.dtype, count: int) -> NDArray[np.float32]:
        view = self._view(offset, dtype=dtype, count=count)
        values = view.copy() if dtype == np.float32 else widen(view)
        self._release(offset, count * dtype.itemsize)
        return values

    def read_columns(
        self, offset: int, *, dtype: np.dtype, count: int, width: int, first: int, last: int
    ) -> NDArray[Any]:
        table = self._view(offset, dtype=dtype, count=count).reshape(-1, width)
        part = np.empty((len(table), last - first), dtype)
        step = max(1, _TOUCHED_AT_ONCE // max(1, width * dtype.itemsize))
        for row in range(0, len(table), step):
            part[row : row + step] = table[row : row + step, first:last]
            place = row * width * dtype.itemsize
            self._release(offset + place, min(step * width, count - row * width) * dtype.itemsize)
        return part

    def hash_into(self, digest: hashlib._Hash) -> None:
        with os.fdopen(open_regular(self.path, root=self._root), "rb") as file:
            if _stamp(os.fstat(file.fileno())) == self._stamp:
                while block := file.read(1 << 20):
                    digest.update(block)
        check_unchanged(self.path, self._stamp)

    def _view(self, offset: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        self._check_open()
        check_unchanged(self.path, self._stamp)
        return np.frombuffer(self._map, dtype=dtype, count=count, offset=offset) if count else np.empty(0, dtype=dtype)

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
class StoredValues:
    """`count` elements that lie in a file as they are in memory, at byte `offset`."""

    file: DataFile
    offset: int
    dtype: np.dtype
    count: int
    sliceable: bool = True

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        place = self.offset + start * self.dtype.itemsize
        return self.file.read_floats(place, dtype=self.dtype, count=stop - start)

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        place = self.offset + start * self.dtype.itemsize
        return self.file.read_array(place, dtype=self.dtype, count=stop - start)

    def read_float_columns(self, start: int, stop: int, *, width: int, first: int, last: int) -> NDArray[np.float32]:
        part = replace(self, offset=self.offset + start * self.dtype.itemsize, count=stop - start)
        return widen(part.read_columns(width, first, last))

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        return self.file.read_columns(
            self.offset, dtype=self.dtype, count=self.count, width=width, first=first, last=last
        )


class LocalFolder(Folder):
    """A folder of this machine. With `root`, only files below it are opened, whatever links say."""

    def __init__(self, path: Path, *, root: Path | None = None) -> None:
        self.path = path
        self.name = Path(os.path.realpath(path)).name
        self._root = None if root is None else Path(os.path.realpath(root))

    def list_names(self) -> list[str]:
        path = self.path if self._root is None else resolve_below(self.path, self._root)
        try:
            with os.scandir(path) as found:
                return sorted(entry.name for entry in found if entry.name[0] != "." and entry.is_file())
        except OSError as error:
            raise CheckpointError(f"{_show(path)} can not be listed: {_reason(error)}; check its permissions") from None

    def open(self, name: str) -> MappedFile:
        return MappedFile(self.path / name, root=self._root)
