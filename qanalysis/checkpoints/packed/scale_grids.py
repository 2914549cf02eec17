"""Which values does each scale of a matrix serve? The shapes of both tell: all, a row, a group of a row, or a block.

Blocks have the size that the configuration states, else one of the usual ones: 200 rows with 2 scales are 128 + 72, not
100 + 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.checkpoints.packed.coded_rows import RowGrid
from qanalysis.checkpoints.packed.parts import LayoutError, Part

_USUAL_LENGTHS = (128, 64, 32, 256, 16, 512, 1024)
_USUAL_BLOCKS = (128, 64, 32, 256)
_SCALE_TYPES = ("float", "bfloat", "uint8")


@dataclass(frozen=True, slots=True)
class Matrices:
    """A tensor as a stack of `count` matrices of `rows` by `columns`; one with another number of axes is one matrix."""

    count: int
    rows: int
    columns: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Matrices:
        """Those of a logical shape; LayoutError where it has no values.

        >>> Matrices.of((8, 64, 32)), Matrices.of((64, 3, 2, 2))
        (Matrices(count=8, rows=64, columns=32), Matrices(count=1, rows=64, columns=12))
        """
        if not math.prod(shape):
            raise LayoutError(f"codes of shape {list(shape)} are empty")
        if len(shape) == 3:
            return cls(*shape)
        return cls(1, shape[0], math.prod(shape[1:])) if len(shape) > 1 else cls(1, 1, math.prod(shape))


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of `height` rows by `length` columns in a grid of `rows` by `groups` for each matrix."""

    height: int
    length: int
    rows: int
    groups: int
    matrices: Matrices

    @property
    def word(self) -> str:
        """The grouping as `stored` has it: "tensor", "channel", "group=32", "block=128x128"."""
        if self.rows == self.groups == 1:
            return "tensor"
        if self.height == 1:
            return "channel" if self.groups == 1 else f"group={self.length}"
        return f"block={self.height}x{self.length}"

    def lay(self, part: Part, *, factors: Part | None = None, divides: bool = False, added: float = 0.0) -> RowGrid:
        """The numbers of a part as those of the rows."""
        return RowGrid(part, self.matrices.rows, self.rows, self.height, self.groups, factors, divides, added)


def fit_blocks(matrices: Matrices, scale: Part, told: Iterable[Any] = ()) -> Blocks:
    """How the scales lie on the matrices.

    `told` are blocks (rows, columns) that a configuration states, whatever it holds; only what fits is believed.
    LayoutError where nothing fits, or the scales are no numbers of a scale.
    """
    if not scale.dtype.startswith(_SCALE_TYPES) or scale.dtype.startswith("float4"):
        raise LayoutError(f"its scales are {scale.dtype}, which must be floats or uint8 exponents")
    rows, columns = _read_grid(matrices, scale)
    for height, length in [*_keep_sizes(told), *_list_usual(matrices, rows, columns)]:
        if (-(-matrices.rows // height), -(-matrices.columns // length)) == (rows, columns):
            return Blocks(min(height, matrices.rows), min(length, matrices.columns), rows, columns, matrices)
    raise LayoutError(
        f"scales of shape {list(scale.shape)} do not lie on {matrices.rows} by {matrices.columns} values in rows, "
        f"groups of a row, or blocks of 128, 64, 32 or 256"
    )


def _read_grid(matrices: Matrices, scale: Part) -> tuple[int, int]:
    """Rows and columns of the grid of each matrix."""
    if scale.info.numel == 1:
        return 1, 1
    shape = scale.shape if scale.info.numel else ()
    if matrices.count > 1 or (len(shape) == 3 and shape[0] == 1):
        # A stack has one grid for each matrix; a single number for each may lack its axes.
        shape = shape[1:] or (1,) if shape[:1] == (matrices.count,) else ()
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 1:
        return (1, shape[0]) if matrices.rows == 1 else (shape[0], 1)
    if len(shape) != 2:
        raise LayoutError(
            f"scales of shape {list(scale.shape)} do not lie on {matrices.count} matrices of {matrices.rows} by "
            f"{matrices.columns} values"
        )
    return shape[0], shape[1]


def _keep_sizes(told: Iterable[Any]) -> Sequence[tuple[int, int]]:
    return [
        (block[0], block[1])
        for block in told
        if isinstance(block, (list, tuple))
        and len(block) == 2
        and all(type(size) is int and size > 0 for size in block)
    ]


def list_lengths(values: int, groups: int) -> list[int]:
    """Lengths that so many groups of a row may have, the likeliest first: equal groups, then a power of two with a
    short last group.

    >>> list_lengths(256, 2), list_lengths(200, 4), list_lengths(100, 3)
    ([128], [50, 64], [])
    """
    exact = [values // groups] if groups and values % groups == 0 else []
    if groups <= 1 or (exact and exact[0] & (exact[0] - 1) == 0):
        return exact
    return exact + [length for length in _USUAL_LENGTHS if -(-values // length) == groups]


def tell_doubt(length: int, values: int, groups: int) -> str:
    """What else so many groups of a row could be where no configuration says the length; empty where nothing else is
    usual.

    >>> tell_doubt(50, 200, 4)
    'groups of 50 taken, as nothing tells their length; 64 with a short last one fit the scales too'
    """
    others = [other for other in list_lengths(values, groups) if other != length]
    if not others:
        return ""
    return (
        f"groups of {length} taken, as nothing tells their length; {others[0]} with a short last one fit the scales too"
    )


def _list_usual(matrices: Matrices, rows: int, columns: int) -> Iterable[tuple[int, int]]:
    """Blocks to try for a grid of these sizes, the likeliest first."""
    if (rows, columns) == (1, 1):
        yield matrices.rows, matrices.columns
    if rows == matrices.rows:
        yield from ((1, length) for length in list_lengths(matrices.columns, columns))
    if rows == 1 and columns == matrices.columns:  # experts as (in, out) have one scale for each output
        yield matrices.rows, 1
    yield from ((size, size) for size in _USUAL_BLOCKS)
