"""How do rows of statistics reach a file while a run goes on?

CSV keeps each step as it comes, Parquet all of them at the end.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from qanalysis.notation import quote
from qanalysis.training.statistics.names import find_exponent

#: Columns that every file has, in order; counts of block scales follow by exponent.
COLUMNS = (
    *("step", "layer", "kind", "group", "absmax", "absmin", "mean", "std"),
    *("low", "high", "numel", "non_finite"),
)
Row = Mapping[str, Any]


class RowFile(Protocol):
    """A file that takes rows by column name."""

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows."""

    def close(self) -> None:
        """End the file; a second time does nothing."""


def open_rows(path: Path, *, resume: bool) -> RowFile:
    """The file for rows, by its suffix: .csv or .parquet. An existing one is replaced, with `resume` it goes on.

    Raises ValueError for another suffix, a folder that is not there, and a file to go on with that is no such table.
    """
    kinds: dict[str, type[CsvRows | ParquetRows]] = {".csv": CsvRows, ".parquet": ParquetRows}
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{quote(path.name)}: statistics are written to {' or '.join(kinds)}; name the file so")
    if not path.parent.is_dir():
        raise ValueError(f"{quote(str(path.parent))} is no folder; make it before the run starts")
    if path.is_dir():
        raise ValueError(f"{quote(path.name)} is a folder; name a file in it")
    return kinds[path.suffix.lower()](path, resume=resume)


class CsvRows:
    """A CSV that holds every step as soon as it was written, so that a run that is killed keeps what it had."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        self._columns = list(COLUMNS)
        goes_on = resume and path.exists() and path.stat().st_size > 0
        if goes_on:
            self._columns = _read_header(path)
            _end_line(path)
        self._file = path.open("a" if goes_on else "w", encoding="utf-8", newline="")
        if not goes_on:
            self._file.write(_to_lines([self._columns]))
            self._file.flush()

    def write(self, rows: Sequence[Row]) -> None:
        wanted = {name for row in rows for name in row} - set(self._columns)
        if wanted:
            self._widen(wanted)
        self._file.write(_to_lines([[_to_cell(row.get(name)) for name in self._columns] for row in rows]))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _widen(self, wanted: set[str]) -> None:
        """Give the file columns for more exponents, and some to spare, by writing it anew; it is never half a file."""
        known = {exponent for name in self._columns if (exponent := find_exponent(name)) is not None}
        new = {exponent for name in wanted if (exponent := find_exponent(name)) is not None}
        spared = range(min(new) - 4, max(new) + 5)
        self._columns = [*COLUMNS, *(f"scale_exponent_{exponent}" for exponent in sorted(known | set(spared)))]
        self._file.close()
        with self._path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        fresh = self._path.with_name(f"{self._path.name}.part")
        lines = [self._columns, *([row.get(name) or "" for name in self._columns] for row in rows)]
        fresh.write_text(_to_lines(lines), encoding="utf-8", newline="")
        fresh.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8", newline="")


class ParquetRows:
    """A Parquet file, written when it is closed: a run that is killed leaves none."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        import pandas as pd

        self._path = path
        self._rows: list[Row] = []
        self._before = pd.read_parquet(path) if resume and path.exists() else pd.DataFrame(columns=list(COLUMNS))
        _check_columns(path, [str(name) for name in self._before])
        self._is_open = True

    def write(self, rows: Sequence[Row]) -> None:
        self._rows.extend(rows)

    def close(self) -> None:
        import pandas as pd

        if self._is_open:
            table = pd.DataFrame(self._rows, columns=None if self._rows else list(COLUMNS))
            parts = [part for part in (self._before, table) if len(part)]
            (pd.concat(parts, ignore_index=True) if parts else table).to_parquet(self._path, index=False)
        self._is_open = False


def _read_header(path: Path) -> list[str]:
    """The columns of a CSV to go on with."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    _check_columns(path, names)
    return names


def _check_columns(path: Path, names: Sequence[str]) -> None:
    """ValueError where the columns of a table to go on with are not those that are written here."""
    others = [name for name in names if name not in COLUMNS and find_exponent(name) is None]
    missing = [name for name in COLUMNS if name not in names]
    if others or missing:
        raise ValueError(
            f"{path.name}: was not written by a recorder (columns {', '.join((others or missing)[:3])}); "
            "record to another file, or start at step 0 to replace it"
        )


def _end_line(path: Path) -> None:
    """Take off a last line that a killed run left half written."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def _to_lines(cells: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(cells)
    return buffer.getvalue()


def _to_cell(value: Any) -> Any:
    """Every digit of a float; nothing for what is not known."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
