"""Histories as a training makes them, for the tests of their charts: two configurations, two layers, two kinds."""

from __future__ import annotations

from typing import Any

import numpy as np

from qanalysis.results.table import Frame
from qanalysis.training.row import MODEL, HistoryRow

NAMES = ("plain", "policy")
LAYERS = ("fc1", "fc2")


def make_history(steps: int = 60, *, names: tuple[str, ...] = NAMES, learning: bool = False) -> Frame[HistoryRow]:
    rng = np.random.default_rng(0)
    rows: list[HistoryRow] = []
    for name in names:
        rows += _levels(name)
        for step in range(steps):
            rows += _task(name, step, rng, learning=learning, last=step == steps - 1)
            rows += [_tensor(name, step, layer, kind, rng) for layer in LAYERS for kind in ("weight", "input")]
    return Frame.from_rows(HistoryRow, rows)


def _levels(name: str) -> list[HistoryRow]:
    told = (("float", 0.1, 0.97), ("post-training", 0.9, 0.71))
    return [
        HistoryRow(configuration=name, step=0, layer=MODEL, kind=kind, loss=loss, accuracy=accuracy)
        for kind, loss, accuracy in told
    ]


def _task(name: str, step: int, rng: Any, *, learning: bool, last: bool) -> list[HistoryRow]:
    loss = 0.9 * 0.97**step + 0.1
    shared = {"configuration": name, "step": step, "layer": MODEL}
    rows = [HistoryRow(**shared, kind="training", loss=loss + 0.05 * rng.random(), accuracy=0.9)]
    if step % 20 == 0 or last:
        rows.append(HistoryRow(**shared, kind="held-out", loss=loss, accuracy=0.7 + 0.25 * step / 60))
        if learning:
            rows += [
                HistoryRow(**shared, kind=f"{which}-data", accuracy=0.5 + 0.4 * step / 60, loss=loss)
                for which in ("old", "new")
            ]
    return rows


def _tensor(name: str, step: int, layer: str, kind: str, rng: Any) -> HistoryRow:
    is_weight, moves = kind == "weight", step == 10 and name == "policy"
    s = -5 if step >= 10 and name == "policy" else -6
    return HistoryRow(
        configuration=name,
        step=step,
        layer=layer,
        kind=kind,
        bits=4,
        s=s,
        step_size=2.0**s,
        low=-7 * 2.0**s if is_weight else 0.0,
        high=7 * 2.0**s,
        error=0.29 + 0.01 * rng.random(),
        v_scalar=0.02,
        v_elem=0.5 + 0.01 * step if is_weight else None,
        strategy=("ewgs" if step < 20 else "curvature") if is_weight and name == "policy" else None,
        grad_rms=0.01 if is_weight else None,
        grad_cosine=0.9 if is_weight else None,
        flips=int(rng.integers(0, 9)) if is_weight else None,
        clipped_fraction=0.001,
        event="4 of 5 above 6.0 > 0.6" if moves else "",
        absmax=7.5 * 2.0**s,
        mean=0.05,
        std=0.04,
        numel=64,
    )
