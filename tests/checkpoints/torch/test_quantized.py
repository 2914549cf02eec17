"""Torch's own quantized tensors decode as `Tensor.dequantize` does, bit for bit."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qanalysis.checkpoints.catalogue import open_checkpoint
from tests.checkpoints.damage import read_all

pytestmark = pytest.mark.filterwarnings("ignore")  # torch says that torch.ao is on its way out
DTYPES = {"qint8": torch.qint8, "quint8": torch.quint8, "qint32": torch.qint32}


def save(path: Path, tensor: torch.Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"fc.weight": tensor}, path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    word=st.sampled_from(sorted(DTYPES)),
    scale=st.floats(1e-6, 1e3),
    zero=st.integers(0, 100),
    seed=st.integers(0, 99),
)
def test_one_scale_for_the_tensor(
    tmp_path: Path, shape: list[int], word: str, scale: float, zero: int, seed: int
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 50 * scale
    tensor = torch.quantize_per_tensor(x, scale, zero, DTYPES[word])
    save(tmp_path / "m.pt", tensor)
    np.testing.assert_array_equal(read_all(tmp_path / "m.pt")["fc.weight"], tensor.dequantize().numpy())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    word=st.sampled_from(sorted(DTYPES)),
    axis=st.integers(0, 1),
    seed=st.integers(0, 99),
)
def test_one_scale_for_each_entry_of_an_axis(tmp_path: Path, shape: list[int], word: str, axis: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scales = torch.rand(shape[axis], generator=generator, dtype=torch.float64) + 1e-3
    zeros = torch.randint(0, 20, (shape[axis],), generator=generator)
    x = torch.randn(shape, generator=generator) * 20
    tensor = torch.quantize_per_channel(x, scales, zeros, axis, DTYPES[word])
    save(tmp_path / "m.pt", tensor)
    np.testing.assert_array_equal(read_all(tmp_path / "m.pt")["fc.weight"], tensor.dequantize().numpy())


@pytest.mark.parametrize("columns", [8, 10, 64])
def test_two_codes_in_a_byte(tmp_path: Path, columns: int) -> None:
    x = torch.randn(6, columns)
    scales, zeros = torch.rand(6) + 0.01, torch.rand(6) * 8
    tensor = torch.quantize_per_channel(x, scales, zeros, 0, torch.quint4x2)
    save(tmp_path / "m.pt", tensor)
    np.testing.assert_array_equal(read_all(tmp_path / "m.pt")["fc.weight"], tensor.dequantize().numpy())
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert source.tensors[0].stored == "torch.ao uint4 channel"


def test_what_the_header_says_of_a_quantized_tensor(tmp_path: Path) -> None:
    tensor = torch.quantize_per_channel(
        torch.ones(4, 32), torch.full((4,), 0.5, dtype=torch.float64), torch.zeros(4, dtype=torch.int64), 0, torch.qint8
    )
    save(tmp_path / "m.pt", tensor)
    with open_checkpoint(tmp_path / "m.pt") as source:
        (info,) = source.tensors
        assert (info.stored, info.dtype, info.shape, info.decodes) == ("torch.ao int8 channel", "qint8", (4, 32), True)
        assert info.size_bytes == 4 * 32 + 4 * 8 + 4 * 8  # codes, scales in float64, zero points in int64
        assert info.stored_bits == 8 + 128 / 32
        np.testing.assert_array_equal(source.read(info), np.ones((4, 32), np.float32))


def test_a_quantized_layer_is_named_as_in_the_float_model(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 4))
    packed = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    torch.save(packed.state_dict(), tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        infos = {info.name: info for info in source.tensors}
        assert infos["0.weight"].stored == "torch.ao int8 tensor"
        assert infos["0.bias"].shape == (4,)
        wanted = packed[0].weight().dequantize().numpy()
        np.testing.assert_array_equal(source.read(infos["0.weight"]), wanted)
