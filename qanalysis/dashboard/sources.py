"""Which file does a source's text stand for, and has it changed? Samples, paths below the allowed root, and uploads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from qanalysis.checkpoints.catalogue import SUFFIX_KINDS, locate_sample
from qanalysis.checkpoints.path_policy import ROOT_VARIABLE, resolve_inside
from qanalysis.checkpoints.shards import INDEX_SUFFIX
from qanalysis.checkpoints.source import SAMPLE_PREFIX

UPLOAD_PREFIX = "upload:"
UPLOAD_SUFFIXES = tuple(SUFFIX_KINDS)
_HEADER_BYTES = 64 * 1024


def read_root() -> Path:
    """The folder that typed paths stay inside: QANALYSIS_ROOT, or where the program was started.

    Read anew each time, so that tests and servers may set it late.
    """
    return Path(os.environ.get(ROOT_VARIABLE) or Path.cwd())


class UploadStore:
    """Uploaded files in a private temporary folder: the newest `keep`, each for `lifetime_s` seconds, all gone when the
    server ends.

    Safe to use from several sessions' threads. Nobody but the server's user can read the folder.
    """

    def __init__(self, *, suffixes: Sequence[str] = UPLOAD_SUFFIXES, keep: int = 8, lifetime_s: float = 3600) -> None:
        self._suffixes = tuple(suffixes)
        self._folder = Path(tempfile.mkdtemp(prefix="qanalysis-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._keep, self._lifetime_s = keep, lifetime_s
        self._saved: dict[str, float] = {}
        self._lock = threading.Lock()

    def save(self, name: str, content: bytes) -> str:
        """Keep one file; returns its source text "upload:DIGEST/NAME".

        ValueError for a suffix that the store does not take.

        The same bytes under the same name are one file, kept anew for its full time. Path parts of `name` are dropped.
        """
        safe = re.sub(r"[^\w.-]", "_", Path(name).name)[-80:]
        if Path(safe).suffix.lower() not in self._suffixes:
            raise ValueError(f"upload {safe!r}: unknown kind of file; one of {', '.join(self._suffixes)} is expected")
        key = hashlib.sha256(content).hexdigest()[:12]
        with self._lock:
            target = self._folder / key / safe
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
            self._saved[key] = time.monotonic()
        self.expire()
        return f"{UPLOAD_PREFIX}{key}/{safe}"

    def locate(self, text: str) -> Path:
        """The file behind an "upload:" text; ValueError where it has expired or never was."""
        self.expire()
        key, _, name = text.removeprefix(UPLOAD_PREFIX).partition("/")
        path = self._folder / key / name
        if key not in self._saved or Path(name).name != name or not path.is_file():
            raise ValueError(
                f"{text!r}: uploads are kept for {self._lifetime_s / 60:.0f} minutes on this server "
                "and this one is gone; upload the file again"
            )
        return path

    def expire(self) -> None:
        """Remove what is too old or too much.

        Called with every save and look-up; it never runs by itself.
        """
        with self._lock:
            oldest_first = sorted(self._saved, key=lambda key: self._saved[key])
            limit = time.monotonic() - self._lifetime_s
            for index, key in enumerate(oldest_first):
                if self._saved[key] < limit or index < len(oldest_first) - self._keep:
                    del self._saved[key]
                    shutil.rmtree(self._folder / key, ignore_errors=True)


def name_source(text: str) -> str:
    """A source as a person's own script opens it: of an upload the file's name alone, without the folder that keeps it.

    >>> name_source("upload:04903a1e99db/tone.csv"), name_source("sample:digits-cnn")
    ('tone.csv', 'sample:digits-cnn')
    """
    return text.rpartition("/")[2] if text.startswith(UPLOAD_PREFIX) else text


def locate_source(text: str, uploads: UploadStore) -> str | Path:
    """What `open_checkpoint` is given for a source's text: "sample:NAME" itself, or a path inside the root or the
    upload folder.

    CheckpointError for a path outside the root or one that is not there, ValueError for an upload that is gone.
    """
    if text.startswith(SAMPLE_PREFIX):
        return text
    if text.startswith(UPLOAD_PREFIX):
        return uploads.locate(text)
    return resolve_inside(read_root(), text)


def identify_source(text: str, uploads: UploadStore) -> str:
    """A digest of path, size, time of change and first 64 KiB of each file behind a source: another value when the file
    changed.

    Sixteen hexadecimal digits; for a folder or an index over all files beside it. Raises as `locate_source`.
    """
    located = locate_source(text, uploads)
    path = locate_sample(text) if isinstance(located, str) else located
    digest = hashlib.sha256()
    for file in _files_of(path):
        stat = file.stat()
        digest.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_HEADER_BYTES))
    return digest.hexdigest()[:16]


def _files_of(path: Path) -> list[Path]:
    """The files that a checkpoint may consist of: itself, or all of its folder where it is one or an index."""
    if path.is_dir() or path.name.endswith(INDEX_SUFFIX):
        folder = path if path.is_dir() else path.parent
        return sorted(file for file in folder.iterdir() if file.is_file())
    return [path]
