"""On which samples is a model measured? Inputs by name, targets where there are some, cut into batches.

Samples whose inputs have one shape lie in one block; nothing is padded, so that a figure does not depend on how samples
are put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from qanalysis.models.calibration.items import FIRST_INPUT, Item, read_item, read_items
from qanalysis.models.model import count_targets
from qanalysis.results.identity import SourceIdentity

#: What the outputs are held against: labels (integers, nats), numbers (squared error), or nothing.
Loss = Literal["cross-entropy", "mse"]

__all__ = ["FIRST_INPUT", "Batch", "Calibration", "Loss", "number_blocks"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some samples of equal shapes.

    `inputs` are tensors (samples, ...) by name, "x" is given by place; `targets` (samples, ...) or None; `first` is the
    number of the first sample among all.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor | None = None
    first: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def cut(self, start: int, stop: int) -> Batch:
        """Samples start..stop of it."""
        inputs = {name: values[start:stop] for name, values in self.inputs.items()}
        return Batch(inputs, None if self.targets is None else self.targets[start:stop], self.first + start)

    @property
    def tokens(self) -> int:
        """How many targets count, padding left out; without targets how many whole numbers the first input has, and
        without those how many samples there are.
        """
        if self.targets is not None and not self.targets.is_floating_point():
            return count_targets(self.targets)
        first = next(iter(self.inputs.values()))
        return len(self) if first.is_floating_point() else first.numel()


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """All samples, in blocks of equal shapes, numbered from 0 through all blocks.

    `loss` says what the targets are, None without targets. `is_logits` tells that the last axis of the outputs holds
    the logits of a distribution, so that a divergence can be taken. `name` is what the user typed, `source` which file
    it was; `notes` are what was assumed or left out, a sentence each.
    """

    blocks: tuple[Batch, ...]
    name: str
    loss: Loss | None = None
    is_logits: bool = False
    source: SourceIdentity | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_iterable(cls, data: Iterable[Any], *, name: str = "arrays", samples: int | None = None) -> Self:
        """The batches that an iterable yields: tensors, mappings of them by the names of the model's inputs (targets
        under "y"), or pairs (inputs, targets); with `samples` no more than those are asked for.

        Integer targets are labels and make outputs logits, floats are numbers. Raises ValueError for what is no batch,
        for batches with targets among others without, and where there is none.

        >>> batches = [(torch.zeros(2, 3), torch.tensor([0, 1])), (torch.ones(1, 3), torch.tensor([1]))]
        >>> data = Calibration.from_iterable(batches)
        >>> len(data), len(data.blocks), data.loss
        (3, 1, 'cross-entropy')
        """
        return cls._join(list(_take_items(read_items(data, name), samples)), name)

    @classmethod
    def from_arrays(cls, inputs: Any, targets: Any = None, *, name: str = "arrays") -> Self:
        """Samples of one shape: a tensor or an array (samples, ...), or a mapping of them by the names of the model's
        inputs. Raises as `from_iterable`.

        >>> Calibration.from_arrays(np.zeros((5, 3))).tokens
        5
        """
        return cls._join([read_item((inputs, targets), name)], name)

    @classmethod
    def from_data(cls, data: Any, *, name: str = "arrays", samples: int | None = None) -> Calibration:
        """Whatever holds samples: a `Calibration`, an array, a mapping of arrays, a pair of arrays (inputs, targets),
        an iterable of batches.
        """
        if isinstance(data, Calibration):
            return data
        if _is_array(data) or isinstance(data, Mapping):
            return cls.from_arrays(data, name=name)
        is_pair = isinstance(data, tuple) and len(data) == 2 and _is_array(data[1])
        return cls.from_arrays(*data, name=name) if is_pair else cls.from_iterable(data, name=name, samples=samples)

    @classmethod
    def _join(cls, items: Sequence[Item], name: str) -> Self:
        if not items:
            raise ValueError(f"{name} yields no samples; give at least one")
        kinds = {None if targets is None else targets.is_floating_point() for _inputs, targets in items}
        if len(kinds) > 1:
            raise ValueError(f"{name}: some batches have labels, others numbers or no targets; give all the same")
        is_real = kinds.pop()
        loss: Loss | None = None if is_real is None else "mse" if is_real else "cross-entropy"
        return cls(number_blocks(_group(items)), name, loss, is_logits=loss == "cross-entropy")

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @property
    def tokens(self) -> int:
        """How many targets count, or inputs, or samples: see `Batch.tokens`."""
        return sum(block.tokens for block in self.blocks)

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in their order, at most `size` at once; ValueError for a size below 1."""
        if size < 1:
            raise ValueError(f"batch size {size}: at least one sample goes through the model at a time")
        for block in self.blocks:
            for start in range(0, len(block), size):
                yield block.cut(start, min(start + size, len(block)))

    def limit(self, samples: int) -> Calibration:
        """The first samples alone; ValueError for a number below 1."""
        if samples < 1:
            raise ValueError(f"samples {samples}: at least one sample is measured")
        return self if samples >= len(self) else replace(self, blocks=_number(_take_first(self.blocks, samples)))


def number_blocks(blocks: Sequence[Batch]) -> tuple[Batch, ...]:
    """The blocks with samples numbered from 0 through all of them; empty ones are dropped."""
    return _number([block for block in blocks if len(block)])


def _take_first(blocks: Sequence[Batch], samples: int) -> list[Batch]:
    kept, left = list[Batch](), samples
    for block in blocks:
        if left:
            kept.append(block.cut(0, min(left, len(block))))
            left -= len(kept[-1])
    return kept


def _number(blocks: Sequence[Batch]) -> tuple[Batch, ...]:
    numbered, first = list[Batch](), 0
    for block in blocks:
        numbered.append(replace(block, first=first))
        first += len(block)
    return tuple(numbered)


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _take_items(items: Iterable[Item], samples: int | None) -> Iterator[Item]:
    """Batches until they hold so many samples."""
    count = 0
    for item in items:
        yield item
        count += len(next(iter(item[0].values())))
        if samples is not None and count >= samples:
            return


def _group(items: Sequence[Item]) -> list[Batch]:
    """Batches whose samples have the same inputs in the same shapes, one block of each kind."""
    kinds = dict[object, list[Item]]()
    for inputs, targets in items:
        each = [(name, values.dtype, values.shape[1:]) for name, values in inputs.items()]
        kinds.setdefault((*each, None if targets is None else targets.shape[1:]), []).append((inputs, targets))
    return [_stack(alike) for alike in kinds.values()]


def _stack(items: Sequence[Item]) -> Batch:
    if len(items) == 1:
        return Batch(*items[0])
    inputs = {name: torch.cat([one[0][name] for one in items]) for name in items[0][0]}
    targets = [one[1] for one in items if one[1] is not None]
    return Batch(inputs, torch.cat(targets) if targets else None)
