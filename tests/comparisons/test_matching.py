"""Names find each other as they are, behind prefixes, in GGUF's words, as parts of fused and stacked ones, and by maps."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qanalysis.checkpoints.source import ModelFacts, TensorInfo
from qanalysis.comparisons.matching import match_tensors
from qanalysis.quantizers.matrix_view import MatrixView

STACKED = MatrixView((0, 1))


def info(name: str, *shape: int, **more: Any) -> TensorInfo:
    return TensorInfo(name, shape, "float32", 4 * math.prod(shape), **more)


def match(a: list[TensorInfo], b: list[TensorInfo], **options: Any) -> list[tuple[str, str, str]]:
    """The names of each pair, and how it was matched."""
    pairs = match_tensors(a, b, **options)
    return [(p.a.info.name if p.a else "", p.b.info.name if p.b else "", p.matched_by) for p in pairs]


LLAMA = [
    info("model.embed_tokens.weight", 100, 64, role="embedding"),
    info("model.layers.11.self_attn.q_proj.weight", 64, 64),
    info("model.layers.11.self_attn.k_proj.weight", 32, 64),
    info("model.layers.11.mlp.down_proj.weight", 64, 128),
    info("model.norm.weight", 64, role="norm"),
]
GGUF = [
    info("token_embd.weight", 100, 64, role="embedding"),
    info("blk.11.attn_q.weight", 64, 64),
    info("blk.11.attn_k.weight", 32, 64),
    info("blk.11.ffn_down.weight", 64, 128),
    info("output_norm.weight", 64, role="norm"),
]


def prefixed(words: str) -> list[TensorInfo]:
    return [info(f"{words}{one.name}", *one.shape, role=one.role) for one in LLAMA]


@pytest.mark.parametrize(
    ("words", "how"),
    [
        pytest.param("", "identical", id="as it is"),
        pytest.param("module.", "prefix", id="data parallel"),
        pytest.param("_orig_mod.module.", "prefix", id="compiled and data parallel"),
        pytest.param("base_model.model.", "prefix", id="adapter"),
        pytest.param("model.language_model.", "prefix", id="language model of several"),
        pytest.param("somebody.else.", "prefix", id="a prefix nobody knows"),
    ],
)
def test_names_find_each_other_behind_prefixes_in_both_directions(words: str, how: str) -> None:
    there = match(LLAMA, prefixed(words))
    assert there == [(one.name, f"{words}{one.name}", how) for one in LLAMA]
    assert match(prefixed(words), LLAMA) == [(b, a, how) for a, b, _ in there]


def test_a_prefix_that_leaves_two_names_alike_decides_nothing() -> None:
    two = [info("model.w", 2, 3), info("module.w", 2, 3)]
    assert match([info("w", 2, 3)], two) == [("w", "", ""), ("", "model.w", ""), ("", "module.w", "")]


def test_gguf_names_are_found_and_heads_are_stated_by_its_header() -> None:
    pairs = match_tensors(LLAMA, GGUF, facts_b=ModelFacts("llama", 4, 2))
    assert [(p.a.info.name, p.b.info.name) for p in pairs if p.a and p.b] == [
        (ours.name, theirs.name) for ours, theirs in zip(LLAMA, GGUF, strict=True)
    ]
    assert [(p.matched_by, p.heads) for p in pairs] == [
        ("gguf", 0),
        ("gguf+heads", 4),
        ("gguf+heads", 2),
        ("gguf", 0),
        ("gguf", 0),
    ]


def test_blocks_of_an_encoder_and_of_a_decoder_are_found() -> None:
    ours = [f"{one}.block.1.layer.0.SelfAttention.q.weight" for one in ("encoder", "decoder")]
    theirs = ["enc.blk.1.attn_q.weight", "dec.blk.1.attn_q.weight"]
    found = match([info(name, 8, 8) for name in ours], [info(name, 8, 8) for name in theirs])
    assert found == [(a, b, "gguf") for a, b in zip(ours, theirs, strict=True)]


def test_rows_of_q_are_taken_in_the_order_of_the_converter() -> None:
    pair = match_tensors(LLAMA, GGUF, facts_b=ModelFacts("llama", 4, 2))[1]
    assert pair.a is not None
    assert pair.a.rows is not None
    assert pair.b is not None
    assert pair.b.rows is None
    order = [row for head in range(4) for i in range(8) for row in (head * 16 + i, head * 16 + 8 + i)]
    assert pair.a.rows.list_rows().tolist() == order


def test_an_architecture_that_keeps_its_rows_is_taken_as_it_lies() -> None:
    pair = match_tensors(LLAMA, GGUF, facts_b=ModelFacts("qwen2", 4, 2))[1]
    assert (pair.matched_by, pair.heads) == ("gguf", 0)
    assert any(other.heads for other in pair.others)


def parts(pairs: Any) -> dict[str, tuple[str, list[int] | None]]:
    """Of each part: the whole that it was found in, and which of its rows."""
    return {
        p.a.info.name: (p.b.info.name, p.b.rows.list_rows().tolist() if p.b.rows else None)
        for p in pairs
        if p.a and p.b
    }


QKV = [info(f"layers.0.self_attn.{word}_proj.weight", rows, 8) for word, rows in (("q", 8), ("k", 4), ("v", 4))]


def test_fused_queries_keys_and_values_are_split() -> None:
    found = match_tensors(QKV, [info("model.layers.0.self_attn.qkv_proj.weight", 16, 8)])
    name = "model.layers.0.self_attn.qkv_proj.weight"
    assert parts(found) == {
        QKV[0].name: (name, list(range(8))),
        QKV[1].name: (name, list(range(8, 12))),
        QKV[2].name: (name, list(range(12, 16))),
    }
    assert {pair.matched_by for pair in found} == {"fused q/k/v"}


def test_heads_of_a_query_key_value_tensor_are_taken_apart_one_by_one() -> None:
    equal = [info(f"layers.0.attention.{word}.weight", 4, 8) for word in ("query", "key", "value")]
    whole = info("gpt_neox.layers.0.attention.query_key_value.weight", 12, 8)
    found = match_tensors(equal, [whole], facts_b=ModelFacts("gpt_neox", 2, 2, 2))
    assert parts(found)[equal[0].name][1] == [0, 1, 6, 7]
    assert parts(found)[equal[2].name][1] == [4, 5, 10, 11]


def test_gate_and_up_are_halves_of_one() -> None:
    two = [info(f"layers.0.mlp.{word}_proj.weight", 8, 4) for word in ("gate", "up")]
    found = match_tensors(two, [info("layers.0.mlp.gate_up_proj.weight", 16, 4)])
    assert [rows for _, rows in parts(found).values()] == [list(range(8)), list(range(8, 16))]


def test_experts_of_one_file_are_matrices_of_a_stack_of_the_other() -> None:
    single = [info(f"model.layers.0.block_sparse_moe.experts.{e}.w2.weight", 4, 8) for e in range(3)]
    found = match_tensors(single, [info("blk.0.ffn_down_exps.weight", 3, 4, 8, view=STACKED)])
    assert [rows for _, rows in parts(found).values()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert {pair.matched_by for pair in found} == {"gguf, stacked"}


def test_gate_and_up_of_each_expert_are_found_in_a_stack_of_both() -> None:
    single = [info(f"mlp.experts.{e}.{w}_proj.weight", 2, 8) for e in range(2) for w in ("gate", "up")]
    found = match_tensors(single, [info("mlp.experts.gate_up_proj", 2, 4, 8, view=STACKED)])
    assert [rows for _, rows in parts(found).values()] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_a_stack_of_both_in_gpt_oss_holds_gate_and_up_in_turn() -> None:
    whole = info("model.layers.0.mlp.experts.gate_up_proj", 1, 4, 32, view=STACKED, stored="gpt-oss mxfp4")
    halves = [info(f"blk.0.ffn_{word}_exps.weight", 1, 2, 32, view=STACKED) for word in ("gate", "up")]
    assert [rows for _, rows in parts(match_tensors(halves, [whole])).values()] == [[0, 2], [1, 3]]


def test_transposed_storage_is_turned() -> None:
    pair = match_tensors([info("c_fc.weight", 8, 4)], [info("c_fc.weight", 4, 8)])[0]
    assert pair.fits
    assert pair.b is not None
    assert pair.b.info.view == MatrixView((1,))


def test_tied_names_are_matched_to_the_tensor_that_has_them() -> None:
    tied = [info("embed.weight", 8, 4, aliases=("lm_head.weight",))]
    apart = [info("embed.weight", 8, 4), info("lm_head.weight", 8, 4)]
    both = [("embed.weight", "embed.weight", "identical"), ("embed.weight", "lm_head.weight", "alias")]
    assert match(tied, apart) == both
    assert match(apart, tied) == [both[0], ("lm_head.weight", "embed.weight", "alias")]


def test_an_output_is_matched_to_the_embedding_that_serves_as_both() -> None:
    ours = [*LLAMA, info("lm_head.weight", 100, 64)]
    assert match(ours, GGUF)[-1] == ("lm_head.weight", "token_embd.weight", "tied")


def test_maps_go_first_and_keep_the_other_ways_for_what_they_make() -> None:
    ours = [info("enc.0.w.weight", 2, 3), info("b.weight", 2, 3), info("my.layers.1.self_attn.v_proj.weight", 4, 4)]
    theirs = [info("net.0.w.weight", 2, 3), info("b.weight", 2, 3), info("blk.1.attn_v.weight", 4, 4)]
    assert match(ours, theirs, maps={r"^enc\.(\d)": r"net.\1", "^my": "model"}) == [
        ("enc.0.w.weight", "net.0.w.weight", "map"),
        ("b.weight", "b.weight", "identical"),
        ("my.layers.1.self_attn.v_proj.weight", "blk.1.attn_v.weight", "map, gguf"),
    ]


def test_what_only_one_has_stands_where_it_lies_and_then_at_the_end() -> None:
    found = match([info("a", 2), info("b", 2)], [info("c", 2), info("b", 2)])
    assert found == [("a", "", ""), ("b", "b", "identical"), ("", "c", "")]


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        ({"(": "x"}, "is not a regular expression"),
        ({"nowhere": "x"}, "finds none of the 2 names of A"),
        ({"model": r"\9"}, "can not put"),
        ({".*": "one"}, "of both"),
    ],
    ids=["no expression", "finds nothing", "no such group", "two become one"],
)
def test_a_map_that_can_not_be_used_is_told_in_one_line(maps: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        match([info("model.a", 2), info("model.b", 2)], [info("b", 2)], maps=maps)
    assert "\n" not in str(caught.value)
