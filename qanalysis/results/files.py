"""Any result to and from files, by suffix. A file appears whole or not at all; a wrong target is refused at once."""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from qanalysis.notation import quote
from qanalysis.results.document import Kinds, describe_ways, parse_document
from qanalysis.results.table import Table

WRITE_SUFFIXES = (".csv", ".json", ".parquet", ".html")
READ_SUFFIXES = (".json", ".csv", ".parquet")
# File systems take 255 bytes; the temporary file beside the target needs some of them.
LONGEST_NAME = 230
#: Bytes of a text file that is read: it takes up to fifteen times as much memory.
MOST_BYTES = 1 << 29
_LEFT_OVER_S = 24 * 3600
_TOKEN_BYTES = 8


def read_table(path: str | os.PathLike[str], kinds: Kinds) -> Table[Any]:
    """A result written as .json, .csv or .parquet, equal to what was written.

    CSV holds no totals and no source: `totals` is empty and `source` is the CSV file itself. From JSON an infinite
    figure comes back where its column says so. Raises ValueError for any other file, naming the place.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in READ_SUFFIXES:
        found = "is a folder" if file.is_dir() else f"has the suffix {suffix}" if suffix else "has no suffix"
        raise ValueError(
            f"{file}: {found}, rows are read from {', '.join(READ_SUFFIXES)}; "
            f"give a rows file written by `{describe_ways(kinds)}`"
        )
    if not file.is_file():
        what = "a folder" if file.is_dir() else "no file that can be read" if file.exists() else "no such file"
        raise ValueError(f"{file}: {what}; give a rows file written by `{describe_ways(kinds)}`")
    if suffix == ".parquet":
        from qanalysis.results.parquet import read_parquet

        return read_parquet(file, kinds)
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(
            f"{file}: {size:,} bytes, at most {MOST_BYTES:,} of text are read; write the result as .parquet"
        )
    if suffix == ".json":
        return parse_document(file.read_text(encoding="utf-8-sig", errors="surrogateescape"), kinds, place=str(file))
    from qanalysis.results.delimited import parse_csv

    return parse_csv(file.read_bytes(), kinds, place=str(file))


@contextmanager
def write_whole(target: Path) -> Iterator[IO[bytes]]:
    """A new file beside `target`, open for writing; it takes the target's place when the block ends, and is gone where
    the block fails. Who may read it stays as it was where there is a target already.

    Its name can not be guessed and is never one that exists. What killed runs left for the same target is swept after a
    day. Raises OSError that names the target where the system refuses.
    """
    _sweep_left_over(target)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(_TOKEN_BYTES)}.part")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if target.exists() and hasattr(os, "fchmod"):
                    os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
                yield file
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        way = f"make room in {target.parent}, or choose another place" if error.strerror else "choose another place"
        raise OSError(f"{target}: could not be written ({error.strerror or error}); {way}") from error


def check_targets(
    paths: Iterable[str | os.PathLike[str]],
    *,
    suffixes: Sequence[str] = WRITE_SUFFIXES,
    what: str = "a report",
    option: str = "--out",
) -> list[Path]:
    """Whether every file can be written, found out before the work: suffix, folder, permission, no name given twice.

    `suffixes` are those that `what` is written with, `option` is what named it. Raises ValueError for the first that
    can not be written; nothing is left behind.
    """
    targets = [Path(path) for path in paths]
    seen: dict[Path, Path] = {}
    for target in targets:
        _check_target(target, suffixes, what, option)
        same = seen.setdefault(target.resolve(), target)
        if same is not target:
            raise ValueError(f"--out {target} and --out {same} are the same file; give each output its own name")
    return targets


def _check_target(target: Path, suffixes: Sequence[str], what: str, option: str) -> None:
    """ValueError for a target that can not be written: its name, its kind, its folder. Links are refused: they would be
    replaced, not followed.
    """
    length = len(os.fsencode(target.name))
    if length > LONGEST_NAME:
        raise ValueError(
            f"{str(target)[:60]}...: the file name has {length} bytes, at most {LONGEST_NAME} are allowed; "
            "choose a shorter one"
        )
    if target.is_symlink():
        raise ValueError(
            f"{target}: is a symbolic link, which would be replaced and not followed; "
            f"give {target.resolve()} itself, or another {option}"
        )
    if target.is_dir():
        raise ValueError(f"{target}: is a folder; give a file name inside it, such as {target / 'rows.csv'}")
    if target.suffix.lower() not in suffixes:
        raise ValueError(
            f"{target}: suffix {quote(target.suffix)} is unknown; {what} is written as {', '.join(suffixes)}"
        )
    if target.exists() and not target.is_file():
        raise ValueError(
            f"{target}: is a pipe or a device, which would be replaced by a file; "
            f"use --json for a pipe, or choose another {option}"
        )
    if not target.parent.is_dir():
        raise ValueError(
            f"{target}: folder {target.parent} does not exist; create it first, or choose another {option}"
        )
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{target}: folder {target.parent} is not writable ({error.strerror}); choose another {option}"
        ) from error


def _sweep_left_over(target: Path) -> None:
    """Removes files older than a day that runs killed while writing this target have left."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.([0-9a-f]{{{2 * _TOKEN_BYTES}}}|[0-9]{{1,7}})\.part")
    with suppress(OSError):
        for entry in os.scandir(target.parent):
            if ours.fullmatch(entry.name):
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode) and time.time() - facts.st_mtime > _LEFT_OVER_S:
                    Path(entry.path).unlink(missing_ok=True)
