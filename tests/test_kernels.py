"""The compiled loops by themselves; what they add up is held against the scalar reference in test_measurement.py."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numba.core.registry
import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.kernels import (
    adders,
    coded,
    codes,
    following,
    lanes,
    observing,
    passes,
    scans,
    searches,
    tallies,
    tiles,
    uniform,
    unpacking_loops,
)
from qanalysis.quantizers.rounding import ROUNDINGS, draw_uniform
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep

FILES = (lanes, adders, scans, uniform, searches, tiles, coded, passes, observing, following, tallies, unpacking_loops)
LOOPS = {
    name: loop
    for file in FILES
    for name, loop in vars(file).items()
    if isinstance(loop, numba.core.registry.CPUDispatcher)
}


@numba.njit
def draw_many(index: NDArray[np.uint64], seed: int) -> NDArray[np.float32]:
    """The inner loops can be called from compiled code alone."""
    drawn = np.empty(index.size, np.float32)
    for i in range(index.size):
        drawn[i] = lanes.draw(index[i], seed)
    return drawn


def test_there_are_loops_to_look_at() -> None:
    assert {"scan", "extremes", "accumulate"} <= set(LOOPS)


def test_no_two_loops_of_a_file_share_a_name() -> None:
    # Their symbols would be told apart by a counter alone, which starts anew in every process that fills the cache.
    for module in FILES:
        loops = {
            id(loop): loop for loop in vars(module).values() if isinstance(loop, numba.core.registry.CPUDispatcher)
        }
        names = [loop.py_func.__qualname__ for loop in loops.values() if loop.py_func.__module__ == module.__name__]
        assert names
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", LOOPS)
def test_every_loop_releases_the_lock_and_starts_no_threads(name: str) -> None:
    options = LOOPS[name].targetoptions
    assert options["nogil"]
    assert not options.get("parallel", False)


@pytest.mark.parametrize("name", LOOPS)
def test_no_loop_may_contract_or_rewrite_y_and_e(name: str) -> None:
    fast = LOOPS[name].targetoptions.get("fastmath", False)
    # "contract" fuses multiply and add, "arcp" turns divisions into products, "afn" approximates: each would move y.
    assert fast is False or set(fast) <= {"nnan", "ninf", "nsz", "reassoc"}


def test_rounding_modes_are_numbered_in_the_order_of_their_words() -> None:
    names = ("NEAREST_EVEN", "NEAREST_AWAY", "HALF_UP", "FLOOR", "CEIL", "TO_ZERO", "STOCHASTIC")
    assert [name.lower().replace("_", "-") for name in names] == list(ROUNDINGS) == list(codes.ROUNDINGS)
    assert [getattr(codes, name) for name in names] == list(range(7))


@pytest.mark.parametrize("seed", [0, 1, 999_999_999])
def test_draws_equal_the_quantizers(seed: int) -> None:
    index = np.array([*range(1000), 2**31, 2**40], np.uint64)
    assert draw_many(index, seed).tolist() == draw_uniform(index, seed).tolist()


@pytest.mark.parametrize("size", [1, 7, 1023, 1024, 1025, 5000])
def test_scan_counts_what_is_not_finite_and_finds_the_largest_rest(size: int) -> None:
    x = np.random.default_rng(size).normal(size=size).astype(np.float32)
    assert scans.scan(x) == (0, np.abs(x).max())
    x[[0, size // 2, -1]] = [np.nan, np.inf, -np.inf]
    finite = np.abs(x[np.isfinite(x)])
    assert scans.scan(x) == (size - finite.size, finite.max(initial=0))


@pytest.mark.parametrize("text", ["tensor", "channel", "group=7", "group=300", "block=2x90"])
def test_extremes_widen_what_is_there(text: str) -> None:
    x = np.random.default_rng(0).normal(size=(5, 333)).astype(np.float32)
    layout = Scheme.parse(f"int4 {text}").grouping.lay_out(x.shape)
    low, high = np.full(layout.groups, -0.1, np.float32), np.full(layout.groups, 0.1, np.float32)
    scans.extremes(x.reshape(-1), layout.columns, layout.block_rows, layout.block_columns, low, high)
    numbers = np.broadcast_to(layout.spread(np.arange(layout.groups)), x.shape)
    for group in range(layout.groups):
        own = x[numbers == group]
        assert (low[group], high[group]) == (min(own.min(), np.float32(-0.1)), max(own.max(), np.float32(0.1)))


def test_loops_run_side_by_side_in_many_threads_with_one_result() -> None:
    x = np.random.default_rng(1).normal(size=(8, 4000)).astype(np.float32)
    plan = ["int4 group=32", "int8 channel", "int3 asym", "int4 round=stochastic:3"]
    expected = sweep({"x": x}, plan, workers=1).rows
    gate = threading.Barrier(6)

    def run(_number: int) -> bool:
        gate.wait()
        return sweep({"x": x}, plan, workers=2).rows == expected

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(run, range(6)))


@pytest.mark.parametrize("words", ["int4", "int4 round=floor"])
def test_a_second_process_finds_the_loops_compiled(words: str) -> None:
    code = (
        "import numpy as np; from qanalysis import sweep; from qanalysis.kernels import scans, uniform\n"
        f"sweep({{'w': np.ones((4, 64), np.float32)}}, ['{words}'])\n"
        "loops = (scans.scan, scans.extremes, uniform.accumulate, uniform.accumulate_rounded)\n"
        "print(sum(sum(loop.stats.cache_misses.values()) for loop in loops))"
    )
    misses = [
        int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(2)
    ]
    assert misses[1] == 0
