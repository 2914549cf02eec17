"""What else may a tensor be called? Its name without what wrappers and modules put in front, and its name in GGUF.

The number of an expert stands beside the name, so that a stack and one of its matrices are told by the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from qanalysis.checkpoints.gguf_names import name_for_gguf

#: Wrappers put these anywhere in a name.
_WRAPPERS = frozenset(
    ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "base_layer", "module")
)
#: Models of one kind are published with and without these in front.
_OUTER = frozenset(
    (
        "model", "base_model", "language_model", "text_model", "transformer", "state_dict", "net", "network", "bert",
        "roberta", "gpt_neox", "backbone", "decoder", "llm",
    )
)  # fmt: skip
_EXPERT = re.compile(r"(?<=\bexperts)\.([0-9]{1,4})(?=\.)")
_BLOCK = re.compile(r"(?<=\.)[0-9]{1,4}(?=\.)|^[0-9]{1,4}(?=\.)")
_GGUF = re.compile(r"(?:(?:enc|dec|v|a)\.)?blk\.[0-9]+\.|(?:token_embd|output|output_norm)\.(?:weight|bias)$")
_GGUF_BLOCK = re.compile(r"(?<=\bblk\.)0(?=\.)")
#: GGUF's tables have no names as long as this.
_LONGEST_KNOWN = 200
_QKV = re.compile(r"(^|\.)(?:qkv_proj|wqkv|Wqkv|W_pack|qkv|query_key_value|to_qkv|qkv_linear)(?=\.(?:weight|bias)$)")
_QUERIES = ("wq", "q_proj", "q", "query")
_SUFFIX = re.compile(r"(?P<joint>[._])(?P<word>weight|bias)$")


class Key(NamedTuple):
    """One tensor by a name that two sources may share; `expert` is its number in a stack, None for the whole."""

    text: str
    expert: int | None = None


@dataclass(frozen=True, slots=True)
class Spelled:
    """A name, what it is without the words in front, and what GGUF calls it (None where that is not known).

    `graph` is what the module is called that a node of a graph stands for; None without such a node.
    """

    name: str
    plain: Key
    gguf: Key | None
    graph: Key | None = None


def is_gguf_style(names: Iterable[str]) -> bool:
    """Whether any name is spelled as GGUF spells them.

    >>> is_gguf_style(["blk.0.attn_q.weight"]), is_gguf_style(["model.layers.0.self_attn.q_proj.weight"])
    (True, False)
    """
    return any(_GGUF.match(name) for name in names)


def strip_prefix(name: str) -> str:
    """A name without wrappers' words, wherever they stand, and without outer modules in front.

    >>> strip_prefix("_orig_mod.module.model.language_model.layers.0.q.weight"), strip_prefix("model.weight")
    ('layers.0.q.weight', 'weight')
    """
    parts = [part for part in name.split(".") if part not in _WRAPPERS] or [name]
    start = 0
    while start < len(parts) - 1 and parts[start] in _OUTER:
        start += 1
    return ".".join(parts[start:])


def unwrap(name: str) -> str:
    """A name without wrappers' words, outer modules kept.

    >>> unwrap("module._orig_mod.model.norm.weight")
    'model.norm.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS) or name


def make_key(name: str) -> Key:
    """A name without `.weight` at its end and without the number of its expert, which stands beside it.

    >>> make_key("layers.0.experts.5.w1.weight"), make_key("experts.gate_up_proj_bias")
    (Key(text='layers.0.experts.w1', expert=5), Key(text='experts.gate_up_proj.bias', expert=None))
    """
    suffix = _SUFFIX.search(name)
    stem = name[: suffix.start()] if suffix else name
    expert = _EXPERT.search(stem)
    text = _EXPERT.sub("", stem)
    ending = ".bias" if suffix and suffix["word"] == "bias" else ""
    return Key(f"{text}{ending}", int(expert[1]) if expert else None)


def name_module(node: str) -> str:
    """The module that a node of an exported graph stands for: its name without the operation at its end.

    A container's children have its name in front of theirs. Empty for a node that is not named so.

    >>> name_module("/bert/encoder/layer.0/query/MatMul"), name_module("/enc/enc.2/Gemm"), name_module("node_7")
    ('bert.encoder.layer.0.query', 'enc.2', '')
    """
    scopes = node.strip("/").split("/")[:-1]
    parts: list[str] = []
    for scope in scopes:
        if parts and scope.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(scope)
    return ".".join(parts)


def spell(names: Sequence[str], known: Iterable[str] = ()) -> dict[str, Spelled]:
    """Each name in the spellings by which it may be found in another source, which has the names `known`.

    GGUF's tables are asked once for each kind of name, whatever its block and expert.
    """
    kinds = {name: _find_kind(name) for name in names}
    there = [name for name in known if is_gguf_style([name])]
    found = _ask_tables({kind for kind, _, _ in kinds.values() if len(kind) <= _LONGEST_KNOWN}, there)
    spelled = {}
    for name, (kind, block, expert) in kinds.items():
        one = found.get(kind)
        key = None
        if is_gguf_style([name]):
            key = make_key(name)
        elif one is not None:
            text = _restore_fused(make_key(_GGUF_BLOCK.sub(block, one)).text, kind)
            key = Key(text, expert)
        spelled[name] = Spelled(name, make_key(strip_prefix(name)), key)
    return spelled


def _ask_tables(kinds: set[str], there: Sequence[str]) -> dict[str, str]:
    """What GGUF calls kinds of names; of a fused one that its tables lack, what it would be by the name of q alone."""
    asked = {kind: [_QKV.sub(rf"\g<1>{word}", kind) for word in _QUERIES] for kind in kinds if _QKV.search(kind)}
    known = name_for_gguf(sorted(kinds.union(*asked.values())), there)
    found = {kind: known[kind].name for kind in kinds if kind in known}
    for kind, names in asked.items():
        alone = next((known[name].name for name in names if name in known), "")
        if kind not in found and ".attn_q." in alone:
            found[kind] = alone.replace(".attn_q.", ".attn_qkv.")
    return found


def _find_kind(name: str) -> tuple[str, str, int | None]:
    """A name with 0 for the numbers of its block and expert, and those numbers."""
    plain = re.sub(r"_(weight|bias)$", r".\1", unwrap(name))
    expert = _EXPERT.search(plain)
    stacked = _EXPERT.sub(".0", plain)
    block = _BLOCK.search(stacked)
    kind = f"{stacked[: block.start()]}0{stacked[block.end() :]}" if block else stacked
    return kind, block.group() if block else "0", int(expert[1]) if expert else None


def _restore_fused(text: str, kind: str) -> str:
    """The tables know gate and up together by the name of one of them."""
    if "gate_up_proj" not in kind:
        return text
    return text.replace("ffn_gate_exps", "ffn_gate_up_exps").replace("ffn_up", "ffn_gate_up")
