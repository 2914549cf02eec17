"""Which rows does a convolution multiply its weight with? The patches of its input (im2col), group by group.

A convolution is a matrix product once every output position has its patch as a row; a transposed one is, too, over its
input with zeros put between, and the kernel turned round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

#: Values of patches that are made at once, 32 MB of float32.
_AT_ONCE = 1 << 23


@dataclass(frozen=True, slots=True)
class Convolution:
    """How a convolution goes over its input; the numbers are one for each axis of space, as torch has them.

    `end_padding` is that behind the last value where it differs from the one before the first.
    """

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    transposed: bool = False
    output_padding: Sequence[int] = ()
    groups: int = 1
    end_padding: Sequence[int] | None = None

    def list_parts(self, weight: Tensor) -> list[Tensor]:
        """The weight of each group, outputs first, then what is summed over: channels and kernel."""
        if not self.transposed:
            return list(weight.chunk(self.groups, 0))
        return [part.transpose(0, 1) for part in weight.chunk(self.groups, 0)]

    def list_patches(self, values: Tensor, kernel: Sequence[int]) -> Iterator[list[Tensor]]:
        """For some samples after another, the rows (positions, channels of the group x kernel) of each group.

        `values` are (samples, channels, *space), `kernel` the sizes of the kernel.
        """
        step = max(_AT_ONCE * len(values) // max(values.numel() * math.prod(kernel), 1), 1)
        for start in range(0, len(values), step):
            some = values[start : start + step]
            windows = _unfold(self._prepare(some, kernel), kernel, self._steps(len(kernel)), self.dilation)
            if self.transposed:
                windows = windows.flip(list(range(-len(kernel), 0)))
            yield [_to_rows(part, len(kernel)) for part in windows.chunk(self.groups, 1)]

    @property
    def _ends(self) -> Sequence[int]:
        return self.padding if self.end_padding is None else self.end_padding

    def _steps(self, axes: int) -> Sequence[int]:
        return [1] * axes if self.transposed else self.stride

    def _prepare(self, values: Tensor, kernel: Sequence[int]) -> Tensor:
        """The input with its padding, and with zeros between for a transposed convolution."""
        if not self.transposed:
            sides = zip(reversed(self.padding), reversed(self._ends), strict=True)
            return functional.pad(values, [size for both in sides for size in both])
        space = values.shape[2:]
        spread = [(size - 1) * step + 1 for size, step in zip(space, self.stride, strict=True)]
        wide = values.new_zeros(*values.shape[:2], *spread)
        places = wide
        for axis, step in enumerate(self.stride):
            places = places[(slice(None),) * (2 + axis) + (slice(None, None, step),)]
        places.copy_(values)
        pads = list[int]()
        for axis in reversed(range(len(space))):
            reach = self.dilation[axis] * (kernel[axis] - 1)
            further = self.output_padding[axis] if self.output_padding else 0
            pads += [reach - self.padding[axis], reach - self._ends[axis] + further]
        return functional.pad(wide, pads)  # a negative edge cuts


def _unfold(values: Tensor, kernel: Sequence[int], steps: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """Windows (samples, channels, *positions, *kernel), a view."""
    for axis, (size, step, spread) in enumerate(zip(kernel, steps, dilation, strict=True)):
        values = values.unfold(2 + axis, (size - 1) * spread + 1, step)[..., ::spread]
    return values


def _to_rows(windows: Tensor, axes: int) -> Tensor:
    channels_last = windows.movedim(1, 1 + axes)  # samples, positions, channels, kernel
    return channels_last.flatten(0, axes).flatten(1)
