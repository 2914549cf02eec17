"""How is a tensor a matrix? Its rows are the output channels, its columns what is summed over.

Rows may run over several axes (a stacked expert: expert and output), and the tensor may be folded first: a grouped
transposed convolution (C, M/g, k) is read as (g, C/g, M/g, k) with rows (g, M/g).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray

from qanalysis.notation import quote

_TEXT = re.compile(r"(-?[0-9]{1,3}(?:,-?[0-9]{1,3}){0,63}|none)(?: of ([0-9]{1,15}(?:x[0-9]{1,15}){0,63}))?")


@dataclass(frozen=True, slots=True)
class MatrixView:
    """`rows` are the axes of the output channels, outermost first, of the tensor reshaped to `fold` (empty: of its own
    shape). The other axes are the columns, in their order. No row axes: the tensor is one row.

    >>> MatrixView((0, 2)).sizes((4, 64, 32))
    (128, 64)
    """

    rows: tuple[int, ...] = (0,)
    fold: tuple[int, ...] = ()

    def __str__(self) -> str:
        axes = ",".join(map(str, self.rows)) or "none"
        return f"{axes} of {'x'.join(map(str, self.fold))}" if self.fold else axes

    @classmethod
    def parse(cls, text: str) -> Self:
        """A view from its text: axes such as "1" or "0,2", "none" for a single row, and of what shape where the tensor
        is to be folded; ValueError for anything else.

        >>> MatrixView.parse("0,2 of 2x8x4")
        MatrixView(rows=(0, 2), fold=(2, 8, 4))
        """
        found = _TEXT.fullmatch(text)
        if not found:
            raise ValueError(
                f"axes {quote(text)}: write the axes of the output channels, such as 1 or 0,2, or 0,2 of 2x8x4"
            )
        axes, fold = found.groups()
        return cls(
            () if axes == "none" else tuple(map(int, axes.split(","))), tuple(map(int, fold.split("x"))) if fold else ()
        )

    def settle(self, shape: tuple[int, ...]) -> MatrixView:
        """The same view of this shape with all axes from 0; a 1-D tensor is one row. ValueError where an axis is not
        there or occurs twice, and where the fold has another number of elements.
        """
        if self.fold and math.prod(self.fold) != math.prod(shape):
            raise ValueError(f"the view {self} does not fit a tensor of shape {'x'.join(map(str, shape))}")
        folded = self.fold or shape
        if len(folded) < 2:
            return MatrixView((), self.fold)
        wrong = [axis for axis in self.rows if not -len(folded) <= axis < len(folded)]
        if wrong:
            raise ValueError(
                f"axis {wrong[0]} of a tensor with {len(folded)} dimensions; axes are 0 to {len(folded) - 1}"
            )
        rows = tuple(axis % len(folded) for axis in self.rows)
        if len(set(rows)) < len(rows):
            raise ValueError(f"the axes {self} name one axis twice; write each axis of the output channels once")
        return MatrixView(rows, self.fold)

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns of a tensor of this shape; ValueError as `settle`."""
        view = self.settle(shape)
        folded = view.fold or shape
        rows = math.prod(folded[axis] for axis in view.rows)
        return rows, math.prod(size for axis, size in enumerate(folded) if axis not in view.rows)

    @property
    def is_in_order(self) -> bool:
        """Whether the matrix lies in memory as the tensor does."""
        return self.rows == tuple(range(len(self.rows)))

    def trailing(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Lengths of the last row axes of a tensor that lies as (leading rows, columns, trailing rows); empty where it
        lies in order or otherwise.

        >>> MatrixView((0, 2)).trailing((4, 64, 32)), MatrixView((1,)).trailing((8, 4, 3))
        ((32,), ())
        """
        view = self.settle(shape)
        folded, count = view.fold or shape, 0
        while count < len(view.rows) and view.rows[-1 - count] == len(folded) - 1 - count:
            count += 1
        leads = view.rows[: len(view.rows) - count]
        lies_so = leads == tuple(range(len(leads))) and not view.is_in_order
        return folded[len(folded) - count :] if count and lies_so else ()

    def to_matrix(self, x: NDArray[Any]) -> NDArray[Any]:
        """The (rows, columns) matrix of a tensor, a copy only where it does not lie so. ValueError as `settle`."""
        view, sizes = self.settle(x.shape), self.sizes(x.shape)
        folded = x.reshape(view.fold) if view.fold else x
        return folded.transpose(_put_rows_first(view.rows, folded.ndim)).reshape(sizes)

    def from_matrix(self, matrix: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """The inverse of `to_matrix` for a tensor of this shape."""
        view = self.settle(shape)
        folded = view.fold or shape
        order = _put_rows_first(view.rows, len(folded))
        moved = matrix.reshape([folded[axis] for axis in order])
        return moved.transpose([order.index(axis) for axis in range(len(folded))]).reshape(shape)


def _put_rows_first(rows: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (*rows, *(axis for axis in range(rank) if axis not in rows))


#: How a view is given: an axis, several, or the view itself.
Axes = int | tuple[int, ...] | MatrixView
ALONG_FIRST = MatrixView()


def view_by(axes: Axes) -> MatrixView:
    """The view whose output channels lie along these axes.

    >>> view_by(1)
    MatrixView(rows=(1,), fold=())
    """
    if isinstance(axes, MatrixView):
        return axes
    return MatrixView((axes,) if isinstance(axes, int) else tuple(axes))
