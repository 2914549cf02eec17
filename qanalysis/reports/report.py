"""Any result to and from files: CSV, JSON, Parquet, one HTML page, by the suffix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qanalysis.reports.kinds import load_kinds
from qanalysis.results.document import kind_of, to_json
from qanalysis.results.files import check_targets, read_table, write_whole
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row, Rows

if TYPE_CHECKING:
    from qanalysis.diagnosis.findings import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile
    from qanalysis.reports.pictures import Chart


def write_report(
    rows: Table[Any],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    scheme: str | None = None,
    profiles: Sequence[LayerProfile] = (),
    diagnoses: Sequence[Diagnosis] = (),
    charts: Sequence[Chart] = (),
    created: datetime | None = None,
) -> Path:
    """Write a result as .csv, .json, .parquet or .html, by the suffix; returns the path. An existing file is replaced
    at once.

    `title` and `charts` serve the HTML. Of a sweep also `scheme` (the one the summary speaks of; by default
    `choose_scheme`) and `profiles` (of layers to show; several of one layer become a slider over bits); `diagnoses` of
    layers serve the HTML and the JSON. `created` is the time noted inside, by default now; give it to get the same file
    twice. Raises ValueError for an unknown suffix and a target that can not be written, OSError where writing fails.
    """
    target = check_targets([path])[0]
    moment = created or datetime.now(UTC)
    match target.suffix.lower():
        case ".csv":
            from qanalysis.results.delimited import to_csv

            content = to_csv(rows)
        case ".json":
            content = to_json(rows, created=moment, diagnoses=diagnoses) + "\n"
        case ".parquet":
            from qanalysis.results.parquet import write_parquet

            with write_whole(target) as file:
                write_parquet(rows, file, created=moment)
            return target
        case _:
            from qanalysis.reports.page import render_page

            content = render_page(
                rows, title=title, scheme=scheme, profiles=profiles, diagnoses=diagnoses, charts=charts, created=moment
            )
    with write_whole(target) as file:
        file.write(content.encode())
    return target


def read_result(path: str | os.PathLike[str]) -> Table[Any]:
    """A result of any kind written by `write_report` as .json, .csv or .parquet, equal to what was written.

    CSV holds no totals and no source: `totals` is empty and `source` is the CSV file itself. Raises ValueError for any
    other file, naming the place.
    """
    return read_table(path, load_kinds())


def read_rows(path: str | os.PathLike[str]) -> Rows:
    """The rows of a sweep, as `read_result`. Raises ValueError for a file of another command."""
    found = read_result(path)
    if found.row_type is not Row:
        raise ValueError(
            f"{path}: holds a result of `qanalysis {kind_of(found).command}`, rows of a sweep are expected; "
            "read it with read_result"
        )
    return cast("Rows", found)
