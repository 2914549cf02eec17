"""Rules over a made-up log, for the tests of the tracker's charts and page."""

from __future__ import annotations

import numpy as np

from qanalysis.training.recipe import Recipe
from qanalysis.training.statistics.arranging import arrange_log
from qanalysis.training.tracker import replay

#: The worked example of A6 and A7.
A6 = (0.9, 3.0, 3.2, 12.0, 2.0, 0.7, 0.7, 0.7, 0.05)
A6_STEPS = (-7, -5, -5, -3, -4, -5, -6, -6, -7)


def make_log(series, **columns):
    """A log of `series`, a mapping of (layer, kind) to absmax by step; mean and std are shares of it."""
    rows = [(step, layer, kind, value) for (layer, kind), seen in series.items() for step, value in enumerate(seen)]
    step, layer, kind, absmax = (list(column) for column in zip(*rows, strict=True))
    peaks = np.array(absmax)
    return arrange_log(
        {"step": step, "layer": layer, "kind": kind, "absmax": peaks, "absmin": peaks / 1e4, "mean": peaks / 5,
         "std": peaks / 6, **columns},
        source="made-up",
    )  # fmt: skip


def wander(steps=60, layers=("fc1", "fc2"), kinds=("input", "weight", "output-gradient"), seed=0):
    """Series whose magnitude wanders."""
    rng = np.random.default_rng(seed)
    return {
        (layer, kind): np.exp2(np.cumsum(rng.normal(0, 0.5, steps)) - 3 * place)
        for place, (layer, kind) in enumerate((layer, kind) for layer in layers for kind in kinds)
    }


def track_one(log, text):
    """One rule over a log."""
    return replay(log, [Recipe.parse(text)])
