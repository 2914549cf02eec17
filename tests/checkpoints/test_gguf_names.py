"""Names of tensors in GGUF: whatever the architecture, the outer module and the way experts are kept."""

from __future__ import annotations

import gguf
import pytest

from qanalysis.checkpoints.gguf_names import GgufName, match_names, name_for_gguf

KNOWN = dict.fromkeys(
    [
        "output.weight",
        *(
            f"blk.{block}.{part}.weight"
            for block in range(40)
            for part in ("attn_q", "attn_qkv", "ffn_down", "ffn_up", "ffn_gate_exps", "ffn_down_exps")
        ),
    ]
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.31.self_attn.q_proj.weight", GgufName("blk.31.attn_q.weight")),
        ("layers.7.mlp.down_proj.weight", GgufName("blk.7.ffn_down.weight")),
        ("model.language_model.layers.4.mlp.down_proj.weight", GgufName("blk.4.ffn_down.weight")),
        ("bert.encoder.layer.3.attention.self.query.weight", GgufName("blk.3.attn_q.weight")),
        ("transformer.h.2.mlp.c_fc.weight", GgufName("blk.2.ffn_up.weight")),
        ("h.2.attn.c_attn.weight", GgufName("blk.2.attn_qkv.weight")),
        ("lm_head.weight", GgufName("output.weight")),
        ("model.layers.3.block_sparse_moe.experts.5.w1.weight", GgufName("blk.3.ffn_gate_exps.weight", 5)),
        ("model.layers.3.mlp.experts.12.gate_proj.weight", GgufName("blk.3.ffn_gate_exps.weight", 12)),
        ("model.layers.3.mlp.experts.gate_up_proj", GgufName("blk.3.ffn_gate_exps.weight")),
        ("model.layers.3.mlp.experts.down_proj", GgufName("blk.3.ffn_down_exps.weight")),
        ("blk.3.attn_q.weight", GgufName("blk.3.attn_q.weight")),
    ],
)
def test_a_name_of_the_model_is_found_among_those_of_the_file(name: str, expected: GgufName) -> None:
    assert match_names([name], KNOWN) == {name: expected}


def test_what_is_not_known_is_left_out_and_the_model_s_own_name_comes_first() -> None:
    own = "model.layers.0.self_attn.q_proj.weight"
    assert match_names(["fc1.weight", "x" * 5000, own], {own: 1, "blk.0.attn_q.weight": 2}) == {own: GgufName(own)}


def test_a_whole_model_is_named_by_one_architecture() -> None:
    names = [f"model.layers.{block}.self_attn.{part}_proj.weight" for block in (0, 11) for part in "qkvo"]
    found = name_for_gguf(["model.embed_tokens.weight", *names, "model.norm.weight", "own.weight"])
    assert [one.name for one in found.values()] == [
        "token_embd.weight",
        *(f"blk.{block}.attn_{part}.weight" for block in (0, 11) for part in ("q", "k", "v", "output")),
        "output_norm.weight",
    ]


def test_many_names_of_a_kind_are_translated_each_with_its_own_numbers() -> None:
    names = [f"model.layers.{block}.mlp.experts.{expert}.up_proj.weight" for block in range(24) for expert in range(64)]
    found = name_for_gguf([*names, "model.layers.3.self_attn.q_proj.weight", "model.mystery.3.weight"])
    assert len(found) == len(names) + 1
    assert found["model.layers.17.mlp.experts.63.up_proj.weight"] == GgufName("blk.17.ffn_up_exps.weight", 63)
    assert name_for_gguf([]) == {}


def test_the_table_that_all_architectures_share_stays_as_the_package_has_it() -> None:
    name_for_gguf(["model.norm.weight"])
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.DEEPSEEK2, 1)
    assert table.get_name("model.layers.0.post_attention_layernorm") == "blk.0.ffn_norm"


LAYER = "model.layers.0."
FUSED = ["input_layernorm", "post_attention_layernorm", "self_attn.qkv_proj", "mlp.gate_up_proj", "mlp.down_proj"]


@pytest.mark.parametrize("known", [(), ("blk.3.attn_norm.weight", "blk.3.ffn_norm.weight", "blk.3.ffn_up.weight")])
def test_a_name_that_tables_know_by_several_is_that_of_the_file_or_of_most_tables(known: tuple[str, ...]) -> None:
    names = ["model.embed_tokens.weight", *(f"{LAYER}{one}.weight" for one in FUSED)]
    assert name_for_gguf(names, known)[f"{LAYER}post_attention_layernorm.weight"].name == "blk.0.ffn_norm.weight"
    gemma = name_for_gguf(names, ("blk.7.post_attention_norm.weight",))
    assert gemma[f"{LAYER}post_attention_layernorm.weight"].name == "blk.0.post_attention_norm.weight"
