"""What would a cache of keys and values hold? What the model hands out as its cache, else the outputs of projections
that are named as keys and values are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from qanalysis.models.activations.input_statistics import name_type, to_tokens
from qanalysis.models.activations.places import Place, Take
from qanalysis.models.calibration.samples import FIRST_INPUT, Batch
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.silence import silenced
from qanalysis.models.running.torch_model import TorchModel

Part = Literal["keys", "values"]
#: What a model may raise that knows no cache.
_FAILURES = (ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
#: Under which words a model returns its cache; the first that is there is taken.
_CACHES = ("cache", "past_key_values")
_CROSS = re.compile("cross|encdec|encoder_attn")
_PARTS: tuple[Part, ...] = ("keys", "values")
_KEYS = ("k_proj", "key", "to_k", "wk", "k_lin", "key_proj", "k")
_VALUES = ("v_proj", "value", "to_v", "wv", "v_lin", "value_proj", "v")
#: Queries, keys and values from one projection: one third each, or a third of each head.
_FUSED_IN_THIRDS = ("qkv", "c_attn", "qkv_proj", "in_proj", "wqkv", "to_qkv")
_FUSED_BY_HEAD = ("query_key_value",)
_HEAD_COUNTS = ("num_key_value_heads", "num_kv_heads", "num_attention_heads", "num_heads", "n_heads", "n_head", "heads")


@dataclass(frozen=True, slots=True)
class Projection:
    """A layer whose output holds keys or values: which attention they belong to, where they lie in the output (its
    first third and the like, or a third of each head), and into how many heads they part.
    """

    attention: str
    part: Part
    layer: str
    third: int | None = None
    by_head: bool = False
    heads: int = 1

    def take(self, tokens: Tensor) -> Tensor:
        """The part of an output, (tokens, features), that this is about, (tokens, heads x channels)."""
        if self.third is None:
            return tokens
        if self.by_head:
            return tokens.reshape(len(tokens), self.heads, 3, -1)[:, :, self.third].reshape(len(tokens), -1)
        return tokens.reshape(len(tokens), 3, -1)[:, self.third]


@dataclass(frozen=True, slots=True)
class KeysAndValues:
    """Where keys and values come from: the attentions whose cache the model hands out, in its order, with their heads,
    or projections; and the names of those that are wanted.
    """

    cached: Sequence[tuple[str, int]] = ()
    projections: Sequence[Projection] = ()
    wanted: frozenset[str] | None = None

    def list_places(self) -> list[Place]:
        """Those that are wanted, layer by layer."""
        found = [Place(attention, part, heads) for attention, heads in self.cached for part in _PARTS]
        found += dict.fromkeys(Place(one.attention, one.part, one.heads) for one in self.projections)
        return [place for place in found if self.wanted is None or place.name in self.wanted]

    def watch(self, model: Runnable, batch: Batch, take: Take) -> None:
        """Run the model and hand over keys and values, (tokens, heads x channels)."""
        places = {place.name: place for place in self.list_places()}
        if self.cached and places:
            for (attention, _heads), pair in zip(self.cached, read_cache(model, batch), strict=False):
                for part, one in zip(_PARTS, pair, strict=True):
                    if f"{attention}:{part}" in places:
                        tokens = one.transpose(1, 2).reshape(-1, one.shape[1] * one.shape[3])
                        take(places[f"{attention}:{part}"], to_tokens(tokens, 1), name_type(one))
            return
        by_layer = dict[str, list[Projection]]()
        for projection in self.projections:
            if f"{projection.attention}:{projection.part}" in places:
                by_layer.setdefault(projection.layer, []).append(projection)

        def receive(layer: str, values: Tensor) -> None:
            tokens = values.reshape(-1, values.shape[-1])
            for one in by_layer[layer]:
                take(places[f"{one.attention}:{one.part}"], to_tokens(one.take(tokens), 1), name_type(values))

        if by_layer:
            model.watch(batch, list(by_layer), receive, side="output")


def find_keys_values(model: Runnable, batch: Batch) -> KeysAndValues | None:
    """Where keys and values come from, found out on one sample; None where nothing tells."""
    projections, pairs = find_projections(model), read_cache(model, batch.cut(0, 1))
    if not pairs:
        return KeysAndValues(projections=projections) if projections else None
    attentions = list(dict.fromkeys(one.attention for one in projections))
    if len(attentions) != len(pairs):
        # A model that encodes and decodes keeps what its decoder's own attention saw.
        attentions = [name for name in attentions if "decoder" in name and not _CROSS.search(name.lower())]
    if len(attentions) != len(pairs):
        attentions = [f"cache.{number}" for number in range(len(pairs))]
    heads = [int(keys.shape[1]) for keys, _values in pairs]
    return KeysAndValues(cached=list(zip(attentions, heads, strict=True)))


def find_projections(model: Runnable) -> list[Projection]:
    """The projections of keys and values, in the order of the model, as far as their names and shapes tell."""
    found, names = list[Projection](), set[str]()
    for layer in model.layers:
        if layer.tensor.role != "weight" or not layer.tensor.is_matrix or layer.name in names:
            continue
        names.add(layer.name)
        attention, _dot, word = layer.name.rpartition(".")
        outputs = layer.tensor.view.sizes(layer.tensor.shape)[0]
        found += _read_name(model, layer.name, attention, word.lower(), outputs)
    parts = {(one.attention, one.part) for one in found}
    # A lone "key" or "v" may be anything; an attention has both.
    return [one for one in found if {(one.attention, "keys"), (one.attention, "values")} <= parts]


def _read_name(model: Runnable, layer: str, attention: str, word: str, outputs: int) -> Iterator[Projection]:
    heads = count_heads(model, attention, outputs)
    if word in _KEYS:
        yield Projection(attention, "keys", layer, heads=heads)
    elif word in _VALUES:
        yield Projection(attention, "values", layer, heads=heads)
    elif word in (*_FUSED_IN_THIRDS, *_FUSED_BY_HEAD) and outputs % 3 == 0:
        own, by_head = count_heads(model, attention, outputs // 3), word in _FUSED_BY_HEAD
        yield Projection(attention, "keys", layer, 1, by_head, own)
        yield Projection(attention, "values", layer, 2, by_head, own)


def count_heads(model: Runnable, attention: str, width: int) -> int:
    """Into how many heads keys of this width part, by what the attention's module or the model's settings say; 1 where
    nothing says it.
    """
    if not isinstance(model, TorchModel):
        return 1
    try:
        module: Any = model.module.get_submodule(attention)
    except AttributeError:
        return 1
    settings = (module, getattr(module, "config", None), getattr(model.module, "config", None))
    for one in settings:
        channels = getattr(one, "head_dim", None)
        if isinstance(channels, int) and channels > 0 and width % channels == 0:
            return width // channels
    counts = (getattr(one, name, None) for name in _HEAD_COUNTS for one in settings)
    return next((count for count in counts if isinstance(count, int) and count > 0 and width % count == 0), 1)


def read_cache(model: Runnable, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """The keys and values of each layer, (samples, heads, tokens, channels), that the model itself hands out after a
    run; empty where it hands out none.
    """
    if not isinstance(model, TorchModel) or getattr(model.module, "config", None) is None:
        return []
    inputs = {name: values for name, values in batch.inputs.items() if name != FIRST_INPUT}
    placed = (batch.inputs[FIRST_INPUT],) if FIRST_INPUT in batch.inputs else ()
    try:
        with torch.no_grad(), silenced():
            outputs = model.module(*placed, **inputs, use_cache=True)
            known = next((name for name in _CACHES if isinstance(outputs, Mapping) and name in outputs), None)
            cache = outputs[known] if known else None
    except _FAILURES:
        return []
    return [pair for pair in _list_pairs(cache) if all(one.ndim == 4 and one.numel() for one in pair)]


def _list_pairs(cache: Any) -> Iterator[tuple[Tensor, Tensor]]:
    cache = getattr(cache, "self_attention_cache", cache)
    if isinstance(cache, tuple | list):
        pairs: Sequence[Any] = [(one[0], one[1]) for one in cache if isinstance(one, tuple | list) and len(one) > 1]
    elif hasattr(cache, "layers"):
        pairs = [(getattr(one, "keys", None), getattr(one, "values", None)) for one in cache.layers]
    else:
        pairs = list(zip(getattr(cache, "key_cache", ()), getattr(cache, "value_cache", ()), strict=True))
    for keys, values in pairs:
        if isinstance(keys, Tensor) and isinstance(values, Tensor):
            yield keys, values
