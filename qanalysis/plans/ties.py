r"""Which tensors must have one scheme? What a runtime fuses into one kernel or one tensor, or what a user names.

`vllm`: query, key and value of a layer, gate and up of a layer, all experts of a layer together (its fused kernel for
experts knows one scheme), the pieces of latent and linear attention that it joins. `llama.cpp`: all experts of one kind
of a layer, which its format stores as one tensor. Anything else is a regular expression: tensors in which its groups
captured the same are tied; without groups all in which it is found.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qanalysis.notation import quote
from qanalysis.patterns import Pattern
from qanalysis.plans.tensors import PlanTensor

PRESETS = ("vllm", "llama.cpp")

#: Parts of a name that a runtime joins, by what the whole is called.
_FUSED: dict[str, tuple[str, ...]] = {
    "qkv": (
        r"[qkv]_proj", r"w[qkv]", r"attn_[qkv]", r"to_[qkv]", r"(query|key|value)(_proj|_layer)?", r"[qkv]_lin",
        r"(self_attn|attn|attention|SelfAttention|EncDecAttention)[./][qkv]", r"linear_[qkv]", r"[qkv]proj",
    ),
    "gate_up": (r"(gate|up)_proj", r"(?<=[./])w[13]", r"ffn_(gate|up)", r"wi_[01]", r"(gate|up)proj"),
    "gate_up_shexp": (r"ffn_(gate|up)_shexp",),
    "q_a_kv_a": (r"(q_a_proj|kv_a_proj_with_mqa)", r"attn_(q_a|kv_a_mqa)"),
    "in_proj_qkvz": (r"in_proj_(qkv|z)",),
    "in_proj_ba": (r"in_proj_[ba]",),
}  # fmt: skip
_SUFFIX = r"(?P<suffix>([./](weight|kernel|qweight|w)(:0)?)?)"
_JOINED = [
    (whole, re.compile(rf"(?P<prefix>(.*[./])?){part}{_SUFFIX}", re.DOTALL))
    for whole, parts in _FUSED.items()
    for part in parts
]
_EXPERT = re.compile(
    r"(?P<prefix>(?:.*[./])?)(?P<stack>experts|moe_experts|local_experts)[./](?P<number>[0-9]+)[./](?P<kind>.*)",
    re.DOTALL,
)
_STACK = re.compile(
    r"(?P<prefix>(?:.*[./])?)(?:(?:experts|switch_mlp|switch_glu)[./](?P<kind>.*)"
    r"|ffn_(?:gate|up|down|gate_up)_exps[./]\w+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Group:
    """Tensors that have one scheme, in the order of the file, and what made them one."""

    name: str
    members: tuple[str, ...]


def tie_tensors(tensors: Sequence[PlanTensor], ties: Iterable[str]) -> tuple[Group, ...]:
    """The groups of two or more tensors that presets and expressions make, joined where they share a tensor.

    Raises ValueError for an expression that ties nothing. A preset that finds nothing to tie makes no group.
    """
    joined = _Joined([one.name for one in tensors])
    for tie in ties:
        found = _find_preset(tie, tensors) if tie in PRESETS else _find_expression(tie, tensors)
        for name, members in found:
            joined.join(name, members)
    return joined.list_groups()


def _find_preset(tie: str, tensors: Sequence[PlanTensor]) -> Iterator[tuple[str, list[str]]]:
    keys = {one.name: name_whole(one.name, tie) for one in tensors}
    for key, members in _collect(keys).items():
        if len(members) > 1:
            yield str(key), members


def _find_expression(tie: str, tensors: Sequence[PlanTensor]) -> Iterator[tuple[str, list[str]]]:
    pattern = Pattern.parse(tie, "tie")
    owners = {name: one.name for one in tensors for name in one.names}
    keys = {owners[name]: groups for name, groups in pattern.capture(list(owners)).items()}
    found = {key: members for key, members in _collect(keys).items() if len(members) > 1}
    if not found:
        many = "no name" if not keys else "only one name for each of what its groups hold"
        raise ValueError(f"tie {quote(tie)}: has a match in {many}, so nothing is tied; write one of {_SHOW_PRESETS}")
    for key, members in found.items():
        told = ", ".join(map(str, key)) if isinstance(key, tuple) and key else ""
        yield f"{tie}: {told}" if told else tie, members


_SHOW_PRESETS = f"{', '.join(PRESETS)}, or an expression with what tied names share in its groups"


def _collect(keys: Mapping[str, Hashable | None]) -> dict[Hashable, list[str]]:
    found = dict[Hashable, list[str]]()
    for name, key in keys.items():
        if key is not None:
            found.setdefault(key, []).append(name)
    return found


def name_whole(name: str, preset: str) -> str | None:
    """What a runtime joins a tensor into; None where it stays on its own.

    >>> name_whole("model.layers.3.self_attn.k_proj.weight", "vllm")
    'model.layers.3.self_attn.qkv'
    >>> name_whole("model.layers.3.mlp.experts.7.down_proj.weight", "vllm")
    'model.layers.3.mlp.experts'
    >>> name_whole("model.layers.3.mlp.experts.7.down_proj.weight", "llama.cpp")
    'model.layers.3.mlp.experts.*.down_proj.weight'
    >>> name_whole("blk.3.ffn_down_exps.weight", "vllm"), name_whole("blk.3.attn_q.weight", "llama.cpp")
    ('blk.3.experts', None)
    """
    expert = _EXPERT.fullmatch(name)
    if preset == "llama.cpp":
        return f"{expert['prefix']}{expert['stack']}.*.{expert['kind']}" if expert else None
    stack = expert or _STACK.fullmatch(name)
    if stack:
        return f"{stack['prefix']}experts"
    for whole, form in _JOINED:
        found = form.fullmatch(name)
        if found:
            return f"{found['prefix']}{whole}"
    return None


class _Joined:
    """Sets of names that grow together."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._roots = {name: name for name in names}
        self._called = dict[str, str]()

    def _root(self, name: str) -> str:
        while self._roots[name] != name:
            self._roots[name] = self._roots[self._roots[name]]
            name = self._roots[name]
        return name

    def join(self, called: str, members: Sequence[str]) -> None:
        first = self._root(members[0])
        for member in members[1:]:
            root = self._root(member)
            known = self._called.pop(root, "") if root != first else ""
            self._called.setdefault(first, known or called)
            self._roots[root] = first

    def list_groups(self) -> tuple[Group, ...]:
        members = dict[str, list[str]]()
        for name in self._names:
            members.setdefault(self._root(name), []).append(name)
        return tuple(Group(self._called[root], tuple(names)) for root, names in members.items() if len(names) > 1)
