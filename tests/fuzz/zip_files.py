"""How is a zip archive damaged where it describes itself? Its members anew, and lies in the directory at its end."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
from collections.abc import Sequence

Members = tuple[tuple[str, bytes], ...]
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENTRY, _LOCAL, _END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
#: Offset in an entry of the directory, and format: version, flags, method, sum, sizes, lengths of texts, offset.
_FIELDS = (
    (6, "<H"),
    (8, "<H"),
    (10, "<H"),
    (16, "<I"),
    (20, "<I"),
    (24, "<I"),
    (28, "<H"),
    (30, "<H"),
    (32, "<H"),
    (42, "<I"),
)
_END_FIELDS = ((4, "<H"), (8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H"))
_LOCAL_FIELDS = ((6, "<H"), (8, "<H"), (18, "<I"), (22, "<I"), (26, "<H"), (28, "<H"))
_NUMBERS = (0, 1, 8, 12, 14, 99, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def pack_members(rng: random.Random, members: Members) -> bytes:
    """An archive; mostly stored, else each member packed in a way of its own."""
    stream, is_stored = io.BytesIO(), rng.random() < 0.7
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # two of one name are meant
        for name, content in members:
            archive.writestr(name.replace("\0", "0")[:60_000] or " ", content, 0 if is_stored else rng.choice(_METHODS))
    return stream.getvalue()


def change_members(rng: random.Random, members: Members, names: Sequence[str]) -> Members:
    """One member renamed, doubled, taken away, exchanged, cut, or longer."""
    changed = list(members)
    if not changed:
        return members
    at = rng.randrange(len(changed))
    name, content = changed[at]
    match rng.randrange(6):
        case 0:
            changed[at] = rng.choice(names), content
        case 1:
            changed.insert(rng.randrange(len(changed) + 1), changed[at])
        case 2:
            del changed[at]
        case 3:
            other = rng.randrange(len(changed))
            changed[at], changed[other] = (name, changed[other][1]), (changed[other][0], content)
        case 4:
            changed[at] = name, content[: rng.randrange(len(content) + 1)]
        case _:
            changed[at] = name, content + bytes(rng.choice((1, 64, 100_000)))
    return tuple(changed)


def lie(rng: random.Random, data: bytes) -> bytes:
    """A number of the directory, of its end, or before a member, replaced."""
    sign, fields = rng.choice(((_ENTRY, _FIELDS), (_ENTRY, _FIELDS), (_LOCAL, _LOCAL_FIELDS), (_END, _END_FIELDS)))
    places = [at for at in range(len(data)) if data.startswith(sign, at)] if len(data) < 1 << 16 else []
    if not places:
        return data
    at, (offset, form) = rng.choice(places), rng.choice(fields)
    copy, size = bytearray(data), struct.calcsize(form)
    if len(copy) >= at + offset + size:
        number = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
        copy[at + offset : at + offset + size] = struct.pack(form, number)
    return bytes(copy)
