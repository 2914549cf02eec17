"""What is a plan for MLX? A predicate that gives each module its parameters, and the same by path for config.json.

Integers are affine: codes from 0, and in each group a scale and a bias of 16 bits, so that a width of b in groups of g
costs b + 32/g. mlx-lm skips a module whose rows the group length that it was called with does not divide, whatever the
module's own is: it is called with the shortest of the plan.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.differences import name_some, tell_powers
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.modules import fit_group, part_casts, tell_names
from qanalysis.plans.recipes.recipe import Item, Recipe, RecipeFile, Unexpressed

_LENGTHS = (32, 64, 128)
_MODES = {"mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}
_EXPERT = re.compile(r"\.experts\.[0-9]{1,5}\.(?=[^.]+$)")
_EXPERT_PARTS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
_FUSED = re.compile(r"\.experts\.gate_up_proj$")


@dataclass(frozen=True, slots=True)
class _Module:
    """A module of MLX and the tensors of the plan that it holds: one, or the experts of a layer."""

    path: str
    items: tuple[Item, ...]


def write_mlx(plan: Plan, *, partial: bool = False) -> Recipe:
    """A predicate and a part of config.json; ValueError for a format that MLX has no mode for."""
    items, told = take_known(plan, "mlx", partial=partial)
    quantized, _left, uncast = part_casts(items, "mlx")
    named = [item for item in quantized if _find_paths(item)]
    told += uncast + [
        Unexpressed(item.tensor, str(item.scheme), "MLX quantizes the weights of modules", "it stays in float")
        for item in quantized
        if not _find_paths(item)
    ]
    layers = dict[str, dict[str, Any]]()
    done = list[Item]()
    for module in _gather_modules(named):
        parameters, missed = _describe_module(module)
        told += missed
        if parameters:
            layers[module.path] = parameters
            done += module.items
    base = min(
        layers.values(), key=lambda one: int(one["group_size"]), default={"group_size": 64, "bits": 4, "mode": "affine"}
    )
    quantization = {**base, **layers}
    config = {"quantization": quantization, "quantization_config": quantization}
    files = (
        RecipeFile("predicate.py", _write_predicate(layers, base)),
        RecipeFile("config_quantization.json", json.dumps(config, indent=1) + "\n"),
    )
    return Recipe("mlx", files, tuple(dict.fromkeys(told)), (*tell_names(plan, "MLX"), *_list_notes(done, base)))


def _find_paths(item: Item) -> tuple[str, ...]:
    """The paths of a tensor's modules in MLX, where experts are stacked; none for what is no weight of a module."""
    name = item.tensor.removesuffix(".weight")
    if _FUSED.search(name):
        return tuple(_FUSED.sub(f".switch_mlp.{part}", name) for part in ("gate_up_proj", "gate_proj", "up_proj"))
    stacked = _EXPERT.sub(".switch_mlp.", name)
    if stacked == name:
        stacked = re.sub(r"\.experts\.(?=(down|up|gate)_proj$)", ".switch_mlp.", name)
    if stacked != name:
        outer, _, part = stacked.rpartition(".")
        return (f"{outer}.{_EXPERT_PARTS.get(part, part)}",)
    return (name,) if item.tensor.endswith(".weight") and len(item.shape) in (0, 2, 3) else ()


def _gather_modules(items: Iterable[Item]) -> list[_Module]:
    grouped = dict[str, list[Item]]()
    for item in items:
        for path in _find_paths(item):
            grouped.setdefault(path, []).append(item)
    return [_Module(path, tuple(those)) for path, those in grouped.items()]


def _describe_module(module: _Module) -> tuple[dict[str, Any] | None, list[Unexpressed]]:
    """The parameters of a module, None where it stays in float, and what is not as planned."""
    widest = max(module.items, key=lambda item: item.row.bits_per_weight)
    parameters, told = _describe_scheme(widest)
    others = [item for item in module.items if item.scheme != widest.scheme]
    told += [
        Unexpressed(
            item.tensor,
            str(item.scheme),
            "MLX stacks the experts of a layer in one module, whose tensors have one scheme",
            f"{widest.scheme}, the widest of theirs",
        )
        for item in others
    ]
    return parameters, told


def _describe_scheme(item: Item) -> tuple[dict[str, Any] | None, list[Unexpressed]]:
    scheme, columns = item.scheme, item.columns
    mode = str(scheme.format).partition(":")[0].removesuffix("_e4m3")
    if mode in _MODES:
        length, bits = _MODES[mode]
        if columns is not None and columns % length:
            return None, [_skip(item, length)]
        return {"group_size": length, "bits": bits, "mode": mode}, []
    planned = columns if item.has_rows else item.length
    is_exact = planned in _LENGTHS
    if is_exact and (columns is None or columns % (planned or 1) == 0):
        return {"group_size": planned, "bits": scheme.format.bits, "mode": "affine"}, []
    finer = None if is_exact else fit_group(item, _LENGTHS)
    if finer is None:
        return None, [_skip(item, planned if is_exact and planned else min(_LENGTHS))]
    told = Unexpressed(
        item.tensor,
        str(scheme),
        f"MLX has groups of {', '.join(map(str, _LENGTHS))} and no {scheme.grouping}",
        f"groups of {finer}",
    )
    return {"group_size": finer, "bits": scheme.format.bits, "mode": "affine"}, [told]


def _skip(item: Item, length: int) -> Unexpressed:
    rows = f"rows of {item.columns} values" if item.shape else f"groups of {item.scheme.grouping}"
    why = f"{rows} do not go into groups of {length}, so that MLX skips the module"
    return Unexpressed(item.tensor, str(item.scheme), why, "it stays in float")


def _write_predicate(layers: Mapping[str, Mapping[str, Any]], base: Mapping[str, Any]) -> str:
    """Python source with the table of layers and the predicate over it."""
    lines = [f"    {path!r}: {dict(parameters)!r}," for path, parameters in layers.items()]
    return "\n".join(
        [
            '"""Which parameters does each layer get?',
            "",
            "mlx_lm.convert(MODEL, OUTPUT, quantize=True, quant_predicate=predicate, **BASE), or with mlx alone",
            "mlx.nn.quantize(model, class_predicate=predicate).",
            '"""',
            "",
            "LAYERS = {",
            *lines,
            "}",
            "#: mlx_lm skips a layer whose rows this length does not divide, so it is the shortest of all.",
            f"BASE = {{'q_group_size': {base['group_size']}, 'q_bits': {base['bits']}, 'q_mode': {base['mode']!r}}}",
            "",
            "",
            "def predicate(path, module, *_):",
            '    """Parameters of a layer, False for one that stays in float."""',
            '    return LAYERS.get(path, False) if hasattr(module, "to_quantized") else False',
            "",
        ]
    )


def _list_notes(items: Sequence[Item], base: Mapping[str, Any]) -> list[str]:
    integers = [item for item in items if item.scheme.format.is_integer]
    call = (
        f"call mlx_lm with group size {base['group_size']}, the shortest of the plan: it skips every layer whose rows "
        "the length that it is called with does not divide"
    )
    where = (
        "config_quantization.json holds the `quantization` of config.json and its copy, by path, for a folder whose "
        "weights are packed so"
    )
    paths = (
        "paths are the names of the checkpoint, experts aside; a layer that mlx-lm calls otherwise is not found and "
        "stays in float"
    )
    notes = [call, where, paths]
    if integers:
        notes.append(
            f"{name_some(integers)} become affine: a scale and a real bias of 16 bits in each group, b + 32/g bits "
            "per weight; none of the schemes here has that grid (the nearest is asym scale=float16, whose offset is a "
            "code), so the error is another than planned"
        )
    if any(str(item.scheme.format) == "nvfp4" for item in items):
        notes.append(
            "nvfp4 of MLX has no scale over the tensor: its values are those of nvfp4:one-level, the error is another "
            "than planned"
        )
    return [*notes, *tell_powers(items, "MLX")]
