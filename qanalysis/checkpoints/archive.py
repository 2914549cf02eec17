"""How is a zip archive read at a bounded cost? Its directory and what its members inflate to have stated limits.

Members are inflated here and not by the standard library, which inflates whatever one block of bzip2 or LZMA holds,
a gigabyte from a kilobyte, before it looks at the size that was asked for.
"""

from __future__ import annotations

import bz2
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Protocol

from qanalysis.checkpoints.data_file import DataFile, Stream
from qanalysis.checkpoints.source import CheckpointError

#: Sets how many MiB a compressed member may become.
LIMIT_VARIABLE = "QANALYSIS_INFLATE_LIMIT_MIB"
INFLATE_LIMIT_MIB = 256
#: The largest directory of an archive, in bytes: room for 100,000 members with long names.
DIRECTORY_LIMIT_BYTES = 1 << 25
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_END_SIZE, _END_64_SIZE, _LOCATOR_SIZE = 22, 56, 20
_MOST_COMMENT = 1 << 16
_PIECE, _BLOCK = 1 << 20, 1 << 16
_LEAST_DICTIONARY = 1 << 12
_ENCRYPTED = 1
_METHODS = {9: "deflate64", 93: "zstd", 95: "xz", 98: "ppmd"}


def inflate_limit() -> int:
    """The most bytes that one compressed member may become: 256 MiB, or what QANALYSIS_INFLATE_LIMIT_MIB says."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    return (int(text) if text.isdecimal() and len(text) < 10 else INFLATE_LIMIT_MIB) << 20


def open_archive(file: DataFile) -> zipfile.ZipFile:
    """The archive in a file. Raises CheckpointError for a directory beyond the limit, zipfile's errors for damage."""
    directory = _measure_directory(file)
    if directory > DIRECTORY_LIMIT_BYTES:
        raise CheckpointError(
            f"{file.name} claims a directory of {directory} bytes, at most {DIRECTORY_LIMIT_BYTES} are read; save it "
            "in several files"
        )
    return zipfile.ZipFile(Stream(file))


def _measure_directory(file: DataFile) -> int:
    start = max(0, file.size - _MOST_COMMENT - _END_SIZE)
    tail = file.read_header(start, file.size - start)
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + _END_SIZE:
        return 0  # zipfile says that this is none
    size: int = struct.unpack_from("<I", tail, place + 12)[0]
    large = file.read_header(max(0, start + place - _LOCATOR_SIZE - _END_64_SIZE), _END_64_SIZE)
    if large[:4] == _END_64 and len(large) == _END_64_SIZE:
        size_64: int = struct.unpack_from("<Q", large, 40)[0]
        return max(size if size < 0xFFFFFFFF else 0, size_64)
    return size


def find_data(file: DataFile, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin. Raises ValueError where they would not end in the file."""
    # The local header repeats the name and may have an extra field of its own length: bytes 26 to 30.
    local = file.read_header(member.header_offset, 30)
    if len(local) < 30 or local[:4] != b"PK\x03\x04":
        raise ValueError(f"its place in the archive, byte {member.header_offset}, holds no member")
    name_length, extra_length = struct.unpack("<HH", local[26:30])
    offset: int = member.header_offset + 30 + name_length + extra_length
    if offset + member.compress_size > file.size:
        raise ValueError(f"it ends at byte {offset + member.compress_size}, the file has {file.size}")
    return offset


def refuse_method(member: zipfile.ZipInfo) -> str:
    """Why a member can not be inflated: encrypted, or compressed in a way that is not read. Empty where it can."""
    if member.flag_bits & _ENCRYPTED:
        return "encrypted; save it without a password"
    if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return ""
    method = _METHODS.get(member.compress_type, "unknown")
    return f"compression method {member.compress_type} ({method}) is not read; save it with `numpy.savez`"


def inflate(file: DataFile, member: zipfile.ZipInfo, length: int) -> bytearray:
    """The first `length` bytes of a compressed member; where that is all of it, it is held against its checksum.

    Raises ValueError for a member of another size than the archive says, and what zlib, bz2 and lzma raise for damage.
    """
    held, total, crc = bytearray(), 0, 0
    for piece in _inflate(file, member):
        total += len(piece)
        held += piece[: length - len(held)]
        if len(held) == length < member.file_size:
            return held
        if total > member.file_size:
            break
        crc = zlib.crc32(piece, crc)
    if total != member.file_size:
        fault = "more" if total > member.file_size else f"{total} bytes"
        raise ValueError(f"it holds {fault} where the archive says {member.file_size} bytes")
    if crc != member.CRC:
        raise ValueError("its bytes do not match their checksum")
    return held


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _inflate(file: DataFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The member in pieces of at most 1 MiB: its bytes, and where it does not end with them, some more."""
    place = find_data(file, member)
    end = place + member.compress_size
    machine, place = _start(file, member, place)
    data, made = b"", 0
    while not machine.eof and made <= member.file_size:
        if not data:
            data = file.read_header(place, min(_BLOCK, end - place))
            place += len(data)
        # bz2 and lzma keep what they have not used yet, zlib hands it back
        piece = machine.decompress(data, _PIECE)
        if not piece and not data:
            return
        data = getattr(machine, "unconsumed_tail", b"") if piece or place < end else b""
        made += len(piece)
        if piece:
            yield piece


def _start(file: DataFile, member: zipfile.ZipInfo, place: int) -> tuple[_Decompressor, int]:
    if member.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS), place
    if member.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor(), place
    # version, length of the properties, then those of LZMA: lc, lp and pb in one byte, the size of its dictionary
    head = file.read_header(place, 9)
    length, numbers, dictionary = struct.unpack("<2xHBI", head)
    filters = {
        "id": lzma.FILTER_LZMA1,
        "lc": numbers % 9,
        "lp": numbers // 9 % 5,
        "pb": numbers // 45,
        "dict_size": min(dictionary, max(member.file_size, _LEAST_DICTIONARY)),  # nothing lies further back
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters]), place + 4 + length
