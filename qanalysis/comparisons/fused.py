"""Which tensors of one source are parts of one of the other? Queries, keys and values, or gate and up, one below the
other; in a stack, those of each expert.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.comparisons.names import Key
from qanalysis.comparisons.pair import as_stack, find_sizes
from qanalysis.quantizers.matrix_view import MatrixView


@dataclass(frozen=True, slots=True)
class FusedPart:
    """A tensor that is a part elsewhere: which (`slot`), and of which expert, None for all of them."""

    info: TensorInfo
    slot: str
    expert: int | None = None


@dataclass(frozen=True, slots=True)
class Fusion:
    """The parts of a fused tensor, `whole`, of `experts` matrices, each slot of `slots` below the one before."""

    whole: TensorInfo
    word: str
    slots: tuple[str, ...]
    parts: tuple[FusedPart, ...]
    experts: int = 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """What fused tensors are called, and what their parts are called in the same place."""

    word: str
    slots: tuple[str, ...]
    names: Collection[str]
    parts: tuple[tuple[str, ...], ...]


#: Names of tensors that hold queries, keys and values.
_QKV = {
    "qkv_proj", "qkv", "Wqkv", "wqkv", "W_pack", "c_attn", "query_key_value", "attn_qkv", "in_proj", "to_qkv",
    "qkv_linear",
}  # fmt: skip
_GATE_UP = {"gate_up_proj", "gate_up", "w13", "ffn_gate_up", "ffn_gate_up_exps", "gate_up_exps"}
_TURNED_STACK = MatrixView((0, 2))
_RULES = (
    _Rule(
        "fused q/k/v",
        ("q", "k", "v"),
        _QKV,
        (
            ("q_proj", "k_proj", "v_proj"),
            ("attn_q", "attn_k", "attn_v"),
            ("q", "k", "v"),
            ("query", "key", "value"),
            ("wq", "wk", "wv"),
            ("Wq", "Wk", "Wv"),
            ("to_q", "to_k", "to_v"),
            ("q_lin", "k_lin", "v_lin"),
            ("query_proj", "key_proj", "value_proj"),
        ),
    ),
    _Rule(
        "fused gate/up",
        ("gate", "up"),
        _GATE_UP,
        (
            ("gate_proj", "up_proj"),
            ("ffn_gate", "ffn_up"),
            ("ffn_gate_exps", "ffn_up_exps"),
            ("gate_exps", "up_exps"),
            ("w1", "w3"),
            ("gate", "up"),
        ),
    ),
)


def find_fusions(whole: TensorInfo, key: Key, known: Mapping[Key, TensorInfo]) -> Fusion | None:
    """The tensors of another source that a fused one holds, by its own key and by their keys; None where it is no such
    tensor, or some are not there or of other sizes.
    """
    text, _, ending = key.text.rpartition(".")
    if ending == "bias":
        (text, _, last), tail = text.rpartition("."), ".bias"
    else:
        last, tail = ending, ""
    stem = f"{text}." if text else ""
    if last == "attn_kv_b" and not tail:
        return _find_latent(whole, known.get(Key(f"{stem}attn_k_b")), known.get(Key(f"{stem}attn_v_b")))
    for rule in (rule for rule in _RULES if last in rule.names):
        for words in rule.parts:
            texts = [f"{stem}{word}{tail}" for word in words]
            found = _find_parts(whole, texts, key.expert, known, rule)
            if found is not None:
                return found
    return None


def _find_latent(whole: TensorInfo, keys: TensorInfo | None, values: TensorInfo | None) -> Fusion | None:
    """Keys and values of latent attention: in GGUF stacks of a matrix per head, the one of keys transposed."""
    if keys is None or values is None or not len(whole.shape) + 1 == len(keys.shape) == len(values.shape) == 3:
        return None
    turned, stack = replace(keys, view=_TURNED_STACK), as_stack(values)
    rows, columns = find_sizes(whole)
    sizes = find_sizes(turned), find_sizes(stack)
    if keys.shape[0] != values.shape[0] or sizes[0][0] + sizes[1][0] != rows or {one[1] for one in sizes} != {columns}:
        return None
    return Fusion(whole, "fused k/v", ("k", "v"), (FusedPart(turned, "k"), FusedPart(stack, "v")), keys.shape[0])


def _find_parts(
    whole: TensorInfo, texts: list[str], expert: int | None, known: Mapping[Key, TensorInfo], rule: _Rule
) -> Fusion | None:
    experts = whole.shape[0] if expert is None and len(whole.shape) == 3 else 1
    together = [known.get(Key(text, expert)) for text in texts]
    if all(together):
        parts = [FusedPart(as_stack(info), slot) for info, slot in zip(together, rule.slots, strict=True) if info]
    elif Key(texts[0], 0) in known and expert is None:
        # A bias of a stack has an axis of experts, too.
        experts = whole.shape[0] if len(whole.shape) > 1 else 1
        parts = [
            FusedPart(known[Key(text, number)], slot, number)
            for number in range(experts)
            for text, slot in zip(texts, rule.slots, strict=True)
            if Key(text, number) in known
        ]
        if len(parts) != experts * len(texts):
            return None
    else:
        return None
    if len(whole.shape) == 2 and whole.role == "bias":
        experts = whole.shape[0]
    sizes = [find_sizes(part.info) for part in parts]
    for one in _list_views(whole):
        rows, columns = find_sizes(one)
        if sum(size for size, _ in sizes) == rows and all(width == columns for _, width in sizes):
            return Fusion(one, rule.word, rule.slots, tuple(parts), max(experts, 1))
    return None


def _list_views(whole: TensorInfo) -> Iterator[TensorInfo]:
    """A tensor as it is seen, and one of two axes with rows and columns exchanged."""
    yield whole
    if len(whole.shape) == 2 and whole.role != "bias":
        turned = MatrixView((0,) if whole.view.settle(whole.shape).rows == (1,) else (1,))
        yield replace(whole, view=turned)
