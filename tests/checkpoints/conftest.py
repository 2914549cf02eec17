"""Weights that every reader test writes, and the comparison with what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checkpoints.damage import read_all


@pytest.fixture
def weights() -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(7).standard_normal
    return {
        "blocks.0.weight": draw((5, 33), dtype=np.float32),
        "blocks.0.bias": draw(5, dtype=np.float32),
        "conv": draw((4, 2, 3, 3), dtype=np.float32),
    }


@pytest.fixture
def assert_reads() -> Callable[[Path, dict[str, NDArray[np.float32]]], None]:
    def check(path: Path, expected: dict[str, NDArray[np.float32]]) -> None:
        values = read_all(path)
        assert list(values) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(values[name], array)

    return check
