"""How are the rows of one side read, a block at a time, so that a large tensor is never in memory twice?"""

from __future__ import annotations

import math

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo, TensorSource
from qanalysis.comparisons.pair import Part, change_values, is_column
from qanalysis.comparisons.rows import find_runs
from qanalysis.quantizers.matrix_view import MatrixView

#: Rows this many times as many as asked for are read at once rather than run by run.
_WIDEST_SPAN = 4


class Side:
    """One source, from which parts are read; keeps the last tensor that had to be read whole. Not for several threads
    at once.
    """

    def __init__(self, source: TensorSource) -> None:
        self.source = source
        self._kept: tuple[str, MatrixView, Floats] | None = None

    def open(self, part: Part) -> RowReader:
        """The rows of a part."""
        return RowReader(self, part)

    def read_matrix(self, info: TensorInfo) -> Floats:
        """All values of a tensor as a matrix."""
        if self._kept is None or self._kept[:2] != (info.name, info.view):
            self._kept = None  # what was kept goes before the next one comes
            values = self.source.read(info)
            matrix = values.reshape(-1, 1) if is_column(info) else info.view.to_matrix(values)
            self._kept = (info.name, info.view, matrix)
        return self._kept[2]


class RowReader:
    """The rows of a part of a tensor in the order of the part."""

    def __init__(self, side: Side, part: Part) -> None:
        self._side, self._source, self._part, info = side, side.source, part, part.info
        self.rows, self.columns = part.sizes
        self._order = None if part.rows is None else part.rows.list_rows()
        self._in_order = is_column(info) or info.view.settle(info.shape).is_in_order
        self._trailing = () if self._in_order else _find_trailing(part)
        readable = self._in_order or bool(self._trailing)
        self._slices = self._source.is_sliceable(info) and readable

    def read(self, first: int, last: int) -> Floats:
        """Rows first..last as (last - first, columns); do not write into them."""
        return change_values(self._read_ordered(first, last), self._part.change)

    def _read_ordered(self, first: int, last: int) -> Floats:
        if self._order is None:
            return self._read_span(first, last)
        wanted = self._order[first:last]
        low, high = int(wanted.min()), int(wanted.max()) + 1
        if high - low <= _WIDEST_SPAN * wanted.size:
            return self._read_span(low, high)[wanted - low]
        runs = [(int(wanted[start]), int(wanted[stop - 1]) + 1) for start, stop in find_runs(wanted)]
        return np.concatenate([self._read_span(*run) for run in runs])

    def read_some(self, places: np.ndarray) -> Floats:
        """Single rows, by their places in the order of the part."""
        return np.concatenate([self.read(int(place), int(place) + 1) for place in places])

    def _read_span(self, first: int, last: int) -> Floats:
        """Rows of the tensor's own matrix."""
        info = self._part.info
        if not self._slices:
            return self._side.read_matrix(info)[first:last]
        if self._in_order:
            values = self._source.read_slice(info, first * self.columns, last * self.columns)
            return values.reshape(-1, self.columns)
        width = math.prod(self._trailing)
        blocks = []
        for lead in range(first // width, (last - 1) // width + 1):
            begin, end = max(first - lead * width, 0), min(last - lead * width, width)
            start = lead * width * self.columns
            stop = start + width * self.columns
            blocks.append(self._source.read_columns(info, start, stop, width=width, first=begin, last=end).T)
        return np.concatenate(blocks)


def _find_trailing(part: Part) -> tuple[int, ...]:
    """Lengths of the last row axes where rows lie as columns; empty where neither."""
    info = part.info
    view = info.view.settle(info.shape)
    if not view.rows:
        return ()
    return view.trailing(info.shape)
