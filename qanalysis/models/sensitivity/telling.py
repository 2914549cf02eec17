"""How are measurements told? Rows with ranks and floors, a row for all layers at once, and the parts beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.models.calibration.samples import Loss
from qanalysis.models.sensitivity.additivity import describe_additivity
from qanalysis.models.sensitivity.agreement import describe_agreement
from qanalysis.models.sensitivity.beside import Asked, Beside
from qanalysis.models.sensitivity.damages import describe_damages
from qanalysis.models.sensitivity.figures import estimate_sums, name_figures
from qanalysis.models.sensitivity.floors import Floors
from qanalysis.models.sensitivity.gathering import Measurement
from qanalysis.models.sensitivity.intervals import FEW_SAMPLES, Resampling
from qanalysis.models.sensitivity.ranking import rank_cells
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.models.sensitivity.tabulating import Judged, judge, tabulate, tabulate_total


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Rows, totals, further parts of the document, and what to know of them, a sentence each."""

    rows: Sequence[SensitivityRow]
    totals: Sequence[SensitivityRow]
    parts: Mapping[str, Any]
    notes: Sequence[str]


def tell_all(
    measurement: Measurement,
    beside: Beside,
    asked: Asked,
    closed: Mapping[tuple[str, str], Mapping[str, float]],
    *,
    metric: str,
    loss: Loss | None,
) -> Told:
    """All that was found; `closed` are figures of weights by tensor and scheme, `metric` the column of the ranks,
    `loss` what the targets are.
    """
    resampling = Resampling.draw(measurement.samples, seed=asked.seed) if measurement.samples > 1 else None
    judged = judge(measurement.gathered, resampling, closed, loss=loss)
    floors, noisy = add_floors(judged, beside.floors)
    ranks = rank_cells(judged, metric, resampling, noisy)
    rows = tabulate(judged, measurement, [floor | dict(rank) for floor, rank in zip(floors, ranks, strict=True)])
    totals = [tabulate_total(one, measurement, asked.layers, resampling, loss=loss) for one in beside.totals]
    parts = describe_parts(judged, measurement, beside, resampling, loss=loss, seed=asked.seed)
    notes = list_notes(measurement, beside)
    if not any(ranks):
        notes.append(f"no layer has a rank: {metric} is not known of any row, rank by another column")
    return Told(rows, totals, parts, notes)


def add_floors(judged: Sequence[Judged], floors: Floors | None) -> tuple[list[dict[str, Any]], list[bool]]:
    """The cell `noise_floor_sqnr_db` of each row, with the reason where its damage is not above it; and whether it is
    not.
    """
    cells, noisy = [dict[str, Any]() for _ in judged], [False] * len(judged)
    if floors is None or not floors.is_complete:
        return cells, noisy
    for place, one in enumerate(judged):
        nsr, tensor = one.estimates.get("output_nsr"), one.one.cell.layer.tensor.name
        if nsr is None:
            continue
        level = floors.tell(tensor)
        if level is not None:
            cells[place]["noise_floor_sqnr_db"] = level
        noisy[place] = floors.is_in_noise(tensor, nsr.value if math.isnan(nsr.low) else nsr.low)
        if noisy[place]:
            own = "not above the noise floor: one tie group with all of which that is true"
            cells[place]["reason"] = "; ".join(filter(None, (one.one.reason, own)))
    return cells, noisy


def describe_parts(
    judged: Sequence[Judged],
    measurement: Measurement,
    beside: Beside,
    resampling: Resampling | None,
    *,
    loss: Loss | None,
    seed: int,
) -> dict[str, Any]:
    """The parts of the document beside the rows: those are left out for which there is nothing to say."""
    sets = describe_additivity(beside.sets, beside.joint, resampling)
    parts: Mapping[str, Any] = {
        "float": _describe_float(measurement, resampling, loss),
        "floor": beside.floors.describe() if beside.floors is not None and beside.floors.is_complete else {},
        "damages": describe_damages(measurement.gathered, seed=seed),
        "agreement": describe_agreement(judged, resampling, seed=seed),
        "additivity": sets,
    }
    return {name: part for name, part in parts.items() if part}


def _describe_float(measurement: Measurement, resampling: Resampling | None, loss: Loss | None) -> dict[str, Any]:
    """Loss and accuracy of the float model over all samples, null without targets."""
    sums = measurement.floats
    found = name_figures(estimate_sums(sums, resampling, loss=loss)) if sums is not None else {}
    names = [f"{name}{end}" for name in ("loss", "accuracy") for end in ("", "_low", "_high")]
    return {"samples": measurement.samples, "tokens": measurement.tokens, **{name: found.get(name) for name in names}}


def list_notes(measurement: Measurement, beside: Beside) -> list[str]:
    """What to know of how sure the figures are."""
    notes, samples = list(beside.notes), measurement.samples
    if samples == 1:
        notes.append("a single sample: there are no intervals, and layers tie only where they are equal")
    elif samples < FEW_SAMPLES:
        notes.append(f"{samples} samples: intervals are rough, they hold the truth less often than 95 of 100 times")
    return notes
