"""What do the keys and values of a context take? From a config.json: layers, heads of keys and values, their width.

bytes = 2 · layers · key and value heads · head width · context · bytes per element, for one sequence. Latent attention
(DeepSeek) keeps kv_lora_rank + qk_rope_head_dim numbers a token and layer instead; a layer with a sliding window keeps
no more tokens than its window; layers of linear attention, convolutions and recurrences keep none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.notation import quote
from qanalysis.plans.attention_layers import is_encoder, list_layers
from qanalysis.plans.model_config import ModelConfig

#: Bits of one kept number. Those of llama.cpp count the scale of their blocks of 32.
BITS_OF: Mapping[str, float] = {
    "float32": 32, "float16": 16, "bfloat16": 16, "float8": 8, "int8": 8, "int4": 4,
    "fp16": 16, "bf16": 16, "fp8": 8, "fp8_e4m3": 8, "fp8_e5m2": 8, "f32": 32, "f16": 16,
    "q8_0": 8.5, "q5_1": 6, "q5_0": 5.5, "q4_1": 5, "q4_0": 4.5, "nvfp4": 4.5,
}  # fmt: skip
DEFAULT_DTYPE = "float16"
_OF = "a key-value cache"
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads", "n_kv_heads", "multi_query_group_num")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim", "model_dim")
_HEAD_WIDTH = ("head_dim", "kv_channels", "d_kv", "attention_head_dim", "d_head")
_POSITIONS = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "n_ctx", "max_sequence_length")


@dataclass(frozen=True, slots=True)
class KeyValueCache:
    """What the cache of one sequence takes, and what that was worked out from.

    `layers` counts by kind: full, sliding, none. `per_token` is how many numbers one layer with a full cache keeps of a
    token. `notes` are sentences on what was assumed.
    """

    bytes: int
    context: int
    dtype: str
    layers: Mapping[str, int]
    per_token: int
    window: int | None = None
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As a plan's constraints hold it."""
        return {
            "bytes": self.bytes,
            "context": self.context,
            "dtype": self.dtype,
            "layers": dict(self.layers),
            "numbers_per_token_and_layer": self.per_token,
            **({"window": self.window} if self.window else {}),
        }


def measure_cache(
    config: ModelConfig, context: int | None = None, *, dtype: str = DEFAULT_DTYPE, batch: int = 1
) -> KeyValueCache:
    """What keys and values of `context` tokens take, of `batch` sequences; without a context that of the most tokens
    that the model has positions for.

    Raises ValueError for a config without what it needs, an unknown `dtype`, and a context below one token.

    >>> llama = {"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096}
    >>> measure_cache(ModelConfig(llama), 4096).bytes == 2 * 1024**3
    True
    """
    if dtype not in BITS_OF:
        raise ValueError(f"type of the cache {quote(dtype)}: is none of {', '.join(BITS_OF)}")
    notes = list[str]()
    kinds, window = ([], None) if is_encoder(config) else list_layers(config, _count_layers(config))
    if all(kind == "none" for kind in kinds):
        return _keep_nothing(config, context, dtype, len(kinds))
    tokens = _choose_context(config, context, notes)
    wide = _count_numbers(config, kinds)
    lengths = {"full": tokens, "sliding": min(tokens, window or tokens), "none": 0}
    numbers = sum(lengths[kind] * width for kind, width in zip(kinds, wide, strict=True))
    if config.find("is_encoder_decoder") is True:
        numbers *= 2
        notes.append("an encoder-decoder: keys and values of the encoder's output count for as many tokens again")
    counts = Counter[str](kinds)
    if counts["none"]:
        notes.append(
            f"{counts['none']} of {len(kinds)} layers keep no keys and values; their states of fixed size, and the "
            "working memory of the runtime, are not counted"
        )
    return KeyValueCache(
        bytes=math.ceil(numbers * batch * BITS_OF[dtype] / 8),
        context=tokens,
        dtype=dtype,
        layers=dict(counts),
        per_token=max(wide, default=0),
        window=window if counts["sliding"] else None,
        notes=tuple(notes),
    )


def _keep_nothing(config: ModelConfig, context: int | None, dtype: str, layers: int) -> KeyValueCache:
    """The cache of a model that writes no text token by token, or of one that attends nowhere."""
    tokens = _check_context(context) if context is not None else config.find_count(*_POSITIONS) or 0
    why = (
        "no layer keeps keys and values; states of fixed size, and the working memory of the runtime, are not counted"
        if layers
        else "an encoder reads all tokens at once and keeps no keys and values"
    )
    notes = (f"{config.name}: {why}, so the cache is 0 bytes",)
    return KeyValueCache(0, tokens, dtype, {"none": layers} if layers else {}, 0, notes=notes)


def _check_context(context: int) -> int:
    if isinstance(context, bool) or not isinstance(context, int) or context < 1:
        raise ValueError(f"context {quote(context)}: must be a whole number of tokens, 1 or more")
    return context


def _choose_context(config: ModelConfig, context: int | None, notes: list[str]) -> int:
    most = config.find_count(*_POSITIONS)
    if context is None:
        if most is None:
            raise ValueError(f"{config.name}: does not say how many positions there are; give --context")
        notes.append(f"no context was given: that of all {most:,} positions of {config.name} is counted")
        return most
    _check_context(context)
    if most is not None and context > most:
        notes.append(f"the context of {context:,} tokens is beyond the {most:,} positions of {config.name}")
    return context


def _count_layers(config: ModelConfig) -> int:
    """How many layers keep keys and values: of an encoder and a decoder those of the decoder."""
    of_decoder = config.find_count("num_decoder_layers", "decoder_layers")
    if config.find("is_encoder_decoder") is True and of_decoder is not None:
        return of_decoder
    return config.read_count(*_LAYERS, of=_OF)


def _count_numbers(config: ModelConfig, layers: Sequence[str]) -> list[int]:
    """Numbers that each layer keeps of a token."""
    rank = config.find_count("kv_lora_rank")
    if rank is not None:
        return [rank + config.read_count("qk_rope_head_dim", of=_OF)] * len(layers)
    heads = _list_kv_heads(config, len(layers))
    width = _find_head_width(config)
    # Of models whose layers with all tokens are built otherwise than those with a window.
    full_width = config.find_count("global_head_dim") or width
    full_heads = config.find_count("num_global_key_value_heads")
    return [
        2 * (full_heads or own) * full_width if kind == "full" else 2 * own * width
        for kind, own in zip(layers, heads, strict=True)
    ]


def _list_kv_heads(config: ModelConfig, layers: int) -> list[int]:
    """Heads of keys and values of each layer."""
    listed = config.find(*_KV_HEADS)
    blocks = config.find("block_configs")
    if isinstance(blocks, list) and listed is None:
        listed = [_read_block(config, block) for block in blocks]
    if not isinstance(listed, list):
        return [_count_kv_heads(config)] * layers
    if len(listed) != layers or not all(type(one) is int and 0 <= one < 1 << 20 for one in listed):
        raise ValueError(f"{config.name}: key and value heads are {quote(listed)}, must be a count for each layer")
    return listed


def _read_block(config: ModelConfig, block: Any) -> int:
    """Heads of a block that says how many queries share one, or that it does not attend."""
    attention = block.get("attention") if isinstance(block, Mapping) else None
    group = attention.get("n_heads_in_group") if isinstance(attention, Mapping) else None
    return config.read_count(*_HEADS, of=_OF) // group if type(group) is int and group > 0 else 0


def _count_kv_heads(config: ModelConfig) -> int:
    """Heads of keys and values: as many as of queries unless it says otherwise, one of a multi-query model."""
    old_falcon = config.find("multi_query") is True and config.find("new_decoder_architecture") is not True
    if old_falcon:
        return 1
    if config.find("multi_query_attention") is False:
        return config.read_count(*_HEADS, of=_OF)
    if config.find("attn_type") == "multiquery_attention":
        return 1
    found = config.find_count(*_KV_HEADS)
    return found if found is not None else config.read_count(*_HEADS, of=_OF)


def _find_head_width(config: ModelConfig) -> int:
    explicit = config.find_count(*_HEAD_WIDTH)
    if explicit is not None:
        return explicit
    hidden, heads = config.read_count(*_WIDTH, of=_OF), config.read_count(*_HEADS, of=_OF)
    if hidden % heads:
        raise ValueError(
            f"{config.name}: {hidden} numbers do not divide into {heads} heads, and there is no head_dim; add it"
        )
    return hidden // heads
