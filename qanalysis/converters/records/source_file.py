"""Is there a file at this path that may be read? A regular one that holds something, with its first bytes.

What is no regular file (a pipe, a device, a folder) is never opened: opening one may wait for ever. Content is hashed
only when somebody asks for the digest, so that a file of any size is refused at once where it is refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from qanalysis.converters.records.samples import RecordError
from qanalysis.notation import quote
from qanalysis.results.identity import SourceIdentity

HEAD_BYTES = 4096
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class LazyDigest:
    """The digest of a file as it was when it had this size, time of change and inode; called, it reads the file."""

    path: str
    stamp: tuple[int, int, int]

    def __call__(self) -> str | None:
        """The hash of the content, "sha256:..."; None for a file that is gone or has changed, also while it is read."""
        try:
            with Path(self.path).open("rb") as file:
                if _stamp(os.fstat(file.fileno())) != self.stamp:
                    return None
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return f"sha256:{digest}" if _stamp(os.fstat(file.fileno())) == self.stamp else None
        except OSError:
            return None


def open_source(path: Path) -> tuple[SourceIdentity, bytes]:
    """Who a file is (its name, size and digest, hashed when asked for) and its first 4096 bytes.

    Raises RecordError for what is not there, can not be read, is no regular file, or is empty.
    """
    place = quote(str(path), 160)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = next((name for check, name in _KINDS if check(status.st_mode)), "no regular file")
            raise RecordError(f"{place} is {kind}; give the path of a file that holds a record")
        if not status.st_size:
            raise RecordError(f"{quote(path.name)[1:-1]} is empty (0 bytes); capture or copy it again")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            stamp = _stamp(os.fstat(file.fileno()))
    except OSError as error:
        raise RecordError(
            f"{place} can not be read: {error.strerror or error}; check the path and its permissions"
        ) from None
    except ValueError as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{place} is no path ({error}); check its spelling") from None
    return SourceIdentity(path.name, status.st_size, LazyDigest(str(path.absolute()), stamp)), head


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino
