"""Which stored axis does each axis of a value come from, after the operations between a constant and its consumer?

A stored axis is a product of factors, and each axis of a value a product of such factors: a reshape splits and joins
them, a transpose reorders them. Of an axis that was sliced, padded or joined with another only its origin is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from qanalysis.quantizers.matrix_view import MatrixView


@dataclass(frozen=True, slots=True)
class Factor:
    """A part of an axis: `size` steps of `stride` elements along the stored axis `axes[0]`.

    With `stride` 0 only the origin is known: it runs somehow over the axes `axes`, over none where it only repeats.
    """

    axes: tuple[int, ...]
    stride: int
    size: int

    def split(self, outer: int) -> tuple[Factor, Factor]:
        """The outer and the inner part."""
        inner = self.size // outer
        return Factor(self.axes, self.stride * inner, outer), Factor(self.axes, self.stride, inner)


#: The factors of one axis of a value, outermost first; none for an axis of length 1.
Axis = tuple[Factor, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """A value that holds the elements of a stored tensor of shape `stored`: `axes` says where each axis comes from.

    >>> Frame.of((64, 32)).transpose((1, 0)).find_view((0,))
    MatrixView(rows=(1,), fold=())
    >>> Frame.of((64, 32)).reshape((4, 16, 32)).find_view((0, 2))
    MatrixView(rows=(0, 2), fold=(4, 16, 32))
    """

    stored: tuple[int, ...]
    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Frame:
        """The stored tensor itself."""
        return cls(shape, tuple((Factor((axis,), 1, size),) for axis, size in enumerate(shape)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return tuple(_length(axis) for axis in self.axes)

    def transpose(self, order: Sequence[int]) -> Frame | None:
        """Axes reordered; None where `order` does not fit."""
        if sorted(order) != list(range(len(self.axes))):
            return None
        return Frame(self.stored, tuple(self.axes[axis] for axis in order))

    def reshape(self, shape: Sequence[int]) -> Frame | None:
        """The value in another shape; None where an axis of it is no product of factors."""
        if tuple(shape) == self.shape:
            return self
        if math.prod(shape) != math.prod(self.shape) or 0 in shape:
            return None
        waiting = [factor for axis in reversed(self.axes) for factor in reversed(axis) if factor.size > 1]
        axes = []
        for size in shape:
            axis, left = [], size
            while left > 1:
                factor = waiting.pop()
                if left % factor.size and factor.size % left:
                    return None
                if factor.size > left:
                    factor, inner = factor.split(left)
                    waiting.append(inner)
                left //= factor.size
                axis.append(factor)
            axes.append(tuple(axis))
        return Frame(self.stored, tuple(axes))

    def squeeze(self, axes: Iterable[int] | None) -> Frame:
        """Axes of length 1 left out: those named, or all."""
        gone = set(range(len(self.axes)) if axes is None else (axis % len(self.axes) for axis in axes))
        kept = (axis for place, axis in enumerate(self.axes) if place not in gone or _length(axis) > 1)
        return Frame(self.stored, tuple(kept))

    def unsqueeze(self, axes: Iterable[int]) -> Frame | None:
        """Axes of length 1 put in; they are counted in the result."""
        places = list(axes)
        rank = len(self.axes) + len(places)
        new = {axis % rank for axis in places}
        if len(new) != len(places):
            return None
        old = iter(self.axes)
        return Frame(self.stored, tuple(() if axis in new else next(old) for axis in range(rank)))

    def drop(self, axis: int) -> Frame:
        """One entry along an axis taken: the axis is gone."""
        kept = axis % len(self.axes)
        return Frame(self.stored, self.axes[:kept] + self.axes[kept + 1 :])

    def resize(self, axis: int, size: int) -> Frame:
        """An axis of another length: sliced, padded, repeated or joined with others."""
        place = axis % len(self.axes)
        origin = tuple(sorted({source for factor in self.axes[place] for source in factor.axes}))
        return Frame(self.stored, (*self.axes[:place], (Factor(origin, 0, size),), *self.axes[place + 1 :]))

    def broadcast(self, shape: Sequence[int | None]) -> Frame:
        """The value combined elementwise with one of `shape`; sizes that are not known count as 1."""
        rank = max(len(self.axes), len(shape))
        empty: Axis = ()
        own = (empty,) * (rank - len(self.axes)) + self.axes
        grown = Frame(self.stored, own)
        for axis, size in enumerate((1,) * (rank - len(shape)) + tuple(size or 1 for size in shape)):
            if size > 1 and _length(own[axis]) == 1:
                grown = grown.resize(axis, size)
        return grown

    def find_view(self, rows: Iterable[int]) -> MatrixView | None:
        """The view of the stored tensor whose rows are these axes of the value; None where a part of an axis is both
        row and column.

        What no axis of the value holds (a stack of which one entry was taken) belongs to the rows.
        """
        chosen = {axis % len(self.axes) for axis in rows} if self.axes else set()
        parts = []
        for axis, size in enumerate(self.stored):
            spans = [
                (place in chosen, factor.stride or 1, factor.size if factor.stride else size)
                for place, factors in enumerate(self.axes)
                for factor in factors
                if axis in factor.axes
            ]
            part = _part_axis(size, spans)
            if part is None:
                return None
            parts += part
        fold = tuple(size for size, _ in parts)
        return MatrixView(
            tuple(place for place, (_, is_row) in enumerate(parts) if is_row), () if fold == self.stored else fold
        )


def _length(axis: Axis) -> int:
    return math.prod(factor.size for factor in axis)


def _part_axis(size: int, spans: Sequence[tuple[bool, int, int]]) -> list[tuple[int, bool]] | None:
    """Sizes of the parts of one stored axis, outermost first, and whether each belongs to the rows.

    `spans` are its parts in the value: whether it is in the rows, its stride and its size. None where two overlap.
    """
    if size == 1:
        return [(1, any(is_row for is_row, _, _ in spans))]
    columns = [span[1:] for span in spans if not span[0]]
    taken = [span[1:] for span in spans if span[0]]
    if any(start < other * size and other < start * length for start, length in columns for other, size in taken):
        return None
    parts: list[tuple[int, bool]] = []
    inside = 1
    for start, length in sorted(columns):
        parts.append((max(start // inside, 1), True))
        inside = max(inside, start)
        parts.append((max(start * length // inside, 1), False))
        inside = max(inside, start * length)
    parts.append((size // inside, True))
    return list(_merge([part for part in reversed(parts) if part[0] > 1]))


def _merge(parts: Sequence[tuple[int, bool]]) -> Iterator[tuple[int, bool]]:
    for is_row, group in groupby(parts, key=lambda part: part[1]):
        yield math.prod(size for size, _ in group), is_row
