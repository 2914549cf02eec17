"""What does a row cost where tensors are many and small? Seconds, bytes of the table, and bytes of work beyond it."""

import subprocess
import sys
import time

import numpy as np

from qanalysis import default_schemes
from qanalysis.sweeps.sweep import sweep

TENSORS, SHAPE = 10_000, (64, 64)
MOST_SECONDS = 6.0
MOST_BYTES_PER_ROW = 400
MOST_MIB_BEYOND_THE_TABLE = 32


def make_tensors(count: int) -> dict[str, np.ndarray]:
    values = np.random.default_rng(0).standard_normal((count, *SHAPE), dtype=np.float32)
    return {f"layers.{i}.weight": values[i] for i in range(count)}


def test_ten_thousand_small_tensors_under_28_schemes_take_seconds(capsys) -> None:
    tensors, schemes = make_tensors(TENSORS), default_schemes()
    sweep({"a": tensors["layers.0.weight"]}, schemes)
    began = time.perf_counter()
    rows = sweep(tensors, schemes)
    seconds = time.perf_counter() - began
    size = sum(cells.nbytes for cells in rows.rows.cells.values()) / len(rows)
    beyond = measure_growth()
    with capsys.disabled():
        print(
            f"\n{TENSORS} tensors x {len(schemes)} schemes: {seconds:.2f} s, {seconds / len(rows) * 1e6:.1f} us and {size:.0f} bytes per row, "
            f"peak of {beyond:.0f} MiB beyond the table"
        )
    assert len(rows) == TENSORS * len(schemes)
    assert seconds <= MOST_SECONDS
    assert size <= MOST_BYTES_PER_ROW
    assert beyond <= MOST_MIB_BEYOND_THE_TABLE


def measure_growth() -> float:
    """By how many MiB the peak of a fresh process grows during the sweep, less its table."""
    code = (
        "from tests.benchmarks.test_many_tensors import TENSORS, make_tensors; from pathlib import Path\n"
        "from qanalysis import default_schemes, sweep\n"
        "tensors = make_tensors(TENSORS); sweep({'a': tensors['layers.0.weight']}, default_schemes())\n"
        "def read(word): return int(Path('/proc/self/status').read_text().partition(word + ':')[2].split()[0]) / 1024\n"
        "before = read('VmRSS'); rows = sweep(tensors, default_schemes())\n"
        "print(read('VmHWM') - before - sum(cells.nbytes for cells in rows.rows.cells.values()) / 2**20)"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
