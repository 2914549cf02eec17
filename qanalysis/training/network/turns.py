"""Who may train just now? Trainings of one process take turns, step by step: torch draws from one generator for all.

Small models run on one thread: shared among several, their short operations wait for one another longer than they work,
on a busy machine many times so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_TURN = threading.Lock()
#: Parameters below which one thread does all.
SMALL = 1_000_000


@contextmanager
def take_turn(random: Tensor, *, threads: int | None = None) -> Iterator[None]:
    """Torch's generator in a given state, alone in the process, on so many threads (None: as torch has it); both are
    put back afterwards. The state reached is read inside, by `torch.get_rng_state`.
    """
    with _TURN:
        kept, others = torch.get_rng_state(), torch.get_num_threads()
        torch.set_rng_state(random)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_rng_state(kept)
            if threads is not None:
                torch.set_num_threads(others)


def choose_threads(model: nn.Module) -> int | None:
    """One thread for a small model; None leaves the choice to torch."""
    return 1 if sum(one.numel() for one in model.parameters()) < SMALL else None
