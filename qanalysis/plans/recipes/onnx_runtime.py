"""What does ONNX Runtime's static quantization take of a plan? An override for each tensor, and the nodes to touch.

`TensorQuantOverrides` takes a list for each initializer: one dictionary for the tensor, or for all channels along the
`axis` that its first dictionary names, or one for each channel. Its own check returns after the first entry, so all are
checked here, and again by the script against the model. Integers are signed for symmetric schemes and start at 0 for
asymmetric ones. Its symmetric steps: absmax / 7.5 at 4 bits, absmax / 127 at 8, absmax / 32767 at 16; other grids are
written out, scale by scale, where the source is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qanalysis.checkpoints.source import TensorSource
from qanalysis.notation import quote
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.onnx_scripts import QUANTIZE_STATIC
from qanalysis.plans.recipes.placing import (
    Placed,
    count,
    fit_grid,
    is_plain,
    name_nodes,
    name_others,
    part_expressed,
    place_items,
)
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile
from qanalysis.quantizers.ranges import MinMax

#: Operations whose constant operand the QDQ form quantizes as planned, initializers that they take directly.
_OPERATIONS = ("MatMul", "Gemm", "Conv", "ConvTranspose", "Gather")
#: The symmetric grid of each width; asymmetric ones are as here.
_OWN_SYMMETRIES = {4: "sym-full", 8: "sym", 16: "sym"}
_KEYS = frozenset({"quant_type", "symmetric", "axis", "scale", "zero_point"})
_TYPES = ("QInt4", "QUInt4", "QInt8", "QUInt8", "QInt16", "QUInt16")
Overrides = Mapping[str, Sequence[Mapping[str, Any]]]


def write_overrides(plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """TensorQuantOverrides, the nodes to quantize and to exclude, and a script that applies them.

    With `source` the scales of grids that are not ONNX Runtime's own are written out. ValueError for a format that it
    does not know, and for a source that the plan was not made of.
    """
    items, unexpressed = take_known(plan, "onnxruntime", partial=partial)
    chosen, told = part_expressed(place_items(items, plan, source), _find_obstacle)
    overrides = {one.name: _write_entry(one, source) for one in chosen}
    check_overrides(overrides, {one.name: one.tensor.shape for one in chosen})
    nodes = name_nodes(chosen)
    excluded = name_others(plan, chosen, source)
    content = {"TensorQuantOverrides": overrides, "nodes_to_quantize": nodes, "nodes_to_exclude": excluded}
    return Recipe(
        "onnxruntime",
        (
            RecipeFile("tensor_quant_overrides.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"),
            RecipeFile("quantize.py", QUANTIZE_STATIC),
        ),
        (*unexpressed, *told),
        tuple(_list_notes(chosen, source, has_nodes=bool(nodes))),
    )


def _find_obstacle(one: Placed) -> str:
    """Why the override of a tensor can not be said; empty where it can."""
    other = next((use.operation for use in one.consumers if use.operation not in _OPERATIONS), "")
    if other:
        return f"the QDQ form does not quantize the weight of {other}"
    if any(use.operand is None for use in one.consumers):
        return "its node takes it through other operations, and only initializers that a node takes are quantized"
    if one.granularity in ("group", "block"):
        return "an override has one scale for the tensor or for each channel; for groups take the target matmul-nbits"
    if one.granularity == "channel" and one.channel_axis is None:
        return "its channels lie along several axes, an override has one"
    if one.granularity == "channel" and any(use.operation == "Gather" for use in one.consumers):
        return (
            "what is looked up would be quantized by the scales of the table's rows, along the wrong axis, and the "
            "model would not run; plan it as one tensor"
        )
    return ""


def _write_entry(one: Placed, source: TensorSource | None) -> list[dict[str, Any]]:
    """The list of one tensor: a dictionary, or one for each channel with its scale."""
    bits, is_signed = one.scheme.format.bits, one.scheme.symmetry.signed
    kind: dict[str, Any] = {"quant_type": f"Q{'' if is_signed else 'U'}Int{bits}"}
    if one.granularity == "channel" and one.channel_axis is not None:
        kind["axis"] = one.channel_axis
    if source is None or _is_own_grid(one):
        return [kind | {"symmetric": is_signed}]
    grid = fit_grid(one, source)[0].grid
    pairs = zip(grid.scale.tolist(), grid.zero_point.astype(int).tolist(), strict=True)
    return [kind | {"scale": scale, "zero_point": zero} for scale, zero in pairs]


def _is_own_grid(one: Placed) -> bool:
    """Whether ONNX Runtime lays the grid of the scheme by itself."""
    own = _OWN_SYMMETRIES[one.scheme.format.bits] if one.scheme.symmetry.signed else "asym"
    return is_plain(one.scheme) and one.scheme.symmetry.name == own


def check_overrides(overrides: Overrides, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError for the first entry that ONNX Runtime would refuse, or take for something else than it says.

    `shapes` are those of the initializers, () for one that is not known.
    """
    for name, entry in overrides.items():
        fault = _find_fault(entry, shapes[name]) if name in shapes else "is no initializer of the model"
        if fault:
            raise ValueError(f"override of {quote(name)}: {fault}")


def _find_fault(entry: Any, shape: tuple[int, ...]) -> str:
    """What is wrong with the list of one tensor; empty where it is sound."""
    if not isinstance(entry, list) or not entry or not all(isinstance(one, dict) for one in entry):
        return "must be a list of dictionaries, also for one"
    first = entry[0]
    faults = (_find_fault_of_one(one, first) for one in entry)
    return next(filter(None, faults), "") or _find_fault_of_axis(entry, first.get("axis"), shape)


def _find_fault_of_one(one: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    rules = (
        (
            not set(one) <= _KEYS,
            f"has a key beside {', '.join(sorted(_KEYS))}: {quote(str(min(set(one) - _KEYS, default='')))}",
        ),
        (one.get("quant_type") not in _TYPES, f"needs a quant_type: {', '.join(_TYPES)}"),
        (one.get("quant_type") != first.get("quant_type"), "needs one quant_type for all channels"),
        (("scale" in one) != ("zero_point" in one), "needs scale and zero_point together"),
        (("scale" in one) != ("scale" in first), "needs scale and zero_point for every channel or for none"),
        ({"scale", "symmetric"} <= set(one), "has symmetric beside scale and zero_point, which exclude it"),
        (one.get("axis", first.get("axis")) != first.get("axis"), "names several axes"),
    )
    return next((fault for is_broken, fault in rules if is_broken), "")


def _find_fault_of_axis(entry: Sequence[Mapping[str, Any]], axis: int | None, shape: tuple[int, ...]) -> str:
    if axis is None:
        return "has several dictionaries and no axis" if len(entry) > 1 else ""
    if shape and not -len(shape) <= axis < len(shape):
        return f"has axis {axis} of a tensor with {len(shape)} dimensions"
    is_by_channel = len(entry) > 1 or "scale" in entry[0]
    wanted = shape[axis] if shape and is_by_channel else len(entry)
    return "" if len(entry) == wanted else f"names {len(entry)} of {wanted} channels"


def _list_notes(chosen: Sequence[Placed], source: TensorSource | None, *, has_nodes: bool) -> list[str]:
    """What whoever runs it must know."""
    run = (
        "run: python quantize.py MODEL.onnx OUTPUT.onnx SAMPLES.npz (arrays by the names of the model's inputs); the "
        "inputs and outputs of the quantized nodes get 8 bits from these samples, which the plan does not count"
    )
    notes = [run, "nodes of tensors that are kept as they are are excluded, biases stay float"]
    if not has_nodes and chosen:
        notes.append(
            "the plan does not know the graph: nodes_to_quantize is empty, and all nodes that ONNX Runtime quantizes "
            "get its default of 8 bits; give --source MODEL.onnx"
        )
    others = [one for one in chosen if not _is_own_grid(one)]
    if others and source is None:
        words = sorted({str(one.scheme.symmetry) for one in others if is_plain(one.scheme)})
        plan_words = f"the plan has {', '.join(words)}" if words else "the plan has its own ranges or scales"
        notes.append(
            f"{count(others)}: ONNX Runtime lays its own grid, step absmax / 7.5 at 4 "
            f"bits, absmax / 127 at 8, absmax / 32767 at 16, and {plan_words}; with --source MODEL.onnx their scales "
            "are written out"
        )
    if any(one.scheme.symmetry.name == "sym" and one.scheme.range != MinMax() for one in others):
        notes.append("symmetric ranges that clip: values far below take one code more than the plan's grid has")
    if any(one.scheme.format.bits != 8 for one in chosen):
        notes.append(
            "int4 and int16 need version 21 of ONNX's operators; in older models ONNX Runtime puts operators of its own"
        )
    return notes
