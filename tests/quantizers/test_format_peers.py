"""Round trips against the packages that define the formats: bit for bit, over tensors with outliers, tiny rows and ties."""

from __future__ import annotations

from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.quantizers.scheme import Scheme
from tests.reference_formats import GGUF, MX

Floats = NDArray[np.float32]
DTYPES = {
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
}


def make_tensors(columns: int = 512) -> dict[str, Floats]:
    rng = np.random.default_rng(18)

    def normal(*shape: int) -> Floats:
        return rng.normal(size=shape).astype(np.float32)

    weights = normal(6, columns) * np.float32(0.02)
    weights[:, 7] *= 8
    weights[3] *= np.float32(1e-3)
    tensors = {
        "gaussian": normal(5, columns),
        "outlier column and a tiny row": weights,
        "heavy tails": rng.standard_t(2, size=(4, columns)).astype(np.float32),
        "one row": normal(1, columns),
        "three dimensions": normal(2, 3, columns),
        # Both signs of the largest magnitude stand in every block, at either place.
        "extremes of both signs": np.clip(normal(4, columns), -1.5, 1.5).astype(np.float16).astype(np.float32),
        "ties": (rng.integers(-32, 33, size=(4, columns)) / 8).astype(np.float32),
        "blocks of zeros": normal(4, columns),
        "negative zeros": -np.zeros((2, columns), np.float32),
        "constant": np.full((2, columns), 0.3, np.float32),
        "all positive": np.abs(normal(3, columns)) + np.float32(0.5),
        "around float16's smallest": normal(4, columns) * np.float32(3e-6),
    }
    tensors["blocks of zeros"][:, :256] = 0
    tensors["blocks of zeros"][1:3] = 0
    return tensors


TENSORS = make_tensors()


def round_trip(x: Floats, text: str) -> Floats:
    y: Floats = Scheme.parse(text).fit(x).round_trip(x)
    return y


def as_rows(x: Floats) -> Floats:
    """The matrix view: blocks run along whatever follows the first axis."""
    return x.reshape(len(x), -1)


# --- gguf ---------------------------------------------------------------------------------------------------------


def as_gguf_stores_it(x: Floats, name: str) -> Floats:
    kind = gguf.GGMLQuantizationType[name.removeprefix("gguf:").upper()]
    y: Floats = gguf.quants.dequantize(gguf.quants.quantize(as_rows(x), kind), kind).reshape(x.shape)
    return y


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("name", GGUF)
def test_blocks_decode_as_the_gguf_package_decodes_them(name: str, tensor: str) -> None:
    x = TENSORS[tensor]
    np.testing.assert_array_equal(round_trip(x, name), as_gguf_stores_it(x, name))


@pytest.mark.filterwarnings(
    "ignore:overflow encountered:RuntimeWarning", "ignore:invalid value encountered:RuntimeWarning"
)
@pytest.mark.parametrize("name", [name for name in GGUF if name != "gguf:mxfp4"])
def test_blocks_too_small_for_their_scale_type_come_back_as_nothing_there_and_here(name: str) -> None:
    # Steps of 1e-38 and less can not be inverted, and round to 0 in float16 anyway. (The exponent of the package's mxfp4 wraps round there.)
    x = TENSORS["gaussian"] * np.float32(1e-41)
    np.testing.assert_array_equal(round_trip(x, name), np.zeros_like(x))
    np.testing.assert_array_equal(as_gguf_stores_it(x, name), np.zeros_like(x))


@pytest.mark.filterwarnings(
    "ignore:overflow encountered:RuntimeWarning", "ignore:invalid value encountered:RuntimeWarning"
)
@pytest.mark.parametrize("name", [name for name in GGUF if name != "gguf:mxfp4"])
def test_scales_beyond_float16_saturate_where_the_package_has_infinities(name: str) -> None:
    # A difference by design: an infinite scale has no error to measure.
    x = TENSORS["gaussian"] * np.float32(1e8)
    fitted = Scheme.parse(name).fit(x)
    assert set(np.abs(fitted.scale)) == {np.float32(65504)}
    assert np.isfinite(fitted.round_trip(x)).all()
    assert not np.isfinite(as_gguf_stores_it(x, name)).any()


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**-60, 2.0**60, 2.0**100])
def test_mxfp4_of_gguf_agrees_wherever_its_exponent_fits(scale: float) -> None:
    x = TENSORS["gaussian"] * np.float32(scale)
    np.testing.assert_array_equal(round_trip(x, "gguf:mxfp4"), as_gguf_stores_it(x, "gguf:mxfp4"))


def test_mxfp4_of_gguf_takes_its_exponent_from_a_float32_logarithm() -> None:
    # Just below 16 that logarithm rounds to 4: a scale twice the one of the OCP rule, under which 16 saturates at 6 * 2.
    x = np.zeros((1, 32), np.float32)
    x[0, :3] = [np.nextafter(np.float32(16), np.float32(0)), 13.2, 2.4]
    np.testing.assert_array_equal(round_trip(x, "gguf:mxfp4"), as_gguf_stores_it(x, "gguf:mxfp4"))
    assert (round_trip(x, "mxfp4")[0, 0], round_trip(x, "gguf:mxfp4")[0, 0]) == (12, 16)


# --- ml_dtypes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DTYPES)
def test_elements_are_rounded_as_ml_dtypes_casts_them(name: str) -> None:
    largest = float(ml_dtypes.finfo(DTYPES[name]).max)
    rng = np.random.default_rng(19)
    # Log-uniform magnitudes over the whole range, subnormals too, and the largest number, which makes the scale 1.
    exponents = rng.uniform(
        np.log2(float(ml_dtypes.finfo(DTYPES[name]).smallest_subnormal)) - 2, np.log2(largest), 20_000
    )
    x = (np.exp2(exponents) * rng.choice([-1, 1], exponents.size)).astype(np.float32)
    x[0] = largest
    np.testing.assert_array_equal(round_trip(x, name), x.astype(DTYPES[name]).astype(np.float32))


# --- torchao ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mx_formats() -> Any:
    pytest.importorskip("torchao")
    from torchao.prototype.mx_formats import mx_tensor, nvfp4_tensor

    return mx_tensor, nvfp4_tensor


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("name", [name for name in MX if name != "mxint8"])
def test_mx_blocks_decode_as_torchao_decodes_them(name: str, tensor: str, mx_formats: Any) -> None:
    import torch

    kind = {"mxfp4": torch.float4_e2m1fn_x2, "mxfp8_e4m3": torch.float8_e4m3fn, "mxfp8_e5m2": torch.float8_e5m2}.get(
        name, name.removeprefix("mx")
    )
    x = TENSORS[tensor]
    scale, data = mx_formats[0].to_mx(torch.from_numpy(as_rows(x)), kind, 32)
    theirs = mx_formats[0].to_dtype(data, scale, kind, 32, torch.float32).numpy().reshape(x.shape)
    np.testing.assert_array_equal(round_trip(x, name), theirs)


@pytest.mark.parametrize("tensor", [name for name in TENSORS if name != "negative zeros"])
@pytest.mark.parametrize("name", ["nvfp4", "nvfp4:one-level scale=fp8_e4m3:normal"])
def test_nvfp4_decodes_as_torchao_decodes_it(name: str, tensor: str, mx_formats: Any) -> None:
    import torch

    module = mx_formats[1]
    x = torch.from_numpy(as_rows(TENSORS[tensor]))
    level = module.per_tensor_amax_to_scale(x.abs().max()) if name == "nvfp4" else None
    theirs = module.NVFP4Tensor.to_nvfp4(x, per_tensor_scale=level).dequantize(torch.float32).numpy()
    np.testing.assert_array_equal(round_trip(TENSORS[tensor], name), theirs.reshape(TENSORS[tensor].shape))


# --- bitsandbytes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def functional() -> Any:
    return pytest.importorskip("bitsandbytes").functional


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("block", [32, 64, 128, 256])
def test_nf4_decodes_as_bitsandbytes_decodes_it(block: int, tensor: str, functional: Any) -> None:
    import torch

    x = TENSORS[tensor]
    data, state = functional.quantize_4bit(torch.from_numpy(as_rows(x)), blocksize=block, quant_type="nf4")
    np.testing.assert_array_equal(
        round_trip(x, f"nf4 group={block}"), functional.dequantize_4bit(data, state).numpy().reshape(x.shape)
    )


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("block", [32, 64])
def test_nf4_with_scales_quantized_twice_decodes_as_bitsandbytes_decodes_it(
    block: int, tensor: str, functional: Any
) -> None:
    import torch

    x = TENSORS[tensor]
    data, state = functional.quantize_4bit(
        torch.from_numpy(as_rows(x)), blocksize=block, quant_type="nf4", compress_statistics=True
    )
    theirs = functional.dequantize_4bit(data, state).numpy().reshape(x.shape)
    # torch adds the scales in float32 in an order of its own: their mean, which every scale carries, may be an ulp off,
    # and an ulp more where scale and mean are added up again.
    np.testing.assert_allclose(
        round_trip(x, f"nf4 group={block} scale=double"), theirs, rtol=0, atol=3 * 2.0**-23 * np.abs(x).max()
    )


# --- gfloat -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "theirs", "mode"),
    [
        (name, info, mode)
        for name, info in {
            "fp8_e4m3": "format_info_ocp_e4m3",
            "fp8_e5m2": "format_info_ocp_e5m2",
            "fp6_e2m3": "format_info_ocp_e2m3",
            "fp6_e3m2": "format_info_ocp_e3m2",
            "fp4_e2m1": "format_info_ocp_e2m1",
            "bfloat16": "format_info_bfloat16",
            "float16": "format_info_binary16",
        }.items()
        for mode in ("TiesToEven", "TiesToAway", "TowardZero", "TowardNegative", "TowardPositive")
    ],
)
def test_every_directed_rounding_is_gfloats(name: str, theirs: str, mode: str) -> None:
    gfloat = pytest.importorskip("gfloat")
    from gfloat import formats

    info = getattr(formats, theirs)
    words = {
        "TiesToEven": "nearest-even",
        "TiesToAway": "nearest-away",
        "TowardZero": "to-zero",
        "TowardNegative": "floor",
        "TowardPositive": "ceil",
    }
    rng = np.random.default_rng(20)
    x = np.concatenate([[info.max], rng.uniform(-1, 1, 500) * info.max, rng.normal(size=500) * info.smallest]).astype(
        np.float32
    )
    expected = [gfloat.round_float(info, float(value), getattr(gfloat.RoundMode, mode), True) for value in x]
    assert round_trip(x, f"{name} round={words[mode]}").tolist() == expected


@pytest.mark.parametrize("tensor", ["outlier column and a tiny row", "ties", "extremes of both signs"])
@pytest.mark.parametrize("name", MX)
def test_mx_blocks_are_gfloats(name: str, tensor: str) -> None:
    gfloat = pytest.importorskip("gfloat")
    from gfloat import formats

    info = getattr(formats, f"format_info_{name}" if name != "mxfp4" else "format_info_mxfp4_e2m1")
    x = TENSORS[tensor][:, :64]
    expected = [
        gfloat.quantize_block(info, block, gfloat.compute_scale_amax) for block in x.astype(np.float64).reshape(-1, 32)
    ]
    np.testing.assert_array_equal(round_trip(x, name).reshape(-1, 32), np.float32(expected))
