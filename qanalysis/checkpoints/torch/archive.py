"""What is in the zip that torch writes since 1.6? A pickle of the content, and one member for each storage.

Members are `NAME/data.pkl`, `NAME/data/KEY` and `NAME/byteorder`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qanalysis.checkpoints.data_file import DataFile, Stream
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.checkpoints.torch.pickle_walk import walk_pickle
from qanalysis.checkpoints.torch.storages import (
    InflatedStorage,
    MemberStorage,
    MissingStorage,
    Storage,
    SwappedStorage,
    inflate,
    refuse_inflating,
)

#: What to do with a file that holds more than weights.
SAVE_STATE_DICT = "save `model.state_dict()` instead, best as .safetensors"


@dataclass(frozen=True, slots=True)
class Saved:
    """The content of a file, walked and not made, and its storages by key. `mapped` says whether all lie plainly,
    `plain` that it is a pickle that torch did not write and holds its arrays itself.
    """

    content: Any
    find_storage: Callable[[str], Storage]
    mapped: bool
    plain: bool = False


def read_archive(file: DataFile) -> Saved:
    """The content of a zip that torch wrote.

    Raises CheckpointError for a program (TorchScript) and for archives of something else, PickleError for a damaged
    pickle, and what zipfile raises for a damaged archive.
    """
    archive = zipfile.ZipFile(Stream(file))
    members = {member.filename: member for member in archive.infolist()}
    if any(name.rpartition("/")[2] == "constants.pkl" for name in members):
        raise CheckpointError(f"{file.name} is a TorchScript program, not weights; {SAVE_STATE_DICT}")
    pickled = next((name for name in members if name.rpartition("/")[2] == "data.pkl"), None)
    if pickled is None:
        raise CheckpointError(f"{file.name} can not be read: it is a zip without data.pkl; save it with `torch.save`")
    folder = pickled.removesuffix("data.pkl")
    content, _end = walk_pickle(_read_member(file, archive, members[pickled]))
    order = members.get(f"{folder}byteorder")
    big_endian = order is not None and order.file_size < 16 and _read_member(file, archive, order).strip() == b"big"

    def find_storage(key: str) -> Storage:
        member = members.get(f"{folder}data/{key}")
        if member is None:
            return MissingStorage(f"its storage {key[:20]!r} is not in the file")
        is_stored = member.compress_type == zipfile.ZIP_STORED
        storage: Storage = (
            MemberStorage(file, member.header_offset, member.file_size)
            if is_stored
            else InflatedStorage(file, archive, member)
        )
        return SwappedStorage(storage) if big_endian else storage

    mapped = all(member.compress_type == zipfile.ZIP_STORED for member in members.values())
    return Saved(content, find_storage, mapped)


def _read_member(file: DataFile, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type == zipfile.ZIP_STORED:
        if member.file_size > file.size:
            raise CheckpointError(f"{file.name}: {member.filename[-80:]!r} claims more bytes than the file has")
        return inflate(archive, member)
    problem = refuse_inflating(member)
    if problem:
        raise CheckpointError(f"{file.name}: member {member.filename[-80:]!r} is {problem}")
    return inflate(archive, member)
