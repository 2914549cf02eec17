"""What is kept of files that lie elsewhere? The stretches that were read last, in memory; on disk only where a folder
for them is named.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

#: Names a folder of this machine in which what was read is kept; unset, nothing is.
CACHE_VARIABLE = "QANALYSIS_CACHE"
#: The most bytes that are kept, in memory and in that folder.
MEMORY_BYTES, FOLDER_BYTES = 1 << 28, 1 << 32
_SUFFIX = ".bytes"
Bytes = bytes | bytearray | memoryview


class Pages:
    """Stretches of files by the version of the file; the ones used last, at most `limit` bytes. For any thread."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._pages: OrderedDict[tuple[str, int], Bytes] = OrderedDict()
        self._starts: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def find(self, version: str, start: int) -> tuple[int, Bytes] | None:
        """The kept stretch that holds byte `start` and most of those behind it, and where it begins."""
        with self._lock:
            best = max(
                (begin for begin in self._starts.get(version, ()) if begin <= start < self._end(version, begin)),
                key=lambda begin: self._end(version, begin),
                default=None,
            )
            if best is None:
                return None
            self._pages.move_to_end((version, best))
            return best, self._pages[version, best]

    def put(self, version: str, start: int, data: Bytes) -> None:
        """Keep a stretch, unless it alone is more than a half of what is kept."""
        if 2 * len(data) > self._limit:
            return
        with self._lock:
            self._drop(version, start)
            self._pages[version, start] = data
            self._starts.setdefault(version, []).append(start)
            self._held += len(data)
            while self._held > self._limit:
                self._drop(*next(iter(self._pages)))

    def forget(self, version: str) -> None:
        """Drop all stretches of a version, and of those whose names begin with it."""
        with self._lock:
            for name, start in [page for page in self._pages if page[0].startswith(version)]:
                self._drop(name, start)

    def _end(self, version: str, start: int) -> int:
        return start + len(self._pages[version, start])

    def _drop(self, version: str, start: int) -> None:
        old = self._pages.pop((version, start), None)
        if old is None:
            return
        self._held -= len(old)
        self._starts[version].remove(start)
        if not self._starts[version]:
            del self._starts[version]


PAGES = Pages(MEMORY_BYTES)


def load(version: str, start: int, stop: int) -> bytes | None:
    """Bytes start..stop from the folder that the environment names; None where there is none or they are not in it."""
    path = _locate(version, start, stop)
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, data = data[:32], data[32:]
    if len(data) != stop - start or hashlib.sha256(data).digest() != digest:
        return None
    with suppress(OSError):
        os.utime(path)
    return data


def save(version: str, start: int, data: Bytes) -> None:
    """Keep them there, the oldest making room. A folder that can not be written to keeps nothing."""
    path = _locate(version, start, start + len(data))
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(path.parent, len(data))
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(data).digest() + data)
        Path(file.name).replace(path)


def _locate(version: str, start: int, stop: int) -> Path | None:
    folder = os.environ.get(CACHE_VARIABLE)
    name = hashlib.sha256(f"{version}\0{start}\0{stop}".encode(errors="replace")).hexdigest()
    return Path(folder) / "qanalysis-ranges" / f"{name}{_SUFFIX}" if folder else None


def _make_room(folder: Path, needed: int) -> None:
    files = [(entry.stat(), entry.path) for entry in os.scandir(folder) if entry.name.endswith(_SUFFIX)]
    held = needed + sum(status.st_size for status, _path in files)
    for status, path in sorted(files, key=lambda one: one[0].st_mtime):
        if held <= FOLDER_BYTES:
            return
        Path(path).unlink(missing_ok=True)
        held -= status.st_size
