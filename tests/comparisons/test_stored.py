"""Words of a layout say which format it is, and what theory expects of it."""

from __future__ import annotations

import pytest

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.comparisons.stored import predict_stored_db, read_stored


def info(stored: str, dtype: str = "int32") -> TensorInfo:
    return TensorInfo("w", (256, 512), dtype, 1, stored=stored)


@pytest.mark.parametrize(
    ("stored", "known", "scheme"),
    [
        ("gptq int4 group=128 act-order", ("int4", 4, "group=128", None), "int4 sym-full group=128"),
        ("awq int4 group=64", ("int4", 4, "group=64", False), "int4 asym group=64"),
        ("compressed-tensors int8 channel asym", ("int8", 8, "channel", False), "int8 asym channel"),
        ("compressed-tensors int3 group=32", ("int3", 3, "group=32", True), "int3 sym-full group=32"),
        ("modelopt int4 group=128", ("int4", 4, "group=128", True), "int4 sym-full group=128"),
        ("torchao int8 channel", ("int8", 8, "channel", True), "int8 sym-full channel"),
        ("torch.ao qint8 channel", ("int8", 8, "channel", True), "int8 sym-full channel"),
        ("llm.int8 channel", ("int8", 8, "channel", True), "int8 channel"),
        ("mlx int6 group=64", ("int6", 6, "group=64", False), "int6 asym group=64"),
        ("hqq int4 group=64 axis=0", ("int4", 4, "group=64", False), "int4 asym group=64"),
        ("quanto int8 channel", ("int8", 8, "channel", True), "int8 channel"),
        ("quanto int4 group=128 asym", ("int4", 4, "group=128", False), "int4 asym group=128"),
        ("qdq int8 channel", ("int8", 8, "channel", True), "int8 channel"),
        ("qdq uint8 tensor", ("int8", 8, "tensor", False), "int8 asym"),
        ("qdq int4 group=32", ("int4", 4, "group=32", True), "int4 group=32"),
        ("matmulnbits int4 group=32 asym", ("int4", 4, "group=32", False), "int4 asym group=32"),
        ("qmoe int8 channel", ("int8", 8, "channel", True), "int8 sym-full channel"),
        ("bnb nf4 group=64 nested", ("nf4", 4, "group=64", None), "nf4 scale=double"),
        ("bnb fp4 group=64", ("fp4", 4, "group=64", None), None),
        ("fp8 block=128x128", ("fp8_e4m3", 8, "block=128x128", None), "fp8_e4m3 block=128x128"),
        ("fp8 e5m2 channel", ("fp8_e5m2", 8, "channel", None), "fp8_e5m2 channel"),
        ("fp8 float8_e4m3fn tensor", ("fp8_e4m3", 8, "tensor", None), "fp8_e4m3"),
        ("mxfp8", ("mxfp8_e4m3", 8, "group=32", None), "mxfp8_e4m3"),
        ("mxfp6", ("mxfp6_e2m3", 6, "group=32", None), "mxfp6_e2m3"),
        ("gpt-oss mxfp4", ("mxfp4", 4, "group=32", None), "mxfp4"),
        ("nvfp4", ("nvfp4", 4, "group=16", None), "nvfp4"),
        ("nvfp4 group=16", ("nvfp4", 4, "group=16", None), "nvfp4"),
        ("nvfp4 group=32", ("nvfp4", 4, "group=32", None), None),
        ("qanalysis int4 asym group=32", ("int4", 4, "group=32", False), "int4 asym group=32"),
        ("gguf:q4_0", ("gguf:q4_0", 4, "", None), "gguf:q4_0"),
        ("gguf:q6_k", ("gguf:q6_k", 6, "", None), None),
        ("gguf:iq3_xxs", ("gguf:iq3_xxs", 3, "", None), None),
        ("weight norm", ("", None, "", None), None),
        ("exl2", ("", None, "", None), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_layout_is_read(stored: str, known: tuple[object, ...], scheme: str | None) -> None:
    found = read_stored(info(stored))
    assert (found.format, found.bits, found.grouping, found.symmetric) == known
    assert (None if found.scheme is None else str(found.scheme)) == scheme
    assert (predict_stored_db(info(stored), sigma=0.02) is None) == (scheme is None)


@pytest.mark.parametrize(
    ("dtype", "known"),
    [("bfloat16", ("bfloat16", 16)), ("float8_e4m3fn", ("fp8_e4m3", 8)), ("int64", ("", None))],
    ids=["bfloat16", "float8", "integers"],
)
def test_plain_values_are_their_dtype_and_have_no_prediction(dtype: str, known: tuple[str, int | None]) -> None:
    found = read_stored(info("", dtype))
    assert (found.format, found.bits) == known
    assert predict_stored_db(info("", dtype), sigma=1.0) is None


@pytest.mark.parametrize("sigma", [0.0, float("inf"), float("nan")], ids=str)
def test_values_without_a_spread_have_no_prediction(sigma: float) -> None:
    assert predict_stored_db(info("nvfp4"), sigma=sigma) is None


def test_the_published_figures_of_block_formats_are_met() -> None:
    # Measured over 3 x 2^20 Gaussian values with a standard deviation of 0.01 dB.
    measured = {"gguf:q4_0": 21.313, "mxfp4": 18.782, "nvfp4": 20.432, "bnb nf4 group=64": 20.728}
    for stored, expected in measured.items():
        assert predict_stored_db(info(stored), sigma=1.0) == pytest.approx(expected, abs=0.04)
