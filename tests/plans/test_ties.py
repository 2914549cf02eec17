"""What runtimes join, by the names that models have, and what a user ties."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis import plan_bits
from qanalysis.plans.tensors import PlanTensor
from qanalysis.plans.ties import tie_tensors
from qanalysis.sweeps.sweep import sweep


def tie(names: list[str], *ties: str) -> list[tuple[str, list[str]]]:
    return [(one.name, list(one.members)) for one in tie_tensors([PlanTensor(name) for name in names], ties)]


L = "model.layers.0."
VLLM = {
    "hf": [f"{L}self_attn.{one}_proj.weight" for one in "qkv"],
    "gate-up": [f"{L}mlp.gate_proj.weight", f"{L}mlp.up_proj.weight"],
    "experts": [
        f"{L}block_sparse_moe.experts.{number}.{one}.weight" for number in (0, 1) for one in ("w1", "w2", "w3")
    ],
    "stacked": [f"{L}mlp.experts.gate_up_proj", f"{L}mlp.experts.down_proj"],
    "gguf-attention": [f"blk.0.attn_{one}.weight" for one in "qkv"],
    "gguf-ffn": ["blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"],
    "gguf-experts": [f"blk.0.ffn_{one}_exps.weight" for one in ("gate", "up", "down")],
    "gguf-shared": ["blk.0.ffn_gate_shexp.weight", "blk.0.ffn_up_shexp.weight"],
    "bert": [f"encoder.layer.0.attention.self.{one}.weight" for one in ("query", "key", "value")],
    "mlx": [f"{L}mlp.switch_mlp.{one}_proj.weight" for one in ("gate", "up", "down")],
    "meta": ["layers.0.feed_forward.w1.weight", "layers.0.feed_forward.w3.weight"],
    "latent": [f"{L}self_attn.q_a_proj.weight", f"{L}self_attn.kv_a_proj_with_mqa.weight"],
    "shared": [f"{L}mlp.shared_expert.gate_proj.weight", f"{L}mlp.shared_expert.up_proj.weight"],
}


@pytest.mark.parametrize("names", VLLM.values(), ids=list(VLLM))
def test_vllm_joins(names: list[str]) -> None:
    alone = [
        f"{L}self_attn.o_proj.weight",
        f"{L}mlp.gate.weight",
        "lm_head.weight",
        "w1",
        "w3",
        "blk.0.ffn_down.weight",
    ]
    other = [name.replace("0", "17", 1) for name in names]
    assert [members for _name, members in tie([*alone, *names, *other], "vllm")] == [names, other]


def test_llama_cpp_joins_experts_of_one_kind_alone() -> None:
    names = [*VLLM["hf"], *VLLM["experts"]]
    found = tie(names, "llama.cpp")
    assert [members for _name, members in found] == [
        [one for one in names if f".{kind}." in one] for kind in ("w1", "w2", "w3")
    ]
    assert tie(VLLM["gguf-experts"], "llama.cpp") == []


def test_an_expression_ties_what_its_groups_share_and_without_groups_all() -> None:
    names = ["a.0.x", "a.0.y", "a.1.x", "a.1.y", "head"]
    assert tie(names, r"a\.(\d)") == [(r"a\.(\d): 0", names[:2]), (r"a\.(\d): 1", names[2:4])]
    assert tie(names, "^a") == [("^a", names[:4])]
    assert [members for _name, members in tie(names, r"(\d)\.x|y", "head|a.1.y")] == [["a.0.y", "a.1.y", "head"]]
    for wrong, told in (
        ("nowhere", "has a match in no name"),
        (r"(a\.0\.x)", "only one name"),
        ("(", "no.* expression"),
    ):
        with pytest.raises(ValueError, match=told):
            tie(names, wrong)


def test_groups_that_share_a_tensor_are_one() -> None:
    assert tie(["a", "b", "c", "d", "e"], "a|b", "d|e", "b|d") == [("a|b", ["a", "b", "d", "e"])]


def test_other_names_of_a_tensor_count() -> None:
    tied = PlanTensor("embed", aliases=("lm_head",))
    assert tie_tensors([tied, PlanTensor("other")], ["lm_head|other"])[0].members == ("embed", "other")


def test_tied_tensors_have_one_scheme_and_are_counted_whole() -> None:
    draw = np.random.default_rng(0).normal
    arrays = {
        f"h.0.{one}_proj": draw(size=(8, 32)).astype(np.float32) * scale
        for one, scale in zip("qkv", (1, 5, 9), strict=True)
    }
    plan = plan_bits(sweep(arrays, ["int2 channel", "int4 channel", "int8 channel"]), budget_bpw=5.5, tie="vllm")
    assert set(plan.assignments.values()) == {
        "int4 channel"
    }  # 5 bits with their scales; one of them at 8 would not fit
    assert {(row.group, row.decided_by) for row in plan} == {("h.0.qkv", "group")}
    assert plan.constraints["groups"][0]["scheme"] == "int4 channel"


def test_a_group_without_a_common_scheme_is_told_with_what_each_has() -> None:
    draw = np.random.default_rng(0).normal
    wide = sweep({"q_proj": draw(size=(4, 32))}, ["gguf:q4_0"])
    narrow = sweep({"k_proj": draw(size=(4, 30))}, ["int4"])
    wide, narrow = (type(one)(one.rows, one.totals) for one in (wide, narrow))
    with pytest.raises(ValueError, match=r"'qkv' has no scheme in common: 'q_proj' has gguf:q4_0; 'k_proj' has int4;"):
        plan_bits([wide, narrow], budget_bpw=8, tie="vllm")


def test_a_group_that_is_excluded_in_part_is_told() -> None:
    table = sweep({f"{one}_proj": np.random.default_rng(0).normal(size=(4, 32)) for one in "qkv"}, ["int4"])
    with pytest.raises(
        ValueError, match="the group 'qkv' has one scheme, but 'q_proj' is excluded and 'k_proj' is not"
    ):
        plan_bits(table, budget_bpw=8, tie="vllm", exclude="q_proj")


def test_a_dense_part_and_a_shared_expert_of_one_block_are_two() -> None:
    names = [f"blk.0.ffn_{one}{kind}.weight" for kind in ("", "_shexp") for one in ("gate", "up")]
    assert [group.members for group in tie_tensors([PlanTensor(name) for name in names], ["vllm"])] == [
        tuple(names[:2]),
        tuple(names[2:]),
    ]
