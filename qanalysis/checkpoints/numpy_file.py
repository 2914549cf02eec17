"""What is in a .npy or .npz file?

Arrays that lie plainly in the file are mapped; deflated members have to be inflated whole. Arrays of Python objects are
refused, since reading them runs code from the file.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile, Folder, Stream
from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.file_source import refuse_broken
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN, StoredValues
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo, widen

MAPPED_NOTE = "Mapped: a read costs the tensor or the slice asked for, the rest stays on disk."
INFLATED_NOTE = "Compressed members are inflated whole, one at a time; saved with `numpy.savez` they would be mapped."

_HEAD_BYTES = 1 << 16  # more than the longest header that numpy reads
_MAX_DEFLATE_RATIO = 1032  # of deflate: one bit pair for 258 bytes


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    length: int

    @property
    def value_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class ColumnMajorValues:
    """Values that lie in Fortran order: any part costs the whole."""

    values: StoredValues
    shape: tuple[int, ...]
    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        whole = self.values.read(0, math.prod(self.shape))
        return whole.reshape(self.shape[::-1]).T.reshape(-1)[start:stop]


@dataclass(frozen=True, slots=True)
class InflatedValues:
    """A compressed member of an archive: any part costs the whole."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        with self.archive.open(self.member) as file:
            array = npy_format.read_array(file, allow_pickle=False)
        return widen(array.reshape(-1)[start:stop])


def read_npy(file: DataFile, _folder: Folder) -> Content:
    """The one array of a .npy file, under the file's name without its suffix. Raises CheckpointError."""
    entry = _map_array(file, 0, room=file.size, name=Path(file.name).stem)
    return Content([entry], [file], MAPPED_NOTE)


def read_npz(file: DataFile, _folder: Folder) -> Content:
    """The arrays of a .npz archive in its order; members that are no .npy are left out. Raises CheckpointError."""
    with refuse_broken(file.name):
        archive = zipfile.ZipFile(Stream(file))
    members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    note = MAPPED_NOTE if all(_is_stored(member) for member in members) else INFLATED_NOTE
    entries = []
    for member in members:
        with refuse_broken(f"{file.name}: member {member.filename!r}"):
            entries.append(_read_member(file, archive, member))
    return Content(entries, [file], note)


def _is_stored(member: zipfile.ZipInfo) -> bool:
    return member.compress_type == zipfile.ZIP_STORED


def _read_member(file: DataFile, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    name = member.filename.removesuffix(".npy")
    place = f"{file.name}: array {name!r}"
    with archive.open(member) as stream:  # also holds the two headers of the member against each other
        if _is_stored(member):
            return _map_array(file, _find_data(file, member, place), room=member.file_size, name=name)
        header = _parse_header(stream.read(_HEAD_BYTES), place)
    if (
        member.file_size > (member.compress_size + 1) * _MAX_DEFLATE_RATIO
        and member.compress_type == zipfile.ZIP_DEFLATED
    ):
        raise CheckpointError(
            f"{place} claims {member.file_size} bytes, more than its {member.compress_size} can inflate to; "
            f"{SAVE_AGAIN}"
        )
    _check_room(header, room=member.file_size, place=place)
    return Entry(_describe(name, header), InflatedValues(archive, member))


def _find_data(file: DataFile, member: zipfile.ZipInfo, place: str) -> int:
    # The local header repeats the name and may have an extra field of its own length: bytes 26 to 30.
    local = file.read_header(member.header_offset, 30)
    name_length, extra_length = struct.unpack("<HH", local[26:30])
    offset: int = member.header_offset + 30 + name_length + extra_length
    if offset + member.file_size > file.size:
        raise CheckpointError(
            f"{place} ends at byte {offset + member.file_size}, the file has {file.size}; {SAVE_AGAIN}"
        )
    return offset


def _map_array(file: DataFile, offset: int, *, room: int, name: str) -> Entry:
    place = f"{file.name}: array {name!r}"
    header = _parse_header(file.read_header(offset, min(room, _HEAD_BYTES)), place)
    _check_room(header, room=room, place=place)
    values = StoredValues(file, offset + header.length, header.dtype, math.prod(header.shape))
    info = _describe(name, header)
    return Entry(
        info, ColumnMajorValues(values, header.shape) if header.fortran_order and len(header.shape) > 1 else values
    )


def _parse_header(head: bytes, place: str) -> _Header:
    stream = io.BytesIO(head)
    with refuse_broken(place):
        version = npy_format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise CheckpointError(
                f"{place} has the .npy version {version}, only 1.0 and 2.0 hold plain arrays; save it again with "
                "`numpy.save`"
            )
        read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(stream)
    if dtype.hasobject:
        raise CheckpointError(
            f"{place} holds Python objects, which may run code when read; save it with a number dtype such as float32"
        )
    return _Header(tuple(int(size) for size in shape), dtype, fortran_order, stream.tell())


def _check_room(header: _Header, *, room: int, place: str) -> None:
    if min(header.shape, default=0) < 0 or header.length + header.value_bytes > room:
        shape, left = str(header.shape)[:80], room - header.length
        raise CheckpointError(
            f"{place} has shape {shape} of {header.dtype}, which is {header.value_bytes} bytes, the file holds "
            f"{left}; {SAVE_AGAIN}"
        )


def _describe(name: str, header: _Header) -> TensorInfo:
    word = header.dtype.name
    return TensorInfo(name, header.shape, word, header.value_bytes, decodes=word in FLOAT_DTYPES)
