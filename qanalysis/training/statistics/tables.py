"""Which statistics are in a CSV or a Parquet file? One row per step, layer and kind; the names of columns say what is
in them.

Cells are separated by commas, semicolons or tabs, whichever the first line has most of; with semicolons and no point in
any number, commas are decimal commas. A history of `train` is such a file too.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qanalysis.notation import quote, shorten
from qanalysis.training.row import MODEL
from qanalysis.training.statistics.arranging import NameRow, arrange_log, check_columns
from qanalysis.training.statistics.log import MOST_ROWS, StatisticsLog
from qanalysis.training.statistics.names import find_column

_TEXTS = ("layer", "kind", "group", "configuration")
#: Columns by which a history of `train`, or of `track`, is known.
_OF_HISTORY = {"configuration", "grad_cosine", "strategy"}
_BLANKS = ["", "nan", "NaN", "NAN", "null", "None", "NA", "N/A", "n/a"]
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_LOOK = 1 << 16  # characters that settle whether commas are decimal


def read_csv(path: Path) -> StatisticsLog:
    """The log in a CSV in UTF-8.

    A last line that was cut off is left out, with a note. Raises ValueError naming the line for cells that are no
    numbers, lines with too many cells and what `arrange_log` refuses; also for no header and too many rows.
    """
    place = path.name
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not text in UTF-8 (byte {error.start}); save the table as CSV in UTF-8") from None
    head, _, body = text.replace("\r\n", "\n").replace("\r", "\n").partition("\n")
    delimiter = max(_DELIMITERS, key=head.count)
    names = next(csv.reader([head], delimiter=delimiter), [])
    notes: list[str] = []
    columns = _name_columns(names, place, notes)
    body = _drop_torn_line(body, delimiter, len(names), notes)
    if not body.strip():
        raise ValueError(f"{place}: holds no row of statistics; record at least one step")
    decimal = "," if delimiter == ";" and re.search(r"\d,\d", body[:_LOOK]) and "." not in _digits(body) else "."
    if decimal == ",":
        notes.append("Commas are read as decimal commas; semicolons separate the cells.")
    frame = _parse(body, names, columns, place, delimiter=delimiter, decimal=decimal)
    # A blank line is a row of nothing: kept until here so that rows keep the numbers of their lines.
    lines = np.flatnonzero(~frame.isna().all(axis=1).to_numpy()) + 2
    frame = frame.iloc[lines - 2]

    def name_row(row: int) -> str:
        return f"{place}, line {lines[row]}"

    cells = {name: _read_cells(frame[given], name, name_row) for name, given in columns.items()}
    return _arrange(cells, place, notes, name_row)


def read_parquet(path: Path) -> StatisticsLog:
    """The log in a Parquet file; ValueError for damaged files, too many rows, and as `read_csv` does, by rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = path.name
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS:
                _refuse_rows(place, file.metadata.num_rows)
            notes: list[str] = []
            columns = _name_columns(file.schema_arrow.names, place, notes)
            frame = file.read(columns=list(columns.values())).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{place}: not a whole Parquet file ({shorten(' '.join(str(error).split()), 120)}); write it again"
        ) from None

    def name_row(row: int) -> str:
        return f"{place}, row {row + 1}"

    cells = {name: _read_cells(frame[given], name, name_row) for name, given in columns.items()}
    return _arrange(cells, place, notes, name_row)


def _arrange(cells: dict[str, Any], place: str, notes: list[str], name_row: NameRow) -> StatisticsLog:
    """The log of the cells; of a history the layers of each configuration, whose name stands before theirs where there
    are several.
    """
    configuration = cells.pop("configuration", None)
    if configuration is None:
        return arrange_log(cells, source=place, notes=notes, name_row=name_row)
    kept = np.flatnonzero(cells["layer"] != MODEL)
    if not kept.size:
        raise ValueError(f"{place}: is a history without rows of layers; train with quantizers, and record them")
    cells = {name: values[kept] for name, values in cells.items()}
    names = configuration[kept]
    if len(set(names.tolist())) > 1:
        pairs = zip(names, cells["layer"], strict=True)
        cells["layer"] = np.array([f"{name}: {layer}" for name, layer in pairs], object)
    return arrange_log(cells, source=place, notes=notes, name_row=lambda row: name_row(int(kept[row])))


def _name_columns(names: Sequence[str], place: str, notes: list[str]) -> dict[str, str]:
    """The columns of a log, by our names, in the file's spelling; ValueError where one is missing or stands twice."""
    columns: dict[str, str] = {}
    others = []
    for name in names:
        ours = find_column(name)
        if ours is None or (ours in columns and name.strip() != ours):
            others.append(name)
        elif ours in columns and columns[ours].strip() == ours:
            raise ValueError(f"{place}: the column {ours} stands twice; keep one")
        else:
            others += [columns[ours]] if ours in columns else []
            columns[ours] = name
    if set(names) >= _OF_HISTORY:
        columns |= {"configuration": "configuration", "low": "data_low", "high": "data_high"}
        columns, others = {ours: given for ours, given in columns.items() if given in names}, []
        notes.append("A history of a training: layers are read with what they saw, not with the ranges that they had.")
    check_columns(columns, place, spelled=names)
    renamed = [f"{given.strip()} as {ours}" for ours, given in columns.items() if given.strip() != ours]
    if renamed:
        notes.append(f"Columns are read by other names: {', '.join(renamed)}.")
    if others:
        notes.append(
            f"Columns that are not read: {', '.join(shorten(one, 30) or 'one without a name' for one in others)}."
        )
    return columns


def _drop_torn_line(body: str, delimiter: str, cells: int, notes: list[str]) -> str:
    """The text without a last line that lacks both its end and some of its cells, as a killed run leaves it."""
    start = body.rfind("\n") + 1
    if start < len(body) and body.count(delimiter, start) < cells - 1 and '"' not in body[start:]:
        notes.append("The last line is cut off and left out: the run may have been ended while it was written.")
        return body[:start]
    return body


def _digits(body: str) -> str:
    """What stands between digits in the first lines: where a point is among it, commas are not decimal."""
    return "".join(re.findall(r"\d([.,])\d", body[:_LOOK]))


def _parse(
    body: str, names: Sequence[str], columns: Mapping[str, str], place: str, *, delimiter: str, decimal: str
) -> pd.DataFrame:
    """The wanted columns of all lines, by their names in the file; ValueError for lines with too many cells."""
    if body.count("\n") > MOST_ROWS:
        _refuse_rows(place, body.count("\n"))
    wanted = {given: str(names.index(given)) for given in columns.values()}
    texts = {wanted[columns[name]]: "str" for name in _TEXTS if name in columns}
    extra = str(len(names))
    # One cell more than the names have, so that pandas keeps what stands there; the line goes again below.
    model = delimiter.join([*["0"] * len(names), "\n"])
    try:
        frame = pd.read_csv(
            io.StringIO(model + body),
            sep=delimiter,
            decimal=decimal,
            header=None,
            names=[str(number) for number in range(len(names) + 1)],
            index_col=False,
            usecols=[*wanted.values(), extra],
            dtype={**texts, extra: "str"},
            keep_default_na=False,
            na_values={number: [""] if number in texts else _BLANKS for number in [*wanted.values(), extra]},
            skip_blank_lines=False,
            low_memory=False,
        )
    except pd.errors.ParserError as error:
        told = shorten(" ".join(str(error).split()), 120)
        raise ValueError(f"{place}: lines and quotes are not those of a CSV ({told}); mend them") from None
    longer = np.flatnonzero(frame.pop(extra).notna())
    if longer.size:
        raise ValueError(
            f"{place}, line {longer[0] + 1}: has more cells than the first line, {len(names)} between "
            f"{_DELIMITERS[delimiter]}; mend or take out the line"
        )
    return frame.iloc[1:].rename(columns={number: given for given, number in wanted.items()})


def _read_cells(cells: pd.Series[Any], name: str, name_row: NameRow) -> Any:
    """One column as an array: texts as they are, numbers as numbers; ValueError names the first cell that is none."""
    if name in _TEXTS:
        return cells.to_numpy(object)
    if cells.dtype.kind in "iuf":
        return cells.to_numpy()
    if cells.dtype.kind in "bcmM":
        raise ValueError(f"{name_row(0)}: {name} is of type {cells.dtype}; it is a column of numbers")
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & cells.notna()).to_numpy())
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            f"{name_row(row)}: {name} holds {quote(str(cells.iloc[row]), 40)}, which is not a number; "
            "mend the cell, or empty it where nothing was observed"
        )
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _refuse_rows(place: str, count: int) -> None:
    raise ValueError(
        f"{place}: has {count:,} rows, at most {MOST_ROWS:,} are read; record fewer steps, such as every tenth"
    )
