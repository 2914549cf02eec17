"""What does a file say of its model beside the tensors? The heads of its attention, which order the rows of q and k."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qanalysis.checkpoints.siblings import Siblings
from qanalysis.checkpoints.source import ModelFacts

ARCHITECTURE = "general.architecture"
_HEADS, _KV_HEADS, _WIDTH = ".attention.head_count", ".attention.head_count_kv", ".attention.key_length"
#: How keys of a GGUF header end that are kept; the architecture stands in front.
KEPT_ENDINGS = (_HEADS, _KV_HEADS, _WIDTH)


def read_facts(metadata: Mapping[str, str], config: Mapping[str, Any]) -> ModelFacts:
    """The facts of a GGUF header, else those of config.json.

    >>> read_facts({"general.architecture": "llama", "llama.attention.head_count": "8"}, {})
    ModelFacts(architecture='llama', heads=8, kv_heads=8, head_width=0)
    """
    architecture = metadata.get(ARCHITECTURE, "")
    if architecture:
        said = {ending: _number(metadata.get(f"{architecture}{ending}", "")) for ending in KEPT_ENDINGS}
        # Where the key is there and no number, layers differ.
        alike = 0 if f"{architecture}{_KV_HEADS}" in metadata else said[_HEADS]
        return ModelFacts(architecture, said[_HEADS], said[_KV_HEADS] or alike, said[_WIDTH])
    beside = Siblings({}, config)
    heads = beside.read_number("num_attention_heads", "n_head", "n_heads", "num_heads")
    kv_heads = beside.read_number("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
    hidden = beside.read_number("hidden_size", "n_embd", "d_model")
    width = beside.read_number("head_dim") or (hidden // heads if heads and hidden % heads == 0 else 0)
    return ModelFacts(beside.model_type, heads, kv_heads or heads, width)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
