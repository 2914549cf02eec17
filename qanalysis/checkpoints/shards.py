"""Which files are one model? Those that an index names, or a folder holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PureWindowsPath

from qanalysis.checkpoints.data_file import Folder
from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN
from qanalysis.checkpoints.source import CheckpointError

INDEX_SUFFIX = ".safetensors.index.json"


def find_shards(folder: Folder, name: str | None) -> list[str]:
    """Names of the files to read together: a file of the folder, those of an index, or all there are (None)."""
    if name is None:
        names = folder.list_names()
        indexes = [one for one in names if one.endswith(INDEX_SUFFIX)]
        if len(indexes) > 1:
            raise CheckpointError(
                f"folder {folder.name!r} holds {len(indexes)} indexes ({indexes[0]}, {indexes[1]}, ...); "
                "open one of them"
            )
        if not indexes:
            shards = [one for one in names if one.lower().endswith(".safetensors")]
            if not shards:
                raise CheckpointError(
                    f"folder {folder.name!r} holds no .safetensors file and no *{INDEX_SUFFIX}; open a checkpoint file "
                    "of it by name"
                )
            return shards
        name = indexes[0]
    return _read_index(folder, name) if name.endswith(INDEX_SUFFIX) else [name]


def _read_index(folder: Folder, name: str) -> list[str]:
    file = folder.open(name)
    index = json.loads(file.read_header(0, file.size))
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise CheckpointError(f"{name} has no 'weight_map' from tensor names to shard files; {SAVE_AGAIN}")
    for shard in set(weight_map.values()):
        if shard != PureWindowsPath(shard).name:
            raise CheckpointError(f"{name} names the shard {shard!r}; shards must lie in the folder of the index")
    return sorted(set(weight_map.values()))


def join(contents: Sequence[Content], name: str) -> Content:
    """The tensors of several files as those of one; CheckpointError where a name occurs in two of them."""
    if len(contents) == 1:
        return contents[0]
    shard_of: dict[str, str] = {}
    entries: list[Entry] = []
    for content in contents:
        for entry in content.entries:
            if entry.info.name in shard_of:
                shards = f"{shard_of[entry.info.name]} and {content.files[0].name}"
                raise CheckpointError(
                    f"{name}: tensor {entry.info.name!r} is in both {shards}; a folder must hold one model, so open "
                    "one file or its index"
                )
            shard_of[entry.info.name] = content.files[0].name
            entries.append(entry)
    files = [file for content in contents for file in content.files]
    notes = tuple(dict.fromkeys(note for content in contents for note in content.notes))
    metadata = {key: text for content in contents for key, text in content.metadata.items()}
    return Content(entries, files, contents[0].memory_note, notes, metadata)
