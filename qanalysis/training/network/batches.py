"""Which items does a step learn from? A pure function of seed and step, so that a training resumes where it was killed.

Epochs are permutations of the training data; streams bring drifted data in: one item a step, chunks, or all so far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from qanalysis.models.data import Data

#: Items of new data in a step of incremental learning (B6).
CHUNK = 32
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The batches of a training: `draw(step)` gives inputs and targets; an `epoch` has so many steps.

    `streamed` are the drifted data of a stream, None for plain training.
    """

    draw: Callable[[int], Batch]
    epoch: int
    streamed: Data | None = None


def plan_batches(data: Data, *, batch: int, seed: int, learning: str = "", steps: int = 1) -> Plan:
    """The batches of a training; the last of an epoch is left out where it is short, unless it is the only one.

    `learning` is online (one new item a step), incremental (a chunk of new items a step) or batch (new items come in
    over the steps, each step draws from old and new ones alike).
    """
    count = len(data.inputs)
    size = min(batch, count)
    epoch = max(count // size, 1)
    if not learning:
        return Plan(lambda step: _take(data, _order(count, seed, step // epoch), step % epoch, size), epoch)
    new = drift(data, seed)
    chunk = {"online": 1, "incremental": CHUNK, "batch": size}[learning]
    if learning != "batch":
        rounds = max(count // chunk, 1)
        return Plan(lambda step: _take(new, _order(count, seed, step // rounds), step % rounds, chunk), epoch, new)

    def draw(step: int) -> Batch:
        arrived = max(count * min(step + 1, steps) // steps, 1)  # calibration may draw more than `steps`
        generator = torch.Generator().manual_seed(_mix(seed, step))
        order = _order(count, seed, 0)[:arrived]
        old = torch.randint(count, (size // 2,), generator=generator)
        fresh = order[torch.randint(arrived, (size - size // 2,), generator=generator)]
        return (
            torch.cat([data.inputs[old], new.inputs[fresh]]),
            torch.cat([data.targets[old], new.targets[fresh]]),
        )

    return Plan(draw, epoch, new)


def drift(data: Data, seed: int) -> Data:
    """The same data as another sensor would give them: moved by one place along the last axis, weaker, with seeded
    noise of a twentieth of the standard deviation. Raises ValueError for tokens, which have no such drift.
    """
    if not data.inputs.is_floating_point():
        raise ValueError(
            f"{data.name}: a drifted stream needs inputs that are real numbers, these are tokens; drop learning"
        )
    generator = torch.Generator().manual_seed(_mix(seed, 7919))

    def move(x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=generator) * (x.std() / 20)
        return torch.roll(x, 1, dims=-1) * 0.7 + noise

    return replace(data, inputs=move(data.inputs), held_out_inputs=move(data.held_out_inputs))


def _take(data: Data, order: Tensor, place: int, size: int) -> Batch:
    chosen = order[place * size : (place + 1) * size]
    return data.inputs[chosen], data.targets[chosen]


@lru_cache(maxsize=8)
def _order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(_mix(seed, epoch)))


def _mix(seed: int, place: int) -> int:
    return (seed * 1_000_003 + place) % 2**63
