"""Which tensors of a GGUF file are those of a plan? Experts are stacked into one there, fused weights may be split, and
names are others than the model's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qanalysis.checkpoints.gguf_names import name_for_gguf
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.modules import find_header
from qanalysis.plans.recipes.recipe import Item
from qanalysis.plans.tensors import read_shape

_OWN_NAME = re.compile(
    r"((enc|dec|v|a)\.)?(blk)\.[0-9]+\.[a-z_0-9]+\.(weight|bias)|(token_embd|output|output_norm)\.weight"
)
#: Weights that converters write as several, by what their name in GGUF ends with.
_PARTS = {
    "ffn_gate_up_exps.weight": ("ffn_gate_up_exps.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight"),
    "attn_kv_b.weight": ("attn_kv_b.weight", "attn_k_b.weight", "attn_v_b.weight"),
}


@dataclass(frozen=True, slots=True)
class Stack:
    """A tensor of the GGUF file and the tensors of the plan that it holds: one, or the experts of a layer.

    `row_length` is how many values its rows have, None where the shape is not known.
    """

    name: str
    items: tuple[Item, ...]
    row_length: int | None


@dataclass(frozen=True, slots=True)
class KeptTensor:
    """A tensor of the GGUF file that has no scheme; `is_guessed`: its type is that of the planned ones."""

    name: str
    dtype: str
    is_vector: bool
    is_guessed: bool


def gather_stacks(items: Sequence[Item], plan: Plan) -> tuple[list[Stack], list[Item]]:
    """The tensors of the file in the order of the plan, and the tensors of the plan that have no name there."""
    names = _translate([name for item in items for name in (item.tensor, *item.aliases)], plan)
    grouped = dict[str, list[Item]]()
    for item in items:
        for tensor in (item.tensor, *item.aliases):
            for name in names.get(tensor, ()):
                grouped.setdefault(name, []).append(item)
    stacks = [Stack(name, tuple(those), those[0].columns) for name, those in grouped.items()]
    return stacks, [item for item in items if item.tensor not in names]


def list_kept(plan: Plan) -> list[KeptTensor]:
    """The tensors without a scheme that have a name in GGUF."""
    header = {line["tensor"]: line for line in find_header(plan)}
    kept = list(plan.kept_float)
    names = _translate([*plan.assignments, *kept], plan)
    dtypes = plan.rows.column("dtype").tolist()
    usual = max(dtypes, key=dtypes.count, default="")
    found = dict[str, KeptTensor]()
    for tensor in kept:
        line = header.get(tensor, {})
        is_vector = bool(line) and sum(size > 1 for size in read_shape(line["shape"])) < 2
        for name in names.get(tensor, ()):
            one = KeptTensor(name, line.get("dtype", usual), is_vector, is_guessed=not line)
            found.setdefault(name, one)
    return list(found.values())


def _translate(names: Sequence[str], plan: Plan) -> dict[str, tuple[str, ...]]:
    """What the tensors are called in GGUF, those of a GGUF file as they are; without those that have no name there."""
    stored = plan.source.path.lower() if plan.source else ""
    if stored.endswith(".gguf") or any(map(_OWN_NAME.fullmatch, names)):
        return {name: (name,) for name in names}
    return {name: tuple(_split(found.name, name)) for name, found in name_for_gguf(names).items()}


def _split(name: str, source: str) -> Iterator[str]:
    """The names of a weight's parts, where converters may write it as several."""
    if source.removesuffix(".weight").endswith(".experts.gate_up_proj"):
        name = re.sub(r"ffn_(gate|up|gate_up)_exps\.weight$", "ffn_gate_up_exps.weight", name)
    end = next((end for end in _PARTS if name.endswith(end)), "")
    yield from (f"{name.removesuffix(end)}{part}" for part in _PARTS[end]) if end else (name,)
