"""Which rows of a matrix are one tensor? A part of a fused or stacked one, or all of them in another order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows seen as an array of the shape `fold`, cut to `start`..`stop` of each axis, its axes then put into the order
    `axes`.
    """

    fold: tuple[int, ...]
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    axes: tuple[int, ...]

    @classmethod
    def of(cls, *fold: int, axes: Sequence[int] = (), **places: tuple[int, int]) -> Self:
        """Rows of a fold; `axis1=(0, 1)` keeps the first place of its second axis.

        >>> Cut.of(2, 3, axis1=(1, 3)).list_rows().tolist(), Cut.of(2, 3, axes=(1, 0)).list_rows().tolist()
        ([1, 2, 4, 5], [0, 3, 1, 4, 2, 5])
        """
        kept = [places.get(f"axis{axis}", (0, size)) for axis, size in enumerate(fold)]
        order = tuple(axes) or tuple(range(len(fold)))
        return cls(fold, tuple(start for start, _ in kept), tuple(stop for _, stop in kept), order)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return math.prod(stop - start for start, stop in zip(self.starts, self.stops, strict=True))

    def list_rows(self) -> NDArray[np.int64]:
        """The rows' numbers in the matrix that they are taken from."""
        places = np.arange(math.prod(self.fold)).reshape(self.fold)
        kept = places[tuple(map(slice, self.starts, self.stops))]
        return kept.transpose(self.axes).reshape(-1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a matrix, in an order: those of its `cuts`, one after another.

    `told` says in words which they are, empty where all are taken. `heads` is in how many heads the order of rotary
    positions was turned, 0 where it was not.
    """

    cuts: tuple[Cut, ...]
    told: str = ""
    heads: int = 0

    @classmethod
    def between(cls, start: int, stop: int, *, total: int, told: str) -> Self:
        """The rows from `start` to `stop` of so many.

        >>> Rows.between(2, 4, total=8, told="k of q, k, v").list_rows().tolist()
        [2, 3]
        """
        return cls((Cut.of(total, axis0=(start, stop)),), told)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(cut.count for cut in self.cuts)

    def list_rows(self) -> NDArray[np.int64]:
        """Their numbers in the matrix that they are taken from."""
        return np.concatenate([cut.list_rows() for cut in self.cuts])


def turn_heads(rows: int, heads: int, *, back: bool = False) -> Rows:
    """All rows in the order in which Llama-family files of GGUF have those of q and k; with `back`, rows of such a file
    as they were before.

    There w of `rows` = heads · d rows became w.reshape(heads, 2, d / 2, ...).swapaxes(1, 2). `heads` must divide the
    rows into even parts.

    >>> turn_heads(8, 2).list_rows().tolist(), turn_heads(6, 1, back=True).list_rows().tolist()
    ([0, 2, 1, 3, 4, 6, 5, 7], [0, 2, 4, 1, 3, 5])
    """
    half = rows // heads // 2
    cut = Cut.of(heads, half, 2, axes=(0, 2, 1)) if back else Cut.of(heads, 2, half, axes=(0, 2, 1))
    return Rows((cut,), heads=heads)


def find_runs(rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Rows that follow each other, as pairs of start and stop among the given ones.

    >>> find_runs(np.array([4, 5, 6, 0, 1]))
    [(0, 3), (3, 5)]
    """
    ends = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), rows.size]
    return list(pairwise(ends))
