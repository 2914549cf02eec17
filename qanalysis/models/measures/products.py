"""Which operations multiply a tensor of the model with something, and with what? They are caught while it runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qanalysis.models.measures.quiet import without_fused_layers
from qanalysis.models.measures.uses import Use, make_use, measure_extent
from qanalysis.models.running.convolutions import Convolution


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A factor, part of a tensor, outputs along its first axis, and the rows (..., width) that it is multiplied with.

    `origin` is the tensor that the rows are taken from as it is, None where they were made for this.
    """

    factor: Tensor
    rows: Tensor
    origin: Tensor | None = None
    is_lookup: bool = False


class Places:
    """Which of some named tensors does a piece of memory belong to?"""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        spans = sorted(
            (one.data_ptr(), one.data_ptr() + measure_extent(one) * one.element_size(), name)
            for name, one in named.items()
            if one.layout == torch.strided and one.numel()
        )
        self._starts, self._spans, self._named = [start for start, _stop, _name in spans], spans, named

    def find(self, value: Any) -> str | None:
        """The name of the tensor in whose memory a value lies."""
        if not isinstance(value, Tensor) or value.layout != torch.strided or not value.numel():
            return None
        place = bisect_right(self._starts, value.data_ptr()) - 1
        if place < 0 or value.data_ptr() >= self._spans[place][1]:
            return None
        name = self._spans[place][2]
        return name if self._named[name].dtype == value.dtype else None

    def locate(self, factor: Tensor) -> tuple[str, int] | None:
        """The name and how many elements behind its first one the factor begins."""
        name = self.find(factor)
        if name is None:
            return None
        return name, (factor.data_ptr() - self._named[name].data_ptr()) // factor.element_size()


class Listener(Protocol):
    """Who is told of products while a model runs."""

    def receive(self, use: Use, rows: Tensor, origin: Tensor | None) -> None:
        """Rows met a part of a tensor; they come from `origin` as it is, None where they were made for this."""

    def note_other(self, name: str, operation: str) -> None:
        """An operation uses a tensor otherwise than as a factor."""

    def note_lost(self, name: str, operation: str) -> None:
        """The rows of an operation with a tensor could not be followed."""


@contextmanager
def catching(module: nn.Module, named: Mapping[str, Tensor], listener: Listener) -> Iterator[None]:
    """Every product with one of the tensors inside the block is told to the listener, and every other use of one."""
    places = Places(named)

    class Catching(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # else torch loads its compiler, which takes seconds, to say that it is not to be used

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = {name for name in map(places.find, tree_leaves((args, kwargs))) if name}
            if found:
                told = _tell(func, args, places, listener)
                result = func(*args, **(kwargs or {}))
                for name in found - told - {places.find(value) for value in tree_leaves(result)}:
                    listener.note_other(name, _name(func))
                return result
            return func(*args, **(kwargs or {}))

    with without_fused_layers(module), Catching():
        yield


def _name(func: Any) -> str:
    """The word of an operation: mm of aten::mm and of aten::mm.out."""
    return str(func.name()).rpartition("::")[2].partition(".")[0]


def _tell(func: Any, args: Sequence[Any], places: Places, listener: Listener) -> set[str]:
    """Tell of the products of an operation; the names of the tensors that are factors in them."""
    split, told = SPLITS.get(_name(func)), set[str]()
    try:
        for product in split(args, places) if split else ():
            found = places.locate(product.factor)
            if found is not None:
                use = make_use(*found, product.factor, is_lookup=product.is_lookup)
                told.add(use.tensor)
                listener.receive(use, product.rows, product.origin)
    except (RuntimeError, ValueError, IndexError, TypeError):  # shapes of a kind that is not taken apart here
        told |= {name for name in map(places.find, tree_leaves(args)) if name}
        for name in told:
            listener.note_lost(name, _name(func))
    return told


def _split_mm(left: Tensor, right: Tensor, places: Places) -> Iterator[Product]:
    """(rows, width) times (width, outputs), either of which may be the weight."""
    if places.find(right):
        yield Product(right.t(), left, None if places.find(left) else left)
    elif places.find(left):
        yield Product(left, right.t())


def _split_bmm(left: Tensor, right: Tensor, places: Places) -> Iterator[Product]:
    weight, values = (right, left) if places.find(right) else (left.mT, right.mT)
    if not places.find(weight):
        return
    if weight.stride(0) == 0 or len(weight) == 1:
        yield Product(weight[0].t(), values.reshape(-1, values.shape[-1]))
        return
    for part, rows in zip(weight, values, strict=True):
        yield Product(part.t(), rows)


def _split_mv(matrix: Tensor, vector: Tensor, _places: Places) -> Iterator[Product]:
    yield Product(matrix, vector[None])


def _split_grouped(args: Sequence[Any], _places: Places) -> Iterator[Product]:
    """Rows sorted by expert, (experts, width, outputs), and where the rows of each expert end."""
    values, weights, ends = args[0], args[1], args[2] if len(args) > 2 else None
    if values.ndim != 2 or weights.ndim != 3 or ends is None:
        return
    start = 0
    for part, stop in zip(weights, ends.tolist(), strict=True):
        yield Product(part.t(), values[start:stop])
        start = stop


def _split_convolution(args: Sequence[Any], places: Places) -> Iterator[Product]:
    values, weight, _bias, stride, padding, dilation, transposed, output_padding, groups = args[:9]
    if not places.find(weight):
        return
    form = Convolution(stride, padding, dilation, transposed, output_padding, groups)
    parts = form.list_parts(weight)
    for rows in form.list_patches(values, weight.shape[2:]):
        for part, some in zip(parts, rows, strict=True):
            yield Product(part, some)


def _split_embedding(args: Sequence[Any], _places: Places) -> Iterator[Product]:
    yield Product(args[0], args[1].reshape(-1), is_lookup=True)


def _split_index(args: Sequence[Any], _places: Places) -> Iterator[Product]:
    """Rows taken by numbers along the first axis, as `weight[numbers]` does."""
    table, numbers = args[0], args[1]
    if table.ndim == 2 and len(numbers) == 1 and numbers[0].dtype in {torch.int64, torch.int32}:
        yield Product(table, numbers[0].reshape(-1) % len(table), is_lookup=True)


def _split_index_select(args: Sequence[Any], _places: Places) -> Iterator[Product]:
    if args[1] == 0 and args[0].ndim == 2:
        yield Product(args[0], args[2].reshape(-1), is_lookup=True)


Split = Callable[[Sequence[Any], Places], Iterator[Product]]
#: How the arguments of an operation are taken apart into products.
SPLITS: Mapping[str, Split] = {
    "mm": lambda args, places: _split_mm(args[0], args[1], places),
    "addmm": lambda args, places: _split_mm(args[1], args[2], places),
    "linear": lambda args, places: _split_mm(args[0].reshape(-1, args[0].shape[-1]), args[1].t(), places),
    "bmm": lambda args, places: _split_bmm(args[0], args[1], places),
    "baddbmm": lambda args, places: _split_bmm(args[1], args[2], places),
    "mv": lambda args, places: _split_mv(args[0], args[1], places),
    "addmv": lambda args, places: _split_mv(args[1], args[2], places),
    "_grouped_mm": _split_grouped,
    "convolution": _split_convolution,
    "embedding": _split_embedding,
    "index": _split_index,
    "index_select": _split_index_select,
}
