"""A file that is not a plain model is named as what it is."""

from __future__ import annotations

import pytest

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.natures import name_nature
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.source import TensorInfo

LAYER = "model.layers.0.self_attn.q_proj"


def tell(*names, config=None, **fields):
    evidence = Evidence(config=config or {})
    infos = [TensorInfo(name, (32, 64), "float32", 8192, **fields) for name in names]
    return name_nature(assign_roles(infos, evidence), evidence)


def test_a_plain_model_needs_no_sentence():
    assert tell(f"{LAYER}.weight", "lm_head.weight", "model.embed_tokens.weight", "schema.weight") == ()


@pytest.mark.parametrize(
    "names",
    [
        [f"base_model.model.{LAYER}.lora_A.weight", f"base_model.model.{LAYER}.lora_B.weight"],
        ["lora_unet_down_blocks_0_proj_in.lora_down.weight", "lora_unet_down_blocks_0_proj_in.lora_up.weight"],
        ["blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"],
        ["lora_te_q_proj.hada_w1_a", "lora_te_q_proj.hada_w1_b"],
    ],
    ids=["peft", "kohya", "gguf", "loha"],
)
def test_factors_alone_are_an_adapter(names):
    assert tell(*names) == ("a LoRA adapter of a base model, not a model",)


def test_an_adapter_may_hold_some_layers_whole():
    (told,) = tell(f"{LAYER}.lora_A.weight", f"{LAYER}.lora_B.weight", "classifier.weight")
    assert told == "a LoRA adapter of a base model with some layers saved whole, not a model"


@pytest.mark.parametrize("base", ["weight", "base_layer.weight"])
def test_factors_beside_base_weights_are_told(base):
    (told,) = tell(f"{LAYER}.{base}", f"{LAYER}.lora_A.default.weight", f"{LAYER}.lora_B.default.weight")
    assert told.startswith("holds 2 LoRA factors beside the base weights")


def test_an_optimizers_state_alone_is_told():
    assert tell("state.0.exp_avg", "state.0.exp_avg_sq") == ("holds optimizer state only",)
    assert tell("w", "optimizer.state.0.exp_avg") == ()


def test_averages_are_told_with_the_word_of_their_key():
    assert tell("model.w", "ema.w") == ("the averaged copy (ema) is left out: the plain copy is measured",)
    assert tell("g.w_ema", "g.w") == ("the averaged copy (w_ema) is left out: the plain copy is measured",)
    assert tell("params_ema.w") == ("the average (params_ema) is the only copy: it is measured as the model",)
    assert tell("teacher.w") == ()


def test_flat_shards_are_told_with_the_way_out():
    (told,) = tell("_fsdp_wrapped_module.flat_param")
    assert "flat shards of FSDP or ZeRO (flat_param)" in told
    assert "consolidate" in told


@pytest.mark.parametrize("config", [{"tie_word_embeddings": True}, {"text_config": {"tie_word_embeddings": True}}])
def test_a_tied_head_is_told_only_where_it_is_not_in_the_file(config):
    told = ("lm_head is tied to the embedding: config.json",)
    assert tell("model.embed_tokens.weight", config=config) == told
    assert tell("model.embed_tokens.weight", "lm_head.weight", config=config) == ()
    assert tell("model.embed_tokens.weight", config=config, aliases=("lm_head.weight",)) == ()
    assert tell("model.embed_tokens.weight", config={"tie_word_embeddings": "yes"}) == ()
    assert tell("classifier.weight", config=config) == ()
