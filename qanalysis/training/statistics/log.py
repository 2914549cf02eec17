"""What is known of a training run that took place elsewhere? A value of columns, whoever wrote them.

Rows stand by layer, kind and group, each in the order of its first appearance, then by step; no step stands twice in a
series. `mean` and `std` are those of |x| (A4), std of the population, so E x^2 = mean^2 + std^2. NaN is
"unknown"; a row with NaN for absmax was not observed, and its step does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles

#: Rows that are read from one log: about 1 GB in memory.
MOST_ROWS = 5_000_000


class Series(NamedTuple):
    """The rows of one layer, kind and group: `rows` is their slice in the columns of the log."""

    layer: str
    kind: str
    group: str
    rows: slice

    def __str__(self) -> str:
        return " ".join(filter(None, (self.layer, self.kind, self.group)))


@dataclass(frozen=True, slots=True, eq=False)
class StatisticsLog:
    """Statistics per step, layer and kind; all columns are (rows,).

    Parameters
    ----------
    step : int64. layer, kind, group : text; kind is one of the six of docs/training.md A4, group "" for a whole tensor.
    absmax : largest |x|, at least 0; infinite where the run overflowed, NaN where nothing was observed.
    absmin : smallest |x| > 0. mean, std : of |x|. low, high : smallest and largest x.
    numel : elements. non_finite : those that are NaN or infinite. mean_quantized : mean of |Q(x)|.
    scale_exponents : by exponent E, in rising order, how many blocks of the tensor have the scale 2^E; empty where that
        was not recorded.
    source : what the rows were read from. notes : what was found on reading them, a sentence each.
    """

    step: Codes
    layer: NDArray[np.object_]
    kind: NDArray[np.object_]
    group: NDArray[np.object_]
    absmax: Doubles
    absmin: Doubles
    mean: Doubles
    std: Doubles
    low: Doubles
    high: Doubles
    numel: Doubles
    non_finite: Doubles
    mean_quantized: Doubles
    scale_exponents: Mapping[int, Doubles] = field(default_factory=dict, kw_only=True)
    source: str = field(default="", kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __len__(self) -> int:
        return self.step.size

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Where a finite absmax stands, so that a rule may act; (rows,)."""
        return np.isfinite(self.absmax)

    def series(self) -> list[Series]:
        """The series in the order of the rows.

        >>> from qanalysis.training.statistics.arranging import arrange_log
        >>> columns = {"step": [0, 1, 0], "layer": ["a", "a", "b"], "kind": ["weight"] * 3, "absmax": [1, 2, 3]}
        >>> log = arrange_log(columns)
        >>> [(str(one), log.absmax[one.rows].tolist()) for one in log.series()]
        [('a weight', [1.0, 2.0]), ('b weight', [3.0])]
        """
        turns = np.zeros(len(self), bool)
        turns[:1] = True
        for text in (self.layer, self.kind, self.group):
            turns[1:] |= text[1:] != text[:-1]
        starts = np.flatnonzero(turns).tolist()
        return [
            Series(str(self.layer[start]), str(self.kind[start]), str(self.group[start]), slice(start, end))
            for start, end in zip(starts, [*starts[1:], len(self)], strict=True)
        ]


#: Columns of numbers, steps apart, by their names in a file.
NUMBERS = ("absmax", "absmin", "mean", "std", "low", "high", "numel", "non_finite", "mean_quantized")


def fill_unknown(count: int) -> NDArray[Any]:
    """A column of NaN that takes no memory, read-only (count,)."""
    return np.broadcast_to(np.float64(np.nan), (count,))
