"""Which statistics are in a log of nvdlfw-inspect, the debugging tool of Transformer Engine?

Lines are `time - INFO - <layer>_<tensor>_<stat>  iteration=000002  value=4.3188`, one file per rank. The format is that
of nvdlfw-inspect 0.2.2, which writes four decimals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import quote, shorten
from qanalysis.training.statistics.arranging import arrange_log
from qanalysis.training.statistics.log import MOST_ROWS, StatisticsLog
from qanalysis.training.statistics.scalars import (
    Figures,
    Key,
    count_repeated,
    derive_columns,
    list_unread,
    name_figure,
    read_inspect_name,
)

FOLDER = "nvdlfw_inspect_statistics_logs"
_LINE = re.compile(r"(?:.* - )?[A-Z]+ - (?P<name>\S.*?)\s+iteration=(?P<step>-?\d{1,18})\s+value=(?P<value>\S+)\s*")
_RANK = re.compile(r"_globalrank-(\d+)\.log$")
#: Four decimals give std, and with it the number of elements, to one percent from here on.
_LEAST_STD = 0.01


def read_inspect_log(path: Path) -> StatisticsLog:
    """The log in one rank's file, or in a folder with the files of all ranks, which are merged.

    Of several ranks the widest extremes stand and moments are pooled with equal weights. Values that read 0.0000 are
    not observed: they are only known to be small. Raises ValueError for a folder without such files, a file without
    such lines, a value that is no number, and too many lines.
    """
    files = _find_files(path) if path.is_dir() else [path]
    notes: list[str] = []
    unread: list[str] = []
    ranks: dict[str, dict[Key, Figures]] = {}
    for file in files:
        rank = _RANK.search(file.name)
        _read_lines(file, ranks.setdefault(rank[1] if rank else "", {}), unread, notes)
    if not any(ranks.values()):
        raise ValueError(
            f"{path.name}: no line is a statistic of nvdlfw-inspect; they read "
            "'INFO - <layer>_<activation|weight|...>_<stat>  iteration=N  value=X'; log min and max at least"
        )
    rows = _merge_ranks(list(ranks.values()), notes)
    columns = derive_columns(rows, least_std=_LEAST_STD)
    if unread:
        notes.append(f"{list_unread(unread)}.")
    small = columns["absmax"] == 0
    if small.any():
        columns["absmax"] = np.where(small, np.nan, columns["absmax"])
        notes.append(
            f"{int(small.sum())} values of absmax read 0.0000, the log having four decimals: they are below 0.00005 "
            "and taken as not observed."
        )
    if "mean" in columns:
        notes.append(
            "mean and std of |x| follow from the norms, mean and std of x in the log, to its four decimals; unknown "
            f"where its std is not above {_LEAST_STD:g}."
        )
    else:
        notes.append("Mean and std of |x| are not in this log: those in it are of x, and norms are missing.")
    return arrange_log(columns, source=path.name, notes=notes)


def _find_files(folder: Path) -> list[Path]:
    """Files of all ranks: those of the folder of statistics where there is one, here or below."""
    found = sorted(file for file in folder.rglob("*.log") if file.is_file())
    of_statistics = [file for file in found if file.parent.name == FOLDER]
    files = of_statistics or [file for file in found if _RANK.search(file.name)] or found
    folders = {file.parent for file in files}
    if len(folders) > 1:
        names = ", ".join(str(one.relative_to(folder)) for one in sorted(folders)[:3])
        raise ValueError(f"{folder.name}: logs of {len(folders)} runs are below it ({names}, ...); name one of them")
    if not files:
        raise ValueError(f"{folder.name}: holds no .log file; name the folder {FOLDER} of a run")
    return files


def _read_lines(file: Path, rows: dict[Key, Figures], unread: list[str], notes: list[str]) -> None:
    """Add the figures of a file's lines to the rows of its rank; a figure that stands again takes the last value."""
    text = file.read_bytes().decode("utf-8", errors="replace")
    lines = text.splitlines()
    if len(lines) > 4 * MOST_ROWS:
        raise ValueError(
            f"{file.name}: has {len(lines):,} lines, at most {4 * MOST_ROWS:,} are read; log fewer steps (freq)"
        )
    strange = repeated = 0
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            strange += bool(line.strip())
            continue
        found = read_inspect_name(match["name"])
        if found is None:
            unread.append(name_figure(match["name"]) or match["name"])
            continue
        layer, kind, group, figure = found
        try:
            value = float(match["value"])
        except ValueError:
            shown = shorten(match["value"], 40)
            raise ValueError(f"{file.name}, line {number}: value is {quote(shown)}, must be a number") from None
        figures = rows.setdefault((int(match["step"]), layer, kind, group), {})
        repeated += figure in figures
        figures[figure] = value
    if repeated:
        notes.append(f"{file.name}: {count_repeated(repeated)}.")
    if strange:
        notes.append(f"{file.name}: {strange} line{'s' * (strange != 1)} of {len(lines)} are no statistics, left out.")


def _merge_ranks(ranks: Sequence[Mapping[Key, Figures]], notes: list[str]) -> dict[Key, Figures]:
    """The rows of all ranks as one: extremes are the widest, others as if every rank had as many elements."""
    if len(ranks) == 1:
        return dict(ranks[0])
    merged: dict[Key, Figures] = {}
    for key in dict.fromkeys(key for rank in ranks for key in rank):
        parts = [rank[key] for rank in ranks if key in rank]
        merged[key] = parts[0] if len(parts) == 1 else _merge(parts)
    notes.append(
        f"{len(ranks)} ranks are read as one: the largest absmax of each step, moments pooled with equal weights."
    )
    return merged


def _merge(parts: Sequence[Figures]) -> Figures:
    """One set of figures for several equal shares of a tensor, of those that all of them have."""
    shared = set.intersection(*map(set, parts))
    values = {name: np.array([part[name] for part in parts]) for name in shared}
    merges: dict[str, Callable[[Doubles], Any]] = {
        "low": np.min,
        "high": np.max,
        "absmax": np.max,
        "dynamic_range": np.max,
        "x_mean": np.mean,
        "l1": np.sum,
    }
    merged = {name: float(merge(values[name])) for name, merge in merges.items() if name in values}
    if "l2" in values:
        merged["l2"] = float(np.sqrt((values["l2"] ** 2).sum()))
    if {"x_mean", "x_std"} <= shared:
        square = (values["x_std"] ** 2 + values["x_mean"] ** 2).mean() - values["x_mean"].mean() ** 2
        merged["x_std"] = float(np.sqrt(max(square, 0)))
    return merged
