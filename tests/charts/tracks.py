"""Rules over a made-up log, for the tests of the tracker's charts and page."""

from __future__ import annotations

import numpy as np

from qanalysis.results.table import Table
from qanalysis.training.adapting import adapt
from qanalysis.training.recipe import Recipe
from qanalysis.training.row import TrackRow, TrackTotal
from qanalysis.training.state import Observation, QuantizerState
from qanalysis.training.statistics.arranging import arrange_log

#: The example of algorithms.md A6 and A7.
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


def track_by_hand(log, text):
    """One rule over a log, series by series and step by step."""
    recipe, rows = Recipe.parse(text), []
    for name in log.series():
        state = QuantizerState.blank(1, recipe.bits)
        for row in range(name.rows.start, name.rows.stop):
            seen = Observation.of(
                [log.absmax[row]], **{part: [getattr(log, part)[row]] for part in ("absmin", "mean", "std")}
            )
            adapted = adapt(recipe, state, seen, step=int(log.step[row]), epoch=100)
            state = adapted.state
            step = float(recipe.reach.step(state.low, state.high, state.bits)[0])
            exponent = float(np.log2(step))
            rows.append(
                TrackRow(
                    configuration=str(recipe), step=int(log.step[row]), layer=name.layer, kind=name.kind,
                    bits=int(state.bits[0]), s=int(exponent) if exponent.is_integer() else None,
                    f=None if exponent.is_integer() else step, step_size=step,
                    low=float(state.low[0]), high=float(state.high[0]),
                    clipped_fraction=max(0.0, 1 - float(state.high[0]) / max(float(log.absmax[row]), 1e-30)) / 10,
                    event=adapted.reasons.get(0, ""), checked=bool(adapted.checked[0]),
                    absmax=float(log.absmax[row]), mean=float(log.mean[row]), std=float(log.std[row]),
                    rounding_energy=step**2 / 12,
                    clipped_energy=max(0.0, float(log.absmax[row] - state.high[0])) ** 2 / 1000,
                    energy_by="estimated: half-normal",
                )
            )  # fmt: skip
    total = TrackTotal(
        configuration=str(recipe), series=len(log.series()), observations=len(rows), checks=len(rows),
        adjustments=sum(bool(one.event) for one in rows), clipping=sum(one.clipped_fraction > 0 for one in rows),
        relative_rounding_energy=1e-4, relative_clipped_energy=1e-5, sqnr_db=39.6,
    )  # fmt: skip
    return Table.from_rows(TrackRow, rows, totals=[total])
