"""On how many threads does a network train? A small one on one.

Its operations take microseconds: two threads wait for one another longer than they work, and on a machine that does
something else besides, such as drawing what is trained, a hundred times longer. One thread also sums in one order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 300_000
"""Parameters below which a network trains on one thread."""


@contextmanager
def fit_threads(model: nn.Module) -> Iterator[None]:
    """Inside the block torch works on one thread for a small model, on as many as before for a larger one.

    For the calling thread alone.
    """
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
