"""Rows to and from files, by suffix. A file appears whole or not at all, and can be refused before the work starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qanalysis.results.document import parse_document, to_json
from qanalysis.sweeps.row import Rows

if TYPE_CHECKING:
    from qanalysis.diagnosis import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile

WRITE_SUFFIXES = (".csv", ".json", ".parquet", ".html")
READ_SUFFIXES = (".json", ".csv", ".parquet")
# File systems take 255 bytes; the temporary file beside the target needs some of them.
LONGEST_NAME = 230


def write_report(
    rows: Rows,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    scheme: str | None = None,
    profiles: Sequence[LayerProfile] = (),
    diagnoses: Sequence[Diagnosis] = (),
    created: datetime | None = None,
) -> Path:
    """Write rows as .csv, .json, .parquet or .html, by the suffix; returns the path. An existing file is replaced at once.

    `title`, `scheme` (the one the summary speaks of; by default `choose_scheme`) and `profiles` (of layers to show; several of one
    layer become a slider over bits) serve the HTML, `diagnoses` of layers the HTML and the JSON. `created` is the time noted inside,
    by default now; give it to get the same file twice.
    Raises ValueError for an unknown suffix and a target that can not be written.
    """
    target = check_targets([path])[0]
    moment = created or datetime.now(UTC)
    with write_whole(target) as partial:
        match target.suffix.lower():
            case ".csv":
                from qanalysis.results.delimited import to_csv

                partial.write_text(to_csv(rows), encoding="utf-8", newline="")
            case ".json":
                partial.write_text(to_json(rows, created=moment, diagnoses=diagnoses) + "\n", encoding="utf-8")
            case ".parquet":
                from qanalysis.results.delimited import write_parquet

                write_parquet(rows, partial, created=moment)
            case _:
                from qanalysis.reports.page import render_page

                partial.write_text(render_page(rows, title=title, scheme=scheme, profiles=profiles, diagnoses=diagnoses, created=moment), encoding="utf-8")
    return target


@contextmanager
def write_whole(target: Path) -> Iterator[Path]:
    """A name beside `target` to write to; the file takes its place when the block ends, and is gone where the block fails."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def read_rows(path: str | os.PathLike[str]) -> Rows:
    """Rows written by `write_report` as .json, .csv or .parquet, equal to those written.

    CSV holds no totals and no source: `totals` is empty and `source` is the CSV file itself. From JSON an infinite figure comes
    back where the error is exactly zero. Raises ValueError for any other file, naming the place.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in READ_SUFFIXES:
        raise ValueError(f"{file}: rows are read from {', '.join(READ_SUFFIXES)}, not from {suffix or 'a name without suffix'!r}")
    if not file.is_file():
        raise ValueError(f"{file}: {'a folder' if file.is_dir() else 'no such file'}; give a rows file written by `qanalysis sweep SOURCE --out rows.json`")
    if suffix == ".json":
        return parse_document(file.read_text(encoding="utf-8", errors="surrogateescape"), place=str(file))
    from qanalysis.results.delimited import parse_csv, read_parquet

    return read_parquet(file) if suffix == ".parquet" else parse_csv(file.read_bytes(), place=str(file))


def check_targets(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Whether every file can be written, found out before the work: suffix, folder, permission, no name given twice.

    Raises ValueError for the first that can not; nothing is left behind.
    """
    targets = [Path(path) for path in paths]
    seen: dict[Path, Path] = {}
    for target in targets:
        _check_target(target)
        same = seen.setdefault(target.resolve(), target)
        if same is not target:
            raise ValueError(f"--out {target} and --out {same} are the same file; give each output its own name")
    return targets


def _check_target(target: Path) -> None:
    length = len(os.fsencode(target.name))
    if length > LONGEST_NAME:
        raise ValueError(f"{str(target)[:60]}...: the file name has {length} bytes, at most {LONGEST_NAME} are allowed; choose a shorter one")
    if target.is_dir():
        raise ValueError(f"{target}: is a folder; give a file name inside it, such as {target / 'rows.csv'}")
    if target.suffix.lower() not in WRITE_SUFFIXES:
        raise ValueError(f"{target}: suffix {target.suffix!r} is unknown; a report is written as {', '.join(WRITE_SUFFIXES)}")
    if not target.parent.is_dir():
        raise ValueError(f"{target}: folder {target.parent} does not exist; create it first, or choose another --out")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(f"{target}: folder {target.parent} is not writable ({error.strerror}); choose another --out") from error
