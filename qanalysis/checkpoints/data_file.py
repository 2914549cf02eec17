"""Where do the bytes of a checkpoint come from? From files and folders, on this machine or behind an address.

Readers know these two interfaces and nothing of where a file lies.
"""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.source import widen


class DataFile(ABC):
    """One file that is read in parts, by several threads at once."""

    #: Its name without folders, for messages.
    name: str
    #: Its bytes.
    size: int

    @abstractmethod
    def read_header(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`, fewer at the end of the file."""

    @abstractmethod
    def read_array(self, offset: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        """A copy of `count` elements at byte `offset`, 1-D, in `dtype`."""

    def read_floats(self, offset: int, *, dtype: np.dtype, count: int) -> NDArray[np.float32]:
        """The same as float32."""
        return widen(self.read_array(offset, dtype=dtype, count=count))

    def read_columns(
        self, offset: int, *, dtype: np.dtype, count: int, width: int, first: int, last: int
    ) -> NDArray[Any]:
        """Columns first..last, (rows, last - first), of `count` elements seen as rows of `width`, in `dtype`."""
        return self.read_array(offset, dtype=dtype, count=count).reshape(-1, width)[:, first:last]

    @abstractmethod
    def hash_into(self, digest: hashlib._Hash) -> None:
        """Feed all bytes to a hash."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""


class Stream(io.RawIOBase):
    """A data file as a stream, for the libraries that want one (zipfile)."""

    def __init__(self, file: DataFile) -> None:
        self._file, self._place = file, 0
        self.name = file.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        found = self._file.read_header(self._place, len(buffer))
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)


class Folder(ABC):
    """The folder that a file lies in: where shards, external data and configuration are looked for."""

    #: Its name without those above it, for messages.
    name: str

    @abstractmethod
    def list_names(self) -> list[str]:
        """Names of its regular files, sorted, hidden ones left out. CheckpointError where it can not be listed."""

    @abstractmethod
    def open(self, name: str) -> DataFile:
        """A file of it (or, with slashes, of a folder below it).

        Raises CheckpointError for what is not there, is no regular file, is empty, or lies outside what may be opened;
        that is looked at when the file is open.
        """
