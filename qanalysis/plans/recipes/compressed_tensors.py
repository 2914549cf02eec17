"""What is a plan for compressed-tensors and llm-compressor? One config group for each kind of scheme, with the full
names of its modules as targets.

Of two groups that match a module the first wins, and a target that is no full name may match many: with full names no
order decides. Formats stand in each group, "mixed-precision" only above them; what stays in float goes to `ignore`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.differences import tell_grids, tell_powers
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.merged import tell_split
from qanalysis.plans.recipes.modules import (
    fit_group,
    list_kept_modules,
    part_casts,
    take_modules,
    tell_names,
    tell_ties,
)
from qanalysis.plans.recipes.recipe import Item, Recipe, RecipeFile, Unexpressed
from qanalysis.quantizers.ranges import MinMax
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES

_PACKED, _FLOAT = "pack-quantized", "float-quantized"
#: Formats with scales of their own: the bits of a value, the group, the type of the scales, how they are stored.
_BLOCKS = {
    "mxfp4": (4, 32, "torch.uint8", "mxfp4-pack-quantized"),
    "mxfp6_e2m3": (6, 32, "torch.uint8", "mxfp6-pack-quantized"),
    "mxfp8_e4m3": (8, 32, "torch.uint8", "mxfp8-quantized"),
    "nvfp4": (4, 16, "torch.float8_e4m3fn", "nvfp4-pack-quantized"),
}
_GROUPS = tuple(2**power for power in range(13, 2, -1))


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups of a plan: their bodies by the modules that have them, modules left alone, and what is told."""

    groups: tuple[tuple[dict[str, Any], tuple[str, ...]], ...]
    ignore: tuple[str, ...]
    unexpressed: tuple[Unexpressed, ...]
    notes: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Group by name, as both tools read them."""
        return {
            f"group_{number}": {"targets": [name_target(name) for name in modules], **body}
            for number, (body, modules) in enumerate(self.groups)
        }


def write_compressed_tensors(plan: Plan, *, partial: bool = False) -> Recipe:
    """The quantization_config of config.json; ValueError for a format that compressed-tensors does not know."""
    made = _make_groups(plan, "compressed-tensors", partial=partial)
    formats = {body["format"] for body, _modules in made.groups}
    config = {
        "quant_method": "compressed-tensors",
        "format": formats.pop() if len(formats) == 1 else "mixed-precision",
        "quantization_status": "initialized",
        "ignore": [name_target(name) for name in made.ignore],
        "config_groups": made.describe(),
    }
    how = (
        "this is the `quantization_config` of config.json for a model that is still to be quantized; in a folder whose "
        'weights are packed, quantization_status is "compressed"'
    )
    text = json.dumps(config, indent=2) + "\n"
    files = (RecipeFile("quantization_config.json", text),)
    return Recipe("compressed-tensors", files, made.unexpressed, (how, *made.notes))


def write_llm_compressor(plan: Plan, *, partial: bool = False) -> Recipe:
    """A recipe of llm-compressor, as YAML and as a script; ValueError as `write_compressed_tensors`."""
    made = _make_groups(plan, "llm-compressor", partial=partial)
    modifier = {"ignore": [name_target(name) for name in made.ignore], "config_groups": made.describe()}
    recipe = {"quant_stage": {"quant_modifiers": {"QuantizationModifier": modifier}}}
    # JSON is YAML, and needs no rules of quoting of its own.
    text = json.dumps(recipe, indent=2, ensure_ascii=False) + "\n"
    how = (
        "llm-compressor loads recipe.yaml by oneshot(model=..., recipe='recipe.yaml'); rounding is to nearest, unless "
        "GPTQModifier takes the place of QuantizationModifier"
    )
    files = (RecipeFile("recipe.yaml", text), RecipeFile("quantize.py", _SCRIPT))
    return Recipe("llm-compressor", files, made.unexpressed, (how, *made.notes))


_SCRIPT = '''"""Quantize a model as recipe.yaml says: quantize.py MODEL OUTPUT"""

import sys

from llmcompressor import oneshot
from transformers import AutoModelForCausalLM, AutoTokenizer

source, target = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
oneshot(model=model, recipe="recipe.yaml")
model.save_pretrained(target, save_compressed=True)
AutoTokenizer.from_pretrained(source).save_pretrained(target)
'''


def name_target(module: str) -> str:
    """A target that matches one module by its name: a name without a dot might be that of a class.

    >>> name_target("model.layers.0.mlp.up_proj"), name_target("Linear")
    ('model.layers.0.mlp.up_proj', 're:^Linear$')
    """
    if "." in module and not module.startswith("re:"):
        return module
    return f"re:^{''.join(f'{chr(92)}{one}' if one in '.^$*+?()[]{}|' + chr(92) else one for one in module)}$"


def lay_grid(scheme: Scheme) -> Scheme:
    """The scheme whose grid compressed-tensors makes of a planned one."""
    if not scheme.format.is_integer:
        return scheme
    symmetry = scheme.symmetry if not scheme.symmetry.signed else SYMMETRIES["sym-full"]
    return replace(scheme, symmetry=symmetry, range=MinMax(), rounding=Rounding())


def _make_groups(plan: Plan, target: str, *, partial: bool) -> _Groups:
    items, told = take_known(plan, target, partial=partial)
    items, others = take_modules(items, target, what="Linear and Embedding modules", transposed=False)
    quantized, left, uncast = part_casts(items, target)
    told += others + uncast
    bodies = dict[str, tuple[dict[str, Any], list[str]]]()
    done, alone = list[Item](), [_find_weight_module(item) for item in left]
    for item in quantized:
        body, missed = _describe_scheme(item)
        told += missed
        if body is None:
            alone.append(_find_weight_module(item))
            continue
        bodies.setdefault(json.dumps(body), (body, []))[1].append(_find_weight_module(item))
        done.append(item)
    settings = {module: body for body, modules in bodies.values() for module in modules}
    unknown = [one.tensor.removesuffix(".weight") for one in told if one.tensor.endswith(".weight")]
    ignore = dict.fromkeys(name for name in (*alone, *unknown, *list_kept_modules(plan)) if name not in settings)
    settings |= {name: {} for name in ignore}
    return _Groups(
        tuple((body, tuple(modules)) for body, modules in bodies.values()),
        tuple(ignore),
        tuple(told),
        (*tell_names(plan, target), *_list_notes(done, target), *tell_split(settings)),
    )


def _find_weight_module(item: Item) -> str:
    return item.tensor.removesuffix(".weight")


def _describe_scheme(item: Item) -> tuple[dict[str, Any] | None, list[Unexpressed]]:
    """A group without its targets, None for a tensor that is left in float, and what is not as planned."""
    scheme, name = item.scheme, str(item.scheme.format)
    columns = item.columns
    told = list[Unexpressed]()
    if name.startswith("nvfp4") or name in _BLOCKS:
        bits, group, scales, form = _BLOCKS[name.partition(":")[0]]
        strategy = {"strategy": "tensor_group" if name.startswith("nvfp4") else "group", "group_size": group}
        weights: dict[str, Any] = {"num_bits": bits, "type": "float", "symmetric": True, **strategy, "dynamic": False}
        weights["scale_dtype"] = scales
    else:
        kind = "int" if scheme.format.is_integer else "float"
        strategy, told = _choose_strategy(item)
        weights = {"num_bits": scheme.format.bits, "type": kind, "symmetric": scheme.symmetry.signed}
        weights |= {**strategy, "dynamic": False}
        form = _PACKED if kind == "int" else _FLOAT
    group_size = weights.get("group_size")
    if columns is not None and group_size and columns > group_size and columns % group_size:
        reason = f"rows of {columns} values are not divisible by the group of {group_size}, which is refused"
        return None, [Unexpressed(item.tensor, str(scheme), reason, "it stays in float, in `ignore`")]
    return {"format": form, "weights": weights}, told


def _choose_strategy(item: Item) -> tuple[dict[str, Any], list[Unexpressed]]:
    """How scales are shared, of a format whose scheme says so."""
    grouping, told = item.scheme.grouping, list[Unexpressed]()
    match grouping.rows, grouping.columns:
        case None, None:
            return {"strategy": "tensor"}, told
        case 1, _ if item.has_rows:
            return {"strategy": "channel"}, told
        case 1, None:
            instead: dict[str, Any] = {"strategy": "channel"}
            told.append(_tell_grouping(item, "one scale for each output channel"))
            return instead, told
        case 1, int(columns):
            return {"strategy": "group", "group_size": columns}, told
        case int(rows), int(columns) if not item.scheme.format.is_integer:
            return {"strategy": "block", "block_structure": [rows, columns]}, told
    length = fit_group(item, _GROUPS)
    told.append(_tell_grouping(item, f"groups of {length} in a row" if length else "one scale for each output channel"))
    return {"strategy": "group", "group_size": length} if length else {"strategy": "channel"}, told


def _tell_grouping(item: Item, instead: str) -> Unexpressed:
    return Unexpressed(
        item.tensor, str(item.scheme), f"{item.scheme.grouping} is no way in which it shares scales", instead
    )


def _list_notes(items: Sequence[Item], target: str) -> list[str]:
    notes = [*tell_grids(items, target, lay_grid), *tell_powers(items, target), *tell_ties(items, target)]
    if any(str(item.scheme.format) == "nvfp4:one-level" for item in items):
        notes.append(f"{target} gives nvfp4 a scale over the tensor too: its values are those of nvfp4, not one-level")
    if any(item.row.role == "embedding" for item in items):
        notes.append("embeddings are quantized by recent releases only, and engines may not load them")
    if any(item.scheme.format.is_integer and not item.scheme.scale.is_exact for item in items):
        notes.append("scales are stored in the type of the model's weights, whatever type the plan counts")
    return notes
