"""Weights of torchao: values by hand, by the library itself, swizzled scales, and classes that are not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from qanalysis.checkpoints.packed.torchao import swizzle
from tests.checkpoints.packed.written import Logical, read_logical, read_one, to_arrays
from tests.reference_packed_more import F4, decode_groups, pack_nibbles


def describe(kind: str, **attributes: Any) -> dict[str, str]:
    return {"l.weight": json.dumps({"_type": kind, "_data": attributes}), "tensor_names": '["l.weight"]'}


def make_int8(block: list[int] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    rng = np.random.default_rng(4)
    parts = {
        "l._weight_qdata": rng.integers(-128, 128, (3, 10)).astype(np.int8),
        "l._weight_scale": (10.0 ** rng.uniform(-30, 30, (3, 3))).astype(np.float32),
        "l._weight_zero_point": rng.integers(-8, 8, (3, 3)).astype(np.int8),
    }
    return parts, describe("IntxUnpackedToInt8Tensor", block_size=block or [1, 4], target_dtype={"_data": "int4"})


def test_integers_in_groups_with_a_ragged_last_one(tmp_path: Path) -> None:
    parts, metadata = make_int8()
    found = read_logical(tmp_path, parts, metadata=metadata)
    assert list(found) == ["l.weight"]
    wanted = decode_groups(*(parts[f"l._weight_{word}"] for word in ("qdata", "scale", "zero_point")), 4)
    np.testing.assert_array_equal(found["l.weight"].values, wanted)
    assert found["l.weight"].info.stored == "torchao int4 group=4"
    assert found["l.weight"].info.size_bytes == 30 + 36 + 9


def test_float8_in_blocks_of_two_axes(tmp_path: Path) -> None:
    numbers = np.arange(15, dtype=np.float32).reshape(3, 5).astype(ml_dtypes.float8_e4m3fn)
    scale = np.array([[1, 2, 4], [8, 16, 32]], np.float32)
    parts = {"l._weight_qdata": numbers, "l._weight_scale": scale}
    found = read_one(tmp_path, "l.weight", parts, metadata=describe("Float8Tensor", block_size=[2, 2]))
    wanted = numbers.astype(np.float32) * scale.repeat(2, 0).repeat(2, 1)[:3, :5]
    np.testing.assert_array_equal(found.values, wanted)
    assert found.info.stored == "torchao fp8 block=2x2"


def read_judged(folder: Path, model: Any) -> Logical:
    judge = pytest.importorskip("torchao.prototype.safetensors.safetensors_support")
    stored, metadata = judge.flatten_tensor_state_dict(model)
    return read_one(folder, "0.weight", to_arrays(stored), metadata=metadata)


@pytest.mark.parametrize("kind", ["int8", "int8 of the tensor", "float8", "int4 in groups", "int3 with zero points"])
def test_values_of_layers_are_those_of_the_library(tmp_path: Path, kind: str) -> None:
    torch, ao = pytest.importorskip("torch"), pytest.importorskip("torchao.quantization")
    primitives = pytest.importorskip("torchao.quantization.quant_primitives")
    asymmetric = primitives.MappingType.ASYMMETRIC
    configs = {
        "int8": ao.Int8WeightOnlyConfig(),
        "int8 of the tensor": ao.Int8WeightOnlyConfig(granularity=ao.PerTensor()),
        "float8": ao.Float8WeightOnlyConfig(),
        "int4 in groups": ao.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=ao.PerGroup(32)),
        "int3 with zero points": ao.IntxWeightOnlyConfig(
            weight_dtype=torch.int3, granularity=ao.PerAxis(0), mapping_type=asymmetric
        ),
    }
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(96, 33))
    model[0].weight.data *= torch.logspace(-3, 3, 33)[:, None]
    ao.quantize_(model, configs[kind])
    found = read_judged(tmp_path, model.state_dict())
    np.testing.assert_array_equal(found.values, model[0].weight.dequantize().detach().numpy())


@pytest.mark.parametrize("swizzled", [False, True], ids=["in rows", "swizzled"])
@pytest.mark.parametrize("shape", [(48, 64), (130, 64), (300, 112), (256, 320)], ids=str)
def test_nvfp4_values_are_those_of_the_library(tmp_path: Path, shape: tuple[int, int], swizzled: bool) -> None:
    torch, judge = pytest.importorskip("torch"), pytest.importorskip("torchao.prototype.mx_formats.nvfp4_tensor")
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * torch.logspace(-2, 2, shape[0])[:, None]
    for scale in (None, torch.tensor(0.03)):
        tensor = judge.NVFP4Tensor.to_nvfp4(weight, is_swizzled_scales=swizzled, per_tensor_scale=scale)
        found = read_judged(tmp_path, {"0.weight": tensor})
        np.testing.assert_array_equal(found.values, tensor.dequantize(torch.float32).numpy())
        assert found.info.stored == "torchao nvfp4"


@pytest.mark.parametrize("swizzled", [False, True], ids=["in rows", "swizzled"])
@pytest.mark.parametrize("element", ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2"])
def test_mx_values_are_those_of_the_library(tmp_path: Path, element: str, swizzled: bool) -> None:
    torch, judge = pytest.importorskip("torch"), pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    weight = torch.randn((130, 96), generator=torch.Generator().manual_seed(3)) * torch.logspace(-9, 9, 130)[:, None]
    tensor = judge.MXTensor.to_mx(weight, getattr(torch, element), 32, is_swizzled_scales=swizzled)
    found = read_judged(tmp_path, {"0.weight": tensor})
    np.testing.assert_array_equal(found.values, tensor.dequantize(torch.float32).numpy())


def test_the_place_of_a_swizzled_scale_is_used_once() -> None:
    rows, groups, tiles = 256, 12, 3
    places = swizzle(np.arange(rows)[:, None], np.arange(groups), tiles)
    assert sorted(places.ravel().tolist()) == list(range(rows * groups))
    assert swizzle(33, 5, 3) == 512 + 16 + 4 + 1


def test_pairs_have_their_first_value_in_the_low_nibble(tmp_path: Path) -> None:
    codes = list(range(16))
    parts = {
        "l._weight_qdata": pack_nibbles(codes, high_first=False).reshape(1, 8),
        "l._weight_scale": np.array([[0.5]], ml_dtypes.float8_e4m3fn),
    }
    found = read_one(tmp_path, "l.weight", parts, metadata=describe("NVFP4Tensor", block_size=16))
    assert found.values.ravel().tolist() == [value / 2 for value in F4]


def test_a_class_that_is_not_known_is_named_and_not_decoded(tmp_path: Path) -> None:
    parts, _ = make_int8()
    found = read_one(tmp_path, "l.weight", parts, metadata=describe("Int4TilePackedTo4dTensor"))
    wanted = "already quantized (torchao: a tensor of class Int4TilePackedTo4dTensor); recognised, not decoded"
    assert found.info.reason == wanted
    assert found.info.size_bytes == 30 + 36 + 9


@pytest.mark.parametrize(
    "text",
    ["{", "[" * 60_000, "[]", '{"_type": 3, "_data": {}}', "x" * 70_000],
    ids=["cut", "deep", "list", "type", "long"],
)
def test_metadata_that_says_nothing_leaves_the_parts(tmp_path: Path, text: str) -> None:
    parts, _ = make_int8()
    assert list(read_logical(tmp_path, parts, metadata={"l.weight": text})) == list(parts)


@pytest.mark.parametrize(
    ("change", "attributes", "text"),
    [
        ({"l._weight_scale": np.ones((3, 2), np.float32)}, {"block_size": [1, 4]}, "shape [3, 2] must have 9 numbers"),
        ({"l._weight_zero_point": np.ones(3, np.int8)}, {"block_size": [1, 4]}, "shape [3] must have 9 numbers"),
        ({"l._weight_scale": np.ones((3, 3), np.int8)}, {"block_size": [1, 4]}, "of int8 and shape [3, 3]"),
        ({}, {"block_size": [1, 0]}, "its block_size is [1, 0]"),
        ({}, {"block_size": [1, "4"]}, "its block_size is [1, '4']"),
        ({}, {}, "its block_size is None"),
        ({"l._weight_qdata": np.ones((3, 10), np.int32)}, {"block_size": [1, 4]}, "qdata of int32"),
        ({"l._weight_scale": None}, {"block_size": [1, 4]}, "_scale is missing"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_told(
    tmp_path: Path, change: dict[str, Any], attributes: dict[str, Any], text: str
) -> None:
    parts = {name: part for name, part in (make_int8()[0] | change).items() if part is not None}
    found = read_logical(tmp_path, parts, metadata=describe("Int8Tensor", **attributes))
    assert text in found["l._weight_qdata"].info.reason


@pytest.mark.parametrize(
    ("scale", "swizzled", "text"),
    [((48, 4), True, "must have 512 numbers"), ((48, 3), False, "must have 192 numbers")],
    ids=["swizzled", "in rows"],
)
def test_scales_of_small_floats_that_do_not_fit_are_told(
    tmp_path: Path, scale: tuple[int, int], swizzled: bool, text: str
) -> None:
    parts = {
        "l._weight_qdata": np.zeros((48, 32), np.uint8),
        "l._weight_scale": np.zeros(scale, ml_dtypes.float8_e4m3fn),
    }
    metadata = describe("NVFP4Tensor", block_size=16, is_swizzled_scales=swizzled)
    assert text in read_logical(tmp_path, parts, metadata=metadata)["l._weight_qdata"].info.reason
