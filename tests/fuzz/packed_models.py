"""Which packed layouts does the fuzz begin with? One small layer or two of every kind that is decoded or recognised,
with the settings that their quantizers leave beside the weights.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tests.checkpoints.packed.test_recognised import LAYERS
from tests.fuzz.case import Reader
from tests.fuzz.safetensors_models import Parts, Tensors, change, change_content, make_arrays, write

I1, U1, I2, I4, U4, I8, F2, F4 = np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.float16, np.float32
B2, E4M3, E8M0 = ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu


def fix(parts: Parts, **values: Any) -> Parts:
    """The same tensors with some of them given."""
    given = {name.replace("__", "."): value for name, value in values.items()}
    return tuple((name, given.pop(name, array)) for name, array in parts) + tuple(given.items())


def describe(kind: str, **attributes: Any) -> dict[str, str]:
    return {"l.weight": json.dumps({"_type": kind, "_data": attributes}), "tensor_names": '["l.weight"]'}


def as_bytes(value: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer((value if isinstance(value, str) else json.dumps(value)).encode(), np.uint8)


def settings(**quantization: Any) -> dict[str, Any]:
    return {"config.json": {"model_type": "llama", "quantization_config": quantization}}


def ct(fmt: str, **weights: Any) -> dict[str, Any]:
    groups = {"group_0": {"weights": weights, "targets": ["Linear"]}}
    return settings(quant_method="compressed-tensors", format=fmt, config_groups=groups)


def make_gptq(rng: np.random.Generator) -> list[Tensors]:
    def parts(bits: int) -> Parts:
        return fix(
            make_arrays(
                rng, l__qweight=(I4, 2 * bits, 32), l__qzeros=(I4, 4, bits), l__scales=(F2, 4, 32), l__bias=(F2, 32)
            ),
            l__g_idx=np.arange(64, dtype=np.int32) // 16,
        )

    beside = settings(quant_method="gptq", bits=4, group_size=16, desc_act=True, sym=False, checkpoint_format="gptq_v2")
    quantize = {"quantize_config.json": {"bits": 3, "group_size": 16, "desc_act": False, "sym": True}}
    marlin = make_arrays(rng, l__B=(I4, 4, 128), l__s=(F2, 1, 64))
    return [Tensors(parts(4), beside=beside), Tensors(parts(3), beside=quantize), Tensors(parts(8)), Tensors(marlin)]


def make_awq(rng: np.random.Generator) -> list[Tensors]:
    parts = make_arrays(rng, l__qweight=(I4, 32, 2), l__qzeros=(I4, 2, 2), l__scales=(F2, 2, 16))
    gemv = make_arrays(rng, l__qweight=(I4, 16, 8), l__qzeros=(I4, 16, 1), l__scales=(F2, 16, 8))
    beside = settings(quant_method="awq", bits=4, group_size=16, zero_point=True, version="gemm")
    other = settings(quant_method="awq", bits=4, group_size=16, zero_point=True, version="gemv")
    return [Tensors(parts), Tensors(parts, beside=beside), Tensors(gemv, beside=other)]


def make_fp8(rng: np.random.Generator) -> list[Tensors]:
    found = [
        make_arrays(rng, l__weight=(E4M3, 20, 30), l__weight_scale_inv=(F4, 2, 2)),
        make_arrays(rng, l__weight=(E4M3, 20, 30), l__weight_scale=(F4, 20, 1), l__input_scale=(F4, 1)),
        make_arrays(rng, l__weight=(E4M3, 8, 64), l__weight_scale=(E8M0, 8, 2)),
        make_arrays(rng, l__experts__gate_up_proj=(E4M3, 2, 8, 16), l__experts__gate_up_proj_scale=(F4, 2, 1, 16)),
    ]
    block = settings(quant_method="fp8", weight_block_size=[16, 16], fmt="e4m3")
    return [*map(Tensors, found), Tensors(found[0], beside=block)]


def make_compressed(rng: np.random.Generator) -> list[Tensors]:
    shape = np.array([6, 64])
    ints = fix(make_arrays(rng, l__weight_packed=(I4, 6, 8), l__weight_scale=(B2, 6, 4)), l__weight_shape=shape)
    asym = fix(
        make_arrays(
            rng,
            l__weight_packed=(I4, 8, 8),
            l__weight_scale=(B2, 8, 4),
            l__weight_zero_point=(I4, 1, 4),
            l__weight_g_idx=(I4, 64),
        ),
        l__weight_shape=np.array([8, 64]),
        l__weight_g_idx=np.arange(64, dtype=np.int32) // 16,
    )
    nv = make_arrays(rng, l__weight_packed=(U1, 6, 16), l__weight_scale=(E4M3, 6, 2), l__weight_global_scale=(F4, 1))
    mx = make_arrays(rng, l__weight_packed=(U1, 6, 16), l__weight_scale=(U1, 6, 1))
    int8 = make_arrays(rng, l__weight=(I1, 6, 32), l__weight_scale=(B2, 6, 1), l__weight_zero_point=(I1, 6, 1))
    sparse = make_arrays(rng, l__compressed=(F4, 10), l__bitmask=(U1, 4, 2), l__row_offsets=(I8, 4), l__shape=(I8, 2))
    sparse24 = make_arrays(rng, l__compressed=(F4, 4, 8), l__bitmask=(U1, 4, 2), l__shape=(I8, 2))
    told = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16, "symmetric": True, "actorder": None}
    return [
        Tensors(ints),
        Tensors(ints, beside=ct("pack-quantized", **told)),
        Tensors(asym, beside=ct("pack-quantized", **told | {"symmetric": False})),
        Tensors(nv, beside=ct("nvfp4-pack-quantized", num_bits=4, type="float", group_size=16)),
        Tensors(mx, beside=ct("mxfp4-pack-quantized", num_bits=4, type="float", group_size=32)),
        Tensors(int8, beside=ct("int-quantized", num_bits=8, type="int", strategy="channel")),
        Tensors(int8, beside=ct("naive-quantized", num_bits=8, type="int", block_structure=[2, 16])),
        Tensors(fix(sparse, l__shape=np.array([4, 16]))),
        Tensors(fix(sparse24, l__shape=np.array([4, 16]))),
    ]


def make_modelopt(rng: np.random.Generator) -> list[Tensors]:
    nv = make_arrays(
        rng, l__weight=(U1, 8, 16), l__weight_scale=(E4M3, 8, 2), l__weight_scale_2=(F4, 1), l__input_scale=(F4,)
    )
    awq = make_arrays(rng, l__weight=(U1, 4, 32), l__weight_scale=(F4, 8, 2), l__pre_quant_scale=(F4, 32))
    beside = {"hf_quant_config.json": {"quantization": {"quant_algo": "NVFP4", "group_size": 16}}}
    return [Tensors(nv, beside=beside), Tensors(awq), Tensors(nv)]


def make_bitsandbytes(rng: np.random.Generator) -> list[Tensors]:
    state: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [4, 64]}
    key = "l__weight__quant_state__bitsandbytes__nf4".replace("bitsandbytes__nf4", "bitsandbytes@nf4")
    plain = make_arrays(rng, l__weight=(U1, 128, 1), l__weight__absmax=(F4, 4), l__weight__quant_map=(F4, 16))
    nested = make_arrays(
        rng,
        l__weight=(U1, 128, 1),
        l__weight__absmax=(U1, 4),
        l__weight__quant_map=(F4, 16),
        l__weight__nested_absmax=(F4, 1),
        l__weight__nested_quant_map=(F4, 256),
    )
    name = key.replace("__", ".").replace("@", "__")
    more = state | {"nested_blocksize": 256, "nested_offset": 0.25}
    int8 = make_arrays(rng, l__weight=(I1, 4, 16), l__SCB=(F4, 4), l__weight_format=(U1,))
    beside = settings(load_in_4bit=True, quant_method="bitsandbytes", bnb_4bit_quant_type="nf4")
    return [
        Tensors((*plain, (name, as_bytes(state))), beside=beside),
        Tensors((*nested, (name, as_bytes(more)))),
        Tensors(int8),
    ]


def make_apple_and_openai(rng: np.random.Generator) -> list[Tensors]:
    affine = make_arrays(rng, l__weight=(U4, 4, 16), l__scales=(F2, 4, 2), l__biases=(F2, 4, 2))
    six = make_arrays(rng, l__weight=(U4, 4, 12), l__scales=(F2, 4, 1), l__biases=(F2, 4, 1))
    mx = make_arrays(rng, l__weight=(U4, 4, 8), l__scales=(U1, 4, 2))
    stack = make_arrays(rng, l__weight=(U4, 2, 4, 16), l__scales=(F2, 2, 4, 2), l__biases=(F2, 2, 4, 2))
    experts = make_arrays(
        rng,
        mlp__experts__gate_up_proj_blocks=(U1, 2, 6, 2, 16),
        mlp__experts__gate_up_proj_scales=(U1, 2, 6, 2),
        mlp__experts__gate_up_proj_bias=(B2, 2, 6),
    )

    def told(**keys: Any) -> dict[str, Any]:
        return {"config.json": {"model_type": "llama", "quantization": keys}}

    return [
        Tensors(affine, beside=told(group_size=64, bits=4)),
        Tensors(six, beside=told(group_size=64, bits=6, l={"group_size": 64, "bits": 6})),
        Tensors(mx, beside=told(group_size=32, bits=4, mode="mxfp4")),
        Tensors(stack),
        Tensors(experts),
        Tensors(experts, beside=settings(quant_method="mxfp4")),
    ]


def make_hqq_and_quanto(rng: np.random.Generator) -> list[Tensors]:
    def hqq(bits: int, axis: int, word: Any, rows: int, sizes: tuple[int, int]) -> Parts:
        return fix(
            make_arrays(rng, l__W_q=(word, rows, 8), l__scale=(F2, *sizes), l__zero=(F2, *sizes)),
            l__nbits=np.array(bits, np.int32),
            l__group_size=np.array(8, np.int32),
            l__axis=np.array(axis, np.int32),
            l__shape=np.array([8, 8] if bits != 3 else [10, 8]),
            l__packing=as_bytes(f"{bits}bit_u8"),
            l__quant_scale=np.array(0, np.uint8),
            l__quant_zero=np.array(0, np.uint8),
        )

    groups = make_arrays(
        rng,
        l__weight___data___data=(U1, 6, 16),
        l__weight___scale=(F2, 12, 1),
        l__weight___shift=(F2, 12, 1),
        l__bias=(F2, 6),
    )
    rows = make_arrays(rng, l__weight___data=(I1, 6, 16), l__weight___scale=(F2, 6, 1), l__input_scale=(F4,))

    def told(word: str) -> dict[str, Any]:
        return {"quanto_qmap.json": {"l": {"weights": word, "activations": "none"}}}

    return [
        Tensors(hqq(4, 1, U1, 4, (8, 1))),
        Tensors(hqq(8, 0, U1, 8, (1, 8))),
        Tensors(hqq(3, 1, I4, 1, (10, 1))),
        Tensors(groups, beside=told("qint4")),
        Tensors(rows, beside=told("qint8")),
        Tensors(rows),
    ]


def make_torchao(rng: np.random.Generator) -> list[Tensors]:
    ints = make_arrays(rng, l___weight_qdata=(I1, 6, 16), l___weight_scale=(F4, 6, 4), l___weight_zero_point=(I1, 6, 4))
    floats = make_arrays(rng, l___weight_qdata=(E4M3, 6, 16), l___weight_scale=(F4, 6, 1))
    nv = make_arrays(
        rng, l___weight_qdata=(U1, 8, 16), l___weight_scale=(E4M3, 8, 2), l___weight_per_tensor_scale=(F4,)
    )
    return [
        Tensors(ints, describe("IntxUnpackedToInt8Tensor", block_size=[1, 4], target_dtype={"_data": "int4"})),
        Tensors(floats, describe("Float8Tensor", block_size=[1, 16])),
        Tensors(nv, describe("NVFP4Tensor", block_size=16, is_swizzled_scales=False)),
        Tensors(nv, describe("NVFP4Tensor", block_size=16, is_swizzled_scales=True)),
        Tensors(make_arrays(rng, l___weight_qdata=(I4, 2, 2, 32, 4)), describe("Int4TilePackedTo4dTensor")),
    ]


def make_rest(rng: np.random.Generator) -> list[Tensors]:
    norm = make_arrays(rng, l__weight_g=(F4, 4, 1), l__weight_v=(F4, 4, 6), l__bias=(F4, 4))
    other = make_arrays(
        rng, l__parametrizations__weight__original0=(F4, 4, 1, 1), l__parametrizations__weight__original1=(F4, 4, 2, 3)
    )
    known = [Tensors(tuple((f"l.{part}", array) for part, array in parts.items())) for parts in LAYERS.values()]
    return [Tensors(norm), Tensors(other), *known]


def change_mostly_content(rng: random.Random, model: Tensors, models: Sequence[Tensors]) -> Tensors:
    """Lies of the header end at the door; parts that do not fit come further."""
    return (change_content if rng.random() < 0.93 else change)(rng, model, models)


def make_reader() -> Reader:
    rng = np.random.default_rng(2)
    makers = (
        make_gptq,
        make_awq,
        make_fp8,
        make_compressed,
        make_modelopt,
        make_bitsandbytes,
        make_apple_and_openai,
        make_hqq_and_quanto,
        make_torchao,
        make_rest,
    )
    return Reader([model for make in makers for model in make(rng)], write, change_mostly_content)
