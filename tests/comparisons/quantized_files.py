"""A small float model, its plan, and files of it: in the program's own layout, and in GGUF with the names of GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import ArraySource, TensorInfo
from qanalysis.models.forms.packing import pack
from qanalysis.models.forms.safetensors_writer import write_safetensors
from qanalysis.plans.plan import Plan
from qanalysis.plans.planning import plan_bits
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep

HEADS, WIDTH = 4, 64
_NAMES = {
    "model.embed_tokens.weight": ("token_embd.weight", (32, WIDTH)),
    "model.layers.0.self_attn.q_proj.weight": ("blk.0.attn_q.weight", (WIDTH, WIDTH)),
    "model.layers.0.self_attn.k_proj.weight": ("blk.0.attn_k.weight", (WIDTH, WIDTH)),
    "model.layers.0.mlp.up_proj.weight": ("blk.0.ffn_up.weight", (96, WIDTH)),
    "model.layers.0.mlp.down_proj.weight": ("blk.0.ffn_down.weight", (WIDTH, 96)),
    "model.layers.0.input_layernorm.weight": ("blk.0.attn_norm.weight", (WIDTH,)),
    "lm_head.weight": ("output.weight", (32, WIDTH)),
}
QUERY, KEY, UP, DOWN, NORM, HEAD = list(_NAMES)[1:]
EMBEDDING = next(iter(_NAMES))


def make_weights() -> dict[str, Floats]:
    """The float model: small transformer, one layer, every matrix of its own."""
    rng = np.random.default_rng(11)
    return {
        name: (rng.normal(size=shape) if len(shape) > 1 else 1 + rng.normal(size=shape) / 9).astype(np.float32)
        for name, (_, shape) in _NAMES.items()
    }


def make_plan(weights: Mapping[str, Floats], *schemes: str, budget_bpw: float = 7.5) -> Plan:
    """A plan that mixes the schemes; the norm is kept as it is."""
    matrices = {name: values for name, values in weights.items() if values.ndim == 2}
    return plan_bits(sweep(matrices, list(schemes)), budget_bpw=budget_bpw, header=ArraySource(weights).tensors)


def write_own(
    path: Path, weights: Mapping[str, Floats], plan: Plan, changes: Mapping[str, str | None] | None = None
) -> Path:
    """The model in the layout `qanalysis`, as planned but for `changes`: a scheme, or None for plain values."""
    schemes: dict[str, str | None] = {**plan.assignments, **(changes or {})}
    parts: dict[str, NDArray[Any]] = {}
    for name, values in weights.items():
        text = schemes.get(name)
        if text is None:
            parts[name] = values
            continue
        scheme = Scheme.parse(text)
        quantizer = scheme.fit(values)
        info = TensorInfo(name, values.shape, "float32", values.nbytes)
        packed = pack(info, quantizer.round_trip(values), quantizer, scheme)
        parts |= {f"{name}{ending}": part for ending, part in packed.items()}
    write_safetensors(path, parts, {"format": "pt"})
    return path


def write_gguf(
    path: Path, weights: Mapping[str, Floats], plan: Plan, changes: Mapping[str, str | None] | None = None
) -> Path:
    """The model as converters and llama-quantize write it: names of GGUF, rows of q and k in the order of its heads."""
    schemes: dict[str, str | None] = {**plan.assignments, **(changes or {})}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    for name, values in weights.items():
        rows, columns = values.shape if values.ndim == 2 else (0, 0)
        turned = values
        if name in (QUERY, KEY):
            turned = values.reshape(HEADS, 2, rows // HEADS // 2, columns).swapaxes(1, 2).reshape(values.shape)
        text = schemes.get(name)
        if text is None:
            writer.add_tensor(_NAMES[name][0], turned)
            continue
        kind = gguf.GGMLQuantizationType[text.removeprefix("gguf:").upper()]
        writer.add_tensor(_NAMES[name][0], gguf.quants.quantize(turned, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_stacked_gguf(path: Path, weights: Mapping[str, Floats], experts: int, *, dead: int | None = None) -> Path:
    """Experts stacked and q, k, v in one tensor, all of them q4_0; the expert `dead` holds zeros."""
    kind = gguf.GGMLQuantizationType.Q4_0
    writer = gguf.GGUFWriter(path, "phi3")
    writer.add_block_count(1)
    names = [f"model.layers.0.mlp.experts.{expert}.up_proj.weight" for expert in range(experts)]
    stack = np.stack([weights[name] * (place != dead) for place, name in enumerate(names)])
    fused = np.concatenate([weights[f"model.layers.0.self_attn.{one}_proj.weight"] for one in "qkv"])
    for name, values in (("blk.0.ffn_up_exps.weight", stack), ("blk.0.attn_qkv.weight", fused)):
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
