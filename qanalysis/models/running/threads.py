"""How many threads does a model run on? A small one on one: shared among several, its short operations wait for one
another longer than they work, on a busy machine many times so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch

from qanalysis.models.running.runnable import Runnable

#: Parameters below which one thread does all.
SMALL = 1_000_000

M = TypeVar("M", bound=Runnable)
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def on_threads(threads: int | None) -> Iterator[None]:
    """Torch works on so many threads inside the block, None: as it has it; afterwards as before."""
    others = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads is not None:
            torch.set_num_threads(others)


def on_few_threads(work: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """A function that is given a model first, run on one thread where the model is small."""

    @wraps(work)
    def run(model: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        is_small = sum(info.numel for info in model.tensors) < SMALL
        with on_threads(1 if is_small else None):
            return work(model, *args, **kwargs)

    return run
