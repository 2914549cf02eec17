"""Which safetensors files does the fuzz begin with, and how are they changed? Plain models, alone, with a config.json
beside them, and as shards with and without an index.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tests.checkpoints.packed.written import WORDS
from tests.fuzz.case import Case, Reader
from tests.fuzz.odd_values import change_json, draw_json, draw_name, draw_size, fill_oddly, reshape_oddly

Parts = tuple[tuple[str, NDArray[Any]], ...]
_WORDS = [*WORDS.values(), "BOOL", "U64", "U16", "C64", "F4", "F6_E2M3", "I4", "F8_E5M2FNUZ", "", "f32", "X" * 200]


@dataclass(frozen=True, slots=True)
class Tensors:
    """A model: tensors in order, metadata, JSON files beside it, in how many shards, and lies of its header: text put
    over that of the header, (tensor, key, value) of an entry.
    """

    parts: Parts
    metadata: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)
    shards: int = 1
    has_index: bool = True
    lies: tuple[tuple[int, str, Any], ...] = ()
    text: bytes | None = None
    length: int | None = None


def make_arrays(rng: np.random.Generator, **shapes: tuple[Any, ...]) -> Parts:
    """Tensors with "__" for the dots of their names, (dtype, *sizes) each, of small random numbers."""
    found = []
    for name, (word, *sizes) in shapes.items():
        dtype = np.dtype(word)
        values = rng.integers(0, 256, (*sizes, dtype.itemsize), np.uint8).view(dtype)[..., 0]
        if dtype.kind not in "iub":
            values = rng.normal(size=sizes).astype(dtype)
        found.append((name.replace("__", "."), values))
    return tuple(found)


def make_models() -> list[Tensors]:
    rng = np.random.default_rng(1)
    f4, b2 = np.float32, ml_dtypes.bfloat16
    plain = make_arrays(
        rng,
        model__embed_tokens__weight=(b2, 40, 16),
        model__layers__0__q_proj__weight=(b2, 16, 16),
        model__layers__0__norm__weight=(b2, 16),
        conv__weight=(f4, 4, 3, 3, 3),
        conv__bias=(f4, 4),
        bn__running_var=(f4, 4),
        bn__num_batches_tracked=(np.int64,),
        lm_head__weight=(np.float16, 40, 16),
    )
    gpt2 = make_arrays(
        rng,
        h__0__attn__c_attn__weight=(f4, 8, 24),
        h__0__attn__c_attn__bias=(f4, 24),
        h__0__mlp__experts__gate_up_proj=(f4, 2, 8, 32),
        h__0__mlp__experts__down_proj=(f4, 2, 16, 8),
        lstm__weight_ih_l0=(f4, 32, 8),
        up__weight=(f4, 4, 2, 2, 2),
    )
    adapter = make_arrays(rng, base_model__q__lora_A__weight=(f4, 4, 16), base_model__q__lora_B__weight=(f4, 16, 4))
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "tie_word_embeddings": True, "hidden_size": 8}
    return [
        Tensors(plain),
        Tensors(plain, {"format": "pt"}, {"config.json": config}),
        Tensors(plain, shards=3),
        Tensors(plain, shards=2, has_index=False),
        Tensors(gpt2, beside={"config.json": config}),
        Tensors(gpt2, beside={"config.json": {"model_type": "gpt_oss", "num_local_experts": 2}}, shards=2),
        Tensors(adapter),
    ]


def change(rng: random.Random, model: Tensors, models: Sequence[Tensors]) -> Tensors:
    """One change of any kind."""
    if rng.random() < 0.6:
        return change_content(rng, model, models)
    return (_lie, _lie, _lie, _reshard, _reshard, _overwrite)[rng.randrange(6)](rng, model)


def change_content(rng: random.Random, model: Tensors, models: Sequence[Tensors]) -> Tensors:
    """Other parts, settings or metadata, in a header that is sound."""
    kind = rng.randrange(4)
    if kind == 0 and model.beside:
        name = rng.choice(sorted(model.beside))
        return replace(model, beside={**model.beside, name: change_json(rng, model.beside[name])})
    if kind == 1 and model.metadata:
        return replace(model, metadata=_change_metadata(rng, model.metadata))
    return replace(model, parts=_change_parts(rng, model.parts, models))


def _change_parts(rng: random.Random, parts: Parts, models: Sequence[Tensors]) -> Parts:
    changed = list(parts)
    if not changed:
        return rng.choice(models).parts
    at = rng.randrange(len(changed))
    name, array = changed[at]
    match rng.randrange(8):
        case 0:
            changed[at] = draw_name(rng, [known for known, _ in parts]), array
        case 1:
            del changed[at]
        case 2:
            changed.insert(rng.randrange(len(changed) + 1), changed[at])
        case 3:
            other = rng.randrange(len(changed))
            changed[at], changed[other] = (name, changed[other][1]), (changed[other][0], array)
        case 4:
            changed[at] = name, fill_oddly(rng, array)
        case 5:
            changed += rng.choice(models).parts
        case _:
            changed[at] = name, reshape_oddly(rng, array)
    return tuple(changed)


def _change_metadata(rng: random.Random, metadata: Mapping[str, Any]) -> dict[str, Any]:
    key = rng.choice(sorted(metadata))
    try:
        inner = json.loads(metadata[key])
    except (ValueError, TypeError):
        return {**metadata, rng.choice((key, draw_name(rng))): draw_json(rng)}
    return {**metadata, key: json.dumps(change_json(rng, inner))}


def _lie(rng: random.Random, model: Tensors) -> Tensors:
    value: Any
    match rng.randrange(5):
        case 0:
            key, value = "dtype", rng.choice(_WORDS)
        case 1:
            key, value = "shape", [draw_size(rng) for _ in range(rng.choice((0, 1, 2, 2, 3, 70)))]
        case 2:
            key, value = "data_offsets", sorted(draw_size(rng) for _ in range(rng.choice((2, 2, 2, 1, 3))))
        case 3:
            key, value = rng.choice(("dtype", "shape", "data_offsets")), draw_json(rng)
        case _:
            key, value = rng.choice(("", "more", "shape")), draw_json(rng)
    return replace(model, lies=(*model.lies, (rng.randrange(max(len(model.parts), 1)), key, value)))


def _reshard(rng: random.Random, model: Tensors) -> Tensors:
    return replace(model, shards=rng.choice((1, 2, 3, 9)), has_index=rng.random() < 0.5)


def _overwrite(rng: random.Random, model: Tensors) -> Tensors:
    if rng.random() < 0.3:
        return replace(model, length=rng.choice((0, 1, 2, 7, 1 << 20, 1 << 31, 1 << 40, (1 << 64) - 1)))
    bodies = (
        b"{",
        b"{}",
        b"[]",
        b'{"a":' * rng.choice((1, 2000, 100_000)),
        b"[" * rng.choice((1, 2000, 100_000)),
        b'{"a":[[],[],' + b"[]," * rng.choice((1, 50_000)) + b"[]]}",
        b'{"w":{"dtype":"F32","shape":[' + b"1," * rng.choice((10, 50_000)) + b'1],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' * 5000,
        b'{"\\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
        b'{"w":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F32","shape":[1e400,-0,1.5],"data_offsets":[NaN,4]}}',
        rng.randbytes(40),
    )
    return replace(model, text=rng.choice(bodies))


def write(rng: random.Random, model: Tensors) -> Case:
    """The files of a model; it is opened by its folder, its index or a file."""
    files = {name: _dump(value) for name, value in model.beside.items()}
    if model.shards == 1:
        files["model.safetensors"] = _write_file(model, model.parts)
        return Case(files, rng.choice(("model.safetensors", "model.safetensors", "")))
    names = [f"model-{k + 1:05d}-of-{model.shards:05d}.safetensors" for k in range(model.shards)]
    for k, name in enumerate(names):
        files[name] = _write_file(model, model.parts[k :: model.shards])
    index = {"metadata": {}, "weight_map": {name: names[k % len(names)] for k, (name, _) in enumerate(model.parts)}}
    if model.has_index:
        while rng.random() < 0.3:
            index = change_json(rng, index)
        files["model.safetensors.index.json"] = _dump(index)
    if rng.random() < 0.1:
        files.pop(rng.choice(names))
    if rng.random() < 0.1 and names[0] in files:
        files[rng.choice(("model-00001-of-00000.safetensors", "x.safetensors"))] = files[names[0]]
    return Case(files, rng.choice(["", *files]))


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _write_file(model: Tensors, parts: Parts) -> bytes:
    items: list[tuple[str, Any]] = [("__metadata__", dict(model.metadata))] if model.metadata else []
    place = 0
    for name, array in parts:
        entry = {
            "dtype": WORDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        items.append((name, entry))
        place += array.nbytes
    first = len(items) - len(parts)
    for at, key, value in model.lies:
        if first + at < len(items):
            items[first + at] = (items[first + at][0], {**items[first + at][1], key: value})
    text = b"{" + b",".join(_dump(name) + b":" + _dump(entry) for name, entry in items) + b"}"
    text = text if model.text is None else model.text
    body = b"".join(np.ascontiguousarray(array).tobytes() for _, array in parts)
    return struct.pack("<Q", len(text) if model.length is None else model.length) + text + body


def make_reader() -> Reader:
    return Reader(make_models(), write, change)
