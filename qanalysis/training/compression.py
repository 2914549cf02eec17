"""Which weights may go? Pruning masks by magnitude, N of M and output channel, their schedule, and what pruning costs.

A mask is bool, of the weight's shape, True where a weight stays; it is to be applied again after every step of an
optimizer. Axis 0 of a weight is its output; its matrix has one row per output and all other axes in the row, in order.
Among equal magnitudes the lowest index goes first; NaN counts as the largest. Source: docs/training.md B4.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.training.words import Rule, key

if TYPE_CHECKING:
    from torch import Tensor


def prune_magnitude(w: Tensor, sparsity: float) -> Tensor:
    """The mask without the floor(sparsity n) smallest magnitudes of a tensor of n weights; 0 and 1 are legal.

    ValueError for another sparsity.
    """
    magnitude = _magnitude(w).flatten()
    return _keep_largest(magnitude, _count_share(sparsity, magnitude.numel())).reshape(w.shape)


def prune_channels(w: Tensor, sparsity: float) -> Tensor:
    """The mask without whole output channels: the floor(sparsity channels) of least L2 norm."""
    rows = _magnitude(w).reshape(len(w), math.prod(w.shape[1:]))
    kept = _keep_largest(rows.square().sum(1), _count_share(sparsity, len(w)))
    return kept.reshape(-1, *[1] * (w.dim() - 1)).expand(w.shape).clone()


def prune_n_of_m(w: Tensor, n: int, m: int) -> Tensor:
    """The mask that keeps the `n` largest of every run of `m` neighbours in a row of the weight's matrix.

    A row whose length is no multiple of m is padded with what goes first; `count_padding` says by how much. A tensor of
    one axis is one row. ValueError unless 0 <= n <= m and m > 0.
    """
    if not 0 <= n <= m or m < 1:
        raise ValueError(
            f"{n} of {m}: needs a run of at least 1 and no more kept than it holds; write for example 2 of 4"
        )
    count, length = _matrix_shape(w)
    padded = w.new_full((count, length + count_padding(w, m)), -1)
    padded[:, :length] = _magnitude(w).reshape(count, length)
    order = padded.reshape(-1, m).argsort(dim=1, stable=True)
    kept = padded.new_ones(order.shape).bool().scatter(1, order[:, : m - n], value=False)
    return kept.reshape(padded.shape)[:, :length].reshape(w.shape)


def count_padding(w: Tensor, m: int) -> int:
    """How many places the last run of `m` of each row of the weight's matrix lacks; 0 where runs fill the row."""
    return -_matrix_shape(w)[1] % m


def _matrix_shape(w: Tensor) -> tuple[int, int]:
    return (w.shape[0], math.prod(w.shape[1:])) if w.dim() > 1 else (1, w.numel())


def _magnitude(w: Tensor) -> Tensor:
    return w.detach().abs().nan_to_num(nan=math.inf, posinf=math.inf)


def _count_share(sparsity: float, total: int) -> int:
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity {sparsity:g}: the share of pruned weights lies from 0 to 1")
    # 0.29 of 100 is 28.999999999999996 in binary, and 29 in the sense of who wrote it.
    return math.floor(round(sparsity * total, 6))


def _keep_largest(magnitude: Tensor, pruned: int) -> Tensor:
    """The mask without the `pruned` smallest of a row, the first of equal ones first; linear in its length."""
    if pruned == 0:
        return magnitude.new_ones(magnitude.shape).bool()
    edge = magnitude.kthvalue(pruned).values
    tied = magnitude == edge
    below = magnitude < edge
    return ~(below | (tied & (tied.cumsum(0) <= pruned - below.sum())))


def scheduled_sparsity(t: float, total: float, initial: float, final: float) -> float:
    """The gradual schedule final + (initial - final)(1 - t/total)^3; `final` from `total` on, `initial` before 0.

    >>> [round(scheduled_sparsity(t, 10, 0, 0.8), 8) for t in (0, 2, 5, 8, 10)]
    [0.0, 0.3904, 0.7, 0.7936, 0.8]
    """
    if t >= total:
        return final
    return final + (initial - final) * (1 - max(t, 0) / total) ** 3


@dataclass(frozen=True, slots=True)
class SplitError:
    """A squared error by its causes: total = pruning + quantization + cross."""

    pruning: float
    quantization: float
    cross: float

    @property
    def total(self) -> float:
        """The squared error of both together, sum (x - quantized)^2."""
        return self.pruning + self.quantization + self.cross


def split_error(x: ArrayLike, pruned: ArrayLike, quantized: ArrayLike) -> SplitError:
    """How much of sum (x - quantized)^2 is due to pruning x and how much to quantizing what pruning left.

    Arrays or tensors of one shape, summed in float64. `cross` = 2 sum (x - pruned)(pruned - quantized) is exactly 0
    where every pruned weight is quantized to 0: a grid that holds 0 does so. ValueError where shapes differ.
    """
    whole, left, coded = (np.asarray(one, np.float64) for one in (x, pruned, quantized))
    if not whole.shape == left.shape == coded.shape:
        raise ValueError(f"shapes {whole.shape}, {left.shape} and {coded.shape} differ; hand in one weight three times")
    first, second = whole - left, left - coded
    return SplitError(float((first**2).sum()), float((second**2).sum()), float(2 * (first * second).sum()))


@dataclass(frozen=True, slots=True)
class PruningRule(Rule, ABC):
    """A frozen value with a text form; called on a weight it gives the mask when so much of a training is done."""

    @abstractmethod
    def __call__(self, w: Tensor, progress: float) -> Tensor:
        """The mask of a weight, `progress` from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Gradual(PruningRule, ABC):
    """A share that grows from 0 at `from` to `sparsity` at `until` by `scheduled_sparsity`."""

    sparsity: float = key(0.5, low=0, high=1, meaning="share that is pruned in the end")
    from_: float = key(0.0, low=0, high=1, meaning="share of the training before the first goes")
    until: float = key(0.5, low=0, high=1, meaning="share of the training after which no more go")

    def find_fault(self) -> str:
        return "" if self.from_ <= self.until else f"from={self.from_:g} lies after until={self.until:g}; swap them"

    def sparsity_at(self, progress: float) -> float:
        """The share that is pruned when so much of the training is done."""
        if progress < self.from_:
            return 0.0
        return scheduled_sparsity(progress - self.from_, self.until - self.from_, 0.0, self.sparsity)


@dataclass(frozen=True, slots=True)
class MagnitudePruning(Gradual):
    """The smallest magnitudes of each tensor."""

    name: ClassVar[str] = "magnitude"
    meaning: ClassVar[str] = "prunes the smallest weights of each tensor, more and more"

    def __call__(self, w: Tensor, progress: float) -> Tensor:
        return prune_magnitude(w, self.sparsity_at(progress))


@dataclass(frozen=True, slots=True)
class ChannelPruning(Gradual):
    """The output channels of least norm."""

    name: ClassVar[str] = "channels"
    meaning: ClassVar[str] = "prunes whole output channels of least norm, more and more"

    sparsity: float = key(0.25, low=0, high=1, meaning="share of the channels that is pruned in the end")

    def __call__(self, w: Tensor, progress: float) -> Tensor:
        return prune_channels(w, self.sparsity_at(progress))


@dataclass(frozen=True, slots=True)
class RunPruning(PruningRule):
    """N of M, all at once; 2 of 4 is what hardware speeds up."""

    name: ClassVar[str] = "n:m"
    meaning: ClassVar[str] = "keeps the n largest of every m neighbours in a row of the weight's matrix"

    n: int = key(2, low=0, meaning="how many stay")
    m: int = key(4, low=1, meaning="length of a run")
    from_: float = key(0.0, low=0, high=1, meaning="share of the training before any goes")

    def find_fault(self) -> str:
        return "" if self.n <= self.m else f"n={self.n} of m={self.m} keeps more than there are; lower n"

    def __call__(self, w: Tensor, progress: float) -> Tensor:
        return prune_n_of_m(w, self.n if progress >= self.from_ else self.m, self.m)


PRUNING_RULES: dict[str, type[PruningRule]] = {
    rule.name: rule for rule in (MagnitudePruning, RunPruning, ChannelPruning)
}
