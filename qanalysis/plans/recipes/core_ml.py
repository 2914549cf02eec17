"""What does coremltools make of a plan? An `OptimizationConfig` by the names of constants, all others left alone.

Constants of a converted torch model are called like its tensors with "_" for every ".", and "_to_fp16" behind where the
model computes in float16: both names are given, names that are not there are passed over. A configuration has a
threshold of 2048 values below which weights are left alone: it is set to 0. Weights whose axis the block does not
divide are skipped without a word, so they are listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from qanalysis.checkpoints.source import TensorSource
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.onnx_scripts import QUANTIZE_CORE_ML
from qanalysis.plans.recipes.placing import Placed, count, list_kept, part_expressed, place_items, tell_own_rules
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile


def write_core_ml(plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """The dictionary of `OptimizationConfig.from_dict`, and a script; ValueError for a format that it does not have."""
    items, unexpressed = take_known(plan, "coremltools", partial=partial)
    chosen, told = part_expressed(place_items(items, plan, source), _find_obstacle)
    kept = [one.name for one in list_kept(plan, source)]
    names: dict[str, Any] = {name: _describe(one) for one in chosen for name in name_constants(one.name)}
    names |= {name: None for tensor in kept for name in name_constants(tensor)}
    content = {"config_type": "OpLinearQuantizerConfig", "global_config": None, "op_name_configs": names}
    return Recipe(
        "coremltools",
        (
            RecipeFile("optimization_config.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"),
            RecipeFile("quantize.py", QUANTIZE_CORE_ML),
        ),
        (*unexpressed, *told),
        tuple(_list_notes(chosen)),
    )


def name_constants(tensor: str) -> tuple[str, str]:
    """What a tensor of a torch model may be called after conversion, in float32 and in float16.

    >>> name_constants("block.0.weight")
    ('block_0_weight', 'block_0_weight_to_fp16')
    """
    name = re.sub(r"[^0-9a-zA-Z_]", "_", tensor)
    return name, f"{name}_to_fp16"


def _find_obstacle(one: Placed) -> str:
    """Why the quantizer would do something else; empty where it does it."""
    if one.granularity == "block":
        return "a block of several rows is not made from names alone"
    if one.granularity == "channel" and one.channel_axis is None:
        return "its channels lie along several axes, and it finds one by itself"
    if one.granularity != "group":
        return ""
    if sum(size > 1 for size in one.tensor.shape) > 2:
        return "a block of a convolution holds whole kernels, groups of a row do not"
    if one.row_length % one.group_length:
        return f"rows of {one.row_length} values are not divisible by {one.group_length}, and such weights are skipped"
    return ""


def _describe(one: Placed) -> dict[str, Any]:
    """The configuration of one constant."""
    is_signed = one.scheme.symmetry.signed
    made: dict[str, Any] = {
        "mode": "linear_symmetric" if is_signed else "linear",
        "dtype": f"{'' if is_signed else 'u'}int{one.scheme.format.bits}",
        "granularity": {"tensor": "per_tensor", "channel": "per_channel"}.get(one.granularity, "per_block"),
        "weight_threshold": 0,
    }
    return made | ({"block_size": one.group_length} if one.granularity == "group" else {})


def _list_notes(chosen: Sequence[Placed]) -> list[str]:
    """What whoever runs it must know."""
    run = (
        "run: python quantize.py MODEL.mlpackage OUTPUT.mlpackage; 4 bits and blocks need a model converted for iOS18 "
        "or later, and get_weights_metadata lists the names of its constants"
    )
    notes = [run, "constants without an entry are left alone, since there is no global configuration"]
    others = [one for one in chosen if one.scheme.symmetry.signed and one.scheme.symmetry.name != "sym"]
    if others:
        words = ", ".join(sorted({str(one.scheme.symmetry) for one in others}))
        notes.append(f"{count(others)}: the symmetric step of coremltools is absmax / q; the plan has {words}")
    return [*notes, *tell_own_rules(chosen)]
