"""Candidates by hand: a few tensors with a scheme for each width, whose errors and costs are known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qanalysis.checkpoints.source import ArraySource
from qanalysis.plans.candidates import Candidates, gather_candidates
from qanalysis.sweeps.sweep import sweep

SCHEMES = ("int2 channel", "int4 channel", "int4 group=32", "int8 channel", "gguf:q4_0", "gguf:q8_0")


def sweep_candidates(shapes: Mapping[str, Sequence[int]], schemes: Sequence[str] = SCHEMES) -> Candidates:
    """The candidates of Gaussian tensors under some schemes."""
    generator = np.random.default_rng(7)
    arrays = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return gather_candidates([sweep(ArraySource(arrays), list(schemes))])
