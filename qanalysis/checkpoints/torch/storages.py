"""Where do the bytes of a storage lie? In the file as they are in memory, or compressed.

A storage is a run of bytes that tensors are views of.
"""

from __future__ import annotations

import struct
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN, StoredValues
from qanalysis.checkpoints.source import CheckpointError

#: The most bytes that one compressed member may inflate to.
MAX_INFLATED = 1 << 28
_LOCAL_HEADER = 30


class Storage(ABC):
    """A run of `size` bytes. `problem` says why they can not be read, empty where they can."""

    size: int
    problem: str = ""

    @abstractmethod
    def read_array(self, place: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        """`count` elements at byte `place` of the storage, 1-D."""


class PlainStorage(Storage):
    """Bytes that lie in `file` from `start` on as they are in memory, so that a part costs only the part."""

    file: DataFile

    @property
    @abstractmethod
    def start(self) -> int:
        """Its first byte in the file."""

    def read_array(self, place: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        return self.file.read_array(self.start + place, dtype=dtype, count=count)

    def find(self, place: int, *, dtype: np.dtype, count: int) -> StoredValues:
        """`count` elements at byte `place` as values of the file."""
        return StoredValues(self.file, self.start + place, dtype, count)


@dataclass(eq=False)
class FileStorage(PlainStorage):
    """Bytes whose place is known."""

    file: DataFile
    first: int
    size: int

    @property
    def start(self) -> int:
        """Its first byte in the file."""
        return self.first


@dataclass(eq=False)
class MemberStorage(PlainStorage):
    """A member of an archive that is not compressed. Where it begins is looked up at the first read: of an archive
    behind an address each look is a request.
    """

    file: DataFile
    header: int
    size: int

    @cached_property
    def start(self) -> int:
        """Its first byte: the header repeats the name and has an extra field of its own length, bytes 26 to 30."""
        local = self.file.read_array(self.header, dtype=np.dtype(np.uint8), count=_LOCAL_HEADER).tobytes()
        if local[:4] != b"PK\x03\x04":
            raise CheckpointError(f"{self.file.name}: no member begins at byte {self.header}; {SAVE_AGAIN}")
        name_length, extra_length = struct.unpack("<HH", local[26:30])
        start: int = self.header + _LOCAL_HEADER + name_length + extra_length
        if start + self.size > self.file.size:
            raise CheckpointError(
                f"{self.file.name}: a storage ends at byte {start + self.size}, the file has {self.file.size}; "
                f"{SAVE_AGAIN}"
            )
        return start


@dataclass(eq=False)
class InflatedStorage(Storage):
    """A deflated member of an archive: any part costs the whole."""

    file: DataFile
    archive: zipfile.ZipFile
    member: zipfile.ZipInfo

    def __post_init__(self) -> None:
        self.size, self.problem = self.member.file_size, refuse_inflating(self.member)

    def read_array(self, place: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        # fails where the file has changed since it was opened, which zipfile would not see
        self.file.read_array(self.member.header_offset, dtype=np.dtype(np.uint8), count=1)
        return np.frombuffer(inflate(self.archive, self.member), dtype=dtype, count=count, offset=place)


class SwappedStorage(Storage):
    """Another storage whose elements were written by a big-endian machine."""

    def __init__(self, stored: Storage) -> None:
        self._stored, self.size, self.problem = stored, stored.size, stored.problem

    def read_array(self, place: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        return swap_bytes(self._stored.read_array(place, dtype=dtype, count=count))


class MissingStorage(Storage):
    """A storage that tensors name and the file does not have."""

    def __init__(self, problem: str) -> None:
        self.size, self.problem = 0, problem

    def read_array(self, place: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        raise CheckpointError(f"{count} elements of {dtype} at byte {place} can not be had: {self.problem}")


def swap_bytes(values: NDArray[Any]) -> NDArray[Any]:
    """Elements with the bytes of each turned around; ml-dtypes' floats too, which numpy itself does not turn."""
    if values.dtype.kind == "c":
        parts = values.view(f"u{values.dtype.itemsize // 2}")
        return parts.byteswap().view(values.dtype)
    return values.view(f"u{values.dtype.itemsize}").byteswap().view(values.dtype)


def refuse_inflating(member: zipfile.ZipInfo) -> str:
    """Why a compressed member is not read, empty where it is.

    Only what torch's files are packed with by hand is inflated: the other methods can not be stopped at a size.
    """
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return f"compressed by method {member.compress_type} of zip; only deflate is read: save it again with torch"
    if member.file_size > MAX_INFLATED:
        return (
            f"compressed, and would inflate to {member.file_size:,} bytes; the most is {MAX_INFLATED:,}: save it again "
            "with torch, which compresses nothing"
        )
    return ""


def inflate(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member that may be inflated. Raises CheckpointError where it is shorter than it says."""
    with archive.open(member) as stream:
        found = stream.read(member.file_size)
    if len(found) < member.file_size:
        raise CheckpointError(f"member {member.filename[-80:]!r} is cut short; {SAVE_AGAIN}")
    return found
