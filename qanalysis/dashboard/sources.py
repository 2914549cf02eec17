"""Which file does a source's text stand for, and has it changed? Samples, paths below the allowed root, uploads, and
addresses where the server was started for them.
"""

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

from qanalysis.checkpoints.catalogue import SUFFIX_KINDS, locate_sample, open_address, open_checkpoint
from qanalysis.checkpoints.evidence import EVIDENCE_NAMES
from qanalysis.checkpoints.folder_choice import Numbered, is_index
from qanalysis.checkpoints.mapped_file import LocalFolder
from qanalysis.checkpoints.path_policy import REMOTE_VARIABLE, ROOT_VARIABLE, resolve_inside
from qanalysis.checkpoints.remote.addresses import is_address, show
from qanalysis.checkpoints.remote.opening import find_place
from qanalysis.checkpoints.source import SAMPLE_PREFIX, CheckpointError, TensorSource
from qanalysis.notation import quote

UPLOAD_PREFIX = "upload:"
#: Before a path or an address: what is there of a set that lacks a part.
PARTIAL_PREFIX = "partial:"
#: Before a scheme: the other side of a comparison under it.
QUANTIZED_PREFIX = "quantized:"
UPLOAD_SUFFIXES = tuple(SUFFIX_KINDS)
_HEADER_BYTES = 64 * 1024


def read_root() -> Path:
    """The folder that typed paths stay inside: QANALYSIS_ROOT, or where the program was started.

    Read anew each time, so that tests and servers may set it late.
    """
    return Path(os.environ.get(ROOT_VARIABLE) or Path.cwd())


def allows_remote() -> bool:
    """Whether addresses may be opened: QANALYSIS_REMOTE is 1, as `qanalysis app --remote` sets it."""
    return os.environ.get(REMOTE_VARIABLE) == "1"


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
            raise ValueError(
                f"upload {quote(safe)}: unknown kind of file; one of {', '.join(self._suffixes)} is expected"
            )
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
                f"{quote(text)}: uploads are kept for {self._lifetime_s / 60:.0f} minutes on this server "
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
    return text.rpartition("/")[2] if text.startswith(UPLOAD_PREFIX) else text.removeprefix(PARTIAL_PREFIX)


def locate_source(text: str, uploads: UploadStore) -> str | Path:
    """What is opened for a source's text: "sample:NAME" or an address itself, or a path inside the root or the upload
    folder.

    CheckpointError for a path outside the root or one that is not there and for an address where none is opened,
    ValueError for an upload that is gone.
    """
    if is_address(text):
        if allows_remote():
            return text
        raise CheckpointError(
            f"{show(text)}: addresses are opened only where the app was started with `qanalysis app --remote`; start "
            "it so, or give a path below the root folder"
        )
    if text.startswith(SAMPLE_PREFIX):
        return text
    if text.startswith(UPLOAD_PREFIX):
        return uploads.locate(text)
    return resolve_inside(read_root(), text)


def open_source(text: str, uploads: UploadStore) -> TensorSource:
    """The checkpoint behind a source's text; no file outside the root, or outside the folder of the upload, is opened,
    and no address in a private network. With `PARTIAL_PREFIX` a set may lack parts.

    Raises as `locate_source` and `open_checkpoint`.
    """
    partial, text = text.startswith(PARTIAL_PREFIX), text.removeprefix(PARTIAL_PREFIX)
    located = locate_source(text, uploads)
    if is_address(text):
        return open_address(text, partial=partial, public_only=True)
    root = None if isinstance(located, str) else _root_of(text, located)
    return open_checkpoint(located, root=root, partial=partial)


def _root_of(text: str, located: Path) -> Path:
    return located.parent if text.startswith(UPLOAD_PREFIX) else read_root()


def identify_source(text: str, uploads: UploadStore) -> str:
    """A digest of name, size, time of change and first 64 KiB of each file behind a source: another value when the file
    changed.

    Sixteen hexadecimal digits. Behind a folder, an index or a numbered part stand all files beside it, behind others
    the configuration beside them too. Of an address it is that of the commit, or of the version that its server says.
    Raises as `locate_source`.
    """
    text = text.removeprefix(PARTIAL_PREFIX)
    located = locate_source(text, uploads)
    if is_address(text):
        return _ASKED.identify(text)
    path = locate_sample(text) if isinstance(located, str) else located
    folder_path = path if path.is_dir() else path.parent
    root = folder_path if isinstance(located, str) else _root_of(text, located)
    folder = LocalFolder(folder_path, root=root)
    digest = hashlib.sha256()
    for name in _files_of(path, folder):
        try:
            file = folder.open(name)
        except CheckpointError as error:  # a link out of the root, an empty file: opening the source tells of it
            digest.update(f"{name}\0{error}\0".encode(errors="replace"))
            continue
        try:
            status = (folder_path / name).stat()
            digest.update(f"{name}\0{file.size}\0{status.st_mtime_ns}\0".encode(errors="replace"))
            digest.update(file.read_header(0, _HEADER_BYTES))
        finally:
            file.close()
    return digest.hexdigest()[:16]


class _Asked:
    """What servers said of addresses, believed for `lifetime_s` seconds: a page asks at every run. Safe for threads."""

    def __init__(self, *, keep: int = 64, lifetime_s: float = 60) -> None:
        self._keep, self._lifetime_s = keep, lifetime_s
        self._known: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def identify(self, text: str) -> str:
        now = time.monotonic()
        with self._lock:
            known = self._known.get(text)
        if known and now - known[1] < self._lifetime_s:
            return known[0]
        place = find_place(text, public_only=True)
        place.close()
        digest = hashlib.sha256(f"{text}\0{place.identity}".encode(errors="replace")).hexdigest()[:16]
        with self._lock:
            self._known[text] = digest, now
            while len(self._known) > self._keep:
                del self._known[next(iter(self._known))]
        return digest


_ASKED = _Asked()


def _files_of(path: Path, folder: LocalFolder) -> list[str]:
    """The files that a checkpoint may consist of: itself and the configuration beside it, or all of its folder where it
    is one, an index, or one part of a set.
    """
    try:
        names = folder.list_names()
    except CheckpointError:
        return [path.name]
    is_set = path.is_dir() or is_index(path.name) or Numbered.parse(path.name) or any(map(is_index, names))
    return names if is_set else [name for name in names if name == path.name or name in EVIDENCE_NAMES]
