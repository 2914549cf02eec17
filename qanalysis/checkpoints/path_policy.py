"""Which files may a page open that others can reach? Those inside one root folder, whatever the path or a link says."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from qanalysis.checkpoints.catalogue import SUFFIX_KINDS, identify_file
from qanalysis.checkpoints.folder_choice import Numbered, is_index, name_kind
from qanalysis.checkpoints.mapped_file import MappedFile
from qanalysis.checkpoints.source import CheckpointError

#: Names the root folder to a server that is started.
ROOT_VARIABLE = "QANALYSIS_ROOT"
#: Set to 1, lets its pages open addresses too.
REMOTE_VARIABLE = "QANALYSIS_REMOTE"
#: The largest file that a page takes from a browser.
UPLOAD_LIMIT_MB = 50
_MAX_ENTRIES = 20_000  # looked at for one listing
_SKIPPED = {"node_modules", "__pycache__", "site-packages"}
_ENVIRONMENT_MARK = "pyvenv.cfg"


def resolve_inside(root: Path, text: str) -> Path:
    """The file or folder that `text` names, relative to `root` or absolute, links resolved.

    Raises CheckpointError unless it lies inside `root`; what lies outside is refused alike whether it exists or not.
    Of a folder or an index this says nothing about the files that it holds: each is held against the root when it is
    opened, for which `open_checkpoint` is given the same root.
    """
    shown = repr(text[:200])
    try:
        home = _follow_links(root)
        path = _follow_links(home / text)
        inside = path.is_relative_to(home)
        exists = inside and path.exists()
        is_usable = exists and (path.is_file() or path.is_dir())
    except (OSError, ValueError):
        raise CheckpointError(
            f"{shown} can not be resolved to a path; give one below the root folder, such as 'models/model.safetensors'"
        ) from None
    if not text.strip() or not inside:
        raise CheckpointError(
            f"{shown} lies outside the root folder {home.name!r}; give a path below it, or start the app with "
            "another --root"
        )
    if not exists:
        raise CheckpointError(f"{shown} does not exist in the root folder {home.name!r}; check the spelling")
    if not is_usable:
        raise CheckpointError(
            f"{shown} is neither a regular file nor a folder; give a checkpoint file or the folder that holds it"
        )
    return path


def _follow_links(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it also ends for links in a circle


def list_checkpoints(root: Path, *, limit: int = 200, depth: int = 4) -> list[str]:
    """Names, relative to `root` and sorted, of at most `limit` files that look openable, down to `depth` folders.

    Hidden folders, virtual environments and links that leave the root are skipped. Where an index is, its shards are
    not listed. What a file is its first bytes tell.
    """
    home = _follow_links(root)
    found: list[str] = []
    for path in _walk(home, depth=depth):
        if len(found) == limit:
            break
        if _looks_openable(path, home):
            found.append(path.relative_to(home).as_posix())
    return sorted(found)


def list_files(root: Path, suffixes: Collection[str], *, limit: int = 200, depth: int = 4) -> list[str]:
    """The same of files with one of `suffixes`, whatever they hold."""
    home = _follow_links(root)
    named = (path for path in _walk(home, depth=depth, suffixes=suffixes) if path.suffix.lower() in suffixes)
    inside = (path for path in named if _follow_links(path).is_relative_to(home))
    return sorted(path.relative_to(home).as_posix() for path in islice(inside, limit))


def _walk(home: Path, *, depth: int, suffixes: Collection[str] = SUFFIX_KINDS) -> Iterator[Path]:
    seen = 0
    for folder, folders, files in os.walk(home):
        level = len(Path(folder).relative_to(home).parts)
        if _ENVIRONMENT_MARK in files:
            folders.clear()
            continue
        folders[:] = sorted(
            name for name in folders if level < depth and not name.startswith(".") and name not in _SKIPPED
        )
        indexes = list(filter(is_index, files))
        for name in sorted(files):
            is_shard = any(_belongs(name, index) for index in indexes)
            if not name.startswith(".") and not is_shard and (is_index(name) or Path(name).suffix.lower() in suffixes):
                yield Path(folder) / name
        seen += len(files) + len(folders)
        if seen > _MAX_ENTRIES:
            return


def _belongs(name: str, index: str) -> bool:
    """Whether a file is likely one of the shards of an index: of its kind, and numbered or of safetensors."""
    suffix = name_kind(index)
    return name.lower().endswith(suffix) and (suffix == ".safetensors" or Numbered.parse(name) is not None)


def _looks_openable(path: Path, home: Path) -> bool:
    try:
        file = MappedFile(path, root=home)
    except CheckpointError:
        return False
    try:
        return is_index(path.name) or bool(identify_file(file))
    except CheckpointError:
        return False
    finally:
        file.close()
