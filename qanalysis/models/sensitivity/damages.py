"""Which damages of single samples go with the rows? So many that plans can draw samples anew, in a bounded document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.models.sensitivity.gathering import Gathered
from qanalysis.models.sensitivity.rounding import round_all

#: At most so many numbers, some ten bytes each.
MOST_NUMBERS = 400_000
_LEAST_SAMPLES = 32
_LISTS = 3  # of each cell, and common to all


def describe_damages(gathered: Sequence[Gathered], *, seed: int) -> dict[str, Any]:
    """Sums of each sample: `float_energy` is sum y^2 of the float model's outputs, `tokens` and `targets` count the
    positions of `kl` and `loss_delta`; each cell has `error_energy` = sum e^2, the summed KL and the summed change of
    the loss. Figures are ratios of sums over samples, such as sum error_energy / sum float_energy for the NSR.

    `places` are the samples, by their numbers: all `measured`, or, where that makes more than `MOST_NUMBERS` numbers, a
    subset drawn by `seed`, at least 32. Lists are empty for what was not measured.
    """
    cells = [one for one in gathered if one.status == "ok" and one.parts]
    if not cells:
        return {"samples": 0, "measured": 0, "seed": seed, "places": [], **_describe_float(None), "cells": []}
    measured = len(cells[0].sums.y2)
    places = choose_places(measured, len(cells), seed=seed)
    return {
        "samples": len(places),
        "measured": measured,
        "seed": seed,
        "places": places.tolist(),
        **_describe_float(cells[0], places),
        "cells": [_describe_cell(one, places) for one in cells],
    }


def choose_places(samples: int, cells: int, *, seed: int) -> Codes:
    """The numbers of the samples that are kept, in their order."""
    kept = max(MOST_NUMBERS // (_LISTS * (cells + 1)), _LEAST_SAMPLES)
    if kept >= samples:
        return np.arange(samples)
    return np.sort(np.random.default_rng(seed).choice(samples, kept, replace=False)).astype(np.int64)


def _describe_float(one: Gathered | None, places: Codes | None = None) -> dict[str, Any]:
    if one is None:
        return {"float_energy": [], "tokens": [], "targets": []}
    sums = one.sums
    found = {"float_energy": sums.y2, "tokens": sums.tokens, "targets": sums.targets}
    return {name: round_all(values[places]) if values.any() else [] for name, values in found.items()}


def _describe_cell(one: Gathered, places: Codes) -> dict[str, Any]:
    sums, cell = one.sums, one.cell
    return {
        "tensor": cell.layer.tensor.name,
        "scheme": str(cell.scheme),
        "target": cell.target,
        "mode": cell.mode,
        "error_energy": round_all(sums.e2[places]),
        "kl": round_all(sums.kl[places]) if sums.tokens.any() else [],
        "loss_delta": round_all((sums.loss - sums.float_loss)[places]) if sums.targets.any() else [],
    }
