"""What do the passes of a training step cost? Beside torch's own fake-quantize of the same tensor on one thread, as a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from qanalysis.arrays import Floats
from qanalysis.quantizers.observing import lay_at_once, observe_groups
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme
from qanalysis.training.network.following import Follower

SHAPE = (1024, 1024)
SCHEMES = (
    "int8",
    "int4 channel",
    "int4 asym",
    "int4 group=32",
    "int4 round=stochastic:1",
    "fp8_e4m3",
    "nf4 group=64",
    "mxfp4",
    "nvfp4",
)


@pytest.fixture(scope="module")
def tensor() -> Floats:
    return np.random.default_rng(0).normal(scale=0.02, size=SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def torch_ns(tensor: Floats) -> Iterator[float]:
    threads, values = torch.get_num_threads(), torch.from_numpy(tensor)
    torch.set_num_threads(1)
    yield measure_ns(lambda: torch.fake_quantize_per_tensor_affine(values, 0.001, 0, -128, 127))
    torch.set_num_threads(threads)


def measure_ns(run: Callable[[], Any]) -> float:
    """Nanoseconds per value, the best of twenty."""
    times = []
    for _ in range(21):  # the first one compiles
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times) / np.prod(SHAPE) * 1e9


@pytest.mark.parametrize("words", SCHEMES)
def test_a_step_over_a_tensor(words: str, tensor: Floats, torch_ns: float, capsys) -> None:
    scheme = Scheme.parse(words)
    layout, follower = scheme.lay_out(SHAPE), Follower(SHAPE, by_code=scheme.coder.is_uniform)
    grid = lay_at_once(tensor, scheme, layout)
    passed = pass_through(tensor, grid, layout, scheme.rounding)
    lay, through = (
        measure_ns(lambda: lay_at_once(tensor, scheme, layout)),
        measure_ns(lambda: pass_through(tensor, grid, layout, scheme.rounding)),
    )
    observe = measure_ns(lambda: observe_groups(tensor, layout))
    follow = measure_ns(lambda: follower.follow(tensor, passed.y, grid.step, layout, passed.clipped))
    with capsys.disabled():
        print(
            f"\n{words:24s} grid {lay:4.2f}, pass {through:4.2f}, statistics {observe:4.2f}, followed {follow:4.2f} "
            f"ns per value; torch's fake-quantize {torch_ns:4.2f}"
        )
    assert lay + through < torch_ns
