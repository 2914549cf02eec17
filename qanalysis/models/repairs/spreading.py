"""Which numbers does a row of a layer's weight meet? The input, laid out so that the layer is a matrix product.

A layer of `groups` groups multiplies rows of group g of its weight's matrix view with features of group g of its input:
a linear layer with the last axis, a convolution with every window that it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.conv import _ConvTransposeNd as ConvTranspose

from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.torch_model import TorchModel

#: How many bytes of windows are laid out at a time.
_AT_ONCE = 1 << 26


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """`groups` of `width` features each; `lay_out` turns an input, its first axis that of samples, into features
    (groups, places, width).
    """

    groups: int
    width: int
    lay_out: Callable[[Tensor], Tensor]
    repeats: int = 1

    def parts(self, values: Tensor) -> Iterator[Tensor]:
        """The features of an input, some samples at a time."""
        if not len(values):
            return
        each = max(values[0].numel() * self.repeats * 8, 1)
        for part in torch.split(values, max(_AT_ONCE // each, 1)):
            yield self.lay_out(part)


def find_spread(model: Runnable, layer: Layer) -> Spread:
    """How the input of a layer meets its weight; ValueError for a layer that is no matrix product."""
    if layer.is_linear:
        return _spread_linear(layer.tensor.view.sizes(layer.tensor.shape)[1])
    module = find_module(model, layer)
    if isinstance(module, Convolution) and layer.tensor.name.endswith("weight"):
        return _spread_convolution(module)
    kind = layer.tensor.role if module is None else type(module).__name__
    raise ValueError(f"{kind} is no product of a matrix with the layer's input")


def find_module(model: Runnable, layer: Layer) -> nn.Module | None:
    """The module that holds a layer's tensor; None where the model is not one of torch."""
    return model.find(layer.tensor.name).module if isinstance(model, TorchModel) else None


def _spread_linear(width: int) -> Spread:
    def lay_out(values: Tensor) -> Tensor:
        if values.shape[-1] != width:
            raise ValueError(f"an input of {values.shape[-1]} features meets a weight of {width}")
        return values.reshape(1, -1, width)

    return Spread(1, width, lay_out)


def _spread_convolution(module: Convolution) -> Spread:
    groups, taps = module.groups, list(module.kernel_size)
    turned = isinstance(module, ConvTranspose)

    def lay_out(values: Tensor) -> Tensor:
        rank = len(taps)
        if values.ndim == rank + 1:  # one image without an axis of samples
            values = values[None]
        padded = _pad_transposed(values, module) if turned else _pad(values, module)
        for axis, (size, gap) in enumerate(zip(taps, module.dilation, strict=True), 2):
            step = 1 if turned else module.stride[axis - 2]
            padded = padded.unfold(axis, (size - 1) * gap + 1, step)[..., ::gap]
        if turned:
            padded = padded.flip(tuple(range(-rank, 0)))
        parted = padded.reshape(padded.shape[0], groups, -1, *padded.shape[2:])
        places = range(3, 3 + rank)
        moved = parted.permute(1, 0, *places, 2, *range(3 + rank, 3 + 2 * rank))
        features: Tensor = moved.reshape(groups, -1, parted.shape[2] * _multiply(taps))
        return features

    width = module.in_channels // groups * _multiply(taps)
    return Spread(groups, width, lay_out, repeats=_multiply(taps))


def _pad(values: Tensor, module: Any) -> Tensor:
    """As the module pads: its own mode, "same" (an odd place goes to the end) and "valid" included."""
    widths = list[int]()
    for axis, (size, gap) in reversed(list(enumerate(zip(module.kernel_size, module.dilation, strict=True)))):
        whole = gap * (size - 1)
        if module.padding == "same":
            widths += [whole // 2, whole - whole // 2]
        else:
            widths += [0, 0] if module.padding == "valid" else [module.padding[axis]] * 2
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return functional.pad(values, widths, mode=mode)


def _pad_transposed(values: Tensor, module: Any) -> Tensor:
    """A transposed convolution slides its turned kernel over its input with zeros between and around."""
    sizes = [(size - 1) * step + 1 for size, step in zip(values.shape[2:], module.stride, strict=True)]
    spaced = values.new_zeros((*values.shape[:2], *sizes))
    between = (slice(None, None, step) for step in module.stride)
    spaced[(slice(None), slice(None), *between)] = values
    widths = list[int]()
    shapes = zip(module.kernel_size, module.dilation, module.padding, module.output_padding, strict=True)
    for size, gap, cut, more in reversed(list(shapes)):
        around = gap * (size - 1) - cut
        widths += [around, around + more]
    return functional.pad(spaced, widths)


def _multiply(sizes: list[int]) -> int:
    return int(torch.Size(sizes).numel())
