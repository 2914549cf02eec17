"""Where in the picture of a graph does a plan spend its bits? Node data for Model Explorer: bits, and error.

A value is shown at a node, and weights are none: each is keyed by an output of the operation that takes it, which
Model Explorer looks up beside node ids. A gradient needs stops at 0 and 1, its ends are the extremes of the values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from qanalysis.checkpoints.source import TensorSource
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.placing import Placed, place_items
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile, Unexpressed

_GOOD, _MIDDLE, _BAD = "#4dac26", "#f7f7f7", "#d01c8b"


def write_node_data(plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """Two files of node data: bits per weight, and SQNR in dB of what each operation takes.

    ValueError where neither the plan nor `source` knows what takes the tensors.
    """
    items, unexpressed = take_known(plan, "model-explorer", partial=partial)
    placed = place_items(items, plan, source)
    keyed = dict[str, list[Placed]]()
    for one in placed:
        for key in _find_keys(one):
            keyed.setdefault(key, []).append(one)
    if not keyed:
        raise ValueError(
            "target model-explorer: values are shown at the nodes that take a weight, and the plan was not made of a "
            "graph; give --source MODEL.onnx with the tensors of the plan"
        )
    told = [_tell(one) for one in placed if not _find_keys(one)]
    bits = {key: _mean_bits(those) for key, those in keyed.items()}
    errors = {key: sqnr for key, those in keyed.items() if (sqnr := _find_sqnr(those)) is not None}
    return Recipe(
        "model-explorer",
        (
            RecipeFile("bits.json", _write("Bits per weight", bits, (_BAD, _MIDDLE, _GOOD))),
            RecipeFile("sqnr.json", _write("SQNR of the weights (dB)", errors, (_BAD, _MIDDLE, _GOOD))),
        ),
        (*unexpressed, *told),
        tuple(_list_notes(placed, plan)),
    )


def _find_keys(one: Placed) -> list[str]:
    """The outputs of the operations that take a tensor, else the layer that its row names."""
    outputs = list(dict.fromkeys(use.output for use in one.consumers if use.output))
    return outputs or ([one.item.row.layer] if one.item.row.layer else [])


def _tell(one: Placed) -> Unexpressed:
    return one.tell("no operation that takes it is known", "it has no value in the picture")


def _mean_bits(those: Sequence[Placed]) -> float:
    """Bits per weight of all that one operation takes."""
    rows = [one.item.row for one in those]
    return sum(row.bits_per_weight * row.numel for row in rows) / max(sum(row.numel for row in rows), 1)


def _find_sqnr(those: Sequence[Placed]) -> float | None:
    """The lowest SQNR of what one operation takes; None where none is a finite number."""
    found = [row.sqnr_db for row in (one.item.row for one in those) if row.sqnr_db is not None]
    return min((value for value in found if math.isfinite(value)), default=None)


def _write(name: str, values: Mapping[str, float], colors: Sequence[str]) -> str:
    """The data of one graph, without what is not set."""
    stops = [{"stop": place / (len(colors) - 1), "bgColor": color} for place, color in enumerate(colors)]
    content: dict[str, Any] = {
        "results": {key: {"value": round(value, 4)} for key, value in values.items()},
        "name": name,
        "gradient": stops,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _list_notes(placed: Sequence[Placed], plan: Plan) -> list[str]:
    """What whoever opens it must know."""
    notes = ["open the model in Model Explorer, then `Add custom node data` with these files"]
    if not any(one.consumers for one in placed):
        notes.append("keys are the layers of the plan's rows: they are found where they are ids of the picture's nodes")
    if plan.kept_float:
        notes.append("nodes of tensors that the plan keeps have no value and no color")
    return notes
