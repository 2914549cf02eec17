"""Which results does page Compare hold against each other? Files of rows of one kind, and their rows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from qanalysis.checkpoints.folder_choice import is_index
from qanalysis.checkpoints.path_policy import list_files, resolve_inside
from qanalysis.comparisons.maps import parse_maps
from qanalysis.comparisons.table_rows import TableComparisonRow
from qanalysis.comparisons.tables import compare_tables
from qanalysis.dashboard.runnable_models import RESULT_SUFFIXES
from qanalysis.dashboard.sources import UPLOAD_PREFIX, UploadStore, name_source, read_root
from qanalysis.results.table import Table

_HEAD_BYTES, _TAIL_BYTES = 4096, 1 << 16
_JSON_MARK, _PARQUET_MARK = b'"command"', b"qanalysis"
_CSV_MARKS = (b"tensor,", b"layer,", b"form,", b"bits,", b"test,")


def is_result(text: str) -> bool:
    """Whether a text names a file of rows, by its suffix."""
    return text.lower().endswith(RESULT_SUFFIXES) and not is_index(text)


def list_results(root: Path) -> list[str]:
    """Files below the root that look like results, relative to it; at most 200."""
    return [name for name in list_files(root, RESULT_SUFFIXES) if _holds_result(root / name)]


def _holds_result(path: Path) -> bool:
    """Whether a file looks like a result by its beginning, of Parquet by its end."""
    if is_index(path.name):
        return False
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".parquet":
                file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
                return _PARQUET_MARK in file.read()
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(_CSV_MARKS) if path.suffix.lower() == ".csv" else _JSON_MARK in head


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file as it lies on disk: its path, how a person typed it, and what changes with it."""

    path: str
    text: str
    size: int
    changed: int


@dataclass(frozen=True, slots=True, eq=False)
class ComparedResults:
    """Two results, and their rows beside each other."""

    a: Table[Any]
    b: Table[Any]
    rows: Table[TableComparisonRow]


def find_result(text: str, uploads: UploadStore) -> ResultFile:
    """The file behind a text, inside the root or uploaded; ValueError where it is not there, CheckpointError for a path
    outside the root.
    """
    path = uploads.locate(text) if text.startswith(UPLOAD_PREFIX) else resolve_inside(read_root(), text)
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"{name_source(text)}: {error.strerror or error}; choose another file") from None
    return ResultFile(str(path), text, status.st_size, status.st_mtime_ns)


@st.cache_resource(max_entries=4, show_spinner="Comparing the rows …")
def compare_results(a: ResultFile, b: ResultFile, maps: Sequence[str]) -> ComparedResults:
    """Both results and their rows beside each other; ValueError as `compare_tables`, with the files as they were
    typed.
    """
    tables = [_read(file) for file in (a, b)]
    names = (Path(name_source(a.text)).name, Path(name_source(b.text)).name)
    rows = compare_tables(*tables, names=names, maps=parse_maps(maps) or None)
    return ComparedResults(tables[0], tables[1], rows)


def _read(file: ResultFile) -> Table[Any]:
    from qanalysis.reports.report import read_result

    try:
        return read_result(file.path)
    except ValueError as error:
        raise ValueError(str(error).replace(file.path, name_source(file.text))) from None
