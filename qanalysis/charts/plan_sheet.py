"""What is a plan drawn from? Its layers with what each could have, its front, and the uniform plans beside it.

Built from the document alone, so that a plan that was saved draws as the one that was just made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.charts.wording import label_layers
from qanalysis.checkpoints.source import FLOAT_DTYPES
from qanalysis.plans.plan import Plan
from qanalysis.plans.row import PointRow
from qanalysis.quantizers.scheme import Scheme

#: Choices of layers at points that a browser is sent; a front of more points is thinned.
MOST_CHOICES = 1_500_000
_GRAINS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_MOST_STEPS = 240

Energies = Mapping[str, tuple[Sequence[float], float]]
"""Σe² of each candidate of a tensor, and Σx² of the tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerSheet:
    """One layer: what it may have, one place for each scheme in all arrays.

    `schemes` are places in the sheet's list, `bits` bits per weight, `costs` the objective's; `errors` are Σe² and
    `signal` Σx², NaN where they are not known.
    """

    name: str
    label: str
    numel: int
    schemes: Codes
    bits: Doubles
    sizes: Doubles
    costs: Doubles
    errors: Doubles
    signal: float


@dataclass(frozen=True, slots=True, eq=False)
class PlanSheet:
    """A plan as charts take it.

    `schemes` are all canonical texts, `formats` their number formats by ascending width and `format_of` the format of
    each scheme. `choices` has shape (points, layers); points ascend in size and fall in cost. `chosen` is the plan's
    own choice.
    """

    layers: tuple[LayerSheet, ...]
    schemes: tuple[str, ...]
    formats: tuple[str, ...]
    format_of: tuple[int, ...]
    kinds: tuple[str, ...]
    choices: Codes
    chosen: Codes
    uniforms: tuple[PointRow, ...]
    kept_bytes: int
    float_bytes: int
    objective: str

    @property
    def numel(self) -> int:
        """Elements of all layers with a scheme."""
        return sum(layer.numel for layer in self.layers)

    def sum(self, figure: str, choice: Codes) -> float:
        """`bits` per weight, `sizes` in bytes without what is kept float, or `costs`, over a choice."""
        values = [float(getattr(layer, figure)[at]) for layer, at in zip(self.layers, choice, strict=True)]
        if figure != "bits":
            return float(sum(values))
        return sum(value * layer.numel for value, layer in zip(values, self.layers, strict=True)) / self.numel

    def sum_points(self, figure: str) -> Doubles:
        """The same at every point of the front, shape (points,)."""
        weighed = figure == "bits"
        total = np.zeros(len(self.choices))
        for place, layer in enumerate(self.layers):
            values: Doubles = getattr(layer, figure)[self.choices[:, place]]
            total += values * (layer.numel / self.numel) if weighed else values
        return total

    def list_budgets(self) -> list[float]:
        """The steps of a slider over budgets in bits per weight: the smallest and the largest that make a difference,
        two decimals each, and even steps between.
        """
        bits = self.sum_points("bits")
        low, high = (float(np.ceil(round(value * 100, 6)) / 100) for value in (bits.min(), bits.max()))
        grain = next((one for one in _GRAINS if (high - low) / one <= _MOST_STEPS), _GRAINS[-1])
        first, last = int(np.floor(low / grain)) + 1, int(np.ceil(high / grain))
        between = [round(place * grain, 2) for place in range(first, last)]
        return list(dict.fromkeys([low, *(value for value in between if low < value < high), high]))


def read_sheet(plan: Plan, energies: Energies | None = None, *, own_point: bool = True) -> PlanSheet:
    """A plan's document as charts take it; ValueError where its parts do not fit each other.

    Without `own_point` the plan itself is none of the points, which are then the same at every budget.
    """
    texts = dict.fromkeys(text for one in plan.candidates.values() for text in one["scheme"])
    schemes = tuple(texts)
    place_of = {text: place for place, text in enumerate(schemes)}
    parsed = [Scheme.parse(text) for text in schemes]
    formats = tuple(dict.fromkeys(str(one.format) for one in sorted(parsed, key=_rank)))
    rows = list(plan.rows)
    labels = label_layers([row.tensor for row in rows], 34)
    layers = []
    for row in rows:
        own = plan.candidates.get(row.tensor)
        if own is None:
            raise ValueError(f"the plan has no candidates of {row.tensor!r}: make it again with `qanalysis plan`")
        errors, signal = (energies or {}).get(row.tensor, ([np.nan] * len(own["scheme"]), np.nan))
        layers.append(_make_layer(row.tensor, labels[row.tensor], row.numel, own, place_of, errors, signal))
    chosen = np.array([list(plan.candidates[row.tensor]["scheme"]).index(row.scheme) for row in rows], np.int64)
    kept = sum(plan.kept_float.values())
    sheet = PlanSheet(
        layers=tuple(layers),
        schemes=schemes,
        formats=formats,
        format_of=tuple(formats.index(str(one.format)) for one in parsed),
        kinds=("exact",),
        choices=chosen[None, :],
        chosen=chosen,
        uniforms=tuple(one for one in plan.totals if one.point == "uniform"),
        kept_bytes=kept,
        float_bytes=kept + sum(row.numel * _width_of(row.dtype) for row in rows),
        objective=plan.objective_column,
    )
    others = [point for point in plan.front if own_point or not _is_own(point, chosen)]
    return _add_front(sheet, others)


def _is_own(point: Mapping[str, Any], chosen: Codes) -> bool:
    return point.get("kind") == "exact" and list(point.get("choice", ())) == chosen.tolist()


def _rank(scheme: Scheme) -> tuple[int, str]:
    return scheme.format.bits, str(scheme.format)


def _width_of(dtype: str) -> int:
    return FLOAT_DTYPES[dtype].itemsize if dtype in FLOAT_DTYPES else 4


def _make_layer(
    name: str,
    label: str,
    numel: int,
    own: Mapping[str, Sequence[Any]],
    place_of: Mapping[str, int],
    errors: Sequence[float],
    signal: float,
) -> LayerSheet:
    bits, sizes, costs = (np.asarray(own[part], np.float64) for part in ("bits_per_weight", "size_bytes", "cost"))
    places = np.array([place_of[text] for text in own["scheme"]], np.int64)
    return LayerSheet(name, label, numel, places, bits, sizes, costs, np.asarray(errors, np.float64), signal)


def _add_front(sheet: PlanSheet, front: Sequence[Mapping[str, Any]]) -> PlanSheet:
    """The sheet with the points of a front: each better than all smaller ones, so many as a browser is sent."""
    if not front:
        return sheet
    choices = np.array([point["choice"] for point in front], np.int64)
    if choices.ndim != 2 or choices.shape[1] != len(sheet.layers):
        raise ValueError(
            f"the plan's front chooses for {choices.shape[-1]} layers, it must for {len(sheet.layers)}: "
            "make it again with `qanalysis plan`"
        )
    drawn = replace(sheet, choices=choices)
    order = np.argsort(drawn.sum_points("bits"), kind="stable")
    costs = drawn.sum_points("costs")[order]
    best = np.concatenate([[np.inf], np.minimum.accumulate(costs)[:-1]])
    order = order[costs < best]
    most = max(2, MOST_CHOICES // max(len(sheet.layers), 1))
    if len(order) > most:
        order = order[np.unique(np.linspace(0, len(order) - 1, most).round().astype(int))]
    kinds = tuple(str(front[place].get("kind", "")) for place in order)
    return replace(sheet, kinds=kinds, choices=choices[order])
