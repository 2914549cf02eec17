"""Which MatMul gets how many bits? A plan for ONNX Runtime's MatMulNBits, node by node.

`customized_weight_config` gives bits, group size and scheme for each node, but of the quantizer's algorithms only RTN
and k_quant read it (k_quant passes over the scheme, RTN ends at an odd number of asymmetric blocks of 4 bits); the
default one and HQQ have one setting for all nodes. So the script makes one run of the default algorithm for each
setting, with all other nodes excluded: those that have their codes are MatMul no longer. Blocks lie along K and have
16, 32, 64, 128 or 256 values.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.checkpoints.source import TensorSource
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.onnx_scripts import QUANTIZE_NBITS
from qanalysis.plans.recipes.placing import (
    Placed,
    check_graph,
    name_nodes,
    name_others,
    part_expressed,
    place_items,
    tell_own_rules,
    tell_signed_step,
)
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile

_BLOCKS = (16, 32, 64, 128, 256)
#: Bits that the dictionary of the other algorithms takes; RTN leaves floats of 2 bits in a float tensor.
_CUSTOM_BITS = (4, 8)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What one run of the quantizer does to its nodes."""

    operation: str
    bits: int
    block_size: int
    is_symmetric: bool


def write_nbits(plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """One run for each setting with the nodes that it is for, the same as `customized_weight_config`, and a script.

    ValueError for a format that MatMulNBits does not have, and where neither the plan nor `source` knows the graph.
    """
    items, unexpressed = take_known(plan, "matmul-nbits", partial=partial)
    placed = place_items(items, plan, source)
    check_graph(placed, "matmul-nbits")
    chosen, told = part_expressed(placed, _find_obstacle)
    runs = dict[_Setting, list[Placed]]()
    for one in chosen:
        runs.setdefault(_choose_setting(one), []).append(one)
    content = {
        "runs": [_describe_run(setting, those) for setting, those in runs.items()],
        "customized_weight_config": {
            name: entry for setting, those in runs.items() for name, entry in _customize(setting, those).items()
        },
        "nodes_to_exclude": name_others(plan, chosen, source),
    }
    return Recipe(
        "matmul-nbits",
        (
            RecipeFile("matmul_nbits.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"),
            RecipeFile("quantize.py", QUANTIZE_NBITS),
        ),
        (*unexpressed, *told),
        tuple(_list_notes(chosen)),
    )


def _find_obstacle(one: Placed) -> str:
    """Why the quantizer would not do it; empty where it does."""
    if not one.consumers:
        return "no node of the graph takes it"
    if any(use.operand is None for use in one.consumers):
        return "a node takes it through other operations, and only initializers that a node takes are replaced"
    operations = {use.operation for use in one.consumers}
    if len(operations) > 1 or not operations <= {"MatMul", "Gather"}:
        names = ", ".join(sorted(operations))
        return f"{names}: the quantizer replaces MatMul, and Gather at 4 bits, alone"
    if one.granularity == "block":
        return "a block has one row"
    return _find_obstacle_of_gather(one) if operations == {"Gather"} else _find_obstacle_of_matmul(one)


def _find_obstacle_of_gather(one: Placed) -> str:
    if one.scheme.format.bits != 4:
        return "a table that is looked up has 4 bits alone"
    if len(one.tensor.shape) != 2 or one.view.rows != (0,):
        return "a table that is looked up has two axes, the first of them looked up"
    return _find_obstacle_of_block(one)


def _find_obstacle_of_matmul(one: Placed) -> str:
    shape = one.tensor.shape
    if any(use.operand != 1 for use in one.consumers):
        return "it is the left operand, MatMulNBits has a constant on the right"
    if len(shape) < 2 or any(size != 1 for size in shape[:-2]):
        return "it is a stack of matrices, MatMulNBits has one"
    if one.view.rows[-1:] != (len(shape) - 1,):
        return "its channels are not the columns of MatMul, so that blocks along K are other groups"
    return _find_obstacle_of_block(one)


def _find_obstacle_of_block(one: Placed) -> str:
    if one.granularity == "tensor":
        return "one scale for the tensor; MatMulNBits has one for each block"
    if _choose_block(one) is None:
        return f"a scale for {one.group_length} values; blocks have {', '.join(map(str, _BLOCKS))}"
    return ""


def _choose_block(one: Placed) -> int | None:
    """The length of the blocks; a channel that fits into one block is one."""
    if one.granularity == "group":
        return one.group_length if one.group_length in _BLOCKS else None
    return next((block for block in _BLOCKS if block >= one.group_length), None)


def _choose_setting(one: Placed) -> _Setting:
    operation = one.consumers[0].operation
    return _Setting(operation, one.scheme.format.bits, _choose_block(one) or 0, one.scheme.symmetry.signed)


def _describe_run(setting: _Setting, those: Sequence[Placed]) -> dict[str, Any]:
    return {
        "op_types_to_quantize": [setting.operation],
        "bits": setting.bits,
        "block_size": setting.block_size,
        "is_symmetric": setting.is_symmetric,
        "nodes": name_nodes(those),
    }


def _customize(setting: _Setting, those: Sequence[Placed]) -> dict[str, dict[str, Any]]:
    """The same for the algorithms that take a dictionary by node."""
    if setting.operation != "MatMul" or setting.bits not in _CUSTOM_BITS:
        return {}
    scheme = "sym" if setting.is_symmetric else "asym"
    return {
        name: {"bits": setting.bits, "group_size": setting.block_size, "scheme": scheme} for name in name_nodes(those)
    }


def _list_notes(chosen: Sequence[Placed]) -> list[str]:
    """What whoever runs it must know."""
    run = (
        "run: python quantize.py MODEL.onnx OUTPUT.onnx (needs onnxruntime and onnx-ir); it makes one run of the "
        "default algorithm for each setting"
    )
    custom = (
        "customized_weight_config is for RTN (its symmetric step is absmax / 7.5 at 4 bits and absmax / 127.5 at 8: "
        "sym-full) and k_quant, which passes over the scheme; the default algorithm and HQQ do not read it and would "
        "give all nodes one setting"
    )
    notes = [run, custom]
    return [*notes, *tell_signed_step(chosen, "the default algorithm"), *tell_own_rules(chosen)]
