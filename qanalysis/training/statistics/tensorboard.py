"""Which statistics are in TensorBoard event files?

Scalars say what they are in their tags: `absmax/LAYER/KIND`, `LAYER/KIND/absmax`, and the names of nvdlfw-inspect.
Histograms of a layer and kind, such as `fc1.weight` or `fc1.weight.grad`, give the extremes and nearly the moments.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.training.statistics.arranging import arrange_log
from qanalysis.training.statistics.event_records import parse_event, read_records
from qanalysis.training.statistics.log import NUMBERS, StatisticsLog
from qanalysis.training.statistics.names import find_column, split_name
from qanalysis.training.statistics.scalars import (
    Figures,
    Key,
    count_repeated,
    derive_columns,
    list_unread,
    read_inspect_name,
)

_PATTERN = "*tfevents*"
#: Types of a scalar in a tensor, by number in TensorFlow's DataType.
_SCALARS = {1: ("<f4", "float_val"), 2: ("<f8", "double_val")}


def read_events(path: Path) -> StatisticsLog:
    """The log in an event file, or in a folder with event files of one run.

    Raises ValueError for damaged records, folders with several runs, and files without a tag that is understood.
    """
    files = _find_files(path) if path.is_dir() else [path]
    collected = _Collected()
    for file in files:
        records, torn = read_records(file)
        for offset, data in records:
            event = parse_event(data, f"{file.name}, byte {offset}")
            for value in event.summary.value:
                collected.add(int(event.step), value)
        if torn:
            collected.notes.append(
                f"{file.name}: the last {torn} bytes are a record that is not whole, left out: the job may still run."
            )
    if not collected.rows:
        shown = f"{list_unread(collected.unread)}; " if collected.unread else ""
        raise ValueError(
            f"{path.name}: no tag names a statistic of a layer; {shown}write scalars as absmax/LAYER/KIND, or "
            "histograms named as torch names parameters, such as fc1.weight and fc1.weight.grad"
        )
    return arrange_log(derive_columns(collected.rows), source=path.name, notes=collected.describe())


def _find_files(folder: Path) -> list[Path]:
    """The event files of a folder, or of the only one below it that has some, by name, and so by time."""
    files = sorted(file for file in folder.rglob(_PATTERN) if file.is_file())
    own = [file for file in files if file.parent == folder]
    folders = sorted({file.parent for file in files})
    if own or len(folders) == 1:
        return own or files
    names = ", ".join(str(one.relative_to(folder)) for one in folders[:3])
    raise ValueError(f"{folder.name}: event files of {len(folders)} runs are below it ({names}, ...); name one of them")


class _Collected:
    """Figures by key as events bring them; scalars go before what a histogram says of the same key."""

    def __init__(self) -> None:
        self.scalars: dict[Key, Figures] = {}
        self.histograms: dict[Key, Figures] = {}
        self.unread: list[str] = []
        self.notes: list[str] = []
        self.repeated = 0
        self.approximate = 0

    @property
    def rows(self) -> dict[Key, Figures]:
        keys = dict.fromkeys([*self.scalars, *self.histograms])
        return {key: self.histograms.get(key, {}) | self.scalars.get(key, {}) for key in keys}

    def add(self, step: int, value: Any) -> None:
        """Take one value of an event's summary."""
        found = _read_tag(value.tag)
        histogram = _read_histogram(value)
        scalar = None if histogram is not None else _read_scalar(value)
        if found is None or (scalar is None if found[3] else histogram is None):
            self.unread.append(value.tag)
            return
        layer, kind, group, figure = found
        key = (step, layer, kind, group)
        if histogram is not None:
            figures, is_approximate = measure_histogram(*histogram)
            self.repeated += key in self.histograms
            self.approximate += is_approximate
            self.histograms[key] = figures
        elif scalar is not None:
            figures = self.scalars.setdefault(key, {})
            self.repeated += figure in figures
            figures[figure] = scalar

    def describe(self) -> list[str]:
        """The notes on reading."""
        notes = list(self.notes)
        if self.unread:
            notes.append(f"{list_unread(self.unread)}.")
        if self.repeated:
            notes.append(f"{count_repeated(self.repeated)}.")
        if self.approximate:
            notes.append(
                f"{self.approximate} histograms hold both signs: their mean and std of |x| are approximate, by the "
                "width of the buckets."
            )
        return notes


@lru_cache(maxsize=65536)
def _read_tag(tag: str) -> tuple[str, str, str, str] | None:
    """Layer, kind, group and figure of a tag, the figure empty for a histogram; None where a part is missing."""
    first, _, rest = tag.partition("/")
    head, _, last = tag.rpartition("/")
    for word, others in ((last, head), (first, rest)):
        figure = find_column(word)
        named = split_name(others) if figure in NUMBERS else None
        if figure and named:
            return (*named, "", figure)
    named = split_name(tag)
    return (*named, "", "") if named else read_inspect_name(tag)


def _read_scalar(value: Any) -> float | None:
    """The number of a scalar, plain or in a tensor of one element; None of anything else."""
    content = value.WhichOneof("content")
    if content == "simple_value":
        return float(value.simple_value)
    if content != "tensor" or value.tensor.dtype not in _SCALARS:
        return None
    numbers = _read_tensor(value.tensor)
    return float(numbers[0]) if numbers.size == 1 else None


def _read_tensor(tensor: Any) -> Doubles:
    """The numbers of a float or double tensor (elements,)."""
    dtype, name = _SCALARS[tensor.dtype]
    content = tensor.tensor_content
    numbers = np.frombuffer(content, dtype) if content else np.array(getattr(tensor, name), np.float64)
    return numbers.astype(np.float64)


def _read_histogram(value: Any) -> tuple[Doubles, Doubles, Doubles, Figures] | None:
    """Left and right edges and counts of the buckets, and what the file says of all elements; None of a scalar."""
    content = value.WhichOneof("content")
    if content == "histo":
        histogram = value.histo
        right, counts = np.array(histogram.bucket_limit), np.array(histogram.bucket)
        left = np.concatenate([[-np.inf], right])[: right.size]
        told = {name: float(getattr(histogram, name)) for name in ("min", "max", "num", "sum", "sum_squares")}
        return np.clip(left, told["min"], told["max"]), np.clip(right, told["min"], told["max"]), counts, told
    if (
        content == "tensor"
        and value.metadata.plugin_data.plugin_name == "histograms"
        and value.tensor.dtype in _SCALARS
    ):
        left, right, counts = _read_tensor(value.tensor).reshape(-1, 3).T
        held = counts > 0
        told = {"num": float(counts.sum())}
        if held.any():
            told |= {"min": float(left[held].min()), "max": float(right[held].max())}
        return left, right, counts, told
    return None


def measure_histogram(left: Doubles, right: Doubles, counts: Doubles, told: Figures) -> tuple[Figures, bool]:
    """Figures of a histogram, and whether its moments are approximate.

    Elements are taken to lie evenly in their bucket where the sums in the file do not settle the moments of |x|: where
    both signs occur, or where there are no sums. Without elements nothing was observed.

    >>> edges = np.array([-1.0, 0.0, 1.0])
    >>> told = {"num": 4.0, "min": -1.0, "max": 1.0, "sum": 0.0, "sum_squares": 4 / 3}
    >>> figures, is_approximate = measure_histogram(edges[:-1], edges[1:], np.array([2.0, 2.0]), told)
    >>> figures["absmax"], figures["mean"], is_approximate
    (1.0, 0.5, True)
    """
    count = told["num"]
    if not count:
        return {"absmax": np.nan, "numel": 0.0}, False
    low, high = told["min"], told["max"]
    is_one_sided = low >= 0 or high <= 0
    width = right - left
    middle = (left + right) / 2
    # Of elements even in left..right: |x| is |middle| on one side of 0, (left^2 + right^2) / (2 width) across it.
    across = (left < 0) & (right > 0)
    magnitude = np.where(across, (left**2 + right**2) / np.where(across, 2 * width, 1), np.abs(middle))
    is_exact = is_one_sided and "sum" in told
    mean = abs(told["sum"]) / count if is_exact else float((counts * magnitude).sum()) / count
    square = told.get("sum_squares", float((counts * (left**2 + left * right + right**2) / 3).sum())) / count
    figures = {"low": low, "high": high, "numel": count, "mean": mean, "std": float(np.sqrt(max(square - mean**2, 0)))}
    return figures | {"absmax": max(abs(low), abs(high))}, not is_exact
