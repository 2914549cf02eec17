"""How are the samples trained? One loop for all of them: AdamW, a one-cycle learning rate, cross-entropy.

Targets equal to IGNORED are padding and count nothing. The only randomness here is the order of the batches, drawn from
the generator given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORED = -100

Batch = tuple[Tensor, Tensor]


def train(model: nn.Module, batches: list[Batch], *, peak_rate: float, weight_decay: float) -> None:
    """Trains `model` in place on `batches` of (inputs, targets), one step each, and leaves it in evaluation mode."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rate, total_steps=len(batches), pct_start=0.1)
    model.train()
    for inputs, targets in batches:
        optimizer.zero_grad()
        torch.autograd.backward(sum_loss(model(inputs), targets) / (targets != IGNORED).sum())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def sum_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy in nats of logits `(..., classes)` against targets `(...)`."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")


def digit_tensors(images: Tensor, labels: Tensor) -> Batch:
    """Ink counts `(n, 8, 8)` in 0..16 as images `(n, 1, 8, 8)` in 0..1, and labels as int64."""
    return images.unsqueeze(1).float() / 16, labels.long()


def word_tensors(words: Tensor) -> Batch:
    """Words `(n, 24)` as inputs `(n, longest + 1)` that start with token 0, and next characters as targets, padded with
    IGNORED.
    """
    lengths = (words > 0).sum(1)
    letters = words[:, : int(lengths.max())].long()
    start = torch.zeros(len(words), 1, dtype=torch.int64)
    targets = torch.cat([letters, start], 1)
    targets[torch.arange(targets.shape[1]) > lengths[:, None]] = IGNORED
    return torch.cat([start, letters], 1), targets


def read_batch(path: Path) -> Batch:
    """All images or words of a shipped data file, as `digit_tensors` and `word_tensors` give them."""
    with np.load(path) as data:
        if "words" in data:
            return word_tensors(torch.from_numpy(data["words"]))
        return digit_tensors(torch.from_numpy(data["images"]), torch.from_numpy(data["labels"]))


def digit_batches(
    images: Tensor, labels: Tensor, *, epochs: int, size: int, generator: torch.Generator
) -> Iterator[Batch]:
    """Shuffled batches; the last one of an epoch is left out when it is short, so that no BatchNorm sees a handful of
    images.
    """
    inputs, targets = digit_tensors(images, labels)
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(inputs), generator=generator), size):
            if len(chosen) == size:
                yield inputs[chosen], targets[chosen]


def word_batches(words: Tensor, *, epochs: int, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Shuffled batches of words of nearly equal length, since padding costs as much time as letters."""
    lengths = (words > 0).sum(1)
    for _ in range(epochs):
        order = torch.randperm(len(words), generator=generator)
        batches = torch.split(order[lengths[order].argsort(stable=True)], size)
        for chosen in torch.randperm(len(batches), generator=generator).tolist():
            yield word_tensors(words[batches[chosen]])
