r"""What is a plan for GPTQModel? A QuantizeConfig: the commonest scheme as its base, and `dynamic` for each module.

A key is a sign and an expression that is matched from the beginning of a module's name: `+:` gives it values of its
own, `-:` skips it; the first that matches decides. Every key is `^name$`, escaped, so that the order says nothing. What
no key names gets the base, so that each matrix kept in float has a key. Engines that merge q, k and v, or gate and up,
look for the merged name: it has a key where its parts agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.differences import tell_grids
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.merged import merge_parts, tell_split
from qanalysis.plans.recipes.modules import fit_group, list_kept_modules, part_casts, take_modules, tell_names
from qanalysis.plans.recipes.recipe import Item, Recipe, RecipeFile, Unexpressed
from qanalysis.quantizers.ranges import MinMax
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES

#: Lengths that its kernels pack; -1 is a whole row.
GROUPS = (16, 32, 64, 128, 256, 512, 1024)
WHOLE_ROW = -1
_SKIP: dict[str, Any] = {}


def write_gptqmodel(plan: Plan, *, partial: bool = False) -> Recipe:
    """QuantizeConfig with `dynamic`, as JSON and as a script; ValueError for a format that GPTQModel does not know."""
    items, told = take_known(plan, "gptqmodel", partial=partial)
    items, others = take_modules(items, "GPTQModel", what="linear modules")
    items, embeddings = _part_embeddings(items)
    quantized, left, uncast = part_casts(items, "GPTQModel")
    told += others + embeddings + uncast
    chosen = dict[str, dict[str, Any]]()
    done, alone = list[Item](), [find_name(item) for item in left]
    for item in quantized:
        settings, missed = describe_integers(item, "GPTQModel")
        told += missed
        if settings:
            chosen[find_name(item)] = settings
            done.append(item)
        else:
            alone.append(find_name(item))
    base = _find_base(done, chosen)
    kept = dict.fromkeys(name for name in (*alone, *list_kept_modules(plan)) if name not in chosen)
    dynamic = _write_dynamic(chosen, tuple(kept))
    has_head = any(name.rpartition(".")[2] == "lm_head" for name in chosen)
    config = {"quant_method": "gptq", **base, "desc_act": False, "lm_head": has_head, "dynamic": dynamic}
    files = (
        RecipeFile("quantize_config.json", json.dumps(config, indent=2) + "\n"),
        RecipeFile("quantize_config.py", _write_script(config)),
    )
    how = (
        "quantize_config.py holds the same as a QuantizeConfig for GPTQModel.load(MODEL, QUANTIZE_CONFIG); GPTQ rounds "
        "by calibration data, so errors are others than those of rounding to nearest"
    )
    notes = (
        how,
        *tell_names(plan, "GPTQModel"),
        *tell_grids(done, "GPTQModel", lay_grid),
        *tell_split({**chosen, **dict.fromkeys(kept, _SKIP)}),
        *(["widths of 5, 6 and 7 bits make it a checkpoint of the planar format gptq_p"] if _has_planes(done) else []),
    )
    return Recipe("gptqmodel", files, tuple(told), notes)


def lay_grid(scheme: Scheme) -> Scheme:
    """The scheme whose grid GPTQModel makes of a planned one."""
    symmetry = scheme.symmetry if not scheme.symmetry.signed else SYMMETRIES["sym-full"]
    return replace(scheme, symmetry=symmetry, range=MinMax(), rounding=Rounding())


def find_name(item: Item) -> str:
    """The module of a weight."""
    return item.tensor.removesuffix(".weight")


def describe_integers(item: Item, target: str) -> tuple[dict[str, Any] | None, list[Unexpressed]]:
    """Bits, group size and symmetry of a scheme, None where groups do not divide rows, and what is not as planned."""
    scheme, grouping = item.scheme, item.scheme.grouping
    columns = item.columns
    settings = {"bits": scheme.format.bits, "group_size": WHOLE_ROW, "sym": scheme.symmetry.signed}
    if item.has_rows:
        return settings, []
    length = item.length
    if length in GROUPS:
        if columns is not None and columns % length:
            why = f"rows of {columns} values are not divisible by the group of {length}, which {target} refuses"
            return None, [Unexpressed(item.tensor, str(scheme), why, "it stays in float")]
        return {**settings, "group_size": length}, []
    fitting = fit_group(item, GROUPS) if grouping.columns else None
    told = Unexpressed(
        item.tensor,
        str(scheme),
        f"{target} has groups of {', '.join(map(str, GROUPS))} or of a row, and no {grouping}",
        f"groups of {fitting}" if fitting else "one scale for each row",
    )
    return {**settings, "group_size": fitting or WHOLE_ROW}, [told]


def _has_planes(items: Sequence[Item]) -> bool:
    return any(item.scheme.format.bits in (5, 6, 7) for item in items)


def _part_embeddings(items: Sequence[Item]) -> tuple[list[Item], list[Unexpressed]]:
    """Weights of linear modules, and embeddings, which GPTQ leaves alone."""
    embeddings = [item for item in items if item.row.role == "embedding" and not find_name(item).endswith("lm_head")]
    told = [
        Unexpressed(item.tensor, str(item.scheme), "GPTQModel quantizes no embeddings", "it stays in float")
        for item in embeddings
    ]
    return [item for item in items if item not in embeddings], told


def _find_base(items: Sequence[Item], chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of most elements."""
    numels = dict[str, int]()
    for item in items:
        key = json.dumps(chosen[find_name(item)])
        numels[key] = numels.get(key, 0) + item.row.numel
    base: dict[str, Any] = (
        json.loads(max(numels, key=lambda key: numels[key])) if numels else {"bits": 4, "group_size": 128, "sym": True}
    )
    return base


def _write_dynamic(chosen: Mapping[str, Mapping[str, Any]], kept: Sequence[str]) -> dict[str, Any]:
    """Keys of all planned modules, so that each says what it gets, and of those that are skipped."""
    named: dict[str, Any] = {**chosen, **dict.fromkeys(kept, _SKIP)}
    merged = {whole: those[0] for whole, those in merge_parts(named).items() if all(one == those[0] for one in those)}
    return {
        f"{'+' if settings else '-'}:^{_escape(name)}$": dict(settings)
        for name, settings in {**merged, **named}.items()
    }


def _escape(name: str) -> str:
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", name)


def _write_script(config: Mapping[str, Any]) -> str:
    words = {name: value for name, value in config.items() if name not in ("quant_method", "dynamic")}
    lines = [f"    {name}={value!r}," for name, value in words.items()]
    keys = [f"        {name!r}: {value!r}," for name, value in config["dynamic"].items()]
    return "\n".join(
        [
            '"""How is each layer quantized? GPTQModel.load(MODEL, QUANTIZE_CONFIG)"""',
            "",
            "from gptqmodel import QuantizeConfig",
            "",
            "QUANTIZE_CONFIG = QuantizeConfig(",
            *lines,
            "    dynamic={",
            *keys,
            "    },",
            ")",
            "",
        ]
    )
