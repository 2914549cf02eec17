"""What does NVIDIA ModelOpt make of a plan? A PTQ recipe with one quantizer for each tensor, all others off; the same
by layer as an exported checkpoint tells it (`hf_quant_config.json`); and a recipe for its own search under the budget.

Later entries of `quant_cfg` win, so the first switches everything off. Names are those of modules with
`.weight_quantizer` behind; `*`, `?` and `[` are wild there. Weights are symmetric with the step absmax / q.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qanalysis.checkpoints.source import TensorSource
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.placing import (
    Placed,
    count,
    find_other_name,
    list_kept,
    part_expressed,
    place_items,
    tell_own_rules,
)
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile

#: Formats with blocks of their own, as attributes of a quantizer.
_BLOCKED: Mapping[str, Mapping[str, Any]] = {
    "nvfp4": {"num_bits": "e2m1", "block_sizes": {-1: 16, "type": "static", "scale_bits": "e4m3"}},
    "mxfp4": {"num_bits": "e2m1", "block_sizes": {-1: 32, "type": "dynamic", "scale_bits": "e8m0"}},
    "mxfp6_e3m2": {"num_bits": "e3m2", "block_sizes": {-1: 32, "type": "dynamic", "scale_bits": "e8m0"}},
    "mxfp8_e4m3": {"num_bits": "e4m3", "block_sizes": {-1: 32, "type": "dynamic", "scale_bits": "e8m0"}},
    "mxint8": {"num_bits": 8, "block_sizes": {-1: 32, "type": "dynamic", "scale_bits": "e8m0"}},
}
_FLOATS = {"fp8_e4m3": "e4m3"}
#: What exported checkpoints call a format and its granularity.
_ALGORITHMS = {
    ("int4", "group"): "W4A16_AWQ",
    ("int8", "channel"): "W8A16",
    ("fp8_e4m3", "tensor"): "FP8",
    ("fp8_e4m3", "channel"): "FP8_PER_CHANNEL_PER_TOKEN",
    ("nvfp4", "block"): "W4A16_NVFP4",
    ("mxfp8_e4m3", "block"): "MXFP8",
}


def write_modelopt(plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """A PTQ recipe, the same by layer, and a recipe for ModelOpt's search; ValueError for a format it does not have."""
    items, unexpressed = take_known(plan, "modelopt", partial=partial)
    chosen, told = part_expressed(place_items(items, plan, source), _find_obstacle)
    kept = [one.layer or one.name.rpartition(".")[0] or one.name for one in list_kept(plan, source)]
    named = {one.item.module: algorithm for one in chosen if (algorithm := _name_algorithm(one))}
    layers = {
        "producer": {"name": "modelopt", "version": "0.47.0"},
        "quantization": {"quant_algo": "MIXED_PRECISION", "exclude_modules": kept, "quantized_layers": named},
    }
    return Recipe(
        "modelopt",
        (
            RecipeFile("recipe.yaml", _write_recipe(chosen)),
            RecipeFile("hf_quant_config.json", json.dumps(layers, indent=1, ensure_ascii=False) + "\n"),
            RecipeFile("auto_quantize.yaml", _write_search(plan, chosen, kept)),
        ),
        (*unexpressed, *told),
        tuple(_list_notes(chosen, len(named))),
    )


def _find_obstacle(one: Placed) -> str:
    """Why no quantizer does it; empty where one does."""
    is_integer = one.scheme.format.is_integer
    if other := find_other_name(one, "ModelOpt"):
        return other
    if is_integer and not one.scheme.symmetry.signed:
        return "ModelOpt quantizes weights symmetrically"
    if str(one.scheme.format) in _BLOCKED or one.granularity in ("group", "block"):
        is_row = one.channel_axis == 0 and sum(size > 1 for size in one.tensor.shape) <= 2
        return "" if is_row or not one.tensor.shape else "its blocks lie along the last axis, the groups do not"
    if one.granularity == "channel" and one.channel_axis is None:
        return "its channels lie along several axes, a quantizer has one"
    return ""


def _describe_quantizer(one: Placed) -> dict[str, Any]:
    """The attributes of the weight's quantizer."""
    name = str(one.scheme.format)
    if name in _BLOCKED:
        return dict(_BLOCKED[name])
    made: dict[str, Any] = {"num_bits": _FLOATS.get(name, one.scheme.format.bits)}
    if one.granularity == "group":
        return made | {"block_sizes": {-1: one.group_length, "type": "static"}}
    if one.granularity == "block":
        rows = one.scheme.grouping.rows
        return made | {"block_sizes": {-1: one.group_length, -2: rows, "type": "static"}}
    return made | {"axis": one.channel_axis if one.granularity == "channel" else None}


def _name_algorithm(one: Placed) -> dict[str, Any] | None:
    """The word of an exported checkpoint for it, weights alone where there is one; None where there is none."""
    name = str(one.scheme.format)
    found = _ALGORITHMS.get((name, "block" if name in _BLOCKED else one.granularity))
    if found is None:
        return None
    blocks = _describe_quantizer(one).get("block_sizes", {})
    return {"quant_algo": found} | ({"group_size": blocks[-1]} if blocks else {})


def _write_recipe(chosen: Sequence[Placed]) -> str:
    lines = [
        "metadata:",
        "  recipe_type: ptq",
        "  description: Weights by layer as planned, everything else off.",
        "quantize:",
        "  algorithm: max",
        "  quant_cfg:",
        '    - {quantizer_name: "*", enable: false}',
        *(f"    - {_write(_describe_entry(one))}" for one in chosen),
    ]
    return "\n".join(lines) + "\n"


def _describe_entry(one: Placed) -> dict[str, Any]:
    return {"quantizer_name": f"{escape_wild(one.item.module)}.weight_quantizer", "cfg": _describe_quantizer(one)}


def _write_search(plan: Plan, chosen: Sequence[Placed], kept: Sequence[str]) -> str:
    """A search of ModelOpt's own among the plan's quantizers, under the plan's bits per weight."""
    formats = list(dict.fromkeys(_write(_describe_quantizer(one)) for one in chosen))
    off = '{quantizer_name: "*", enable: false}'
    lines = [
        "metadata:",
        "  recipe_type: auto_quantize",
        "  description: A search among the formats of a plan under its bits per weight.",
        "auto_quantize:",
        "  constraints:",
        f"    effective_bits: {plan.bits_per_weight:.4f}",
        "  candidate_formats:",
        *(
            f'    - {{algorithm: max, quant_cfg: [{off}, {{quantizer_name: "*weight_quantizer", cfg: {one}}}]}}'
            for one in formats
        ),
        "  auto_quantize_method: gradient",
        "  score_size: 128",
        f"  disabled_layers: {json.dumps([escape_wild(name) for name in kept], ensure_ascii=False)}",
    ]
    return "\n".join(lines) + "\n"


def escape_wild(name: str) -> str:
    """A module's name without wildcards.

    >>> escape_wild("layers[0].proj")
    'layers[[]0].proj'
    """
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _write(value: Any) -> str:
    """A value in YAML's flow form: keys that are whole numbers stay so."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_write(one)}" for key, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _list_notes(chosen: Sequence[Placed], named: int) -> list[str]:
    """What whoever runs it must know."""
    run = (
        "run: mtq.quantize(model, load_recipe('recipe.yaml').quantize.model_dump(), forward_loop) of modelopt; "
        "auto_quantize.yaml is another way: its own search under the same bits per weight"
    )
    words = (
        f"hf_quant_config.json names {named} of {len(chosen)} layers: exported checkpoints have words for some formats "
        "alone, and FP8 and MXFP8 quantize activations as well"
    )
    notes = [run, words]
    others = [one for one in chosen if one.scheme.format.is_integer and one.scheme.symmetry.name != "sym"]
    if others:
        words = ", ".join(sorted({str(one.scheme.symmetry) for one in others}))
        notes.append(f"{count(others)}: ModelOpt's step is absmax / q, as sym has it; the plan has {words}")
    return [*notes, *tell_own_rules(chosen)]
