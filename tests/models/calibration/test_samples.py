"""Batches of any kind become blocks of equal shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from qanalysis.models.calibration.samples import Calibration


def test_a_loader_of_torch_is_taken_as_it_is() -> None:
    inputs, labels = torch.arange(30.0).reshape(10, 3), torch.arange(10)
    data = Calibration.from_iterable(DataLoader(TensorDataset(inputs, labels), batch_size=4))
    assert len(data.blocks) == 1
    assert torch.equal(data.blocks[0].inputs["x"], inputs)
    assert torch.equal(data.blocks[0].targets, labels)
    lone = Calibration.from_iterable(DataLoader(TensorDataset(inputs), batch_size=4))
    assert (len(lone), lone.loss) == (10, None)


def test_samples_of_unlike_shapes_lie_in_blocks_of_their_own() -> None:
    data = Calibration.from_iterable([torch.ones(1, 4), torch.ones(2, 5), np.zeros((3, 4))])
    assert [tuple(block.inputs["x"].shape) for block in data.blocks] == [(4, 4), (2, 5)]
    assert [block.first for block in data.blocks] == [0, 4]


def test_a_mapping_of_arrays_and_a_pair_are_samples_and_a_list_is_batches() -> None:
    named = Calibration.from_data({"a": np.ones((2, 3)), "b": [1, 2], "y": [0, 1]})
    assert (set(named.blocks[0].inputs), named.loss) == ({"a", "b"}, "cross-entropy")
    assert len(Calibration.from_data((np.ones((4, 3)), np.ones((4, 2))))) == 4
    assert len(Calibration.from_data([np.ones((4, 3)), np.ones((4, 3))])) == 8
    assert Calibration.from_data(named) is named


def test_truth_values_and_half_precision_become_what_models_take() -> None:
    data = Calibration.from_arrays({"mask": np.array([True, False]), "x": torch.ones(2, 3, dtype=torch.bfloat16)})
    assert [values.dtype for values in data.blocks[0].inputs.values()] == [torch.int64, torch.float32]


def test_what_is_no_array_is_told() -> None:
    with pytest.raises(ValueError, match="is no array"):
        Calibration.from_arrays([[1, 2], [3]])
    with pytest.raises(ValueError, match="yields no samples"):
        Calibration.from_iterable([])
    with pytest.raises(ValueError, match="is a int; give tensors"):
        Calibration.from_iterable(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"torch\.complex64"):
        Calibration.from_arrays(torch.ones(2, dtype=torch.complex64))
