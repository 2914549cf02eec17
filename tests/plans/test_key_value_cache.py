"""Bytes of keys and values, worked by hand from what config.json files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qanalysis.plans.key_value_cache import measure_cache
from qanalysis.plans.model_config import ModelConfig

GIB = 1 << 30
LLAMA_2 = {
    "model_type": "llama", "num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096,
    "num_key_value_heads": 32, "max_position_embeddings": 4096,
}  # fmt: skip
LLAMA_3 = LLAMA_2 | {"num_key_value_heads": 8, "max_position_embeddings": 8192}
GPT_2 = {"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}
DEEPSEEK = {
    "model_type": "deepseek_v3", "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
    "hidden_size": 7168, "kv_lora_rank": 512, "qk_rope_head_dim": 64,
}  # fmt: skip
GEMMA_3 = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 256, "hidden_size": 2560, "sliding_window": 1024,
    },
}  # fmt: skip
QWEN_NEXT = LLAMA_2 | {
    "model_type": "qwen3_next", "num_hidden_layers": 8, "num_key_value_heads": 2, "head_dim": 256,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"] + ["linear_attention"] * 3 + ["full_attention"],
}  # fmt: skip
FALCON = {
    "model_type": "falcon", "num_hidden_layers": 32, "num_attention_heads": 71, "hidden_size": 4544, "multi_query": True,
}  # fmt: skip

LLAMA_4 = {
    "model_type": "llama4_text", "num_hidden_layers": 8, "num_attention_heads": 40, "num_key_value_heads": 8,
    "head_dim": 128, "hidden_size": 5120, "attention_chunk_size": 64, "no_rope_layers": [],
}  # fmt: skip
MPT = {
    "model_type": "mpt", "n_layers": 32, "n_heads": 32, "d_model": 4096, "attn_config": {"attn_type": "multiquery_attention"},
}  # fmt: skip
BERT = {"model_type": "bert", "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768}
WITHOUT: dict[str, dict[str, Any]] = {
    "encoder": BERT,
    "encoder-by-its-class": BERT | {"model_type": "new", "architectures": ["NewForMaskedLM"]},
    "images": {"model_type": "resnet", "depths": [3, 4, 6, 3]},
    "recurrent-without-heads": {"model_type": "mamba", "num_hidden_layers": 24, "hidden_size": 768},
    "recurrent-of-its-own-package": {"d_model": 2560, "n_layer": 64, "ssm_cfg": {}},
}

CASES: dict[str, tuple[dict[str, Any], int, int]] = {
    "every-fourth-is-full-by-the-default": (LLAMA_4, 100, 2 * 8 * 128 * 2 * (6 * 64 + 2 * 100)),
    "every-second-is-full-by-its-own-word": (
        LLAMA_4 | {"no_rope_layer_interval": 2},
        100,
        2 * 8 * 128 * 2 * (4 * 64 + 4 * 100),
    ),
    "no-window-is-zero": (LLAMA_3 | {"sliding_window": 0}, 100, 2 * 32 * 8 * 128 * 100 * 2),
    "one-head-by-the-word-of-attention": (MPT, 2048, 2 * 32 * 128 * 2048 * 2),
    "encoder-that-decodes": (BERT | {"is_decoder": True}, 100, 2 * 12 * 768 * 100 * 2),
    "llama-2-7b": (LLAMA_2, 4096, 2 * 32 * 32 * 128 * 4096 * 2),
    "llama-3-8b": (LLAMA_3, 4096, 2 * 32 * 8 * 128 * 4096 * 2),
    "gpt-2": (GPT_2, 1024, 2 * 12 * 12 * 64 * 1024 * 2),
    "latent": (DEEPSEEK, 4096, 61 * 576 * 4096 * 2),
    "every-sixth-is-full": (GEMMA_3, 8192, 2 * 4 * 256 * 2 * (10 * 1024 + 2 * 8192)),
    "window-longer-than-context": (GEMMA_3, 512, 2 * 4 * 256 * 2 * 12 * 512),
    "linear-layers-keep-none": (QWEN_NEXT, 2048, 2 * 2 * 256 * 2 * 2 * 2048),
    "one-head-for-all": (FALCON, 2048, 2 * 32 * 64 * 2048 * 2),
    "window-of-all": (LLAMA_3 | {"model_type": "mistral", "sliding_window": 1000}, 4096, 2 * 32 * 8 * 128 * 1000 * 2),
    "window-not-used": (
        LLAMA_3 | {"sliding_window": 9, "use_sliding_window": False},
        4096,
        2 * 32 * 8 * 128 * 4096 * 2,
    ),
    "heads-by-layer": (LLAMA_2 | {"num_key_value_heads": [1, 2] * 16}, 100, 2 * 48 * 128 * 100 * 2),
    "pattern": (
        LLAMA_2 | {"num_hidden_layers": 6, "hybrid_override_pattern": "M-*M-*"},
        100,
        2 * 2 * 32 * 128 * 100 * 2,
    ),
    "shared": (LLAMA_2 | {"num_hidden_layers": 5, "num_kv_shared_layers": 2}, 100, 2 * 3 * 32 * 128 * 100 * 2),
    "state-space": ({"model_type": "mamba", "num_hidden_layers": 4, "hidden_size": 64, "num_heads": 1}, 100, 0),
}


@pytest.mark.parametrize(("config", "context", "size"), CASES.values(), ids=list(CASES))
def test_bytes_are_those_worked_by_hand(config: dict[str, Any], context: int, size: int) -> None:
    assert measure_cache(ModelConfig(config), context).bytes == size


@pytest.mark.parametrize("config", WITHOUT.values(), ids=list(WITHOUT))
@pytest.mark.parametrize("context", [None, 512])
def test_models_that_keep_nothing_take_nothing_and_it_is_said(config: dict[str, Any], context: int | None) -> None:
    cache = measure_cache(ModelConfig(config), context)
    assert (cache.bytes, cache.context) == (0, context or 0)
    assert [note.endswith("so the cache is 0 bytes") for note in cache.notes] == [True]


def test_the_known_models_take_two_gib_and_a_quarter_of_it() -> None:
    assert measure_cache(ModelConfig(LLAMA_2), 4096).bytes == 2 * GIB
    assert measure_cache(ModelConfig(LLAMA_3), 4096).bytes == GIB // 2


def test_the_type_of_the_cache_counts() -> None:
    sizes = {
        word: measure_cache(ModelConfig(LLAMA_3), 4096, dtype=word).bytes for word in ("float8", "q8_0", "float32")
    }
    assert sizes == {"float8": GIB // 4, "q8_0": GIB // 4 * 17 // 16, "float32": GIB}
    with pytest.raises(ValueError, match="type of the cache 'float9': is none of float32, float16"):
        measure_cache(ModelConfig(LLAMA_3), 4096, dtype="float9")


def test_a_context_beyond_the_positions_is_noted_and_none_means_all() -> None:
    assert "beyond the 4,096 positions" in measure_cache(ModelConfig(LLAMA_2), 5000).notes[0]
    whole = measure_cache(ModelConfig(LLAMA_2))
    assert (whole.context, whole.bytes) == (4096, 2 * GIB)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({}, "config.json: has no num_hidden_layers or n_layer"),
    "no-heads": ({"num_hidden_layers": 2, "hidden_size": 8}, "has no num_attention_heads or n_head"),
    "no-width": ({"num_hidden_layers": 2, "num_attention_heads": 8}, "has no hidden_size or n_embd"),
    "odd-width": (LLAMA_2 | {"hidden_size": 4097}, "4097 numbers do not divide into 32 heads"),
    "text": (LLAMA_2 | {"num_hidden_layers": "32"}, "num_hidden_layers is '32', must be a whole number above zero"),
    "kinds": (LLAMA_2 | {"layer_types": ["full_attention"]}, "must be 32 words, one for each layer"),
    "latent": ({"num_hidden_layers": 2, "kv_lora_rank": 512}, "has no qk_rope_head_dim"),
}


@pytest.mark.parametrize(("config", "told"), WRONG.values(), ids=list(WRONG))
def test_a_config_that_lacks_what_is_needed_is_told(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        measure_cache(ModelConfig(config), 16)


def test_files_that_are_no_config_are_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3))
    assert measure_cache(ModelConfig.read(tmp_path), 4096).bytes == GIB // 2
    for text, told in (("{", "not valid JSON"), ("[1]", "holds no object"), ("[" * 100_000, "not valid JSON")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=told):
            ModelConfig.read(tmp_path / "bad.json")
    with pytest.raises(ValueError, match=r"none\.json: no such file"):
        ModelConfig.read(tmp_path / "none.json")
