"""What do intervals cost? 1000 draws of 10 000 samples, for every figure of 100 cells."""

from __future__ import annotations

import time

import numpy as np
import pytest

from qanalysis.models.sensitivity.damage import DamageSums
from qanalysis.models.sensitivity.figures import estimate_p99, estimate_sums
from qanalysis.models.sensitivity.intervals import Resampling

SAMPLES, CELLS = 10_000, 100
MOST_SECONDS = 6.0


def test_all_intervals_of_a_hundred_cells_take_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    y2, ones, none = generator.gamma(4, 0.25, SAMPLES), np.ones(SAMPLES), np.zeros(SAMPLES)
    e2 = y2 * np.exp(generator.normal(0, 1, SAMPLES))
    right = (generator.random(SAMPLES) < 0.9).astype(float)
    sums = DamageSums(y2, y2 + e2, e2, y2, e2 / 10, ones, y2, y2 / 2, right, ones, none)
    began = time.perf_counter()
    resampling = Resampling.draw(SAMPLES, seed=0)
    for _cell in range(CELLS):
        found = estimate_sums(sums, resampling, loss="cross-entropy")
        found |= estimate_p99(sums.kl.astype(np.float32), sums, resampling)
    seconds = time.perf_counter() - began
    with capsys.disabled():
        print(f"\n{CELLS} cells with {len(found)} figures each: {seconds:.1f} s")
    assert seconds <= MOST_SECONDS
