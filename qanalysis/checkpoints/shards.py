"""Which files are one model? Those that an index names, those that are numbered as parts of one set, or a file alone;
of a folder the one model in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PureWindowsPath

from qanalysis.checkpoints.data_file import Folder
from qanalysis.checkpoints.folder_choice import Numbered, choose_files, choose_index, is_index, list_aside, name_kind
from qanalysis.checkpoints.header_text import HeaderText
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

INDEX_LIMIT_BYTES = 1 << 25
_SLICES = re.compile(r"consolidated\.\d+\.pth$")


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files that are read together, in order. `shard_of` is what an index says of each tensor, empty without one;
    `notes` are sentences about the set, `aside` are other files of weights in the folder, where it was opened whole.
    """

    names: tuple[str, ...]
    shard_of: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    def tell(self, used: Iterable[str]) -> tuple[str, ...]:
        """The notes, and one on what was left out; `used` are the files that were opened, external data too."""
        left = [name for name in self.aside if name not in set(used)]
        return (*self.notes, f"left out of the folder: {_enumerate(left)}") if left else self.notes


def find_files(folder: Folder, name: str | None, *, partial: bool = False) -> FileSet:
    """The files of the model that `name` stands for: an index, a file, any part of a set; None for the folder's own.

    Raises CheckpointError for a set that lacks a part, unless `partial`, for one whose numbers lie, for an index that
    names files elsewhere, and for a folder with no model or with several.
    """
    if name is None:
        return _find_in(folder, partial=partial)
    if is_index(name):
        return _complete(_read_index(folder, name), _list_or_nothing(folder), name, partial=partial)
    names = _list_or_nothing(folder)
    found = _find_index_of(folder, name, names)
    if found:
        note = f"{_cut(name)} is one of several shards; those that {_cut(found[0])} names are read together"
        known = _complete(found[1], names, found[0], partial=partial)
        return FileSet(known.names, known.shard_of, (note, *known.notes))
    _refuse_slices([one for one in names if _SLICES.fullmatch(one)] if _SLICES.fullmatch(name) else [])
    numbered = Numbered.parse(name)
    if numbered is None or name not in names:
        return FileSet((name,))
    parts = [part for part in map(Numbered.parse, names) if part and part.key == numbered.key]
    notes = _check_numbers(parts, partial=partial)
    told = (f"{_cut(name)} is one of {numbered.count} shards; they are read together",) if len(parts) > 1 else ()
    return FileSet(tuple(part.name for part in parts), notes=told + notes)


def _list_or_nothing(folder: Folder) -> list[str]:
    try:
        return folder.list_names()
    except CheckpointError:  # a file that is named may lie where nothing can be listed
        return []


def _find_in(folder: Folder, *, partial: bool) -> FileSet:
    names = folder.list_names()
    index = choose_index(folder.name, names)
    if index:
        known = _complete(_read_index(folder, index), names, index, partial=partial)
    else:
        _refuse_slices([one for one in names if _SLICES.fullmatch(one)])
        chosen = choose_files(folder, names)
        parts = [part for part in map(Numbered.parse, chosen) if part]
        notes = _check_numbers(parts, partial=partial) if len(parts) == len(chosen) else ()
        if not notes and not parts and len(chosen) > 1:
            notes = (f"{len(chosen)} files are read as one model: {_enumerate(chosen)}",)
        known = FileSet(tuple(chosen), notes=notes)
    return replace(known, aside=tuple(list_aside(names, known.names, index)))


def _refuse_slices(slices: Sequence[str]) -> None:
    if len(slices) > 1:
        raise CheckpointError(
            f"{_enumerate(slices)} are tensor-parallel slices of the same tensors, which are not put together; convert "
            "the model to safetensors first"
        )


def _find_index_of(folder: Folder, name: str, names: Iterable[str]) -> tuple[str, dict[str, str]] | None:
    for index in filter(is_index, names):
        if not name.lower().endswith(name_kind(index)):
            continue
        try:
            shard_of = _read_index(folder, index)
        except CheckpointError:  # of another model, or damaged: the file was asked for, not its index
            continue
        if name in shard_of.values() and len(set(shard_of.values())) > 1:
            return index, shard_of
    return None


def _read_index(folder: Folder, name: str) -> dict[str, str]:
    file = folder.open(name)
    try:
        if file.size > INDEX_LIMIT_BYTES:
            raise CheckpointError(
                f"{_cut(name)} has {file.size} bytes, an index has at most {INDEX_LIMIT_BYTES}; {SAVE_AGAIN}"
            )
        text = file.read_header(0, file.size).decode("utf-8", "replace")
    finally:
        file.close()
    shard_of = _parse_index(text, _cut(name))
    for shard in set(shard_of.values()):
        if shard != PureWindowsPath(shard).name or shard in ("", ".", ".."):
            raise CheckpointError(
                f"{_cut(name)} names the shard {_cut(shard)!r}; shards must lie in the folder of the index"
            )
    return shard_of


def _parse_index(text: str, place: str) -> dict[str, str]:
    header, shard_of = HeaderText(text, place), None
    lacks = f"{place} has no 'weight_map' from tensor names to shard files; {SAVE_AGAIN}"
    if text.lstrip()[:1] != "{":
        raise CheckpointError(lacks)
    for key in header.members():
        if key != "weight_map":
            header.take_any(f"its {_cut(key)!r}")
        elif not header.begins("{"):
            raise CheckpointError(lacks)
        else:
            names = {}
            for name in header.members():
                if not header.begins('"'):
                    raise CheckpointError(lacks)
                names[name] = header.take_text("a shard")
            shard_of = names
    if not shard_of:
        raise CheckpointError(lacks)
    return shard_of


def _complete(shard_of: dict[str, str], names: Iterable[str], index: str, *, partial: bool) -> FileSet:
    shards, here = sorted(set(shard_of.values())), set(names)
    missing = [shard for shard in shards if shard not in here]
    notes = _tell_missing(len(shards), len(missing), missing[:1], place=f"{_cut(index)}: ", partial=partial)
    return FileSet(tuple(shard for shard in shards if shard in here), shard_of, notes)


def _check_numbers(parts: Sequence[Numbered], *, partial: bool) -> tuple[str, ...]:
    """What is missing, as notes. The numbers of a set go from 1, or from 0 where there is one of that number."""
    if not parts:
        return ()
    count, numbers = parts[0].count, {part.number for part in parts}
    first = 0 if 0 in numbers else 1
    for part in parts:
        if not first <= part.number < first + count:
            raise CheckpointError(
                f"{_cut(part.name)} claims to be number {part.number} of {count}; rename it, or open a file of another "
                "name"
            )
    gap = next((number for number in range(first, first + count) if number not in numbers), first)
    return _tell_missing(count, count - len(numbers), [parts[0].rename(gap)], place="", partial=partial)


def _tell_missing(count: int, lacking: int, names: list[str], *, place: str, partial: bool) -> tuple[str, ...]:
    if not lacking:
        return ()
    others = f" and {lacking - 1} more are" if lacking > 1 else " is"
    told = f"{place}{count - lacking} of {count} shards: {_cut(names[0])}{others} missing"
    if not partial or lacking == count:
        raise CheckpointError(f"{told}; download what is missing, or take what is here with --partial")
    return (told,)


def _enumerate(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(map(_cut, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _cut(name: str) -> str:
    return shorten(name, 80)
