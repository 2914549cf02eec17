"""What is a plan for AutoRound? `layer_config`: the full name of each layer with its bits, its group and its symmetry,
or with a GGUF type.

A name that is no layer is taken as an expression and searched in all names; so every key is a full name. A model is
exported in one format: GGUF types and others do not go together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.differences import name_some, tell_grids, tell_powers
from qanalysis.plans.recipes.gptqmodel import describe_integers, find_name
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.merged import tell_split
from qanalysis.plans.recipes.modules import list_kept_modules, part_casts, take_modules, tell_names
from qanalysis.plans.recipes.recipe import Item, Recipe, RecipeFile, Unexpressed
from qanalysis.quantizers.ranges import MinMax
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme

_GGUF = "gguf:"
#: Sides of a matrix must be divisible by this for integers; others are set back to 16 bits, whatever is asked for.
_SIDE = 32
_FLOATS = {"mxfp4": "MXFP4", "mxfp8_e4m3": "MXFP8", "nvfp4": "NVFP4"}
_WEIGHT_ONLY = {"act_bits": 16, "act_data_type": "float"}
_KEPT = {"bits": 16, "data_type": "float", **_WEIGHT_ONLY}


def write_auto_round(plan: Plan, *, partial: bool = False) -> Recipe:
    """layer_config as JSON and a script; ValueError for a format that AutoRound does not know."""
    items, told = take_known(plan, "auto-round", partial=partial)
    items, others = take_modules(items, "AutoRound", what="linear modules, and embeddings for GGUF")
    quantized, left, uncast = part_casts(items, "AutoRound")
    told += others + uncast
    is_gguf = _are_gguf(quantized)
    layers = dict[str, Any]()
    done = list[Item]()
    for item in quantized:
        settings, missed = _describe(item, is_gguf=is_gguf)
        told += missed
        layers[find_name(item)] = settings or _KEPT
        done += [item] if settings else []
    for name in (*map(find_name, left), *list_kept_modules(plan)):
        layers.setdefault(name, _KEPT)
    base = _find_base(done, is_gguf=is_gguf)
    files = (
        RecipeFile("layer_config.json", json.dumps(layers, indent=2) + "\n"),
        RecipeFile("quantize.py", _write_script(base, base.lower() if is_gguf else "auto_round")),
    )
    how = (
        "pass it as AutoRound(MODEL, layer_config=...), as quantize.py does; AutoRound tunes its rounding on "
        "calibration data, so errors are others than those of rounding to nearest"
    )
    notes = [how, *tell_names(plan, "AutoRound")]
    notes += [*tell_grids([item for item in done if item.scheme.format.is_integer], "AutoRound", _lay_grid)]
    notes += [*tell_powers(done, "AutoRound"), *([] if is_gguf else tell_split(layers))]
    signed = [item for item in done if item.scheme.format.is_integer and item.scheme.symmetry.signed]
    if signed:
        notes.append(
            f"{name_some(signed)} get the lowest code for the value of largest magnitude, as gguf:q4_0 does, whatever "
            "their symmetric convention: another grid, so another error than planned"
        )
    return Recipe("auto-round", files, tuple(told), tuple(notes))


def _lay_grid(scheme: Scheme) -> Scheme:
    """Ranges and rounding of AutoRound; its symmetric grid is none of the schemes here."""
    return replace(scheme, range=MinMax(), rounding=Rounding())


def _are_gguf(items: Sequence[Item]) -> bool:
    """Whether most elements have GGUF types: the model is exported so, or not at all."""
    sizes = {True: 0, False: 0}
    for item in items:
        sizes[str(item.scheme.format).startswith(_GGUF)] += item.row.numel
    return sizes[True] > sizes[False]


def _describe(item: Item, *, is_gguf: bool) -> tuple[Any, list[Unexpressed]]:
    """What a layer gets, None where it stays in float, and what is not as planned."""
    name = str(item.scheme.format)
    if name.startswith(_GGUF) != is_gguf:
        other = "a GGUF type" if name.startswith(_GGUF) else "no GGUF type"
        why = f"a model is exported as GGUF or not, and this tensor has {other} unlike most of the plan"
        return None, [_leave(item, why)]
    if is_gguf:
        return name.upper(), []
    why = _find_obstacle(item)
    if why:
        return None, [_leave(item, why)]
    if name in _FLOATS:
        return {"scheme": _FLOATS[name], **_WEIGHT_ONLY}, []
    settings, told = describe_integers(item, "AutoRound")
    if settings and settings["bits"] == 8 and not settings["sym"]:
        told.append(
            Unexpressed(item.tensor, str(item.scheme), "AutoRound refuses 8-bit asymmetric layers", "symmetric 8 bits")
        )
        settings["sym"] = True
    return ({**settings, "data_type": "int", **_WEIGHT_ONLY} if settings else None), told


def _find_obstacle(item: Item) -> str:
    """Why AutoRound does not quantize a layer when it does not export GGUF; empty where it does."""
    if item.row.role == "embedding" and not find_name(item).endswith("lm_head"):
        return "AutoRound quantizes embeddings for GGUF only"
    if not item.scheme.format.is_integer:
        length = item.scheme.format.block or 1
        is_ragged = item.columns is not None and item.columns % length > 0
        return f"rows of {item.columns} values are not divisible by {length}, and skipped" if is_ragged else ""
    is_odd = any(size % _SIDE for size in item.shape)
    return (
        f"AutoRound sets matrices whose sides are not divisible by {_SIDE} back to 16 bits, here {item.row.shape}"
        if is_odd
        else ""
    )


def _leave(item: Item, reason: str) -> Unexpressed:
    return Unexpressed(item.tensor, str(item.scheme), reason, "it stays in 16 bits")


def _find_base(items: Sequence[Item], *, is_gguf: bool) -> str:
    """The scheme that is the default of the call; every layer of the plan has its own entry beside it."""
    if is_gguf:
        sizes = dict[str, int]()
        for item in items:
            name = str(item.scheme.format)
            sizes[name] = sizes.get(name, 0) + item.row.numel
        return max(sizes, key=lambda name: sizes[name]).upper()
    return "W4A16"


def _write_script(base: str, form: str) -> str:
    return f'''"""Quantize a model as layer_config.json says: quantize.py MODEL OUTPUT"""

import json
import sys
from pathlib import Path

from auto_round import AutoRound

source, target = sys.argv[1:]
layers = json.loads(Path("layer_config.json").read_text())
rounding = AutoRound(source, scheme="{base}", layer_config=layers)
rounding.quantize_and_save(target, format="{form}")
'''
