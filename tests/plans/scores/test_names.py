"""Entries find their tensors by the same name, without prefixes, and through GGUF's names in both directions."""

from __future__ import annotations

import pytest

from qanalysis.plans.scores.names import match_entries
from qanalysis.plans.tensors import PlanTensor

HF = "model.layers.3.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("tensor", "entry"),
    [
        (HF, HF),
        (HF, "model.layers.3.self_attn.q_proj"),
        (HF, "layers.3.self_attn.q_proj.weight"),
        (f"module.{HF}", HF),
        (f"_orig_mod.{HF}", "model.layers.3.self_attn.q_proj"),
        (HF, "blk.3.attn_q.weight"),
        (HF, "blk.3.attn_q"),
        ("blk.3.attn_q.weight", HF),
        ("blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj"),
        ("lm_head.weight", "output.weight"),
        ("token_embd.weight", "model.embed_tokens"),
    ],
)
def test_an_entry_finds_its_tensor(tensor: str, entry: str) -> None:
    found = match_entries([PlanTensor(tensor)], [entry, "model.layers.4.mlp.down_proj"])
    assert found[tensor].name == entry


def test_experts_of_a_stack_are_told_by_their_number() -> None:
    name = "model.layers.0.mlp.experts.2.up_proj.weight"
    assert match_entries([PlanTensor(name)], ["blk.0.ffn_up_exps.weight"])[name].expert == 2


def test_an_alias_finds_the_entry_of_a_tied_tensor() -> None:
    tensor = PlanTensor("lm_head.weight", aliases=("model.embed_tokens.weight",))
    assert match_entries([tensor], ["model.embed_tokens"])["lm_head.weight"].name == "model.embed_tokens"


def test_what_would_fit_several_is_left_out() -> None:
    tensors = [PlanTensor("model.fc.weight"), PlanTensor("module.fc.weight")]
    assert match_entries(tensors, ["fc"]) == {}
    assert match_entries([PlanTensor("fc.weight")], ["model.fc", "module.fc"]) == {}


def test_names_of_another_model_find_nothing() -> None:
    assert match_entries([PlanTensor("conv1.weight")], ["blk.0.attn_q.weight", "something"]) == {}
