"""Are files of torchao read as its tensors decode themselves? Integers, float8, MX and NVFP4, scales in rows and in the
order of the matrix units.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from qanalysis.validation.check import Agreement, Comparison
from qanalysis.validation.stored import Case, compare_cases, draw_weights

ELEMENTS = ("float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2")
#: Rows and groups that fill no whole tile of 128 by 4 scales, and some that do.
SHAPES = ((48, 64), (130, 96), (256, 320))


def compare_layouts() -> Iterator[Comparison]:
    """Layers as its configurations make them, and its tensors of small floats."""
    for word in ("int8", "int8 tensor", "fp8", "int4 group=32", "int3 asym"):
        yield Comparison(f"stored torchao {word}: dequantize", "bit-exact", 0, partial(_compare_layer, word))
    for element in ELEMENTS:
        name = f"stored torchao MX of {element.removesuffix('_x2')}: MXTensor.dequantize"
        yield Comparison(name, "bit-exact", 0, partial(_compare_mx, element))
    yield Comparison("stored torchao nvfp4: NVFP4Tensor.dequantize", "bit-exact", 0, _compare_nvfp4)


def _write(state: dict[str, Any], values: Any) -> Case:
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    parts, metadata = flatten_tensor_state_dict(state)
    return Case(parts, values.detach().numpy(), name="0.weight", metadata=metadata)


def _find_type(word: str) -> Any:
    import torch

    return getattr(torch, word)


def _configure(word: str) -> Any:
    from torchao import quantization as ao
    from torchao.quantization.quant_primitives import MappingType

    return {
        "int8": ao.Int8WeightOnlyConfig,
        "int8 tensor": partial(ao.Int8WeightOnlyConfig, granularity=ao.PerTensor()),
        "fp8": ao.Float8WeightOnlyConfig,
        "int4 group=32": partial(ao.IntxWeightOnlyConfig, weight_dtype=_find_type("int4"), granularity=ao.PerGroup(32)),
        "int3 asym": partial(
            ao.IntxWeightOnlyConfig,
            weight_dtype=_find_type("int3"),
            granularity=ao.PerAxis(0),
            mapping_type=MappingType.ASYMMETRIC,
        ),
    }[word]()


def _compare_layer(word: str) -> Agreement:
    import torch
    from torchao.quantization import quantize_

    layer = torch.nn.Linear(96, 33)
    layer.weight.data = draw_weights(33, 96)
    model = torch.nn.Sequential(layer)
    quantize_(model, _configure(word))
    packed: Any = layer.weight
    return compare_cases([_write(model.state_dict(), packed.dequantize())])


def _compare_mx(element: str) -> Agreement:
    import torch
    from torchao.prototype.mx_formats.mx_tensor import MXTensor

    tensors = [
        MXTensor.to_mx(draw_weights(*shape), getattr(torch, element), 32, is_swizzled_scales=swizzled)
        for shape in SHAPES
        for swizzled in (False, True)
    ]
    return compare_cases(_write({"0.weight": tensor}, tensor.dequantize(torch.float32)) for tensor in tensors)


def _compare_nvfp4() -> Agreement:
    import torch
    from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor

    tensors = [
        NVFP4Tensor.to_nvfp4(draw_weights(*shape), is_swizzled_scales=swizzled, per_tensor_scale=scale)
        for shape in SHAPES
        for swizzled in (False, True)
        for scale in (None, torch.tensor(0.03))
    ]
    return compare_cases(_write({"0.weight": tensor}, tensor.dequantize(torch.float32)) for tensor in tensors)
