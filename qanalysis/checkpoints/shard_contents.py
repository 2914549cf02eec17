"""How do the tensors of several files become those of one model? No tensor twice, none missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.shards import FileSet
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

#: What a GGUF header says of the set that its file belongs to.
SPLIT_COUNT, SPLIT_TENSORS = "split.count", "split.tensors.count"


def join(contents: Sequence[Content], files: FileSet, *, shown: str, partial: bool) -> Content:
    """The tensors of the files of a set, in their order, as those of one file.

    A tensor that lies in two files is taken from the one that the index names. Raises CheckpointError where no index
    decides, and, unless `partial`, for a tensor that an index names and its shard does not hold, and for a set that is
    not as large as its headers say.
    """
    notes = [note for content in contents for note in content.notes]
    notes += _check_index(contents, files.shard_of, shown, partial=partial)
    notes += _check_split(contents, shown, partial=partial)
    entries = contents[0].entries if len(contents) == 1 else _take_once(contents, files.shard_of, shown)
    return Content(
        entries,
        [file for content in contents for file in content.files],
        contents[0].memory_note,
        tuple(dict.fromkeys(notes)),
        {key: text for content in reversed(contents) for key, text in content.metadata.items()},
    )


def _take_once(contents: Sequence[Content], shard_of: Mapping[str, str], shown: str) -> list[Entry]:
    taken: dict[str, str] = {}
    entries = []
    for content in contents:
        here = content.files[0].name
        for entry in content.entries:
            name = entry.info.name
            if shard_of.get(name, here) != here:
                continue
            if taken.get(name, here) != here:
                raise CheckpointError(
                    f"{shorten(shown, 80)}: tensor {shorten(name, 80)!r} is in both {shorten(taken[name], 80)} and "
                    f"{shorten(here, 80)}; a folder must hold one model, so open one file or its index"
                )
            taken[name] = here
            entries.append(entry)
    return entries


def _check_index(contents: Sequence[Content], shard_of: Mapping[str, str], shown: str, *, partial: bool) -> list[str]:
    held = {content.files[0].name: {entry.info.name for entry in content.entries} for content in contents}
    absent = [name for name, shard in shard_of.items() if shard in held and name not in held[shard]]
    if not absent:
        return []
    name, shard = absent[0], shorten(shard_of[absent[0]], 80)
    more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
    told = (
        f"{shorten(shown, 80)}: tensor {shorten(name, 80)!r}{more} is not in its shard {shard!r}, which the index names"
    )
    if not partial:
        raise CheckpointError(f"{told}; download the shard or its index again, or take what is here with --partial")
    return [told]


def _check_split(contents: Sequence[Content], shown: str, *, partial: bool) -> list[str]:
    said = [content.metadata for content in contents]
    count = max(_number(one, SPLIT_COUNT) for one in said)
    tensors = max(_number(one, SPLIT_TENSORS) for one in said)
    held = sum(len(content.entries) for content in contents)
    if count > len(contents):
        told = f"{shorten(shown, 80)}: {len(contents)} of {count} parts, as split.count says"
    elif tensors and tensors != held:
        told = f"{shorten(shown, 80)}: {held} of {tensors} tensors, as split.tensors.count says"
    else:
        return []
    if not partial:
        raise CheckpointError(
            f"{told}; put the parts into one folder under the names that they were written with, or take what is here "
            "with --partial"
        )
    return [told]


def _number(metadata: Mapping[str, str], key: str) -> int:
    text = metadata.get(key, "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0
