"""Which scales does AIMET load for a plan? Encodings 2.0.0: one for each planned tensor, with the scales in it.

They mean what QuantizeLinear of ONNX means: `output_dtype`, `y_scale` and `y_zero_point` (absent: 0) as one number, a
list along the channels' `axis`, or nested lists with `block_size` along the `axis` of the blocks. The scales are fitted
to the weights here, so that the plan's own grid is what AIMET gets. A quantizer without an entry is disabled: the
tensors that the plan keeps have none on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.source import TensorSource
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.onnx_scripts import LOAD_WITH_AIMET
from qanalysis.plans.recipes.placing import Placed, fit_grid, part_expressed, place_items
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile
from qanalysis.quantizers.ranges import MinMax

VERSION = "2.0.0"
_LOOK_UPS = ("Gather", "GatherElements")


def write_aimet(plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """Encodings of the plan's tensors and a script that loads them.

    ValueError without `source`, whose weights the scales are made of, and for a format that is no integer.
    """
    items, unexpressed = take_known(plan, "aimet", partial=partial)
    if source is None:
        raise ValueError(
            "target aimet: its encodings hold scales, which the plan does not; give --source FILE, the float model "
            "that the plan was made of"
        )
    chosen, told = part_expressed(place_items(items, plan, source), _find_obstacle)
    content = {
        "producer": {"package": "qanalysis", "version": version("qanalysis")},
        "version": VERSION,
        "encodings": [_encode(one, source) for one in chosen],
    }
    return Recipe(
        "aimet",
        (
            RecipeFile("encodings.json", json.dumps(content, ensure_ascii=False) + "\n"),
            RecipeFile("load.py", LOAD_WITH_AIMET),
        ),
        (*unexpressed, *told),
        tuple(_list_notes(plan, chosen)),
    )


def _find_obstacle(one: Placed) -> str:
    """Why no encoding says it; empty where one does."""
    if not one.scheme.rounding.is_nearest:
        return "AIMET rounds to the nearest code"
    if one.granularity == "block":
        return "a block of several rows has no encoding"
    if one.granularity != "tensor" and any(use.operation in _LOOK_UPS for use in one.consumers):
        return "a table that is looked up has one scale there"
    if one.granularity == "channel" and one.channel_axis is None:
        return "its channels lie along several axes, an encoding has one"
    return _find_obstacle_of_groups(one) if one.granularity == "group" else ""


def _find_obstacle_of_groups(one: Placed) -> str:
    if _find_block_axis(one) is None:
        return "its groups do not lie along one axis"
    if one.row_length % one.group_length:
        return f"rows of {one.row_length} values are not divisible by {one.group_length}"
    return ""


def _find_block_axis(one: Placed) -> int | None:
    """The one axis, longer than 1, that is summed over."""
    axes = [axis for axis, size in enumerate(one.tensor.shape) if size > 1 and axis not in one.view.rows]
    return axes[0] if len(axes) == 1 and not one.view.fold else None


def _encode(one: Placed, source: TensorSource) -> dict[str, Any]:
    """The encoding of one tensor, its scales fitted to its values."""
    grid = fit_grid(one, source)[0].grid
    bits, zeros = one.scheme.format.bits, grid.zero_points
    made: dict[str, Any] = {"name": one.name, "output_dtype": f"{'int' if zeros is None else 'uint'}{bits}"}
    made["y_scale"] = _lay_out(grid.scale, one).tolist()
    if zeros is not None:
        made["y_zero_point"] = _lay_out(zeros.astype(int), one).tolist()
    if one.granularity == "channel":
        made["axis"] = one.channel_axis
    elif one.granularity == "group":
        made |= {"axis": _find_block_axis(one), "block_size": one.group_length}
    return made


def _lay_out(values: NDArray[Any], one: Placed) -> NDArray[Any]:
    """One value for each group as QuantizeLinear has them: 0-d, along an axis, or of the tensor's rank."""
    if one.granularity == "tensor":
        return values.reshape(())
    if one.granularity == "channel":
        return values
    shape, rows, along = one.tensor.shape, one.view.rows, _find_block_axis(one) or 0
    others = [axis for axis in range(len(shape)) if axis not in (*rows, along)]
    order = (*rows, along, *others)
    laid = values.reshape([*(shape[axis] for axis in rows), -1, *(1 for _ in others)])
    return np.ascontiguousarray(laid.transpose([order.index(axis) for axis in range(len(shape))]))


def _list_notes(plan: Plan, chosen: Sequence[Placed]) -> list[str]:
    """What whoever loads them must know."""
    kept = len(plan.kept_float)
    run = "run: python load.py MODEL.onnx OUTPUT_FOLDER, or load_encodings_to_sim(sim, 'encodings.json', strict=False)"
    disabled = (
        f"quantizers without an entry are disabled: the {kept} tensor{'s' * (kept != 1)} that the plan keeps, and all "
        "activations, stay float on purpose"
    )
    notes = [run, disabled]
    if any(one.scheme.symmetry.name == "sym" and one.scheme.range != MinMax() for one in chosen):
        notes.append("symmetric ranges that clip: values far below take one code more than the plan's grid has")
    if any(one.scheme.format.bits not in (4, 8, 16) for one in chosen):
        notes.append("AIMET simulates any width, but only 4, 8 and 16 bits can leave it as QuantizeLinear")
    return notes
