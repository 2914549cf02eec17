r"""What does NNCF compress of a plan, and what does it ignore? One call of `compress_weights` for each setting.

A call has one level (a primary mode with one group size for all) and one for what that does not fit; single nodes can
only be ignored. So there is a call for each setting that ignores all nodes but its own: what is compressed already is
passed over by later calls. Scopes name nodes of the graph: of an ONNX model by name, of a torch model by a pattern, as
`fc1/linear/0` is a node of the module fc1. 8 bits have one scale for each channel, 4 bits one for
each group or channel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.checkpoints.source import TensorSource
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.onnx_scripts import COMPRESS_WITH_NNCF
from qanalysis.plans.recipes.placing import (
    Placed,
    find_other_name,
    name_nodes,
    name_others,
    part_expressed,
    place_items,
    tell_own_rules,
    tell_signed_step,
)
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile

#: Operations of ONNX that it compresses to what ONNX Runtime takes.
_OPERATIONS = frozenset({"MatMul", "Gemm", "Gather"})


@dataclass(frozen=True, slots=True)
class _Setting:
    """The mode of a call and its group size, -1 for whole channels, None for 8 bits."""

    mode: str
    group_size: int | None


def write_nncf(plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """The calls of `compress_weights` with their ignored scopes, and a script that makes them.

    ValueError for a format that NNCF has not for ONNX and torch alike.
    """
    items, unexpressed = take_known(plan, "nncf", partial=partial)
    placed = place_items(items, plan, source)
    chosen, told = part_expressed(placed, _find_obstacle)
    settings = dict[_Setting, list[Placed]]()
    for one in chosen:
        settings.setdefault(_choose_setting(one), []).append(one)
    is_graph = any(one.consumers for one in placed)
    others = [*name_nodes(chosen), *name_others(plan, chosen, source)]
    calls = [_describe_call(setting, those, others) for setting, those in settings.items()]
    content = json.dumps({"calls": calls}, indent=1, ensure_ascii=False) + "\n"
    return Recipe(
        "nncf",
        (RecipeFile("nncf.json", content), RecipeFile("compress.py", COMPRESS_WITH_NNCF)),
        (*unexpressed, *told),
        tuple(_list_notes(chosen, len(calls), is_graph=is_graph)),
    )


def _find_obstacle(one: Placed) -> str:
    """Why NNCF would do something else; empty where it does it."""
    bits, granularity = one.scheme.format.bits, one.granularity
    if granularity in ("tensor", "block") or (bits == 8 and granularity == "group"):
        return "it has one scale for each channel, and at 4 bits also one for each group of a row"
    if granularity == "group" and one.row_length % one.group_length:
        return (
            f"rows of {one.row_length} values are not divisible by {one.group_length}, and NNCF ends with an error then"
        )
    if one.consumers:
        return _find_obstacle_in_graph(one)
    if other := find_other_name(one, "NNCF"):
        return other
    if bits == 4 and len(one.tensor.shape) > 2:
        return "convolutions have 8 bits alone"
    return ""


def _find_obstacle_in_graph(one: Placed) -> str:
    other = next((use.operation for use in one.consumers if use.operation not in _OPERATIONS), "")
    if other:
        return f"the weight of {other} is passed over at 4 bits, and gets scales that ONNX Runtime refuses at 8"
    if any(use.operand is None for use in one.consumers):
        return "its node takes it through other operations, and NNCF ends with an error then"
    if one.granularity == "group" and one.channel_axis == 0:
        return "groups along the last axis (Gather, Gemm with transB) get scales that ONNX Runtime refuses"
    return ""


def _choose_setting(one: Placed) -> _Setting:
    bits, is_signed = one.scheme.format.bits, one.scheme.symmetry.signed
    mode = f"INT{bits}_{'SYM' if is_signed else 'ASYM'}"
    if bits == 8:
        return _Setting(mode, None)
    return _Setting(mode, one.group_length if one.granularity == "group" else -1)


def _describe_call(setting: _Setting, those: Sequence[Placed], others: Sequence[str]) -> dict[str, Any]:
    """The arguments of one call; 8 bits take neither a group size nor a share."""
    call: dict[str, Any] = {"mode": setting.mode}
    if setting.group_size is not None:
        call |= {"group_size": setting.group_size, "ratio": 1.0, "all_layers": True, "backup_mode": "NONE"}
    own = name_nodes(those)
    scope: Mapping[str, Any] = (
        {"names": [name for name in others if name not in own]}
        if others
        else {"patterns": [write_all_but(one.item.module for one in those)]}
    )
    return call | {"ignored_scope": {key: value for key, value in scope.items() if value}}


def write_all_but(modules: Iterable[str]) -> str:
    r"""A pattern that finds all of a torch model's graph but the nodes and the parameters of some modules.

    >>> write_all_but(["head"])
    '^(?!head/[^/]+/[0-9]+$|head\\.[^.]+$)'
    """
    own = dict.fromkeys(modules)
    words = [
        word
        for name in own
        for word in (f"{re.escape(name.replace('.', '/'))}/[^/]+/[0-9]+$", f"{re.escape(name)}\\.[^.]+$")
    ]
    return f"^(?!{'|'.join(words)})"


def _list_notes(chosen: Sequence[Placed], calls: int, *, is_graph: bool) -> list[str]:
    """What whoever runs it must know."""
    run = "run: python compress.py MODEL.onnx OUTPUT.onnx"
    if not is_graph:
        run = (
            "run: compress(model, dataset=nncf.Dataset([sample])) of compress.py; a bare torch.nn.Sequential has to be "
            "wrapped in a Module first, and scales are stored in float16"
        )
    why = (
        "a call of compress_weights knows two levels alone, so there is one for each setting, ignoring all other nodes"
    )
    notes = [run, f"{calls} call{'s' * (calls != 1)}: {why}"]
    return [*notes, *tell_signed_step(chosen, "NNCF"), *tell_own_rules(chosen)]
