"""What files say of their model: heads in a GGUF header, in config.json, and nothing where nothing is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.facts import read_facts
from qanalysis.checkpoints.source import ArraySource, ModelFacts


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        (
            {"model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096},
            ModelFacts("llama", 32, 8, 128),
        ),
        ({"model_type": "qwen3", "num_attention_heads": 4, "head_dim": 128}, ModelFacts("qwen3", 4, 4, 128)),
        ({"model_type": "gpt2", "n_head": 12, "n_embd": 768}, ModelFacts("gpt2", 12, 12, 64)),
        ({"text_config": {"model_type": "gemma3_text", "num_attention_heads": 8}}, ModelFacts("gemma3_text", 8, 8, 0)),
        ({"num_attention_heads": "many", "model_type": 3}, ModelFacts()),
        ({}, ModelFacts()),
    ],
    ids=["groups of queries", "own width", "older words", "language part", "nonsense", "nothing"],
)
def test_a_configuration_tells_the_heads(tmp_path: Path, config: dict[str, Any], facts: ModelFacts) -> None:
    save_file({"w": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with open_checkpoint(tmp_path) as source:
        assert source.facts == facts


@pytest.mark.parametrize("per_layer", [False, True], ids=["one number", "one for each layer"])
def test_a_gguf_header_tells_the_heads(tmp_path: Path, per_layer: bool) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_head_count(8)
    writer.add_head_count_kv([2, 4] if per_layer else 2)
    writer.add_key_length(64)
    writer.add_tensor("output_norm.weight", np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_checkpoint(tmp_path / "m.gguf") as source:
        assert source.facts == ModelFacts("llama", 8, 0 if per_layer else 2, 64)


def test_numbers_that_are_none_are_passed_over() -> None:
    said = {"general.architecture": "llama", "llama.attention.head_count": "-4", "qwen2.attention.head_count": "9"}
    assert read_facts(said, {"num_attention_heads": 3}) == ModelFacts("llama")
    assert ArraySource({}).facts == ModelFacts()
