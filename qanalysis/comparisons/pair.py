"""What is compared with what? A tensor, or some rows of one, of each source, and how the two were found to be one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.comparisons.rows import Rows
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

_STACKED = MatrixView((0, 1))
#: What converters make of values beside storing them otherwise.
Change = Literal["", "plus one", "minus exp"]


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor as a matrix of output channels, or some of its rows in their order; None for all as they lie.

    `change` is what the values become before they are compared.
    """

    info: TensorInfo
    rows: Rows | None = None
    change: Change = ""

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows and columns of what is taken.

        >>> Part(TensorInfo("w", (4, 3), "float32", 48)).sizes, Part(TensorInfo("b", (4,), "float32", 16)).sizes
        ((4, 3), (4, 1))
        """
        rows, columns = find_sizes(self.info)
        return (self.rows.count if self.rows is not None else rows), columns


def change_values(values: Floats, change: Change) -> Floats:
    """The values as a converter changes them, in float32 as it does.

    >>> change_values(np.float32([0.0, 1.0]), "plus one").tolist()
    [1.0, 2.0]
    >>> change_values(np.float32([0.0]), "minus exp").tolist()
    [-1.0]
    """
    if change == "plus one":
        return values + np.float32(1)
    if change == "minus exp":
        with np.errstate(over="ignore"):
            return -np.exp(values)
    return values


@dataclass(frozen=True, slots=True)
class Pair:
    """One tensor in both sources; a side is None where it has none. `matched_by` is empty there.

    `heads` are how many heads the rows of one side were reordered by; 0 where they lie alike. `others` are further ways
    in which the rows may lie, for values to decide; this pair is the likeliest.
    """

    a: Part | None
    b: Part | None
    matched_by: str = ""
    heads: int = 0
    others: tuple[Pair, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether values of a side are changed before they are compared."""
        return any(part is not None and part.change for part in (self.a, self.b))

    @property
    def fits(self) -> bool:
        """Whether both sides are there and have matrices of one size."""
        return self.a is not None and self.b is not None and self.a.sizes == self.b.sizes


def as_stack(info: TensorInfo) -> TensorInfo:
    """A tensor of three axes that its name tells to be a stack of matrices, whose rows are then those of all matrices.

    >>> find_sizes(as_stack(TensorInfo("experts.w1", (2, 4, 3), "float32", 96)))
    (8, 3)
    """
    return replace(info, view=_STACKED) if len(info.shape) == 3 and info.view == ALONG_FIRST else info


def find_sizes(info: TensorInfo) -> tuple[int, int]:
    """Rows and columns of a tensor; a vector, a single row, and biases of a stack are one column."""
    if is_column(info):
        return info.numel, 1
    return info.view.sizes(info.shape)


def is_column(info: TensorInfo) -> bool:
    """Whether a tensor is compared as one column."""
    if len(info.shape) < 2 or info.role == "bias" or math.prod(info.shape) == 0:
        return True
    return info.view.sizes(info.shape)[0] == 1
