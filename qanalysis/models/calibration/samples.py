"""On which samples is a model measured? Inputs by name, targets where there are some, cut into batches.

Samples whose inputs have one shape lie in one block; nothing is padded, so that a figure does not depend on how samples
are put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from qanalysis.models.model import count_targets
from qanalysis.results.identity import SourceIdentity

#: What the outputs are held against: labels (integers, nats), numbers (squared error), or nothing.
Loss = Literal["cross-entropy", "mse"]
#: The name of the input that is given by place: a model's first one, whatever it is called there.
FIRST_INPUT = "x"


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
