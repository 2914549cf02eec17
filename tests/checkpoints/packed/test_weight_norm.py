"""Layers with weight normalisation: the weight is what the layer multiplies with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.packed.written import read_logical, read_one, to_arrays


def test_each_row_has_the_length_of_its_gain(tmp_path: Path) -> None:
    parts = {
        "l.weight_g": np.array([[10.0], [-1.0]], np.float32),
        "l.weight_v": np.array([[3.0, 4.0], [0.0, 2.0]], np.float32),
    }
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    np.testing.assert_array_equal(found["l.weight"].values, [[6, 8], [0, -1]])
    assert found["l.weight"].info.stored == "weight norm"


@pytest.mark.parametrize("written", ["weight_g and weight_v", "parametrizations"])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_values_are_those_of_torch(tmp_path: Path, written: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer = torch.nn.Linear(300, 7) if kind == "linear" else torch.nn.Conv1d(20, 6, 5)
    layer.weight.data *= torch.logspace(-6, 6, len(layer.weight)).reshape(-1, *[1] * (layer.weight.ndim - 1))
    torch.nn.utils.parametrizations.weight_norm(layer)
    state = {f"l.{name}": tensor for name, tensor in layer.state_dict().items()}
    if written == "weight_g and weight_v":
        old = {"original0": "weight_g", "original1": "weight_v"}
        state = {f"l.{old.get(name.rpartition('.')[2], 'bias')}": tensor for name, tensor in state.items()}
    found = read_one(tmp_path, "l.weight", to_arrays(state))
    # Norm, quotient and product are rounded once each here; torch's norm adds up to 300 squares in float32.
    np.testing.assert_allclose(found.values, layer.weight.detach().numpy(), rtol=16 * np.finfo(np.float32).eps)


def test_spectral_norm_is_left_as_it_is(tmp_path: Path) -> None:
    parts = {
        "l.weight_orig": np.ones((2, 3), np.float32),
        "l.weight_u": np.ones(2, np.float32),
        "l.weight_v": np.ones(3, np.float32),
    }
    assert list(read_logical(tmp_path, parts)) == list(parts)


@pytest.mark.parametrize(("shape", "where"), [((1, 3), "axis 1"), ((), "the whole tensor")], ids=["columns", "tensor"])
def test_a_norm_that_is_not_over_rows_is_told(tmp_path: Path, shape: tuple[int, ...], where: str) -> None:
    parts = {"l.weight_g": np.ones(shape, np.float32), "l.weight_v": np.ones((2, 3), np.float32)}
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    assert found["l.weight"].info.reason.startswith(f"weight norm over {where}, which is not read")


def test_a_gain_that_does_not_fit_is_told(tmp_path: Path) -> None:
    parts = {"l.weight_g": np.ones((4, 1), np.float32), "l.weight_v": np.ones((2, 3), np.float32)}
    reason = read_logical(tmp_path, parts)["l.weight_g"].info.reason
    assert reason.endswith("a gain of shape [4, 1] does not fit directions of shape [2, 3]")
