"""How do sums become rows? Each figure over all samples, and the ends between which it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qanalysis.models.calibration.samples import Loss
from qanalysis.models.running.runnable import Layer
from qanalysis.models.sensitivity.figures import estimate_p99, estimate_sums, name_figures
from qanalysis.models.sensitivity.gathering import Gathered, Measurement
from qanalysis.models.sensitivity.intervals import Estimate, Resampling
from qanalysis.models.sensitivity.row import SensitivityRow


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One cell with its figures by column, output figures with intervals and draws; `closed` are those of weights
    alone.
    """

    one: Gathered
    estimates: Mapping[str, Estimate]
    closed: Mapping[str, float]


def judge(
    gathered: Sequence[Gathered],
    resampling: Resampling | None,
    closed: Mapping[tuple[str, str], Mapping[str, float]],
    *,
    loss: Loss | None,
) -> list[Judged]:
    """The figures of all cells; `closed` are further figures of weights by tensor and scheme, `loss` what the targets
    are.
    """
    return [Judged(one, estimate_figures(one, resampling, loss=loss), _find_closed(one, closed)) for one in gathered]


def estimate_figures(one: Gathered, resampling: Resampling | None, *, loss: Loss | None) -> dict[str, Estimate]:
    """Every output figure of a cell by column; none where it was not measured."""
    if one.status != "ok" or not one.parts:
        return {}
    sums = one.sums
    return estimate_sums(sums, resampling, loss=loss) | estimate_p99(one.divergences, sums, resampling)


def _find_closed(one: Gathered, closed: Mapping[tuple[str, str], Mapping[str, float]]) -> Mapping[str, float]:
    if one.cell.target != "weights" or one.cell.mode != "enable-one":
        return {}
    return closed.get((one.cell.layer.tensor.name, str(one.cell.scheme)), {})


def tabulate(
    judged: Sequence[Judged], measurement: Measurement, more: Sequence[Mapping[str, Any]] | None = None
) -> list[SensitivityRow]:
    """One row per cell; `more` are further cells of each row, ranks and floors, which go before the others."""
    told = more or [{} for _ in judged]
    return [_make_row(one, measurement, cells) for one, cells in zip(judged, told, strict=True)]


def _make_row(judged: Judged, measurement: Measurement, more: Mapping[str, Any]) -> SensitivityRow:
    cell, one = judged.one.cell, judged.one
    sizes = describe_size(cell.layer.tensor, cell.scheme) if cell.target != "activations" else {}
    facts: dict[str, Any] = {
        "layer": cell.layer.name,
        "tensor": cell.layer.tensor.name,
        "target": cell.target,
        "mode": cell.mode,
        "scheme": str(cell.scheme),
        "samples": measurement.samples,
        "tokens": measurement.tokens,
        "status": one.status,
        "reason": one.reason,
        **sizes,
        **name_figures(judged.estimates),
        **judged.closed,
    }
    return SensitivityRow(**(facts | dict(more)))


def tabulate_total(
    one: Gathered,
    measurement: Measurement,
    layers: Sequence[Layer],
    resampling: Resampling | None,
    *,
    loss: Loss | None,
) -> SensitivityRow:
    """The row of all layers at once, with the bytes of those that the scheme fits."""
    row = _make_row(Judged(one, estimate_figures(one, resampling, loss=loss), {}), measurement, {})
    sizes = [(layer.tensor, describe_size(layer.tensor, one.cell.scheme)) for layer in layers]
    known = [(info.numel, size) for info, size in sizes if size]
    if one.cell.target == "activations" or not known:
        return replace(row, bits_per_weight=None, size_bytes=None)
    bits = sum(numel * size["bits_per_weight"] for numel, size in known) / sum(numel for numel, _size in known)
    return replace(row, bits_per_weight=bits, size_bytes=sum(size["size_bytes"] for _numel, size in known))


def describe_size(info: Any, scheme: Any) -> dict[str, Any]:
    """Bits per weight and bytes of a tensor under a scheme; nothing where it does not fit."""
    try:
        layout = scheme.lay_out(info.shape, axis=info.view)
    except ValueError:
        return {}
    code_bits, group_bits = scheme.storage_bits
    bits = code_bits * info.numel + group_bits * layout.groups + scheme.tensor_bits(layout.groups)
    return {"bits_per_weight": bits / info.numel, "size_bytes": -(-bits // 8)} if info.numel else {}
