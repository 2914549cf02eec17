"""Which layers of a model keep keys and values of all tokens, which of a window, which of none? As config.json says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from qanalysis.notation import quote
from qanalysis.plans.model_config import ModelConfig

#: Models that read all tokens at once, and what the names of classes that do end in.
_ENCODERS = {
    "bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "distilbert", "albert", "electra", "deberta",
    "deberta-v2", "mobilebert", "squeezebert", "modernbert", "nomic_bert", "neobert", "eurobert", "convbert", "ibert",
    "luke", "lxmert", "megatron-bert", "visual_bert", "esm", "mpnet", "longformer", "big_bird", "layoutlm",
    "layoutlmv2", "layoutlmv3", "ernie", "flaubert", "funnel", "roformer", "rembert", "nystromformer", "fnet",
    "data2vec-text", "data2vec-vision", "data2vec-audio", "vit", "vit_mae", "vit_msn", "deit", "beit", "dinov2",
    "dinov2_with_registers", "dinov3_vit", "swin", "swinv2", "convnext", "convnextv2", "resnet", "regnet",
    "efficientnet", "mobilenet_v1", "mobilenet_v2", "segformer", "detr", "yolos", "hiera", "sam", "clip",
    "clip_text_model", "siglip", "siglip_text_model", "siglip2", "chinese_clip", "wav2vec2", "wav2vec2-bert", "hubert",
    "wavlm", "sew", "unispeech",
}  # fmt: skip
_ENCODING = ("ForMaskedLM", "EncoderModel", "ForImageClassification")

LayerKind = Literal["full", "sliding", "none"]

_FULL = ("full", "attention", "global", "self_attention", "hybrid", "*")
_WINDOWED = ("sliding", "local", "chunked", "window")
#: Of models without a list of layers: the kind of every n-th layer is full, the others have the window.
_EVERY = {
    "gemma2": 2, "gemma3": 6, "gemma3_text": 6, "gemma3n": 5, "gemma3n_text": 5, "cohere2": 4, "gpt_oss": 2,
    "llama4": 4, "llama4_text": 4, "olmo3": 4, "exaone4": 4,
}  # fmt: skip
_WITHOUT_CACHE = ("mamba", "mamba2", "falcon_mamba", "rwkv", "rwkv5", "rwkv6", "rwkv7", "xlstm")


def list_layers(config: ModelConfig, count: int) -> tuple[list[LayerKind], int | None]:
    """The kind of each of `count` layers, and the window of those that have one, in tokens.

    Raises ValueError for lists that are not as long as there are layers.

    >>> gemma = {"model_type": "gemma2", "sliding_window": 4096}
    >>> list_layers(ModelConfig(gemma), 4)
    (['sliding', 'full', 'sliding', 'full'], 4096)
    """
    window = _find_window(config)
    kinds = _list_kinds(config, count, window)
    shared = config.find("num_kv_shared_layers")
    if isinstance(shared, int) and not isinstance(shared, bool) and 0 < shared < count:
        # The last ones look into what earlier ones keep.
        kinds = [kind if place < count - shared else "none" for place, kind in enumerate(kinds)]
    return [kind if kind != "sliding" or window else "full" for kind in kinds], window


def is_encoder(config: ModelConfig) -> bool:
    """Whether a model writes no text token by token, so that nothing is kept from one to the next.

    >>> is_encoder(ModelConfig({"model_type": "bert"})), is_encoder(ModelConfig({"model_type": "llama"}))
    (True, False)
    """
    if config.find("is_decoder") is True:
        return False
    classes = config.find("architectures")
    named = [one for one in classes if isinstance(one, str)] if isinstance(classes, list) else []
    return config.model_type in _ENCODERS or (bool(named) and all(one.endswith(_ENCODING) for one in named))


def _find_window(config: ModelConfig) -> int | None:
    used = config.find("use_sliding_window")
    if used is False or (used is None and config.model_type.startswith("qwen")):
        return None
    if config.find("sliding_window") in (0, -1):
        return None
    return config.find_count("sliding_window", "sliding_window_size", "attention_chunk_size", "attention_window_size")


def _list_kinds(config: ModelConfig, count: int, window: int | None) -> list[LayerKind]:
    listed = _find_list(config, count)
    if listed is not None:
        return listed
    attending = _find_attending(config, count)
    if attending is not None:
        return ["full" if place in attending else "none" for place in range(count)]
    if config.model_type in _WITHOUT_CACHE:
        return ["none"] * count
    if window is None:
        return ["full"] * count
    full_until = config.find("max_window_layers")
    if isinstance(full_until, int) and config.model_type.startswith(("qwen", "dream")):
        return ["full" if place < full_until else "sliding" for place in range(count)]
    told = [config.find(key) for key in ("sliding_window_pattern", "no_rope_layer_interval")]
    period = next(filter(_is_count, told), _EVERY.get(config.model_type, 0))
    return ["full" if period and (place + 1) % period == 0 else "sliding" for place in range(count)]


def _find_list(config: ModelConfig, count: int) -> list[LayerKind] | None:
    """The kinds of a list with one entry, word or letter for each layer, or of one that repeats."""
    pattern = config.find("hybrid_override_pattern")
    words: Any = config.find("layer_types", "layers_block_type")
    if words is None and isinstance(pattern, str):
        words = list(pattern.replace("|", ""))
    if isinstance(words, list):
        if len(words) != count or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{config.name}: layer_types is {quote(words)}, must be {count} words, one for each layer")
        return [_read_word(word) for word in words]
    repeating = config.find("block_types", "_block_types")
    if isinstance(repeating, list) and repeating and all(isinstance(word, str) for word in repeating):
        windowed = config.find("attention_window_size") is not None
        kinds = [_read_word(repeating[place % len(repeating)]) for place in range(count)]
        return ["sliding" if kind == "full" and windowed else kind for kind in kinds]
    rotated = config.find("no_rope_layers")
    if isinstance(rotated, list) and len(rotated) == count and config.model_type.startswith("llama4"):
        return ["sliding" if one else "full" for one in rotated]
    return None


def _read_word(word: str) -> LayerKind:
    plain = word.lower()
    if "linear" in plain:
        return "none"
    if plain.startswith(_WINDOWED):
        return "sliding"
    return "full" if plain.startswith(_FULL) else "none"


def _find_attending(config: ModelConfig, count: int) -> frozenset[int] | None:
    """The numbers of the layers that attend, in models whose others do not; None where it does not say."""
    places = config.find("attn_layer_indices", "full_attn_idxs", "attn_layer_idx")
    if _is_list_of_counts(places):
        return frozenset(places)
    if config.find("ssm_cfg") is not None:
        return frozenset()
    kinds = config.find("attn_type_list")
    if _is_list_of_counts(kinds) and len(kinds) == count:
        return frozenset(place for place, kind in enumerate(kinds) if kind == 1)
    linear = config.find("linear_attn_config")
    if isinstance(linear, dict) and _is_list_of_counts(linear.get("full_attn_layers")):
        return frozenset(place - 1 for place in linear["full_attn_layers"])
    for key, first in (("full_attention_interval", -1), ("attn_layer_period", config.find("attn_layer_offset") or 0)):
        period = config.find(key)
        if _is_count(period) and isinstance(first, int):
            return frozenset(place for place in range(count) if place % period == first % period)
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_list_of_counts(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(type(one) is int for one in value)
