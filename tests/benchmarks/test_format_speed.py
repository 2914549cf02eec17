"""What does each number format cost beside int4? A sweep of one scheme over one tensor, both in one run, as a ratio."""

import time

import numpy as np
import pytest

from qanalysis.quantizers.formats import FORMATS
from qanalysis.sweeps.sweep import sweep

SHAPE = (2048, 4096)
MOST_TIMES_INT4 = 3
SCHEMES = [
    *(name for name, fmt in FORMATS.items() if not fmt.is_integer and name not in ("binary", "ternary", "nf4")),
    *(
        "binary channel",
        "ternary channel",
        "nf4 group=64",
        "nf4 group=64 scale=double",
        "fp8_e4m3 group=128",
        "fp4_e2m1 group=32 scale=pow2:library",
    ),
]


@pytest.fixture(scope="module")
def tensor() -> dict[str, np.ndarray]:
    return {"w": np.random.default_rng(0).normal(scale=0.02, size=SHAPE).astype(np.float32)}


def seconds(tensor: dict[str, np.ndarray], scheme: str) -> float:
    began = time.perf_counter()
    sweep(tensor, [scheme])
    return time.perf_counter() - began


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_format_costs_at_most_three_times_int4(scheme: str, tensor, capsys) -> None:
    sweep(tensor, [scheme, "int4"])  # compiled, and the tensor in memory
    ours, base = (
        min(times)
        for times in zip(*((seconds(tensor, scheme), seconds(tensor, "int4")) for _ in range(5)), strict=True)
    )
    with capsys.disabled():
        print(f"\n{scheme:40s} {ours / np.prod(SHAPE) * 1e9:5.2f} ns per value, {ours / base:4.2f} times int4")
    assert ours <= MOST_TIMES_INT4 * base
